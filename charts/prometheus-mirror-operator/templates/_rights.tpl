{{/* What the operator may do where it looks for resources: the rules of its ClusterRole, or of a Role in each watched namespace. */}}
{{- define "operator.rights" -}}
# The resources, and what the operator says about them.
- apiGroups: [prometheus-mirror.io]
  resources: [prometheusmirrors]
  verbs: [list, watch]
- apiGroups: [prometheus-mirror.io]
  resources: [prometheusmirrors/status]
  verbs: [patch]
# An owner reference that blocks the owner's deletion needs this where OwnerReferencesPermissionEnforcement is on.
- apiGroups: [prometheus-mirror.io]
  resources: [prometheusmirrors/finalizers]
  verbs: [update]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
# Children. Services and ConfigMaps are also referred to: of ConfigMaps only metadata is watched then, and one is read once for each of
# its versions, to learn the names of its keys.
- apiGroups: [""]
  resources: [configmaps, serviceaccounts, services]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
# Children that a resource may ask for. Of those that no resource may ask for here (denyFields), only what there is can go.
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
# Between a mirror's Deployment and its pods. Only metadata is kept: a pod is believed if one of these controls it.
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list, watch]
# Pods of the mirrors: what they are doing, an annotation that tells them of a new configuration, and the end of one that gave up
# on the configuration before.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch, delete]
# Only metadata is watched. A Secret is read once for each of its versions, to learn the names of its keys.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, list, watch]
# Targets may name a Prometheus object.
- apiGroups: [monitoring.coreos.com]
  resources: [prometheuses]
  verbs: [list, watch]
{{- end }}
