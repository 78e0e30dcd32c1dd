{{/* A target's credentials and its proxy. Takes a dict: path, target. The words are those of crds/src/rules.rs. */}}
{{- define "prometheusmirror.validateAuth" -}}
{{- $path := .path }}
{{- $auth := .target.auth | default dict }}
{{- $set := list }}
{{- range $kind := list "basic" "bearer" "oauth2" "sigV4" }}
  {{- if not (kindIs "invalid" (index $auth $kind)) }}
    {{- $set = append $set $kind }}
  {{- end }}
{{- end }}
{{- if gt (len $set) 1 }}
  {{- fail (printf "%s.auth: at most one of basic, bearer, oauth2 and sigV4 may be set, there is %s; for example: {bearer: {tokenSecretRef: {name: prometheus-login, key: token}}}" $path (join " and " $set)) }}
{{- end }}
{{- if kindIs "map" $auth.basic }}
  {{- if not (or $auth.basic.usernameSecretRef $auth.basic.passwordSecretRef) }}
    {{- fail (printf "%s.auth.basic: at least one of usernameSecretRef and passwordSecretRef must be set; for example: {usernameSecretRef: {name: prometheus-login, key: user}}" $path) }}
  {{- end }}
{{- end }}
{{- with $auth.bearer }}
  {{- if eq (kindIs "map" .tokenSecretRef) (kindIs "map" .serviceAccountToken) }}
    {{- fail (printf "%s.auth.bearer: exactly one of tokenSecretRef and serviceAccountToken must be set; for example: {tokenSecretRef: {name: prometheus-login, key: token}}" $path) }}
  {{- end }}
  {{- include "prometheusmirror.validateToken" (dict "path" (printf "%s.auth.bearer" $path) "token" .serviceAccountToken) }}
{{- end }}
{{- with $auth.oauth2 }}
  {{- $proofs := 0 }}
  {{- range $proof := list .clientSecretSecretRef .clientAssertion .tokenExchange }}
    {{- if kindIs "map" $proof }}
      {{- $proofs = add1 $proofs }}
    {{- end }}
  {{- end }}
  {{- if ne (int $proofs) 1 }}
    {{- fail (printf "%s.auth.oauth2: exactly one of clientSecretSecretRef, clientAssertion and tokenExchange must be set; for example: {clientSecretSecretRef: {name: prometheus-login, key: secret}}" $path) }}
  {{- end }}
  {{- if and .clientId .clientIdSecretRef }}
    {{- fail (printf "%s.auth.oauth2: at most one of clientId and clientIdSecretRef may be set; for example: {clientId: prometheus-mirror}" $path) }}
  {{- end }}
  {{- if not (or .clientId .clientIdSecretRef .tokenExchange) }}
    {{- fail (printf "%s.auth.oauth2: clientId or clientIdSecretRef must be set; only tokenExchange needs neither; for example: {clientId: prometheus-mirror}" $path) }}
  {{- end }}
  {{- range $field := list "clientAssertion" "tokenExchange" }}
    {{- $source := index $auth.oauth2 $field | default dict }}
    {{- include "prometheusmirror.validateToken" (dict "path" (printf "%s.auth.oauth2.%s" $path $field) "token" $source.serviceAccountToken) }}
  {{- end }}
{{- end }}
{{- with $auth.sigV4 }}
  {{- if ne (kindIs "map" .accessKeyIdSecretRef) (kindIs "map" .secretAccessKeySecretRef) }}
    {{- fail (printf "%s.auth.sigV4: accessKeyIdSecretRef and secretAccessKeySecretRef must be set together; leave out both to use the pod's identity" $path) }}
  {{- end }}
{{- end }}
{{- with .target.proxy }}
  {{- if not (regexMatch "^http://[^/?#@\\s]+/?$" .url) }}
    {{- fail (printf "%s.proxy.url: %q must be http://HOST:PORT: the mirror speaks plain HTTP with proxies; for example: http://proxy.example.com:3128" $path .url) }}
  {{- end }}
  {{- if kindIs "map" .credentials }}
    {{- if not (or .credentials.usernameSecretRef .credentials.passwordSecretRef) }}
      {{- fail (printf "%s.proxy.credentials: at least one of usernameSecretRef and passwordSecretRef must be set; for example: {usernameSecretRef: {name: proxy-login, key: user}}" $path) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- end }}

{{/* A token of the service account. Takes a dict: path, token. */}}
{{- define "prometheusmirror.validateToken" -}}
{{- with .token }}
  {{- include "prometheusmirror.validateDuration" (dict "path" (printf "%s.serviceAccountToken.expiration" $.path) "value" .expiration "from" 600000 "to" 86400000 "range" "10m to 24h") }}
{{- end }}
{{- end }}
