{{/*
Merges `over` into the dict `base`, in place, as the operator merges spec.podTemplate: maps are
merged field by field, null removes a field, lists whose items have a key in Kubernetes are merged
item by item, and any other list replaces the old one.
*/}}
{{- define "prometheusmirror.merge" -}}
{{- $base := .base }}
{{- $keys := include "prometheusmirror.listKeys" . | fromYaml }}
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

{{/* The lists whose items have a key in Kubernetes, and the key. */}}
{{- define "prometheusmirror.listKeys" -}}
{{- dict "containers" "name" "initContainers" "name" "ephemeralContainers" "name" "volumes" "name" "env" "name"
    "imagePullSecrets" "name" "volumeMounts" "mountPath" "volumeDevices" "devicePath" "ports" "containerPort" "hostAliases" "ip"
    "topologySpreadConstraints" "topologyKey" | toYaml }}
{{- end }}

{{/*
Removes the field or item that `path` names from `template`, in place, as the operator does it for
spec.podTemplateRemove. Items of lists are named by their key. A path that names nothing removes
nothing.
*/}}
{{- define "prometheusmirror.remove" -}}
{{- $keys := include "prometheusmirror.listKeys" . | fromYaml }}
{{- $names := rest (splitList "/" .path) }}
{{- $last := sub (len $names) 1 | int }}
{{- $here := .template }}
{{- $parent := dict }}
{{- $list := "" }}
{{- range $index, $escaped := $names }}
  {{- $name := $escaped | replace "~1" "/" | replace "~0" "~" }}
  {{- $next := dict }}
  {{- if kindIs "map" $here }}
    {{- if eq $index $last }}
      {{- $_ := unset $here $name }}
    {{- else if hasKey $here $name }}
      {{- $next = get $here $name }}
    {{- end }}
  {{- else if and (kindIs "slice" $here) (hasKey $keys $list) }}
    {{- $kept := list }}
    {{- range $item := $here }}
      {{- if and (kindIs "map" $item) (eq (get $item (get $keys $list) | toString) $name) }}
        {{- $next = $item }}
      {{- else }}
        {{- $kept = append $kept $item }}
      {{- end }}
    {{- end }}
    {{- if eq $index $last }}
      {{- $_ := set $parent $list $kept }}
    {{- end }}
  {{- end }}
  {{- $parent = ternary $here dict (kindIs "map" $here) }}
  {{- $here = $next }}
  {{- $list = $name }}
{{- end }}
{{- end }}
