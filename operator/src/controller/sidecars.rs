//! Step 5 in mode Sidecar: which pods should carry the sidecar, and what they carry. From the
//! caches; only whether this cluster can add sidecars by itself is asked, and rarely.

use std::collections::HashMap;
use std::sync::Arc;

use crds::PrometheusMirrorStatus;
use k8s_openapi::api::core::v1::Container;
use k8s_openapi::jiff::Timestamp;
use kube::{Resource as _, ResourceExt as _};
use serde_json::Value;

use super::build::Sidecar;
use super::injection::Injects;
use super::observe::PodReport;
use super::validate::ValidatedMirror;
use crate::cluster::caches::Caches;
use crate::cluster::labelled::{Carried, DeclaredPort, LabelledPod, Owner, fingerprint};
use crate::cluster::problem::Problem;

/// How long after the sidecar was rendered a pod may still be made without it: the API server's
/// policies hear of it a moment later, and clocks differ.
const LAG: i64 = 60;

/// The pods that should carry the sidecar of a resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sidecars {
    /// In the order of their names, with those that are about to end.
    pub pods: Vec<SidecarPod>,
    /// Whether a policy adds sidecars to new pods in this cluster.
    pub injects: Injects,
    /// When the current sidecar was first in the status; none if it is not there yet.
    pub rendered_at: Option<Timestamp>,
    /// How many of the pods with a sidecar were not asked, because there are too many.
    pub unasked: usize,
}

/// A pod that should carry the sidecar.
#[derive(Clone, Debug, PartialEq)]
pub struct SidecarPod {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: Option<String>,
    /// What controls it.
    pub owner: Option<Owner>,
    /// When it was made.
    pub made_at: Option<Timestamp>,
    /// All of its containers are ready.
    pub is_ready: bool,
    /// Since when.
    pub ready_since: Option<Timestamp>,
    /// It is being deleted.
    pub is_ending: bool,
    /// It has a sidecar, the current one or another.
    pub has_sidecar: bool,
    /// Whether its sidecar serves the current document; none if it was not asked, or is silent.
    pub serves: Option<bool>,
    /// What keeps another container of it from running.
    pub beside: Option<Problem>,
    /// What it carries.
    pub state: State,
}

/// What a pod carries, compared with what it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The current sidecar.
    Current,
    /// One that was added earlier.
    Outdated,
    /// One that is in the pod's template and differs: another pod of that template would be the
    /// same.
    Differs,
    /// None.
    Missing,
    /// Another container has its name.
    NameTaken,
    /// Something else has the name of its volume.
    VolumeTaken,
    /// Another container has one of its ports.
    PortTaken(DeclaredPort),
}

/// What a pod should carry and serve.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The sidecar.
    pub sidecar: &'a Sidecar,
    /// The hash of the document.
    pub document: &'a str,
    /// The port that its API listens on.
    pub api_port: i32,
}

/// The same, with what is computed once for all pods.
#[derive(Clone, Copy)]
struct Measure<'a> {
    wanted: Wanted<'a>,
    /// The [`fingerprint`] of the sidecar.
    fingerprint: Option<&'a str>,
}

impl Sidecars {
    /// The pods that are not about to end.
    pub fn staying(&self) -> impl Iterator<Item = &SidecarPod> {
        self.pods.iter().filter(|pod| !pod.is_ending)
    }

    /// Whether a pod was made before the current sidecar could be added to it. Another pod in its
    /// place would have it.
    #[must_use]
    pub fn is_from_before(&self, pod: &SidecarPod) -> bool {
        let (Some(made), Some(rendered)) = (pod.made_at, self.rendered_at) else {
            return false;
        };
        made.as_second() < rendered.as_second() + LAG
    }
}

impl SidecarPod {
    /// `served` is the hash of the document that it says it serves.
    fn of(pod: &LabelledPod, measure: Measure<'_>, served: Option<&str>) -> Self {
        Self {
            name: pod.name_any(),
            uid: pod.uid().map(str::to_owned),
            owner: pod.owner.clone(),
            made_at: pod.made_at(),
            is_ready: pod.is_ready,
            ready_since: pod.vitals.ready_since,
            is_ending: pod.is_ending(),
            has_sidecar: pod.has_mirror(),
            serves: served.map(|served| served == measure.wanted.document),
            beside: pod.beside.clone(),
            state: State::of(pod, measure),
        }
    }
}

impl State {
    fn of(pod: &LabelledPod, measure: Measure<'_>) -> Self {
        let Wanted {
            sidecar, api_port, ..
        } = measure.wanted;
        if pod.carried == Carried::Foreign {
            return Self::NameTaken;
        }
        let mut ports = pod.ports.iter();
        if let Some(taken) = ports.find(|port| port.collides_with(api_port)) {
            return Self::PortTaken(taken.clone());
        }
        match &pod.carried {
            Carried::Injected(hash) if *hash == sidecar.hash => Self::Current,
            Carried::Injected(_) => Self::Outdated,
            Carried::Pasted { hash, fingerprint } => {
                let same_hash = hash.as_ref().is_none_or(|hash| *hash == sidecar.hash);
                match same_hash && measure.fingerprint == Some(fingerprint) {
                    true => Self::Current,
                    false => Self::Differs,
                }
            }
            Carried::NothingBesideVolume => Self::VolumeTaken,
            Carried::Nothing | Carried::Foreign => Self::Missing,
        }
    }
}

/// The [`fingerprint`] of the current sidecar.
fn fingerprint_of(container: &Value) -> Option<String> {
    let container: Container = serde_json::from_value(container.clone()).ok()?;
    Some(fingerprint(&container))
}

/// When the current sidecar was first in the status before.
pub(super) fn rendered_at(before: &PrometheusMirrorStatus, hash: &str) -> Option<Timestamp> {
    let before = before.sidecar.as_ref().filter(|before| before.hash == hash);
    before?.rendered_at.as_ref().map(|time| time.0)
}

/// The pods with the label of a resource.
#[must_use]
pub fn labelled(caches: &Caches, mirror: &ValidatedMirror) -> Vec<Arc<LabelledPod>> {
    caches.labelled_for(&mirror.namespace, &mirror.name)
}

/// What these pods carry, and what those of them that were asked say. `injection` is asked only
/// where it matters.
pub async fn judged(
    injection: impl Future<Output = Injects>,
    wanted: Wanted<'_>,
    before: &PrometheusMirrorStatus,
    (pods, reports): (&[Arc<LabelledPod>], &[PodReport]),
) -> Sidecars {
    let served: HashMap<_, _> = reports
        .iter()
        .filter_map(|report| Some((report.name.as_str(), report.answer.as_ref()?)))
        .map(|(name, answer)| (name, answer.document.as_deref().unwrap_or_default()))
        .collect();
    let fingerprint = fingerprint_of(&wanted.sidecar.container);
    let measure = Measure {
        wanted,
        fingerprint: fingerprint.as_deref(),
    };
    let pods: Vec<_> = pods
        .iter()
        .map(|pod| {
            let name = pod.meta().name.as_deref().unwrap_or_default();
            SidecarPod::of(pod, measure, served.get(name).copied())
        })
        .collect();
    let needs_it = |pod: &SidecarPod| matches!(pod.state, State::Missing | State::Outdated);
    let matters = pods.is_empty() || pods.iter().any(needs_it);
    let carrying = pods.iter().filter(|pod| pod.has_sidecar && !pod.is_ending);
    Sidecars {
        unasked: carrying.count().saturating_sub(reports.len()),
        injects: match matters {
            true => injection.await,
            false => Injects::Yes,
        },
        rendered_at: rendered_at(before, &wanted.sidecar.hash),
        pods,
    }
}
