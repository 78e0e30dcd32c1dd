{{/*
The pod template. It equals the operator's: a test compares every field.

The annotation is the chart's own. Without an operator nobody tells pods of a new document or a new key, and nobody tells you when
the mirror refuses one: so a change of either replaces the pods, an old one goes only when a new one is ready, and
`helm upgrade --wait` says whether it worked. Annotations are for more eyes than Secrets are, so the key goes into it through
scrypt.
*/}}
{{- define "prometheusmirror.podTemplate" -}}
{{- $secret := include "prometheusmirror.apiKeySecretRef" . | fromYaml }}
{{- $key := "" }}
{{- if not .Values.apiKeySecretRef }}
  {{- $keys := list }}
  {{- range list "apiKey" "previousApiKey" }}
    {{- $keys = append $keys (include "prometheusmirror.globalText" (dict "root" $ "name" .)) }}
  {{- end }}
  {{- $key = derivePassword 1 "maximum" (join " " $keys) $secret.name .Release.Namespace }}
{{- end }}
metadata:
  annotations:
    checksum/configuration: {{ printf "%s\n%s" (include "prometheusmirror.document" .) $key | sha256sum }}
  labels:
    {{- include "prometheusmirror.podLabels" . | nindent 4 }}
spec:
  serviceAccountName: {{ include "prometheusmirror.childName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  # 5 s in which load balancers notice, 30 s for the requests under way, and something for the end.
  terminationGracePeriodSeconds: 45
  {{- with include "prometheusmirror.pullSecrets" . }}
  imagePullSecrets:
    {{- . | nindent 4 }}
  {{- end }}
  {{- include "prometheusmirror.podSecurityContext" . | nindent 2 }}
  containers:
    - name: mirror
      image: {{ include "prometheusmirror.image" . | quote }}
      args: [serve]
      env:
        - name: PROMETHEUS_MIRROR_FILE
          value: /etc/prometheus-mirror/mirror.yaml
        - name: PROMETHEUS_MIRROR_SECRETS_DIR
          value: /etc/prometheus-mirror/secrets
        - name: PROMETHEUS_MIRROR_LISTEN
          value: "[::]:{{ int .Values.port }}"
        - name: PROMETHEUS_MIRROR_ADMIN_LISTEN
          value: "[::]:9901"
        - name: PROMETHEUS_MIRROR_DRAIN_DELAY
          value: 5s
        - name: PROMETHEUS_MIRROR_DRAIN_TIMEOUT
          value: 30s
        - name: PROMETHEUS_MIRROR_LOG_FORMAT
          value: json
      ports:
        - name: api
          containerPort: {{ int .Values.port }}
          protocol: TCP
        - name: admin
          containerPort: 9901
          protocol: TCP
      startupProbe:
        httpGet:
          path: /livez
          port: admin
        periodSeconds: 1
        failureThreshold: 60
        timeoutSeconds: 2
      readinessProbe:
        httpGet:
          path: /readyz
          port: admin
        periodSeconds: 2
        failureThreshold: 2
        timeoutSeconds: 2
      livenessProbe:
        httpGet:
          path: /livez
          port: admin
        periodSeconds: 10
        failureThreshold: 3
        timeoutSeconds: 5
      {{- include "prometheusmirror.containerRest" . | nindent 6 }}
  volumes:
    {{- include "prometheusmirror.volumes" . | nindent 4 }}
  topologySpreadConstraints:
    {{- range $topology := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
    - topologyKey: {{ $topology }}
      maxSkew: 1
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "prometheusmirror.selectorLabels" $ | nindent 10 }}
      matchLabelKeys: [pod-template-hash]
    {{- end }}
{{- end }}

{{/* Whether the platform gives each pod its user and groups, and refuses others: as OpenShift does. */}}
{{- define "prometheusmirror.platformAssignsUsers" -}}
{{- $openshift := kindIs "invalid" .Values.openshift | ternary "auto" (toString .Values.openshift) }}
{{- if or (eq $openshift "true") (and (eq $openshift "auto") (.Capabilities.APIVersions.Has "security.openshift.io/v1")) }}true{{ end }}
{{- end }}

{{- define "prometheusmirror.podSecurityContext" -}}
securityContext:
  runAsNonRoot: true
  {{- if not (include "prometheusmirror.platformAssignsUsers" .) }}
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  {{- end }}
  seccompProfile:
    type: RuntimeDefault
{{- end }}

{{/* What the mirror's container and those of the test have in common. */}}
{{- define "prometheusmirror.containerRest" -}}
{{- if kindIs "map" .Values.resources }}
resources:
  {{- range $kind, $quantities := .Values.resources }}
  {{ $kind }}:
    {{- range $name, $quantity := $quantities }}
    {{ $name }}: {{ include "prometheusmirror.quantity" $quantity | quote }}
    {{- end }}
  {{- else }} {}
  {{- end }}
{{- else }}
resources:
  requests:
    cpu: 50m
    memory: 64Mi
  limits:
    memory: 512Mi
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
terminationMessagePolicy: FallbackToLogsOnError
volumeMounts:
  - name: configuration
    mountPath: /etc/prometheus-mirror
    readOnly: true
{{- end }}

{{/*
What the document refers to, as the operator finds it: {secrets: {NAME: {KEY: true}}, configMaps: {NAME: {KEY: true}}}. Takes the spec
of the document.
*/}}
{{- define "prometheusmirror.references" -}}
{{- $secrets := dict }}
{{- $configMaps := dict }}
{{- $needed := list .apiKeySecretRef }}
{{- range $target := .targets }}
  {{- range $kind, $method := ($target.auth | default dict) }}
    {{- /* A method is one object, headers are a list of them. */}}
    {{- range $part := (kindIs "slice" $method | ternary $method (list $method)) }}
      {{- range $field, $reference := ($part | default dict) }}
        {{- if and (hasSuffix "SecretRef" $field) (kindIs "map" $reference) }}
          {{- $needed = append $needed $reference }}
        {{- end }}
      {{- end }}
    {{- end }}
  {{- end }}
  {{- with ($target.proxy | default dict).credentials }}
    {{- range $reference := . }}
      {{- if kindIs "map" $reference }}
        {{- $needed = append $needed $reference }}
      {{- end }}
    {{- end }}
  {{- end }}
  {{- with $target.tls }}
    {{- with .caSecretRef }}
      {{- $needed = append $needed . }}
    {{- end }}
    {{- with .clientCertificateSecretRef }}
      {{- $needed = concat $needed (list (dict "name" .name "key" "tls.crt") (dict "name" .name "key" "tls.key")) }}
    {{- end }}
    {{- with .caConfigMapRef }}
      {{- $_ := set $configMaps .name (merge (dict .key true) (get $configMaps .name | default dict)) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- with (.server | default dict).tls }}
  {{- $needed = concat $needed (list (dict "name" .secretName "key" "tls.crt") (dict "name" .secretName "key" "tls.key")) }}
  {{- with .clientCaSecretName }}
    {{- $needed = append $needed (dict "name" . "key" "ca.crt") }}
  {{- end }}
{{- end }}
{{- range $needed }}
  {{- $_ := set $secrets .name (merge (dict .key true) (get $secrets .name | default dict)) }}
{{- end }}
{{- dict "secrets" $secrets "configMaps" $configMaps | toYaml }}
{{- end }}

{{/*
The tokens of the pod's service account that the targets ask for, as sources of a projected volume, by their paths: {tokens/HASH/token:
SOURCE}. Takes the spec of the document. The paths are those of ProjectedToken::file (crds/src/tokens.rs).
*/}}
{{- define "prometheusmirror.tokens" -}}
{{- $tokens := dict }}
{{- range $target := .targets }}
  {{- $auth := $target.auth | default dict }}
  {{- $oauth2 := $auth.oauth2 | default dict }}
  {{- range $holder := list $auth.bearer $oauth2.clientAssertion $oauth2.tokenExchange }}
    {{- $declared := ($holder | default dict).serviceAccountToken }}
    {{- if kindIs "map" $declared }}
      {{- $seconds := div (include "prometheusmirror.milliseconds" ($declared.expiration | default "1h") | int64) 1000 }}
      {{- $audience := $declared.audience | default "" }}
      {{- $path := printf "tokens/%s/token" (printf "%s\n%d" $audience $seconds | sha256sum | trunc 16) }}
      {{- $source := dict "path" $path "expirationSeconds" $seconds }}
      {{- with $declared.audience }}
        {{- $_ := set $source "audience" . }}
      {{- end }}
      {{- $_ := set $tokens $path $source }}
    {{- end }}
  {{- end }}
{{- end }}
{{- $tokens | toYaml }}
{{- end }}

{{/* One volume, which the kubelet swaps as a whole: the document, the keys that it refers to, and the tokens that it asks for. */}}
{{- define "prometheusmirror.volumes" -}}
{{- $spec := include "prometheusmirror.spec" . | fromYaml }}
{{- $references := include "prometheusmirror.references" $spec | fromYaml }}
- name: configuration
  projected:
    defaultMode: {{ ternary 292 288 (include "prometheusmirror.platformAssignsUsers" . | empty | not) }} # 0444, or 0440 with an fsGroup
    sources:
      - configMap:
          name: {{ include "prometheusmirror.childName" . }}
          items:
            - key: mirror.yaml
              path: mirror.yaml
      {{- range $name, $keys := $references.secrets }}
      - secret:
          name: {{ $name | toYaml }}
          items:
            {{- include "prometheusmirror.items" (dict "folder" "secrets" "name" $name "keys" $keys) | nindent 12 }}
      {{- if and (eq $name $spec.apiKeySecretRef.name) (not (hasKey $keys "previousApiKey")) }}
      - secret:
          name: {{ $name | toYaml }}
          optional: true
          items:
            - key: previousApiKey
              path: {{ printf "secrets/%s/previousApiKey" $name | toYaml }}
      {{- end }}
      {{- end }}
      {{- range $name, $keys := $references.configMaps }}
      - configMap:
          name: {{ $name | toYaml }}
          items:
            {{- include "prometheusmirror.items" (dict "folder" "configmaps" "name" $name "keys" $keys) | nindent 12 }}
      {{- end }}
      {{- range $source := include "prometheusmirror.tokens" $spec | fromYaml }}
      - serviceAccountToken:
          path: {{ $source.path }}
          expirationSeconds: {{ int $source.expirationSeconds }}
          {{- with $source.audience }}
          audience: {{ . | toYaml }}
          {{- end }}
      {{- end }}
{{- end }}

{{/* Keys of an object and the file of each. Takes a dict: folder, name, keys. */}}
{{- define "prometheusmirror.items" -}}
{{- $root := . }}
{{- range $key, $_ := .keys }}
- key: {{ $key | toYaml }}
  path: {{ printf "%s/%s/%s" $root.folder $root.name $key | toYaml }}
{{- end }}
{{- end }}
