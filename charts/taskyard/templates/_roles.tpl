{{/* `own` over `base`, as JSON: maps are merged, null takes away, all else replaces. */}}
{{- define "taskyard.merge" -}}
{{- $merged := deepCopy .base }}
{{- range $key, $value := .own }}
  {{- $below := get $merged $key }}
  {{- if kindIs "invalid" $value }}{{ $_ := unset $merged $key }}
  {{- else if and (kindIs "map" $value) (kindIs "map" $below) }}
    {{- $_ := set $merged $key (include "taskyard.merge" (dict "base" $below "own" $value) | fromJson) }}
  {{- else }}{{ $_ := set $merged $key $value }}
  {{- end }}
{{- end }}
{{- toJson $merged }}
{{- end }}

{{/* The enabled entries of `roles` or `jobs` (`of`) over the defaults, each with its `name`, as JSON. */}}
{{- define "taskyard.merged" -}}
{{- $all := dict }}
{{- range $name, $own := .of }}
  {{- $role := include "taskyard.merge" (dict "base" $.root.Values.defaults "own" $own) | fromJson }}
  {{- if $role.enabled }}{{ $_ := set $all $name (set $role "name" $name) }}{{ end }}
{{- end }}
{{- toJson $all }}
{{- end }}

{{/* Whoever asks for the roles has them checked first, so that a mistake is told in words. */}}
{{- define "taskyard.roles" -}}
{{- include "taskyard.checks" . }}
{{- include "taskyard.merged" (dict "root" . "of" .Values.roles) }}
{{- end }}

{{- define "taskyard.jobs" -}}
{{- include "taskyard.merged" (dict "root" . "of" .Values.jobs) }}
{{- end }}

{{/* Everything that has pods. */}}
{{- define "taskyard.all" -}}
{{- include "taskyard.merge" (dict "base" (include "taskyard.roles" . | fromJson) "own" (include "taskyard.jobs" . | fromJson)) }}
{{- end }}

{{/* Where a role is called. */}}
{{- define "taskyard.url" -}}
{{- $https := eq .role.port.name "https" }}
{{- ternary "https" "http" $https }}://{{ include "taskyard.fullname" .root }}-{{ .role.name }}:{{ .role.port.number }}
{{- end }}

{{/* `taskyard-gateway` as it begins its variables: `GATEWAY`. */}}
{{- define "taskyard.variable" -}}
TASKYARD_{{ . | upper | replace "-" "_" }}
{{- end }}
