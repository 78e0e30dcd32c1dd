{{- define "operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of nearly every object: 53 characters, so that a suffix fits. */}}
{{- define "operator.fullname" -}}
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

{{- define "operator.serviceAccountName" -}}
{{- $default := ternary (include "operator.fullname" .) "default" .Values.serviceAccount.create }}
{{- default $default .Values.serviceAccount.name }}
{{- end }}

{{/* `toYaml` quotes what YAML would read as a number or boolean: a release can be called 1e3. */}}
{{- define "operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "operator.name" . | toYaml }}
app.kubernetes.io/instance: {{ .Release.Name | toYaml }}
{{- end }}

{{- define "operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: prometheus-mirror
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Metadata of an object: {root, name, labels, annotations}. More specific values win. */}}
{{- define "operator.metadata" -}}
{{- $labels := mergeOverwrite (include "operator.labels" .root | fromYaml) (.labels | default dict) }}
{{- $annotations := mergeOverwrite (dict) .root.Values.commonAnnotations (.annotations | default dict) -}}
name: {{ .name | default (include "operator.fullname" .root) | toYaml }}
namespace: {{ .namespace | default .root.Release.Namespace | toYaml }}
labels:
  {{- toYaml $labels | nindent 2 }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The same for cluster-scoped objects. */}}
{{- define "operator.clusterMetadata" -}}
{{- omit (include "operator.metadata" . | fromYaml) "namespace" | toYaml }}
{{- end }}

{{/* An image's reference: {root, image}. */}}
{{- define "operator.image" -}}
{{- $registry := .root.Values.imageRegistry | default .root.Values.global.imageRegistry }}
{{- with $registry }}{{ trimSuffix "/" . }}/{{ end }}
{{- .image.repository }}
{{- if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- define "operator.subject" -}}
kind: ServiceAccount
name: {{ include "operator.serviceAccountName" . | toYaml }}
namespace: {{ .Release.Namespace | toYaml }}
{{- end }}

{{/* Labels of the `helm test` pod, which the operator's Service must not select. */}}
{{- define "operator.testLabels" -}}
app.kubernetes.io/name: {{ include "operator.name" . | trunc 58 | trimSuffix "-" }}-test
app.kubernetes.io/instance: {{ .Release.Name | toYaml }}
{{- end }}

{{/* Names, or objects with a name. */}}
{{- define "operator.pullSecrets" -}}
{{- range . }}
- name: {{ kindIs "string" . | ternary . (get (kindIs "map" . | ternary . dict) "name") | quote }}
{{- end }}
{{- end }}

{{/* Whether the policy that injects sidecars is installed: "true", or empty. */}}
{{- define "operator.injectsSidecars" -}}
{{- $asked := .Values.sidecar.injection }}
{{- if kindIs "bool" $asked }}
{{- if $asked }}true{{ end }}
{{- else if and (not .Values.watchNamespaces) (.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy") }}true
{{- end }}
{{- end }}
