{{/* The replicas and shards of a target. Takes a dict: path, target. The words are those of crds/src/rules.rs. */}}
{{- define "prometheusmirror.validateServers" -}}
{{- $path := .path }}
{{- range $index, $replica := .target.replicas }}
  {{- include "prometheusmirror.validateReplica" (dict "path" (printf "%s.replicas[%d]" $path $index) "replica" $replica) }}
{{- end }}
{{- range $index, $shard := .target.shards }}
  {{- $at := printf "%s.shards[%d]" $path $index }}
  {{- $set := 0 }}
  {{- range $field := list "url" "service" "replicas" }}
    {{- if not (kindIs "invalid" (index $shard $field)) }}
      {{- $set = add1 $set }}
    {{- end }}
  {{- end }}
  {{- if ne (int $set) 1 }}
    {{- fail (printf "%s: exactly one of url, service and replicas must be set; for example: {url: \"http://prometheus-0.monitoring.svc:9090\"}" $at) }}
  {{- end }}
  {{- if eq (($shard.service | default dict).pods | default "") "Shards" }}
    {{- fail (printf "%s: the pods of a shard can only be Replicas; for example: {service: {name: prometheus-0, port: 9090, pods: Replicas}}" $at) }}
  {{- end }}
  {{- range $inner, $replica := $shard.replicas }}
    {{- include "prometheusmirror.validateReplica" (dict "path" (printf "%s.replicas[%d]" $at $inner) "replica" $replica) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Takes a dict: path, replica. */}}
{{- define "prometheusmirror.validateReplica" -}}
{{- if eq (kindIs "invalid" .replica.url) (kindIs "invalid" .replica.service) }}
  {{- fail (printf "%s: exactly one of url and service must be set; for example: {url: \"http://prometheus-0.monitoring.svc:9090\"}" .path) }}
{{- end }}
{{- if (.replica.service | default dict).pods }}
  {{- fail (printf "%s: a replica is one server: set pods on the service of a target or of a shard" .path) }}
{{- end }}
{{- end }}
