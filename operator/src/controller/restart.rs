//! Restarts pods whose sidecar is missing or not the current one, if the spec asks for that: one at
//! a time, by evicting it, so that its owner makes another one and disruption budgets count.
//!
//! A pod is evicted only while every other labelled pod has been ready for a while, those with the
//! current sidecar serve the current document, and its owner misses none; only if another pod in
//! its place will have the current sidecar; and only where something makes that pod.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::api::{Api, DynamicObject, PostParams};
use kube::core::{ApiResource, GroupVersionKind, Status};
use serde_json::{Value, json};

use super::injection::Injects;
use super::sidecars::{SidecarPod, Sidecars, State};
use super::validate::ValidatedMirror;
use crate::cluster::answer::words;
use crate::cluster::labelled::Owner;
use crate::cluster::references::NamespacedName;

/// The owners that make another pod, and the plurals of their kinds.
const OWNERS: &[(&str, &str)] = &[
    ("StatefulSet", "statefulsets"),
    ("ReplicaSet", "replicasets"),
    ("DaemonSet", "daemonsets"),
];
/// So long the next pod waits for one in the place of the last. It may never come, if the owner was
/// scaled down meanwhile.
const PATIENCE: Duration = Duration::from_secs(600);
/// For so many seconds a pod must have been ready before the next one is evicted.
const PROBATION: i64 = 10;

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Restart {
    /// Nothing: it is not asked for, or no restart would help.
    #[default]
    Nothing,
    /// This pod was evicted.
    Evicted(String),
    /// A pod is to be restarted, but not yet.
    Waiting(String),
}

/// Why a pod could not be restarted.
#[derive(Debug, thiserror::Error)]
#[error("cannot evict Pod {pod}: {}", words(source))]
pub struct Error {
    /// Which.
    pub pod: String,
    /// Why.
    pub source: kube::Error,
}

/// The last eviction for each resource.
#[derive(Debug, Default)]
pub struct Evictions(Mutex<HashMap<NamespacedName, Last>>);

#[derive(Debug)]
struct Last {
    at: Instant,
    /// The pod's owner.
    owner: Owner,
    /// The uids of the pods that were there.
    there: HashSet<Option<String>>,
    /// When the sidecar that the next pod should have was rendered.
    rendered_at: Option<Timestamp>,
}

impl Evictions {
    /// The resource is gone.
    pub fn forget(&self, resource: &NamespacedName) {
        self.lock().remove(resource);
    }

    /// Why the pod in the place of the last one is still waited for, if it is.
    fn pending(&self, resource: &NamespacedName, sidecars: &Sidecars) -> Option<String> {
        let mut all = self.lock();
        let last = all.get(resource)?;
        let mut staying = sidecars.staying();
        let replacement = staying.find(|pod| {
            let owner = pod.owner.as_ref();
            owner.is_some_and(|owner| owner.uid == last.owner.uid) && !last.there.contains(&pod.uid)
        });
        let why = match replacement {
            // Only events say why a StatefulSet or a DaemonSet makes no pod, and the operator has
            // no right to those of a whole cluster.
            None => format!(
                "the pod in the place of the last one has yet to come (hint: 'kubectl describe {} {}' \
                 says what keeps it away)",
                last.owner.kind.to_lowercase(),
                last.owner.name
            ),
            // Evicting it again, or the others, would be in vain.
            Some(pod) if pod.state != State::Current => {
                format!("Pod {} came back without the current sidecar", pod.name)
            }
            Some(_) => String::new(),
        };
        // With another sidecar, such as one whose image exists, it is worth trying again.
        let is_outdated = last.rendered_at != sidecars.rendered_at;
        if why.is_empty() || is_outdated || last.at.elapsed() > PATIENCE {
            all.remove(resource);
            return None;
        }
        Some(why)
    }

    fn note(&self, resource: NamespacedName, owner: &Owner, sidecars: &Sidecars) {
        let pods = sidecars.pods.iter();
        let last = Last {
            at: Instant::now(),
            owner: owner.clone(),
            there: pods.map(|pod| pod.uid.clone()).collect(),
            rendered_at: sidecars.rendered_at,
        };
        self.lock().insert(resource, last);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<NamespacedName, Last>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Evicts the next pod, if it is time. `client` must not try again by itself: a budget that allows
/// no eviction answers 429.
///
/// # Errors
/// If a request fails for a reason that may pass.
pub async fn restart(
    client: &Client,
    evictions: &Evictions,
    mirror: &ValidatedMirror,
    sidecars: &Sidecars,
) -> Result<Restart, Error> {
    let asked = mirror.spec.sidecar.as_ref();
    if !asked.is_some_and(|asked| asked.restart_pods) {
        return Ok(Restart::Nothing);
    }
    let resource = (mirror.namespace.clone(), mirror.name.clone());
    if let Some(why) = evictions.pending(&resource, sidecars) {
        return Ok(Restart::Waiting(why));
    }
    let (pod, owner) = match next(sidecars, Timestamp::now()) {
        Next::Nothing => return Ok(Restart::Nothing),
        Next::Waiting(why) => return Ok(Restart::Waiting(why)),
        Next::Evict(pod, owner) => (pod, owner),
    };
    match evict(client, mirror, pod, owner).await {
        Ok(Restart::Evicted(name)) => {
            evictions.note(resource, owner, sidecars);
            Ok(Restart::Evicted(name))
        }
        other => other,
    }
}

/// What is to be done next.
#[derive(Debug, PartialEq)]
enum Next<'a> {
    Nothing,
    Waiting(String),
    Evict(&'a SidecarPod, &'a Owner),
}

/// Which pod is to be evicted. Pure.
fn next(sidecars: &Sidecars, now: Timestamp) -> Next<'_> {
    let helpful = sidecars.staying().filter_map(|pod| {
        let owner = pod.owner.as_ref().filter(|owner| replaces(owner))?;
        helps(sidecars, pod).then_some((pod, owner))
    });
    // One that is not ready anyway before one that serves; of a StatefulSet the last one first.
    let Some((pod, owner)) = helpful.max_by_key(|(pod, _)| (!pod.is_ready, &pod.name)) else {
        return Next::Nothing;
    };
    let mut others = sidecars.pods.iter().filter(|other| other.uid != pod.uid);
    match others.find_map(|other| unsettled(sidecars, other, now)) {
        Some(why) => Next::Waiting(why),
        None => Next::Evict(pod, owner),
    }
}

/// Why the next pod should wait for this one, if it should. A Prometheus that was restarted serves
/// for a while before the next one goes, and so does its mirror: what is wrong with a new sidecar
/// shows in one pod and not in all.
fn unsettled(sidecars: &Sidecars, pod: &SidecarPod, now: Timestamp) -> Option<String> {
    let name = &pod.name;
    if pod.is_ending || !pod.is_ready {
        return Some(format!("Pod {name} is not ready"));
    }
    if is_in_vain(sidecars, pod) {
        return Some(format!("Pod {name} is new and has not the current sidecar"));
    }
    let ready_for = pod.ready_since.map_or(i64::MAX, |since| {
        now.as_second().saturating_sub(since.as_second())
    });
    if ready_for < PROBATION {
        return Some(format!(
            "Pod {name} has been ready for less than {PROBATION} s"
        ));
    }
    // An older sidecar may be unable to serve the current document.
    match pod.serves {
        Some(false) if pod.state == State::Current => Some(format!(
            "Pod {name} does not serve the current configuration"
        )),
        _ => None,
    }
}

/// Whether another pod in the place of this one would have the current sidecar.
fn helps(sidecars: &Sidecars, pod: &SidecarPod) -> bool {
    let is_old = matches!(pod.state, State::Outdated | State::Missing);
    is_old && sidecars.injects == Injects::Yes && sidecars.is_from_before(pod)
}

/// Whether a pod got no current sidecar although there was one: another pod would get none, either.
fn is_in_vain(sidecars: &Sidecars, pod: &SidecarPod) -> bool {
    let should_have = matches!(pod.state, State::Missing | State::Outdated);
    should_have && sidecars.rendered_at.is_some() && !sidecars.is_from_before(pod)
}

/// Whether an owner makes another pod for one that was evicted.
#[must_use]
pub fn replaces(owner: &Owner) -> bool {
    kind(owner).is_some()
}

/// The owner's kind, if it makes another pod.
fn kind(owner: &Owner) -> Option<ApiResource> {
    let (kind, plural) = OWNERS.iter().find(|(kind, _)| *kind == owner.kind)?;
    (owner.api_version == "apps/v1").then(|| {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("apps", "v1", kind), plural)
    })
}

async fn evict(
    client: &Client,
    mirror: &ValidatedMirror,
    pod: &SidecarPod,
    owner: &Owner,
) -> Result<Restart, Error> {
    let namespace = &mirror.namespace;
    let failed = |source| outcome(&pod.name, source);
    if let Some(resource) = kind(owner) {
        let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource);
        match api.get_opt(&owner.name).await {
            Ok(Some(there)) if misses_none(&there, pod.is_ready) => {}
            Ok(_) => {
                let why = format!("{} {} misses pods", owner.kind, owner.name);
                return Ok(Restart::Waiting(why));
            }
            Err(source) => return failed(source),
        }
    }
    // Not `Api::evict`: kube 5.0 misspells the field of the options.
    let eviction = json!({
        "apiVersion": "policy/v1", "kind": "Eviction",
        "metadata": {"name": pod.name, "namespace": namespace},
        "deleteOptions": {"preconditions": {"uid": pod.uid}},
    });
    let pods = Api::<Pod>::namespaced(client.clone(), namespace);
    let params = PostParams::default();
    match pods
        .create_subresource::<Value, Status>("eviction", &pod.name, &params, &eviction)
        .await
    {
        Ok(_) => Ok(Restart::Evicted(pod.name.clone())),
        Err(source) => failed(source),
    }
}

/// What an answer means that is not 2xx.
fn outcome(pod: &str, source: kube::Error) -> Result<Restart, Error> {
    match &source {
        // A budget, or a right that is missing: either may change, and nothing else waits for it.
        kube::Error::Api(status) if [403, 429].contains(&status.code) => {
            Ok(Restart::Waiting(status.message.clone()))
        }
        // It is gone, or another pod has its name.
        kube::Error::Api(status) if [404, 409].contains(&status.code) => Ok(Restart::Nothing),
        _ => Err(Error {
            pod: pod.to_owned(),
            source,
        }),
    }
}

/// Whether all pods that an owner wants are ready, but for the one that is to be evicted if that is
/// not.
fn misses_none(owner: &DynamicObject, pod_is_ready: bool) -> bool {
    let number = |value: &Value| value.as_i64();
    let (spec, status) = (&owner.data["spec"], &owner.data["status"]);
    let wanted = number(&status["desiredNumberScheduled"])
        .or_else(|| number(&spec["replicas"]))
        .unwrap_or(1);
    let ready = number(&status["numberReady"])
        .or_else(|| number(&status["readyReplicas"]))
        .unwrap_or(0);
    let is_known = number(&status["observedGeneration"]) >= owner.metadata.generation;
    is_known && ready >= wanted - i64::from(!pod_is_ready)
}

#[cfg(test)]
mod tests;
