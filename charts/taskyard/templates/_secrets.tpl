{{/* The Secret of the release: what the values give, and what is made where nobody gives it. */}}

{{/* The Secret that holds one of `secrets`. */}}
{{- define "taskyard.secretName" -}}
{{- $secret := index .root.Values.secrets .name }}
{{- if $secret.existingSecret }}{{ $secret.existingSecret }}
{{- else if or $secret.value $secret.generate }}{{ include "taskyard.fullname" .root }}
{{- else }}{{ .root.Values.serversSecret }}
{{- end }}
{{- end }}

{{/* What the release's own Secret holds, as JSON. What was made once stays: it is read back from the cluster. */}}
{{- define "taskyard.secretData" -}}
{{- $data := dict }}
{{- $kept := dig "data" dict (lookup "v1" "Secret" .Release.Namespace (include "taskyard.fullname" .)) }}
{{- range $name, $secret := .Values.secrets }}
  {{- if $secret.value }}
    {{- $_ := set $data $secret.key (b64enc $secret.value) }}
  {{- else if and $secret.generate (not $secret.existingSecret) }}
    {{- $_ := set $data $secret.key (default (printf "%s%s" (default "" $secret.prefix) (randAlphaNum 43) | b64enc) (get $kept $secret.key)) }}
  {{- end }}
{{- end }}
{{- toJson $data }}
{{- end }}
