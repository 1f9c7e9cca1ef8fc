{{/* The enabled entries of `roles` or `jobs` (`of`) over the defaults, each with its `name`, as JSON. */}}
{{- define "taskyard.merged" -}}
{{- $all := dict }}
{{- range $name, $own := .of }}
  {{- $role := mergeOverwrite (deepCopy $.root.Values.defaults) (default dict $own) (dict "name" $name) }}
  {{- if $role.enabled }}{{ $_ := set $all $name $role }}{{ end }}
{{- end }}
{{- toJson $all }}
{{- end }}

{{- define "taskyard.roles" -}}
{{- include "taskyard.merged" (dict "root" . "of" .Values.roles) }}
{{- end }}

{{- define "taskyard.jobs" -}}
{{- include "taskyard.merged" (dict "root" . "of" .Values.jobs) }}
{{- end }}

{{/* Everything that has pods. */}}
{{- define "taskyard.all" -}}
{{- merge (include "taskyard.roles" . | fromJson) (include "taskyard.jobs" . | fromJson) | toJson }}
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
