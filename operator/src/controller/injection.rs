//! Whether this cluster adds sidecars to new pods by itself. Asked rarely: it changes when somebody
//! upgrades the cluster or installs the policy.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt as _};
use tokio::sync::Mutex;

use crate::cluster::scope::Scope;

const GROUP: &str = "admissionregistration.k8s.io";
/// Kinds of that group and their plurals: a policy does something only where a binding names it.
const POLICY: (&str, &str) = ("MutatingAdmissionPolicy", "mutatingadmissionpolicies");
const BINDING: (&str, &str) = (
    "MutatingAdmissionPolicyBinding",
    "mutatingadmissionpolicybindings",
);
/// How long an answer counts.
const ASK_AGAIN: Duration = Duration::from_secs(300);
/// The same while somebody is expected to install the policy.
const ASK_SOON: Duration = Duration::from_secs(20);

/// Whether a policy adds sidecars to new pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Injects {
    /// One does, or it cannot be known: where the operator has rights in namespaces only.
    #[default]
    Yes,
    /// The API server has no such policies: it is older than Kubernetes 1.36.
    NoApi,
    /// No policy takes our resources as parameters, or no binding names it.
    NoPolicy,
}

/// The last answer, and when it was given.
#[derive(Debug, Default)]
pub struct Injection(Mutex<Option<(Instant, Injects)>>);

impl Injection {
    /// What is known, asked again after a while. That it cannot be asked is no answer.
    pub(super) async fn asked(&self, client: &Client, scope: &Scope) -> Injects {
        let mut known = self.0.lock().await;
        if let Some((asked, injects)) = *known
            && asked.elapsed() < lasts(injects)
        {
            return injects;
        }
        match ask(client, scope).await {
            Ok(injects) => {
                *known = Some((Instant::now(), injects));
                injects
            }
            Err(error) => {
                tracing::debug!(%error, "cannot ask whether a policy adds sidecars");
                known.map_or(Injects::Yes, |(_, injects)| injects)
            }
        }
    }
}

fn lasts(injects: Injects) -> Duration {
    match injects {
        Injects::NoPolicy => ASK_SOON,
        Injects::Yes | Injects::NoApi => ASK_AGAIN,
    }
}

async fn ask(client: &Client, scope: &Scope) -> kube::Result<Injects> {
    let there = client
        .list_api_group_resources(&format!("{GROUP}/v1"))
        .await?;
    if !there.resources.iter().any(|kind| kind.name == POLICY.1) {
        return Ok(Injects::NoApi);
    }
    // Policies are in no namespace.
    if matches!(scope, Scope::Namespace(_)) {
        return Ok(Injects::Yes);
    }
    let (Some(policies), Some(bindings)) =
        (all(client, POLICY).await?, all(client, BINDING).await?)
    else {
        return Ok(Injects::Yes);
    };
    Ok(judged(&policies, &bindings))
}

/// All objects of a kind; none if the operator may not read them.
async fn all(
    client: &Client,
    (kind, plural): (&str, &str),
) -> kube::Result<Option<Vec<DynamicObject>>> {
    let kind = GroupVersionKind::gvk(GROUP, "v1", kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    let api = Api::<DynamicObject>::all_with(client.clone(), &resource);
    match api.list(&ListParams::default()).await {
        Ok(list) => Ok(Some(list.items)),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether one of the policies is about our resources, and bound. Pure.
fn judged(policies: &[DynamicObject], bindings: &[DynamicObject]) -> Injects {
    let ours = policies.iter().filter(|policy| {
        let of = &policy.data["spec"]["paramKind"];
        of["apiVersion"] == crds::API_VERSION && of["kind"] == crds::KIND
    });
    let ours: HashSet<_> = ours.map(|policy| policy.name_any()).collect();
    let bound = bindings.iter().any(|binding| {
        let named = binding.data["spec"]["policyName"].as_str();
        named.is_some_and(|name| ours.contains(name))
    });
    if bound {
        Injects::Yes
    } else {
        Injects::NoPolicy
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(name: &str, spec: Value) -> DynamicObject {
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
    }

    #[test]
    fn a_policy_counts_if_it_is_about_our_resources_and_bound() {
        let policy = |group: &str, kind: &str| {
            let of = json!({"apiVersion": format!("{group}/v1alpha1"), "kind": kind});
            vec![object("sidecar", json!({ "paramKind": of }))]
        };
        let ours = || policy("prometheus-mirror.io", "PrometheusMirror");
        let binding = |name: &str| vec![object("b", json!({ "policyName": name }))];
        let cases = [
            (ours(), binding("sidecar"), Injects::Yes),
            (ours(), binding("another"), Injects::NoPolicy),
            (ours(), vec![], Injects::NoPolicy),
            (vec![], binding("sidecar"), Injects::NoPolicy),
            (
                policy("example.com", "PrometheusMirror"),
                binding("sidecar"),
                Injects::NoPolicy,
            ),
            (
                policy("prometheus-mirror.io", "Another"),
                binding("sidecar"),
                Injects::NoPolicy,
            ),
            (
                vec![object("sidecar", json!({}))],
                binding("sidecar"),
                Injects::NoPolicy,
            ),
        ];
        for (policies, bindings, expected) in cases {
            assert_eq!(
                judged(&policies, &bindings),
                expected,
                "{policies:?} {bindings:?}"
            );
        }
    }
}
