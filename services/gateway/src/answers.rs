//! Answers that are kept in Redis for whoever asks the same again.
//!
//! What is kept belongs to a namespace and may be seen by everybody who may read all of it; others are served from the
//! source. So are all while Redis does not answer. What changes without a new version (a running task's progress) is
//! never kept.

use std::{future::Future, sync::Arc, time::Duration};

use axum::{
    extract::FromRequestParts,
    http::{HeaderName, HeaderValue, request::Parts},
    response::{IntoResponse, Response},
};
use http::header::CONTENT_TYPE;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family},
};
use serde::Serialize;
use sha2::{Digest, Sha256};
use taskyard_core::{Error, ErrorCode, Identity, Result, identity::Scope};
use taskyard_redis::{Answer, Cache, Found, Kept};
use taskyard_runtime::{http_error::Problem, identity::Verified, metrics::Metrics};

use crate::{
    app::App,
    openapi::{Input, Operation},
};

const X_CACHE: HeaderName = HeaderName::from_static("x-cache");

/// Kept answers, and how often they were of use.
#[derive(Debug)]
pub(crate) struct Answers {
    cache: Option<Cache>,
    life: Duration,
    asked: Family<Asked, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    kind: &'static str,
    result: Use,
}

/// What a kept answer was worth to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Use {
    Hit,
    Miss,
    Bypass,
}

/// An answer of the source.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) version: u32,
    pub(crate) body: Vec<u8>,
    /// It is the same until its version changes.
    pub(crate) lasts: bool,
    /// It holds what has no version at this moment.
    pub(crate) moves: bool,
}

impl Fresh {
    pub(crate) fn new(version: u32, lasts: bool, answer: &impl Serialize) -> Result<Self> {
        let body = serde_json::to_vec(answer).map_err(Error::internal)?;
        Ok(Self { version, body, lasts, moves: false })
    }
}

/// An answer, and where it is from.
#[derive(Debug)]
pub(crate) struct Served {
    pub(crate) fresh: Fresh,
    pub(crate) from: Use,
}

/// Who asks.
#[derive(Debug)]
pub(crate) struct Reader(Arc<Identity>);

impl Answers {
    pub(crate) fn new(cache: Option<Cache>, life: Duration, metrics: &Metrics) -> Self {
        let asked = Family::default();
        metrics.register(|registry| {
            let help = "Requests whose answer could be kept, by kind and by what was found";
            registry.register("cache_requests", help, asked.clone());
        });
        let cache = cache.filter(|_| !life.is_zero()).map(|cache| cache.of_shape(shape()));
        Self { cache, life, asked }
    }

    /// What is kept, or what the source says, which is kept then for `life` or as long as is configured.
    pub(crate) async fn get(
        &self,
        reader: &Reader,
        kept: Kept<'_>,
        life: Option<Duration>,
        source: impl Future<Output = Result<Fresh>>,
    ) -> Result<Served> {
        let (from, fresh) = self.look(reader, kept, life.unwrap_or(self.life), source).await;
        let kind = match kept {
            Kept::Task(_) => "task",
            Kept::Many("tasks", _) => "list",
            Kept::Many(..) => "statistics",
        };
        self.asked.get_or_create(&Asked { kind, result: from }).inc();
        Ok(Served { fresh: fresh?, from })
    }

    async fn look(
        &self,
        Reader(identity): &Reader,
        kept: Kept<'_>,
        life: Duration,
        source: impl Future<Output = Result<Fresh>>,
    ) -> (Use, Result<Fresh>) {
        let sees_all = identity.scopes.has(Scope::TasksRead) && identity.queues.is_empty() && identity.namespace != 0;
        let Some(cache) = self.cache.as_ref().filter(|_| sees_all) else {
            return (Use::Bypass, source.await);
        };
        let place = match cache.look(identity.namespace, kept).await {
            Found::Answer(answer) => return (Use::Hit, from_kept(kept, answer)),
            Found::Unknown => return (Use::Bypass, source.await),
            Found::Nothing(place) => place,
        };
        let answer = source.await;
        match &answer {
            Ok(fresh) if fresh.lasts => {
                let kept = Answer { version: fresh.version, body: fresh.body.clone() };
                place.fill(&kept, life).await;
            }
            // That there is none is an answer as well.
            Err(error) if error.code == ErrorCode::TaskNotFound => {
                place.fill(&Answer { version: 0, body: Vec::new() }, life).await;
            }
            _ => place.give_up().await,
        }
        (Use::Miss, answer)
    }
}

fn from_kept(kept: Kept<'_>, Answer { version, body }: Answer) -> Result<Fresh> {
    match kept {
        Kept::Task(id) if body.is_empty() => Err(Error::task_not_found(id)),
        _ => Ok(Fresh { version, body, lasts: true, moves: false }),
    }
}

/// The same requests have the same name.
pub(crate) fn name_of(request: &impl prost::Message) -> String {
    let digest = Sha256::digest(request.encode_to_vec());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What answers look like: all that the API's description says of them, its release too.
fn shape() -> u32 {
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(crate::openapi()).into();
    u32::from_be_bytes([a, b, c, d])
}

impl Use {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }

    pub(crate) fn header(self) -> (HeaderName, HeaderValue) {
        (X_CACHE, HeaderValue::from_static(self.as_str()))
    }
}

impl IntoResponse for Served {
    fn into_response(self) -> Response {
        let json = (CONTENT_TYPE, HeaderValue::from_static("application/json"));
        ([json, self.from.header()], self.fresh.body).into_response()
    }
}

impl FromRequestParts<App> for Reader {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        let verified = parts.extensions.get::<Verified>();
        let Verified(identity) = verified.ok_or_else(|| Error::internal("a request without a caller came through"))?;
        Ok(Self(identity.clone()))
    }
}

impl Input for Reader {
    fn describe(_: &mut Operation) {}
}
