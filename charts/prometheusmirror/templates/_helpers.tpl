{{/*
The name of the mirror: that of the Service, and of the PrometheusMirror.
Releases named after the chart, as the original's documentation does it, get exactly that name.
*/}}
{{- define "prometheusmirror.name" -}}
{{- $chart := .Values.nameOverride | default .Chart.Name }}
{{- $name := .Values.fullnameOverride | default (ternary .Release.Name (printf "%s-%s" .Release.Name $chart) (contains $chart .Release.Name)) }}
{{- $name | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* The name of everything but the Service. */}}
{{- define "prometheusmirror.childName" -}}
{{ include "prometheusmirror.name" . }}-mirror
{{- end }}

{{/* The name of the Service for scraping, as in the operator: at most 63 characters. */}}
{{- define "prometheusmirror.metricsName" -}}
{{- $name := printf "%s-metrics" (include "prometheusmirror.childName" .) }}
{{- if gt (len $name) 63 }}{{ $name = printf "%s-metrics" (include "prometheusmirror.name" .) }}{{ end }}
{{- $name }}
{{- end }}

{{/*
The selector of the pods. It must never change, because a Deployment's selector is immutable.
`toYaml` quotes a name that YAML would read as a number or boolean.
*/}}
{{- define "prometheusmirror.selectorLabels" -}}
app.kubernetes.io/name: prometheus-mirror
app.kubernetes.io/instance: {{ include "prometheusmirror.name" . | toYaml }}
{{- end }}

{{/* Labels of pods. None may change with the chart's version, because that would replace pods. */}}
{{- define "prometheusmirror.podLabels" -}}
{{ include "prometheusmirror.selectorLabels" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "prometheusmirror.labels" -}}
{{ include "prometheusmirror.podLabels" . }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/*
The metadata of an object.
Takes a dict: root, name, and where there are more of them, labels and annotations.
*/}}
{{- define "prometheusmirror.metadata" -}}
name: {{ .name | toYaml }}
namespace: {{ .root.Release.Namespace | toYaml }}
labels:
  {{- mergeOverwrite (dict) (.labels | default dict) (include "prometheusmirror.labels" .root | fromYaml) | toYaml | nindent 2 }}
{{- with .annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The Secret with the key that identifies the mirror, as `spec.apiKeySecretRef`. */}}
{{- define "prometheusmirror.apiKeySecretRef" -}}
{{- if .Values.apiKeySecretRef -}}
name: {{ .Values.apiKeySecretRef.name | toYaml }}
key: {{ .Values.apiKeySecretRef.key | default "apiKey" | toYaml }}
{{- else -}}
name: {{ include "prometheusmirror.name" . }}-api-key
key: apiKey
{{- end }}
{{- end }}

{{/*
The values that are set and are fields of `spec`, as that spec. Templates must read them only here,
after validation.
*/}}
{{- define "prometheusmirror.spec" -}}
{{- include "prometheusmirror.validate" . }}
{{- $spec := dict "apiKeySecretRef" (include "prometheusmirror.apiKeySecretRef" . | fromYaml) }}
{{- $values := .Values }}
{{- range $field := list "targets" "defaultTarget" "requestTargets" "workers" "limits" "logging" "cache" "port" "replicas" "autoscaling" "server" "console" "service"
    "networkPolicy" "ingress" "httpRoute" "podDisruptionBudget" "monitor" "resources" "podTemplate" "podTemplateRemove" }}
  {{- $value := get $values $field }}
  {{- if not (or (kindIs "invalid" (index $values $field)) (and (kindIs "slice" $value) (empty $value))) }}
    {{- $_ := set $spec $field $value }}
  {{- end }}
{{- end }}
{{- /* Without either, the operator chooses the image. */}}
{{- if or .Values.image .Values.imageRegistry }}
  {{- $_ := set $spec "image" (include "prometheusmirror.image" .) }}
{{- end }}
{{- with include "prometheusmirror.pullSecrets" . }}
  {{- $_ := set $spec "imagePullSecrets" (fromYamlArray .) }}
{{- end }}
{{- toYaml $spec }}
{{- end }}

{{/* The mirror's document, with everything that the operator would look up in the cluster. */}}
{{- define "prometheusmirror.document" -}}
{{- $spec := pick (include "prometheusmirror.spec" . | fromYaml) "apiKeySecretRef" "targets" "defaultTarget" "requestTargets" "workers" "limits" "logging" "cache" "port" "server" "console" }}
{{- range $target := $spec.targets }}
  {{- range $server := concat (list $target) ($target.replicas | default list) ($target.shards | default list) }}
    {{- include "prometheusmirror.resolve" (dict "server" $server "namespace" $.Release.Namespace) }}
  {{- end }}
  {{- range $shard := $target.shards }}
    {{- range $server := $shard.replicas }}
      {{- include "prometheusmirror.resolve" (dict "server" $server "namespace" $.Release.Namespace) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- dict "apiVersion" "prometheus-mirror.io/v1alpha1" "kind" "PrometheusMirror" "spec" $spec
    "metadata" (dict "name" (include "prometheusmirror.name" .) "namespace" .Release.Namespace) | toYaml }}
{{- end }}

{{/* Puts the URL of a Service in its place. Takes a dict: server, namespace. */}}
{{- define "prometheusmirror.resolve" -}}
{{- with .server.service }}
  {{- $host := printf "%s.%s.svc" .name (.namespace | default $.namespace) }}
  {{- $path := regexReplaceAll "/+$" (.path | default "") "" }}
  {{- $_ := set $.server "url" (printf "%s://%s:%d%s" (.scheme | default "http") $host (int .port) $path) }}
{{- end }}
{{- $_ := unset .server "service" }}
{{- end }}

{{/*
The image. `imageRegistry` replaces ghcr.io/prometheus-mirror, and a parent chart's
`global.imageRegistry` replaces ghcr.io, as in most charts. Both complete an image that begins with
no host; one that does needs neither.
*/}}
{{- define "prometheusmirror.image" -}}
{{- $own := trimSuffix "/" (.Values.imageRegistry | default "") }}
{{- $parent := include "prometheusmirror.globalText" (dict "root" . "name" "imageRegistry") | trimSuffix "/" }}
{{- if .Values.image }}
  {{- $registry := $own | default $parent }}
  {{- if and $registry (not (regexMatch "^([^/]*[.:][^/]*|localhost)/" .Values.image)) }}{{ $registry }}/{{ end }}
  {{- .Values.image }}
{{- else }}
  {{- $own | default (printf "%s/prometheus-mirror" ($parent | default "ghcr.io")) }}/prometheus-mirror:{{ .Chart.AppVersion }}
{{- end }}
{{- end }}

{{/*
The secrets for pulling images, those of a parent chart first, each once: names, or objects with a
name.
*/}}
{{- define "prometheusmirror.pullSecrets" -}}
{{- $names := list }}
{{- range $secrets := list (.Values.global | default dict).imagePullSecrets .Values.imagePullSecrets }}
  {{- if kindIs "string" $secrets }}{{ $secrets = list $secrets }}{{ end }}
  {{- if kindIs "slice" $secrets }}
    {{- range $secrets }}
      {{- $names = append $names (kindIs "string" . | ternary . (get (kindIs "map" . | ternary . dict) "name")) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- range compact $names | uniq }}
- name: {{ . | quote }}
{{- end }}
{{- end }}

{{/*
A text of `global`. It is shared with other charts, which may have something else under that name:
StackState's agent has a map in `apiKey`, with the Secret of a key that is not the mirror's. Takes
a dict: root, name.
*/}}
{{- define "prometheusmirror.globalText" -}}
{{- $value := get (.root.Values.global | default dict) .name }}
{{- if kindIs "string" $value }}{{ $value }}{{ end }}
{{- end }}

{{/*
Whether there is a pod for `helm test`: not where nothing would run it as a test, unless it is asked
for. Helm knows each kind of a real cluster, and only API versions in `helm template`.
*/}}
{{- define "prometheusmirror.testsEnabled" -}}
{{- $enabled := (.Values.tests | default dict).enabled }}
{{- if kindIs "invalid" $enabled }}{{ $enabled = .Capabilities.APIVersions.Has "v1/Pod" }}{{ end }}
{{- if and $enabled (not .Values.operator.enabled) }}yes{{ end }}
{{- end }}
