{{/*
The operator's permissions in the namespaces that it watches: the rules of its ClusterRole, or of a
Role in each watched namespace.
*/}}
{{- define "prometheus-mirror-operator.rights" -}}
# The resources, their status, and events.
- apiGroups: [prometheus-mirror.io]
  resources: [prometheusmirrors]
  verbs: [list, watch]
- apiGroups: [prometheus-mirror.io]
  resources: [prometheusmirrors/status]
  verbs: [patch]
# For owner references that block deletion, if OwnerReferencesPermissionEnforcement is enabled.
- apiGroups: [prometheus-mirror.io]
  resources: [prometheusmirrors/finalizers]
  verbs: [update]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# Children. Services and ConfigMaps can also be referenced: for referenced ConfigMaps only metadata
# is watched, and each version is read once, to learn the names of its keys.
- apiGroups: [""]
  resources: [configmaps, serviceaccounts, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
# Optional children. Existing objects of denied kinds (denyFields) can only be deleted.
{{- $denied := .Values.denyFields }}
{{- range list
    (list "policy" "poddisruptionbudgets" "podDisruptionBudget")
    (list "networking.k8s.io" "networkpolicies" "networkPolicy")
    (list "networking.k8s.io" "ingresses" "ingress")
    (list "autoscaling" "horizontalpodautoscalers" "autoscaling")
    (list "gateway.networking.k8s.io" "httproutes" "httpRoute")
    (list "monitoring.coreos.com" "servicemonitors" "monitor") }}
- apiGroups: [{{ index . 0 }}]
  resources: [{{ index . 1 }}]
  verbs: [{{ has (index . 2) $denied | ternary "list, watch, delete" "get, list, watch, create, patch, delete" }}]
{{- end }}
# Link a mirror's Deployment to its pods: only pods controlled by one of these are trusted.
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list, watch]
# Pods of the mirrors: their state, an annotation that notifies them of a new configuration, and
# deleting a pod that failed with the previous configuration.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch, delete]
{{- if not (has "sidecar.restartPods" $denied) }}
# Restart other people's pods to give them the current sidecar, where a resource asks for that
# (sidecar.restartPods): evict one while what controls it misses none. Denied with denyFields.
- apiGroups: [""]
  resources: [pods/eviction]
  verbs: [create]
- apiGroups: [apps]
  resources: [daemonsets, replicasets, statefulsets]
  verbs: [get]
{{- end }}
# Only metadata is watched. Each version of a Secret is read once, to learn the names of its keys.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch]
# Targets can ask the pods of a headless Service one by one.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list, watch]
# Targets can reference a Prometheus object.
- apiGroups: [monitoring.coreos.com]
  resources: [prometheuses]
  verbs: [list, watch]
{{- end }}
