{{/* What values.schema.json cannot say, or could not say with an example. */}}
{{- define "prometheus-mirror-operator.validate" -}}
{{- $values := .Values }}
{{- range $index, $name := .Values.watchNamespaces }}
  {{- if or (not (regexMatch "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" $name)) (gt (len $name) 63) }}
    {{- fail (printf "watchNamespaces[%d]: %q is not the name of a namespace; for example: watchNamespaces: [team-a, team-b]" $index $name) }}
  {{- end }}
{{- end }}
{{- if .Values.watchNamespaces }}
  {{- if .Values.namespaceSelector }}
    {{- fail "namespaceSelector: reading the labels of namespaces takes a ClusterRole, and watchNamespaces is there to have none. Set one of them, for example: watchNamespaces: [team-a, team-b]" }}
  {{- end }}
  {{- if .Values.rbac.aggregateClusterRoles }}
    {{- fail "rbac.aggregateClusterRoles: it makes ClusterRoles, and watchNamespaces is there to have none. Leave it out, or set: rbac.aggregateClusterRoles: false" }}
  {{- end }}
{{- end }}
{{- with .Values.namespaceSelector }}
  {{- $key := "([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?" }}
  {{- $value := "([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?" }}
  {{- $requirement := printf "(!? *%s|%s *(=|==|!=) *%s|%s *[<>] *[0-9]+|%s +(in|notin) *\\( *%s *(, *%s *)*\\))" $key $key $value $key $key $value $value }}
  {{- if not (regexMatch (printf "^ *%s( *, *%s)* *$" $requirement $requirement) .) }}
    {{- fail (printf "namespaceSelector: %q is not a selector of labels; for example: namespaceSelector: team=shop, or: namespaceSelector: team in (shop, cart),!legacy" .) }}
  {{- end }}
{{- end }}
{{- range $name := list "image" "mirrorImage" }}
  {{- with get $values $name }}
    {{- if and .digest (not (regexMatch "^sha256:[0-9a-f]{64}$" .digest)) }}
      {{- fail (printf "%s.digest: %q is not sha256: and 64 hexadecimal digits; for example: %s.digest: sha256:%s" $name .digest $name (sha256sum "example")) }}
    {{- end }}
    {{- if and .tag (not (regexMatch "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(@sha256:[0-9a-f]{64})?$" .tag)) }}
      {{- fail (printf "%s.tag: %q is not a tag; for example: %s.tag: %s" $name .tag $name $.Chart.AppVersion) }}
    {{- end }}
    {{- if not (regexMatch "^[a-z0-9]+([._/-]+[a-z0-9]+)*$" .repository) }}
      {{- fail (printf "%s.repository: %q is not a repository, which has no registry's port and no tag; for example: %s.repository: mirrors/prometheus-mirror, imageRegistry: registry.example.com:5000, %s.tag: %s" $name .repository $name $name $.Chart.AppVersion) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- $registries := dict "imageRegistry" .Values.imageRegistry "global.imageRegistry" (include "prometheus-mirror-operator.globalRegistry" .) }}
{{- range $name, $registry := $registries }}
  {{- if and $registry (not (regexMatch "^[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*/?$" $registry)) }}
    {{- fail (printf "%s: %q is not a registry; for example: %s: registry.example.com:5000/mirrors" $name $registry $name) }}
  {{- end }}
{{- end }}
{{- range $index, $variable := .Values.extraEnv }}
  {{- if has $variable.name (list "PROMETHEUS_MIRROR_OPERATOR_IMAGE" "PROMETHEUS_MIRROR_OPERATOR_IMAGE_PULL_SECRETS" "PROMETHEUS_MIRROR_OPERATOR_LEASE" "PROMETHEUS_MIRROR_OPERATOR_WATCH_NAMESPACES" "PROMETHEUS_MIRROR_OPERATOR_NAMESPACE_SELECTOR" "PROMETHEUS_MIRROR_OPERATOR_CROSS_NAMESPACE" "PROMETHEUS_MIRROR_OPERATOR_DENY_FIELDS" "PROMETHEUS_MIRROR_OPERATOR_LOG_FORMAT" "PROMETHEUS_MIRROR_OPERATOR_LOG_LEVEL" "PROMETHEUS_MIRROR_OPERATOR_ADMIN_LISTEN" "POD_NAMESPACE" "POD_NAME") }}
    {{- fail (printf "extraEnv[%d]: the chart sets %s itself; use mirrorImage, watchNamespaces, namespaceSelector, crossNamespace, denyFields or log, for example: log.level: debug" $index $variable.name) }}
  {{- end }}
  {{- range $other, $same := $values.extraEnv }}
    {{- if and (lt $other $index) (eq $same.name $variable.name) }}
      {{- fail (printf "extraEnv[%d]: %s is there twice; give every variable once, for example: extraEnv: [{name: %s, value: \"1\"}]" $index $variable.name $variable.name) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- with .Values.podDisruptionBudget }}
  {{- if .enabled }}
    {{- $minimum := toString .minAvailable }}
    {{- $maximum := toString .maxUnavailable }}
    {{- if not (or (kindIs "invalid" .minAvailable) (kindIs "invalid" .maxUnavailable)) }}
      {{- fail "podDisruptionBudget: minAvailable and maxUnavailable exclude each other; for example only: podDisruptionBudget.maxUnavailable: 1" }}
    {{- end }}
    {{- if or (eq $minimum "100%") (and (not (kindIs "invalid" .minAvailable)) (not (hasSuffix "%" $minimum)) (ge (int .minAvailable) (int $values.replicas))) }}
      {{- fail (printf "podDisruptionBudget.minAvailable: with %s of %d replicas no node could ever be drained; for example: replicas: 2, podDisruptionBudget.minAvailable: 1" $minimum (int $values.replicas)) }}
    {{- end }}
    {{- if or (eq $maximum "0") (eq $maximum "0%") }}
      {{- fail "podDisruptionBudget.maxUnavailable: with 0 no node could ever be drained; for example: podDisruptionBudget.maxUnavailable: 1" }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if and .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled }}
  {{- fail "metrics.podMonitor.enabled: with metrics.serviceMonitor.enabled everything would be scraped twice. Set one of them, for example: metrics.serviceMonitor.enabled: true" }}
{{- end }}
{{- range $name := list "serviceMonitor" "podMonitor" }}
  {{- with get $values.metrics $name }}
    {{- range $field := list "interval" "scrapeTimeout" }}
      {{- if not (regexMatch "^([0-9]+(ms|s|m|h))+$" (get (get $values.metrics $name) $field)) }}
        {{- fail (printf "metrics.%s.%s: %q is not a duration; for example: metrics.%s.%s: 30s" $name $field (get (get $values.metrics $name) $field) $name $field) }}
      {{- end }}
    {{- end }}
  {{- end }}
{{- end }}
{{- if and (.Values.sidecar | default dict).injection (semverCompare "<1.36.0-0" .Capabilities.KubeVersion.Version) }}
  {{- fail (printf "sidecar.injection: it needs MutatingAdmissionPolicy of Kubernetes 1.36, and this is %s. Leave it out, and add sidecars by hand as docs/sidecar.md shows" .Capabilities.KubeVersion.Version) }}
{{- end }}
{{- if and (not .Values.rbac.create) .Values.rbac.aggregateClusterRoles }}
  {{- fail "rbac.aggregateClusterRoles: nothing is made without rbac.create. Leave it out, or set: rbac.create: true" }}
{{- end }}
{{- range $name, $_ := .Values.podLabels }}
  {{- if has $name (list "app.kubernetes.io/name" "app.kubernetes.io/instance") }}
    {{- fail (printf "podLabels: %s is what the operator's Service chooses pods by; use nameOverride, or another label, for example: podLabels: {team: shop}" $name) }}
  {{- end }}
{{- end }}
{{- range $name, $_ := .Values.commonLabels }}
  {{- if or (hasPrefix "app.kubernetes.io/" $name) (hasPrefix "helm.sh/" $name) }}
    {{- fail (printf "commonLabels: %s is the chart's own; use another label, for example: commonLabels: {team: shop}" $name) }}
  {{- end }}
{{- end }}
{{- end }}
