{{/*
What values.schema.json cannot say, or could not say with an example. The words are those of the resource's own rules
(crds/src/rules.rs); a test shows the chart every document that those refuse.
*/}}
{{- define "prometheusmirror.validate" -}}
{{- $values := .Values }}
{{- $name := include "prometheusmirror.name" . }}
{{- if not (regexMatch "^[a-z]([-a-z0-9]{0,48}[a-z0-9])?$" $name) }}
  {{- fail (printf "%q cannot be the name of a Service: it must start with a letter and hold only lower-case letters, digits and dashes. Set another, for example: fullnameOverride: mirror" $name) }}
{{- end }}

{{- $key := include "prometheusmirror.globalText" (dict "root" . "name" "apiKey") }}
{{- $previous := include "prometheusmirror.globalText" (dict "root" . "name" "previousApiKey") }}
{{- if .Values.apiKeySecretRef }}
  {{- /* A parent chart's keys may be for other charts of it. */}}
  {{- if and (or $key $previous) .Chart.IsRoot }}
    {{- fail "apiKeySecretRef: global.apiKey and global.previousApiKey must not be set with it. Put the keys into that Secret, as apiKey and previousApiKey" }}
  {{- end }}
{{- else }}
  {{- if not $key }}
    {{- fail "global.apiKey is missing or no text: the key that identifies this mirror to StackState. Choose one, for example: --set global.apiKey=\"$(openssl rand -hex 32)\", or name a Secret that has it: --set apiKeySecretRef.name=mirror-key" }}
  {{- end }}
  {{- range $field, $value := dict "apiKey" $key "previousApiKey" $previous }}
    {{- if and $value (not (regexMatch "^[!-~]([ -~]*[!-~])?$" $value)) }}
      {{- fail (printf "global.%s: must be printable ASCII characters without a space at either end, because it is sent as an HTTP header, for example: --set global.%s=\"$(openssl rand -hex 32)\"" $field $field) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- $registries := dict "imageRegistry" .Values.imageRegistry "global.imageRegistry" (include "prometheusmirror.globalText" (dict "root" . "name" "imageRegistry")) }}
{{- range $name, $registry := $registries }}
  {{- if and $registry (not (regexMatch "^[A-Za-z0-9.-]+(:[0-9]+)?(/[a-z0-9._-]+)*/?$" $registry)) }}
    {{- fail (printf "%s: %q is not a registry; for example: %s: registry.example.com:5000/mirrors" $name $registry $name) }}
  {{- end }}
{{- end }}

{{- if not .Values.targets }}
  {{- fail "targets is empty: which Prometheus servers may StackState read? For example:\n\ntargets:\n- name: cluster\n  url: http://prometheus-operated.monitoring.svc:9090\n\nor on the command line: --set targets[0].name=cluster --set targets[0].url=http://prometheus-operated.monitoring.svc:9090" }}
{{- end }}
{{- $names := dict }}
{{- range $index, $target := .Values.targets }}
  {{- include "prometheusmirror.validateTarget" (dict "path" (printf "targets[%d]" $index) "target" $target "operator" $values.operator.enabled) }}
  {{- if hasKey $names .name }}
    {{- fail (printf "targets[%d].name: %q is there twice; every target needs a name of its own, for example: %s-2" $index .name .name) }}
  {{- end }}
  {{- $_ := set $names .name true }}
{{- end }}
{{- if not (kindIs "invalid" .Values.defaultTarget) }}
  {{- if not (hasKey $names .Values.defaultTarget) }}
    {{- fail (printf "defaultTarget: %q must be the name of one of the targets, for example: %s" .Values.defaultTarget (first .Values.targets).name) }}
  {{- end }}
{{- end }}
{{- with .Values.requestTargets }}
  {{- range $index, $host := .hosts }}
    {{- if not (or (regexMatch "^(\\*\\.)?[A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?(\\.[A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?)*\\.?$" $host) (and (contains ":" $host) (regexMatch "^[0-9A-Fa-f:]+$" $host))) }}
      {{- fail (printf "requestTargets.hosts[%d]: %q must be a host name, a pattern such as *.monitoring.svc, or an IP address" $index $host) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- with .Values.server }}
  {{- range $index, $host := .allowedHosts }}
    {{- if not (or (regexMatch "^(\\*\\.)?[A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?(\\.[A-Za-z0-9_]([-A-Za-z0-9_]*[A-Za-z0-9_])?)*\\.?$" $host) (and (contains ":" $host) (regexMatch "^[0-9A-Fa-f:]+$" $host))) }}
      {{- fail (printf "server.allowedHosts[%d]: %q must be a host name, a pattern such as *.monitoring.svc, or an IP address" $index $host) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- with (.Values.logging | default dict).requests }}
  {{- include "prometheusmirror.validateDuration" (dict "path" "logging.requests.slow" "value" .slow "from" 1 "to" 600000 "range" "1ms to 10m") }}
{{- end }}
{{- with .Values.cache }}
  {{- include "prometheusmirror.validateDuration" (dict "path" "cache.settle" "value" .settle "from" 0 "to" 604800000 "range" "0s to 168h") }}
{{- end }}
{{- if eq (int .Values.port) 9901 }}
  {{- fail "port: must not be 9901, where the mirror answers health checks and serves its metrics; for example: 9900" }}
{{- end }}
{{- if and (dig "enabled" false (.Values.console | default dict)) (eq (int .Values.port) 9902) }}
  {{- fail "port must not be 9902 while console is enabled, because the console listens there; for example: 9900" }}
{{- end }}
{{- with .Values.autoscaling }}
  {{- if gt (int (.minReplicas | default 1)) (int .maxReplicas) }}
    {{- fail "autoscaling: minReplicas must not be more than maxReplicas; for example: {minReplicas: 2, maxReplicas: 5}" }}
  {{- end }}
{{- end }}
{{- if kindIs "map" .Values.podDisruptionBudget }}
  {{- include "prometheusmirror.validateBudget" . }}
{{- end }}
{{- with .Values.podDisruptionBudget }}
  {{- if not (or (kindIs "invalid" .minAvailable) (kindIs "invalid" .maxUnavailable)) }}
    {{- fail "podDisruptionBudget: at most one of minAvailable and maxUnavailable may be set; for example: {maxUnavailable: 1}" }}
  {{- end }}
{{- end }}
{{- with .Values.networkPolicy }}
  {{- range $index, $peer := .allowedFrom }}
    {{- if eq (kindIs "map" .ipBlock) (or (kindIs "map" .podSelector) (kindIs "map" .namespaceSelector)) }}
      {{- fail (printf "networkPolicy.allowedFrom[%d]: must have either ipBlock, or podSelector, namespaceSelector or both; for example: {ipBlock: {cidr: 10.0.0.0/8}}" $index) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- with .Values.service }}
  {{- if and (or .loadBalancerClass .loadBalancerSourceRanges) (ne (.type | default "ClusterIP") "LoadBalancer") }}
    {{- fail "service: loadBalancerClass and loadBalancerSourceRanges need type: LoadBalancer" }}
  {{- end }}
  {{- if and .externalTrafficPolicy (eq (.type | default "ClusterIP") "ClusterIP") }}
    {{- fail "service: externalTrafficPolicy needs type: NodePort or LoadBalancer" }}
  {{- end }}
  {{- if and (gt (len (.ipFamilies | default list)) 1) (eq (.ipFamilyPolicy | default "") "SingleStack") }}
    {{- fail "service: two ipFamilies need ipFamilyPolicy: PreferDualStack or RequireDualStack" }}
  {{- end }}
  {{- range $index, $range := .loadBalancerSourceRanges }}
    {{- if not (regexMatch "^([0-9]{1,3}([.][0-9]{1,3}){3}/[0-9]{1,2}|[0-9a-fA-F]{0,4}(:[0-9a-fA-F]{0,4}){2,7}/[0-9]{1,3})$" $range) }}
      {{- fail (printf "service.loadBalancerSourceRanges[%d]: %q must be a range of IP addresses, such as 10.0.0.0/8 or 2001:db8::/64" $index $range) }}
    {{- end }}
  {{- end }}
{{- end }}
{{- range $index, $path := .Values.podTemplateRemove }}
  {{- if regexMatch "^/(metadata(/labels(/app[.]kubernetes[.]io~1(name|instance|managed-by))?)?|spec(/volumes(/configuration(/name|/projected(/sources(/.*)?)?)?)?|/containers(/mirror(/(name|image|args|((ports|volumeMounts)(/.*)?)|env(/PROMETHEUS_MIRROR_(FILE|SECRETS_DIR|LISTEN|ADMIN_LISTEN)(/.*)?)?))?)?)?)$" $path }}
    {{- fail (printf "podTemplateRemove[%d]: %s must stay, because a mirror's pod needs it. Replace fields of it under podTemplate instead" $index $path) }}
  {{- end }}
{{- end }}
{{- with .Values.monitor }}
  {{- include "prometheusmirror.validateDuration" (dict "path" "monitor.interval" "value" .interval "from" 1000 "to" 3600000 "range" "1s to 1h") }}
{{- end }}
{{- end }}

{{/* A budget must leave a pod to evict, or draining a node never ends. */}}
{{- define "prometheusmirror.validateBudget" -}}
{{- $pods := int .Values.replicas }}
{{- with .Values.autoscaling }}
  {{- $pods = int (.minReplicas | default 1) }}
{{- end }}
{{- $fix := "draining a node never ends; for example: replicas: 2, podDisruptionBudget: {maxUnavailable: 1}" }}
{{- $most := toString .Values.podDisruptionBudget.maxUnavailable }}
{{- if has $most (list "0" "0%" "00%") }}
  {{- fail (printf "podDisruptionBudget.maxUnavailable: with %s, %s" $most $fix) }}
{{- end }}
{{- if and (gt $pods 0) (not (kindIs "invalid" .Values.podDisruptionBudget.minAvailable)) }}
  {{- $least := toString .Values.podDisruptionBudget.minAvailable }}
  {{- $number := int (trimSuffix "%" $least) }}
  {{- $evictable := lt $number $pods }}
  {{- if hasSuffix "%" $least }}
    {{- $evictable = le (mul $number $pods) (mul 100 (sub $pods 1)) }}
  {{- end }}
  {{- if not $evictable }}
    {{- fail (printf "podDisruptionBudget.minAvailable: with %s of %d pods, %s" $least $pods $fix) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* One target. Takes a dict: path, target, and whether the operator resolves what it refers to. */}}
{{- define "prometheusmirror.validateTarget" -}}
{{- $path := .path }}
{{- $target := .target }}
{{- $operator := .operator }}
{{- $set := list }}
{{- range list "url" "service" "prometheus" "replicas" "shards" }}
  {{- if not (kindIs "invalid" (index $target .)) }}
    {{- $set = append $set . }}
  {{- end }}
{{- end }}
{{- if ne (len $set) 1 }}
  {{- fail (printf "%s: exactly one of url, service, prometheus, replicas and shards must be set, there is %s; for example: {name: %s, url: \"http://prometheus-operated.monitoring.svc:9090\"}" $path (join " and " $set | default "none") .target.name) }}
{{- end }}
{{- with .target.url }}
  {{- if not (regexMatch "^https?://[^/?#@\\s]+(/[^?#\\s]*)?$" .) }}
    {{- fail (printf "%s.url: %q must be http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH], without user name, query and fragment; for example: http://prometheus-operated.monitoring.svc:9090" $path .) }}
  {{- end }}
{{- end }}
{{- include "prometheusmirror.validateDuration" (dict "path" (printf "%s.requestTimeout" $path) "value" .target.requestTimeout "from" 100 "to" 600000 "range" "100ms to 10m") }}
{{- include "prometheusmirror.validateDuration" (dict "path" (printf "%s.scrapeInterval" $path) "value" .target.scrapeInterval "from" 1000 "to" 3600000 "range" "1s to 1h") }}
{{- if not $operator }}
  {{- include "prometheusmirror.validateService" (dict "path" $path "of" .target) }}
  {{- range $index, $replica := .target.replicas }}
    {{- include "prometheusmirror.validateService" (dict "path" (printf "%s.replicas[%d]" $path $index) "of" $replica) }}
  {{- end }}
  {{- range $index, $shard := .target.shards }}
    {{- $at := printf "%s.shards[%d]" $path $index }}
    {{- include "prometheusmirror.validateService" (dict "path" $at "of" $shard) }}
    {{- range $inner, $replica := $shard.replicas }}
      {{- include "prometheusmirror.validateService" (dict "path" (printf "%s.replicas[%d]" $at $inner) "of" $replica) }}
    {{- end }}
  {{- end }}
  {{- if .target.prometheus }}
    {{- fail (printf "%s.prometheus: only the operator looks up Prometheus objects. Write the server's address, for example: url: \"http://prometheus-operated.monitoring.svc:9090\", or set operator.enabled: true" $path) }}
  {{- end }}
{{- end }}
{{- with .target.tls }}
  {{- if and .caSecretRef .caConfigMapRef }}
    {{- fail (printf "%s.tls: at most one of caSecretRef and caConfigMapRef may be set; for example: {caSecretRef: {name: ca, key: ca.crt}}" $path) }}
  {{- end }}
  {{- if and .insecureSkipVerify (or .caSecretRef .caConfigMapRef) }}
    {{- fail (printf "%s.tls: insecureSkipVerify accepts any certificate, so caSecretRef and caConfigMapRef must not be set with it; for example: {caSecretRef: {name: ca, key: ca.crt}}" $path) }}
  {{- end }}
{{- end }}
{{- include "prometheusmirror.validateServers" . }}
{{- include "prometheusmirror.validateAuth" . }}
{{- end }}

{{/* Only the operator knows pods and names of ports. Takes a dict: path, and what may have a service there. */}}
{{- define "prometheusmirror.validateService" -}}
{{- with .of.service }}
  {{- if .pods }}
    {{- fail (printf "%s.service.pods: only the operator looks up the pods of a Service. List the servers, for example: replicas: [{url: \"http://prometheus-0.prometheus.monitoring.svc:9090\"}], or set operator.enabled: true" $.path) }}
  {{- end }}
  {{- if kindIs "string" .port }}
    {{- fail (printf "%s.service.port: only the operator looks up the number of port %q. Write the number, for example: 9090, or set operator.enabled: true" $.path .port) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* A length of time within bounds. Takes a dict: path, value, from and to in milliseconds, and range in words. */}}
{{- define "prometheusmirror.validateDuration" -}}
{{- if not (kindIs "invalid" .value) }}
  {{- $total := include "prometheusmirror.milliseconds" .value | int64 }}
  {{- if not (and (regexMatch "^([0-9]{1,7}h)?([0-9]{1,7}m)?([0-9]{1,7}s)?([0-9]{1,7}ms)?$" .value) (ge $total (int64 .from)) (le $total (int64 .to))) }}
    {{- fail (printf "%s: %q must be a duration from %s, such as 15s or 1m30s" .path .value .range) }}
  {{- end }}
{{- end }}
{{- end }}

{{/* A length of time in milliseconds. Takes a text such as 1m30s. */}}
{{- define "prometheusmirror.milliseconds" -}}
{{- $total := 0 }}
{{- $unit := dict "h" 3600000 "m" 60000 "s" 1000 "ms" 1 }}
{{- range regexFindAll "[0-9]+[a-z]+" . -1 }}
  {{- $total = add $total (mul (regexFind "^[0-9]+" . | int64) (get $unit (regexFind "[a-z]+$" .) | default 0)) }}
{{- end }}
{{- $total }}
{{- end }}
