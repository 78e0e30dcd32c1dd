{{/*
Merges `over` into the dict `base`, in place, as the operator merges spec.podTemplate: maps are
merged field by field, null removes a field, lists whose items have a key in Kubernetes are merged
item by item, and any other list replaces the old one.
*/}}
{{- define "prometheusmirror.merge" -}}
{{- $base := .base }}
{{- $keys := dict "containers" "name" "initContainers" "name" "ephemeralContainers" "name" "volumes" "name" "env" "name"
    "imagePullSecrets" "name" "volumeMounts" "mountPath" "volumeDevices" "devicePath" "ports" "containerPort" "hostAliases" "ip"
    "topologySpreadConstraints" "topologyKey" }}
{{- range $name, $value := .over }}
  {{- $old := get $base $name }}
  {{- if kindIs "invalid" $value }}
    {{- $_ := unset $base $name }}
  {{- else if kindIs "map" $value }}
    {{- if not (kindIs "map" $old) }}
      {{- $old = dict }}
      {{- $_ := set $base $name $old }}
    {{- end }}
    {{- include "prometheusmirror.merge" (dict "base" $old "over" $value) }}
  {{- else if and (kindIs "slice" $old) (kindIs "slice" $value) (hasKey $keys $name) }}
    {{- include "prometheusmirror.mergeItems" (dict "base" $base "name" $name "key" (get $keys $name) "over" $value) }}
  {{- else }}
    {{- $_ := set $base $name $value }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Merges the items `over` into the list `name` of `base`. Items are identified by `key`. */}}
{{- define "prometheusmirror.mergeItems" -}}
{{- $items := get .base .name }}
{{- $key := .key }}
{{- range $item := .over }}
  {{- $known := dict }}
  {{- range $candidate := $items }}
    {{- if and (kindIs "map" $candidate) (kindIs "map" $item) (empty $known) (hasKey $item $key) }}
      {{- if eq (get $candidate $key | toString) (get $item $key | toString) }}
        {{- $known = $candidate }}
      {{- end }}
    {{- end }}
  {{- end }}
  {{- if $known }}
    {{- include "prometheusmirror.merge" (dict "base" $known "over" $item) }}
  {{- else }}
    {{- $items = append $items $item }}
  {{- end }}
{{- end }}
{{- $_ := set .base .name $items }}
{{- end }}
