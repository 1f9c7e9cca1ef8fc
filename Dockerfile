# Taskyard: one static binary in an image with nothing else.
#
# The binary is compiled in here, or taken as it stands in .taskyard/image/<arch>/ (`make image` puts it there):
#     docker build .
#     docker build --build-arg BINARY=ready .
ARG BINARY=compile

FROM --platform=$BUILDPLATFORM rust:1.95-slim-bookworm AS compile
RUN apt-get update && apt-get install --yes --no-install-recommends make python3-venv && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY tools tools
RUN tools/install .taskyard/zig tools/image.txt
COPY . .
ARG TARGETARCH
# Crates and what was built of them are kept from build to build.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    make image-files ARCH=$TARGETARCH && cp -r .taskyard/image/$TARGETARCH /root-of-image

FROM scratch AS ready
ARG TARGETARCH
COPY .taskyard/image/$TARGETARCH /root-of-image

# An ARG names the stage: BuildKit builds only that one.
FROM $BINARY AS binary

# For Tilt (--target dev): with a shell and tar, so that a new binary can be sent into a running container.
FROM busybox:1.37 AS dev
COPY --from=binary /root-of-image/etc /etc
COPY --from=binary --chown=65532:65532 /root-of-image/taskyard /app/taskyard
COPY --chmod=755 k8s/run-newest /app/run-newest
RUN chown 65532:65532 /app
USER 65532:65532
ENTRYPOINT ["/app/run-newest", "/app/taskyard"]

FROM scratch
ARG VERSION REVISION
LABEL org.opencontainers.image.title="Taskyard" \
      org.opencontainers.image.description="A task platform" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
# /taskyard, the roots of public certificates, licences
COPY --from=binary /root-of-image /
USER 65532:65532
EXPOSE 8080 50051 9090
ENTRYPOINT ["/taskyard"]
