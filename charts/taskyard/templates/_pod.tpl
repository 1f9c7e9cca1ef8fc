{{/* The pod of a role or job: the one place for what all pods have. */}}

{{- define "taskyard.podTemplate" -}}
{{- $root := .root }}{{ $role := .role -}}
metadata:
  labels:
    {{- include "taskyard.selector" (dict "root" $root "component" $role.name) | nindent 4 }}
    {{- with merge dict $role.podLabels $root.Values.commonLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    kubectl.kubernetes.io/default-container: {{ $role.name }}
    {{- /* New values, new pods. What the chart makes, or another Secret holds, does not count. */}}
    {{- $given := list }}
    {{- range $role.secrets }}
      {{- $given = concat $given (compact (list (index $root.Values.secrets .).value)) }}
    {{- end }}
    {{- with $given }}
    taskyard.dev/secrets: {{ toJson . | sha256sum | trunc 16 | quote }}
    {{- end }}
    {{- with $role.podAnnotations }}
    {{- tpl (toYaml .) $root | nindent 4 }}
    {{- end }}
spec:
  {{- $base := include "taskyard.podSpec" . | fromYaml }}
  {{- include "taskyard.merge" (dict "base" $base "own" $role.podSpec) | fromJson | toYaml | nindent 2 }}
{{- end }}

{{- define "taskyard.podSpec" -}}
{{- $root := .root }}{{ $role := .role -}}
serviceAccountName: {{ include "taskyard.serviceAccount" . }}
automountServiceAccountToken: {{ $role.serviceAccount.automountToken }}
# Its variables would begin like ours.
enableServiceLinks: false
terminationGracePeriodSeconds: {{ add $role.drainSeconds $role.stopSeconds 5 }}
securityContext:
  {{- toYaml $role.podSecurityContext | nindent 2 }}
{{- with $root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $role.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $role.affinity }}
affinity:
  {{- tpl (toYaml .) $root | nindent 2 }}
{{- end }}
{{- with $role.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $role.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $role.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{ $selector := include "taskyard.selector" (dict "root" $root "component" $role.name) | fromYaml }}
    {{- merge (dict) . (dict "labelSelector" (dict "matchLabels" $selector)) | toYaml | nindent 4 }}
  {{- end }}
{{- end }}
{{- with $role.initContainers }}
initContainers:
  {{- tpl (toYaml .) $root | nindent 2 }}
{{- end }}
containers:
  {{- $base := include "taskyard.container" . | fromYaml }}
  - {{ include "taskyard.merge" (dict "base" $base "own" $role.container) | fromJson | toYaml | nindent 4 | trim }}
  {{- with $role.extraContainers }}
  {{- tpl (toYaml .) $root | nindent 2 }}
  {{- end }}
{{- if or $role.secrets $role.volumes }}
volumes:
  {{- if $role.secrets }}
  - name: secrets
    projected:
      # For the program's group: the files belong to root.
      defaultMode: 0440
      sources:
        {{- range $name := $role.secrets }}
        - secret:
            name: {{ include "taskyard.secretName" (dict "root" $root "name" $name) }}
            items: [{key: {{ (index $root.Values.secrets $name).key }}, path: {{ $name }}}]
        {{- end }}
  {{- end }}
  {{- with $role.volumes }}
  {{- tpl (toYaml .) $root | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}

{{- define "taskyard.container" -}}
{{- $root := .root }}{{ $role := .role -}}
name: {{ $role.name }}
image: {{ include "taskyard.image" . }}
imagePullPolicy: {{ default $root.Values.image.pullPolicy $role.image.pullPolicy }}
args:
  {{- toYaml (concat (default (list $role.name) $role.args) $role.extraArgs) | nindent 2 }}
env:
  {{- with $role.port }}
  - name: {{ include "taskyard.variable" $role.name }}_LISTEN
    value: {{ printf "%s:%v" $role.listenHost .number | quote }}
  {{- end }}
  {{- if $role.opsPort }}
  - name: TASKYARD_OPS_LISTEN
    value: {{ printf "%s:%v" $role.listenHost $role.opsPort | quote }}
  {{- end }}
  {{- $roles := include "taskyard.roles" $root | fromJson }}
  {{- range $role.calls }}
  - name: {{ include "taskyard.variable" . }}_URL
    value: {{ include "taskyard.url" (dict "root" $root "role" (index $roles .)) }}
  {{- end }}
  {{- range $role.secrets }}
  - name: {{ . }}_FILE
    value: /etc/taskyard/secrets/{{ . }}
  {{- end }}
  {{- with $role.stopVariable }}
  - name: {{ . }}
    value: {{ $role.stopSeconds | quote }}
  {{- end }}
  {{- range $name, $value := $role.env }}
  - name: {{ $name }}
    {{- if kindIs "map" $value }}
    {{- toYaml $value | nindent 4 }}
    {{- else }}
    value: {{ tpl (toString $value) $root | quote }}
    {{- end }}
  {{- end }}
{{- with $role.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or $role.port $role.opsPort }}
ports:
  {{- with $role.port }}
  - {name: {{ .name }}, containerPort: {{ .number }}, protocol: TCP}
  {{- end }}
  {{- with $role.opsPort }}
  - {name: ops, containerPort: {{ . }}, protocol: TCP}
  {{- end }}
{{- end }}
{{- if $role.opsPort }}
startupProbe:
  httpGet: {path: /healthz, port: ops}
  {{- toYaml $role.probes.startup | nindent 2 }}
readinessProbe:
  {{- if eq (default "" $role.port.name) "grpc" }}
  grpc: {port: {{ $role.port.number }}}
  {{- else }}
  httpGet: {path: /readyz, port: ops}
  {{- end }}
  {{- toYaml $role.probes.readiness | nindent 2 }}
livenessProbe:
  httpGet: {path: /healthz, port: ops}
  {{- toYaml $role.probes.liveness | nindent 2 }}
{{- end }}
{{- with $role.drainSeconds }}
lifecycle:
  preStop: {sleep: {seconds: {{ . }}}}
{{- end }}
resources:
  {{- toYaml $role.resources | nindent 2 }}
securityContext:
  {{- toYaml $role.securityContext | nindent 2 }}
{{- if or $role.secrets $role.volumeMounts }}
volumeMounts:
  {{- if $role.secrets }}
  - {name: secrets, mountPath: /etc/taskyard/secrets, readOnly: true}
  {{- end }}
  {{- with $role.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}
