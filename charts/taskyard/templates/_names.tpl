{{/* What everything is called. */}}

{{- define "taskyard.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- $release := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $release .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* By which labels pods are found; these never change. With `component` those of one role. */}}
{{- define "taskyard.selector" -}}
app.kubernetes.io/name: {{ default .root.Chart.Name .root.Values.nameOverride }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{/* The metadata of an object: of a role (`role`), or of the release. A `suffix` ends its name. */}}
{{- define "taskyard.metadata" -}}
{{- $role := default dict .role -}}
name: {{ include "taskyard.fullname" .root }}{{ with $role.name }}-{{ . }}{{ end }}{{ with .suffix }}-{{ . }}{{ end }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "taskyard.selector" (dict "root" .root "component" $role.name) | nindent 2 }}
  app.kubernetes.io/version: {{ include "taskyard.version" .root | quote }}
  app.kubernetes.io/part-of: taskyard
  app.kubernetes.io/managed-by: {{ .root.Release.Service }}
  helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
  {{- with merge dict (default dict $role.labels) .root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge dict (default dict .annotations) .root.Values.commonAnnotations }}
annotations:
  {{- tpl (toYaml .) $.root | nindent 2 }}
{{- end }}
{{- end }}

{{- define "taskyard.version" -}}
{{ default .Chart.AppVersion .Values.image.tag | trunc 63 }}
{{- end }}

{{- define "taskyard.image" -}}
{{- $image := include "taskyard.merge" (dict "base" .root.Values.image "own" .role.image) | fromJson }}
{{- $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default .root.Chart.AppVersion $image.tag }}{{ end }}
{{- end }}

{{- define "taskyard.serviceAccount" -}}
{{- default (printf "%s-%s" (include "taskyard.fullname" .root) .role.name) .role.serviceAccount.name }}
{{- end }}
