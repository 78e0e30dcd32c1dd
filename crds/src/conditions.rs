//! The conditions of a status: their types, and each reason with what it means.

use std::fmt;
use std::fmt::Write as _;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::PrometheusMirrorStatus;

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionType {
    /// Every pod is there and serves the current configuration.
    Ready,
    /// The pods reach every target.
    TargetsReachable,
    /// Work is under way that needs nobody's help.
    Reconciling,
    /// Only a change of the resource, or of what it refers to, can help.
    Stalled,
    /// It serves, but something optional is missing, or it could serve better.
    Degraded,
    /// The operator changes nothing.
    Paused,
    /// Every labelled pod has the current sidecar.
    SidecarsCurrent,
}

impl ConditionType {
    /// The value of `type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::TargetsReachable => "TargetsReachable",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::Degraded => "Degraded",
            Self::Paused => "Paused",
            Self::SidecarsCurrent => "SidecarsCurrent",
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Makes the type from one block for each reason: its name, the conditions that have it, and what
/// it means, in Markdown.
macro_rules! reasons {
    ($($name:ident: $conditions:literal, $meaning:literal;)*) => {
        /// Why a condition has its status.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = $meaning] $name,)*
        }

        impl Reason {
            /// All reasons, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The value of `reason`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The conditions that have it.
            #[must_use]
            pub const fn conditions(self) -> &'static str {
                match self { $(Self::$name => $conditions,)* }
            }

            /// What it means, and what to do.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }
        }
    };
}

reasons! {
    Serving: "Ready=True",
        "Every pod serves the current configuration.";
    ServingUnchecked: "Ready=True",
        "Every pod is ready for Kubernetes. The operator did not ask them what they serve; the message says why: `podChecks`, or a service mesh.";
    RollingOut: "Ready=False, Reconciling",
        "Pods are being created or replaced.";
    RolloutPaused: "Ready=False, Stalled",
        "The Deployment is paused (`kubectl rollout pause`), so its pods are not replaced. The message says how to resume it.";
    ConfigurationSpreading: "Ready=False, Reconciling",
        "Some pods have not applied the latest configuration yet. Takes seconds.";
    PodsFailing: "Ready=False, Reconciling",
        "A pod cannot start; the message says why: image, node, memory. `Stalled` once the Deployment has given up.";
    PodsRefused: "Ready=False, Reconciling",
        "The API server refuses to create pods: a quota, a limit range, Pod Security, an admission webhook. The message has its words. Pods that run keep running. `Stalled` once the Deployment has given up.";
    PodsNotAnswering: "Ready=False, Reconciling",
        "The pods are ready for Kubernetes, but do not answer the operator on port 9901: a service mesh or a network policy is in the way. Open the port for the operator, or set [`podChecks`](resource-reference.md) to `Never`.";
    ApplyFailing: "Ready=False, Reconciling",
        "The API server, or a webhook that it calls, fails each time; the message says for which object, and how. Tried again at least once a minute. Running pods keep running.";
    Replacing: "Ready=False, Reconciling",
        "An earlier resource with this name is still being deleted.";
    ScaledToZero: "Ready=False",
        "`replicas: 0`.";
    NoPods: "Ready=False, SidecarsCurrent=Unknown",
        "`mode: Sidecar`, and no pod of the namespace carries the label `prometheus-mirror.io/inject: NAME`. Add it to the pod template of Prometheus.";
    PodsNotReady: "Ready=False, Reconciling",
        "`mode: Sidecar`: a pod with the sidecar is starting, or one of its containers is not ready.";
    SidecarMissing: "Ready=False, Stalled, SidecarsCurrent=False",
        "Pods carry the label, but have no sidecar: they were created before the resource was, or no policy adds sidecars to new pods. The message names them. Restart them, or set `sidecar.restartPods`.";
    InjectionUnavailable: "Ready=False, Stalled, SidecarsCurrent=False",
        "The same where nothing adds sidecars to new pods: the policy is not installed (`sidecar.injection` of the operator's chart, or `dist/sidecar-injection.yaml`), or the cluster has no MutatingAdmissionPolicy v1, before Kubernetes 1.36. `prometheus-mirror-operator sidecar NAME` prints what to add to the pod template by hand. No pod is restarted meanwhile.";
    ContainerNameTaken: "Ready=False, Stalled, SidecarsCurrent=False",
        "A labelled pod has a container named `prometheus-mirror` that is not a mirror, so it gets no sidecar. Rename that container.";
    PortTaken: "Ready=False, Stalled, SidecarsCurrent=False",
        "Another container of a labelled pod declares the mirror's API port or port 9901. Change `spec.port`, or that container.";
    SidecarOutdated: "SidecarsCurrent=False",
        "Pods have a sidecar that differs from the current one, for example in its image. They serve the current configuration all the same. Restart them, or set `sidecar.restartPods`.";
    UpToDate: "SidecarsCurrent=True",
        "Every labelled pod has the current sidecar.";
    InvalidSpec: "Ready=False, Stalled",
        "The message names the fields.";
    SecretMissing: "Ready=False, Stalled",
        "A Secret does not exist. Running pods keep running.";
    SecretKeyMissing: "Ready=False, Stalled",
        "A Secret has no such key. Running pods keep running.";
    ConfigMapMissing: "Ready=False, Stalled",
        "A ConfigMap does not exist. Running pods keep running.";
    ConfigMapKeyMissing: "Ready=False, Stalled",
        "A ConfigMap has no such key. Running pods keep running.";
    ServiceMissing: "Ready=False, Stalled",
        "A target's `service` does not exist, has no such port, or is in [another namespace](#other-namespaces) and not open to this one.";
    PrometheusMissing: "Ready=False, Stalled",
        "The same for a target's `prometheus`.";
    ServersUnusable: "Ready=False, Stalled",
        "A target's Service or Prometheus object has no servers that can be queried one by one, or too many; the message says what to do. Running pods keep the previous configuration.";
    FieldDenied: "Ready=False, Stalled",
        "The resource sets a field that the cluster administrator [denies](#denied-fields).";
    TooLarge: "Ready=False, Stalled",
        "The resource or its `podTemplate` is [too large](#sizes).";
    ConfigurationRefused: "Ready=False, Stalled",
        "The mirror itself refuses its configuration, for example because of an empty key. Running pods keep the previous configuration.";
    NameTaken: "Ready=False, Stalled",
        "Another object has the name of a child. Delete it, or rename the resource.";
    Refused: "Ready=False, Stalled",
        "The API server refuses a child object, usually because of `podTemplate`; the message names the field. A refused `podTemplate` changes nothing; when another object is refused, those applied before it stay applied.";
    Denied: "Ready=False, Stalled",
        "An admission policy or webhook of this cluster, or a quota, denies a child object; the message has its words. Change the field that it names, or ask the owner of the policy for an exception.";
    Forbidden: "Ready=False, Stalled",
        "The operator lacks a permission. Compare its roles with `dist/install.yaml`.";
    Reachable: "TargetsReachable=True",
        "Every pod reaches every target.";
    Unreachable: "TargetsReachable=False",
        "A pod cannot reach a target; the message says which and why. Probed every 10 to 30 seconds.";
    NotAsked: "TargetsReachable=Unknown",
        "Not every pod has reported which targets it reaches.";
    ApiMissing: "Degraded=True",
        "An optional kind is not installed in this cluster, or the operator is not allowed to use it, or it cannot be listed. Everything else works.";
    MemoryTooSmall: "Degraded=True",
        "The [memory limits](#memory) do not fit each other or the workers; the message says which field to change. The mirror serves, but under load, requests may get 503, or the kernel may stop a pod.";
    Overruled: "Degraded=True",
        "Something in the cluster, usually an admission policy or webhook, sets fields of a child object to other values than the operator does; the message names them. They are left as they are, all others are kept.";
    ImmutableReplaced: "Degraded=True",
        "An immutable Secret or ConfigMap was deleted and created again under its name. The pods of a node, even new ones, may get the old content while one of them uses it: a revoked key stays valid. Refer to a Secret of another name.";
    BudgetBlocksDrains: "Degraded=True",
        "`podDisruptionBudget` never allows a pod to be evicted, so draining a node does not end. The message says what to write.";
    Paused: "Paused=True",
        "`spec.paused` is true: the operator changes nothing.";
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PrometheusMirrorStatus {
    /// The condition of a type, if there is one.
    #[must_use]
    pub fn condition(&self, type_: ConditionType) -> Option<&Condition> {
        let mut conditions = self.conditions.iter();
        conditions.find(|condition| condition.type_ == type_.as_str())
    }

    /// Whether the condition of a type has this reason.
    #[must_use]
    pub fn is_because(&self, type_: ConditionType, reason: Reason) -> bool {
        let condition = self.condition(type_);
        condition.is_some_and(|condition| condition.reason == reason.as_str())
    }

    /// Whether the condition of a type has the status `True`.
    #[must_use]
    pub fn has(&self, type_: ConditionType) -> bool {
        let condition = self.condition(type_);
        condition.is_some_and(|condition| condition.status == "True")
    }
}

/// The reasons as a Markdown table, committed in `docs/operator.md`.
#[must_use]
pub fn condition_reference() -> String {
    let mut table =
        String::from("| condition | reason | meaning, and what to do |\n|---|---|---|\n");
    let mut last = "";
    for reason in Reason::ALL {
        let conditions = match reason.conditions() {
            same if same == last => "",
            other => other,
        };
        last = reason.conditions();
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "| {conditions} | `{reason}` | {} |",
            reason.meaning()
        );
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documentation_has_every_reason() {
        let page = include_str!("../../docs/operator.md");
        let hint = "run `make generate`";
        assert!(page.contains(&condition_reference()), "{hint}");
    }
}
