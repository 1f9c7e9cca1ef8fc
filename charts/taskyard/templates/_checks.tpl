{{/*
What the schema cannot say: values that contradict each other, and values that went elsewhere. All are named at once.
*/}}
{{- define "taskyard.checks" -}}
{{- $wrong := list }}

{{- /* Names that other charts use, or this one once had, and what takes their place. */}}
{{- $moved := dict
  "replicaCount" "defaults.replicas or roles.NAME.replicas"
  "resources" "defaults.resources or roles.NAME.resources"
  "nodeSelector" "defaults.nodeSelector"
  "tolerations" "defaults.tolerations"
  "affinity" "defaults.affinity"
  "imagePullSecrets" "image.pullSecrets, a list of names"
  "service" "roles.gateway.service"
  "serviceAccount" "defaults.serviceAccount"
  "autoscaling" "roles.NAME.autoscaling"
  "env" "defaults.env or roles.NAME.env"
  "postgresql" "secrets.DATABASE_URL; this chart brings no servers, taskyard-devstack does"
  "redis" "secrets.REDIS_URL; this chart brings no servers, taskyard-devstack does"
  "nats" "secrets.NATS_URL; this chart brings no servers, taskyard-devstack does"
}}
{{- range $old, $new := $moved }}
  {{- if hasKey $.Values $old }}
    {{- $wrong = append $wrong (printf "%s is not a value of this chart: use %s" $old $new) }}
  {{- end }}
{{- end }}

{{- range $name, $secret := .Values.secrets }}
  {{- if and $secret.value $secret.existingSecret }}
    {{- $wrong = append $wrong (printf "secrets.%s has both a value and an existingSecret: leave one out" $name) }}
  {{- end }}
{{- end }}
{{- $schemes := dict "DATABASE_URL" (list "postgres" "postgresql") "REDIS_URL" (list "redis" "rediss" "valkey" "valkeys") "NATS_URL" (list "nats" "tls") }}
{{- range $name, $ok := $schemes }}
  {{- with (index $.Values.secrets $name).value }}
    {{- if not (has (splitList "://" . | first) $ok) }}
      {{- $wrong = append $wrong (printf "secrets.%s.value must begin with %s://" $name (join ":// or " $ok)) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- range $name, $secret := .Values.secrets }}
  {{- $prefix := default "" $secret.prefix }}
  {{- if and $secret.value $prefix (or (not (hasPrefix $prefix $secret.value)) (lt (len $secret.value) 36)) }}
    {{- $wrong = append $wrong (printf "secrets.%s.value must be %s and at least 32 characters, such as `echo %s$(openssl rand -hex 32)` makes" $name $prefix $prefix) }}
  {{- end }}
{{- end }}
{{- with .Values.secrets.TASKYARD_ADMIN_PASSWORD.value }}
  {{- if lt (len .) 12 }}
    {{- $wrong = append $wrong (printf "secrets.TASKYARD_ADMIN_PASSWORD.value has %d characters; it must have at least 12" (len .)) }}
  {{- end }}
{{- end }}
{{- if not (contains "@" .Values.admin.email) }}
  {{- $wrong = append $wrong "admin.email must be an e-mail address" }}
{{- end }}

{{- $roles := include "taskyard.merged" (dict "root" . "of" .Values.roles) | fromJson }}
{{- range $name, $role := merge dict $roles (include "taskyard.jobs" . | fromJson) }}
  {{- $at := printf "%s.%s" (hasKey $roles $name | ternary "roles" "jobs") $name }}
  {{- range $role.secrets }}
    {{- if not (hasKey $.Values.secrets .) }}
      {{- $wrong = append $wrong (printf "%s.secrets names %s, which `secrets` does not have" $at .) }}
    {{- end }}
  {{- end }}
  {{- range $role.calls }}
    {{- if not (hasKey $roles .) }}
      {{- $wrong = append $wrong (printf "%s.calls names the role %s, which is not there or not enabled" $at .) }}
    {{- else if not (index $roles .).port }}
      {{- $wrong = append $wrong (printf "%s.calls names the role %s, which has no port" $at .) }}
    {{- end }}
  {{- end }}
  {{- with $role.podDisruptionBudget }}
    {{- if and (hasKey . "minAvailable") (hasKey . "maxUnavailable") }}
      {{- $wrong = append $wrong (printf "%s.podDisruptionBudget has both minAvailable and maxUnavailable: set the other one to null" $at) }}
    {{- end }}
  {{- end }}
  {{- with $role.autoscaling }}
    {{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) }}
      {{- $wrong = append $wrong (printf "%s.autoscaling: minReplicas %v is more than maxReplicas %v" $at .minReplicas .maxReplicas) }}
    {{- end }}
    {{- if and .enabled (contains "taskyard_backlog" (toJson .metrics)) (not (hasKey $roles "operator")) }}
      {{- $wrong = append $wrong (printf "%s.autoscaling uses the metric taskyard_backlog, which the role operator serves: set roles.operator.enabled to true, or other metrics" $at) }}
    {{- end }}
  {{- end }}
  {{- if and $role.volumeClaimTemplates (ne $role.kind "StatefulSet") }}
    {{- $wrong = append $wrong (printf "%s.volumeClaimTemplates needs kind StatefulSet" $at) }}
  {{- end }}
  {{- if hasKey $role.podSpec "terminationGracePeriodSeconds" }}
    {{- $wrong = append $wrong (printf "%s.podSpec.terminationGracePeriodSeconds contradicts what drainSeconds and stopSeconds make it: set those" $at) }}
  {{- end }}
{{- end }}

{{- if or .Values.ingress.enabled .Values.httpRoute.enabled }}
  {{- if not (hasKey $roles "gateway") }}
    {{- $wrong = append $wrong "ingress and httpRoute lead to the role gateway, which is not enabled" }}
  {{- end }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
  {{- $wrong = append $wrong "ingress.enabled needs ingress.hosts, such as [{host: tasks.example.com}]" }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
  {{- $wrong = append $wrong "httpRoute.enabled needs httpRoute.parentRefs, such as [{name: my-gateway, namespace: gateways}]" }}
{{- end }}

{{- /* A cluster has one server of this API. */}}
{{- if hasKey $roles "operator" }}
  {{- with lookup "apiregistration.k8s.io/v1" "APIService" "" "v1beta1.external.metrics.k8s.io" }}
    {{- $ours := printf "%s/%s-operator" $.Release.Namespace (include "taskyard.fullname" $) }}
    {{- $theirs := printf "%s/%s" (dig "spec" "service" "namespace" "" .) (dig "spec" "service" "name" "" .) }}
    {{- if ne $ours $theirs }}
      {{- $wrong = append $wrong (printf "roles.operator.enabled: external.metrics.k8s.io is served by %s in this cluster already; leave the operator off and scale with that" $theirs) }}
    {{- end }}
  {{- end }}
{{- end }}

{{- with $wrong }}
  {{- fail (printf "\n\nThe values are wrong:\n  - %s\n" (join "\n  - " .)) }}
{{- end }}
{{- end }}
