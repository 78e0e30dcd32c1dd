{{- define "prometheus-mirror-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of nearly every object: 53 characters, so that a suffix fits. */}}
{{- define "prometheus-mirror-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" }}
{{- else }}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 53 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 53 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "prometheus-mirror-operator.serviceAccountName" -}}
{{- $default := ternary (include "prometheus-mirror-operator.fullname" .) "default" .Values.serviceAccount.create }}
{{- default $default .Values.serviceAccount.name }}
{{- end }}

{{/* `toYaml` quotes what YAML would read as a number or boolean: a release can be called 1e3. */}}
{{- define "prometheus-mirror-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "prometheus-mirror-operator.name" . | toYaml }}
app.kubernetes.io/instance: {{ .Release.Name | toYaml }}
{{- end }}

{{- define "prometheus-mirror-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "prometheus-mirror-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: prometheus-mirror
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Metadata of an object: {root, name, labels, annotations}. More specific values win. */}}
{{- define "prometheus-mirror-operator.metadata" -}}
{{- $labels := mergeOverwrite (include "prometheus-mirror-operator.labels" .root | fromYaml) (.labels | default dict) }}
{{- $annotations := mergeOverwrite (dict) .root.Values.commonAnnotations (.annotations | default dict) -}}
name: {{ .name | default (include "prometheus-mirror-operator.fullname" .root) | toYaml }}
namespace: {{ .namespace | default .root.Release.Namespace | toYaml }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The same for cluster-scoped objects. */}}
{{- define "prometheus-mirror-operator.clusterMetadata" -}}
{{- omit (include "prometheus-mirror-operator.metadata" . | fromYaml) "namespace" | toYaml }}
{{- end }}

{{/*
An image's reference: {root, image}. `imageRegistry` replaces ghcr.io/prometheus-mirror, and a
parent chart's `global.imageRegistry` replaces ghcr.io, as in most charts. A repository that begins
with a host needs neither.
*/}}
{{- define "prometheus-mirror-operator.image" -}}
{{- $repository := .image.repository }}
{{- $host := "^([^/]*[.:][^/]*|localhost)/" }}
{{- if .root.Values.imageRegistry }}
  {{- $repository = printf "%s/%s" (trimSuffix "/" .root.Values.imageRegistry) $repository }}
{{- else if not (regexMatch $host $repository) }}
  {{- $registry := include "prometheus-mirror-operator.globalRegistry" .root | default "ghcr.io" }}
  {{- $path := contains "/" $repository | ternary "" "prometheus-mirror/" }}
  {{- $repository = printf "%s/%s%s" $registry $path $repository }}
{{- end }}
{{- $repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{/* A parent chart's registry. Other charts may have something else under that name. */}}
{{- define "prometheus-mirror-operator.globalRegistry" -}}
{{- $registry := (.Values.global | default dict).imageRegistry }}
{{- if kindIs "string" $registry }}{{ trimSuffix "/" $registry }}{{ end }}
{{- end }}

{{- define "prometheus-mirror-operator.subject" -}}
kind: ServiceAccount
name: {{ include "prometheus-mirror-operator.serviceAccountName" . | toYaml }}
namespace: {{ .Release.Namespace | toYaml }}
{{- end }}

{{/* Labels of the `helm test` pod, which the operator's Service must not select. */}}
{{- define "prometheus-mirror-operator.testLabels" -}}
app.kubernetes.io/name: {{ include "prometheus-mirror-operator.name" . | trunc 58 | trimSuffix "-" }}-test
app.kubernetes.io/instance: {{ .Release.Name | toYaml }}
{{- end }}

{{/*
The secrets for pulling images, those of a parent chart first, each once: names, or objects with a
name. Takes a dict: root, secrets.
*/}}
{{- define "prometheus-mirror-operator.pullSecrets" -}}
{{- $names := list }}
{{- range $secrets := list (.root.Values.global | default dict).imagePullSecrets .secrets }}
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

{{/* Whether the policy that injects sidecars is installed: "true", or empty. */}}
{{- define "prometheus-mirror-operator.injectsSidecars" -}}
{{- $asked := (.Values.sidecar | default dict).injection }}
{{- if kindIs "bool" $asked }}
{{- if $asked }}true{{ end }}
{{- else if and (not .Values.watchNamespaces) (.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy") }}true
{{- end }}
{{- end }}

{{/*
Whether there is a pod for `helm test`: not where nothing would run it as a test, unless it is asked
for. Helm knows each kind of a real cluster, and only API versions in `helm template`.
*/}}
{{- define "prometheus-mirror-operator.testsEnabled" -}}
{{- $enabled := (.Values.tests | default dict).enabled }}
{{- if kindIs "invalid" $enabled }}{{ $enabled = .Capabilities.APIVersions.Has "v1/Pod" }}{{ end }}
{{- if $enabled }}yes{{ end }}
{{- end }}

{{/* Whether this is OpenShift: auto, true or false. */}}
{{- define "prometheus-mirror-operator.openshift" -}}
{{ kindIs "invalid" .Values.openshift | ternary "auto" (toString .Values.openshift) }}
{{- end }}

{{/*
The security context of pods. OpenShift assigns users and groups to pods and refuses others.
*/}}
{{- define "prometheus-mirror-operator.podSecurityContext" -}}
{{- $context := .Values.podSecurityContext }}
{{- $openshift := include "prometheus-mirror-operator.openshift" . }}
{{- if or (eq $openshift "true") (and (eq $openshift "auto") (.Capabilities.APIVersions.Has "security.openshift.io/v1")) }}
  {{- $context = omit $context "runAsUser" "runAsGroup" "fsGroup" }}
{{- end }}
{{- with $context }}
{{- toYaml . }}
{{- end }}
{{- end }}
