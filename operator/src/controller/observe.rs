//! Step 5: what the pods say about themselves. Pods come from the caches.

mod asking;

use std::sync::Arc;
use std::time::Duration;

use crds::PodChecks;
use futures::StreamExt as _;
use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;
use kube::{Client, ResourceExt as _};
use tokio::time::{Instant, timeout_at};

use self::asking::ask;
pub use self::asking::{PodAnswer, client};
use super::begun;
use super::build::Built;
use super::validate::ValidatedMirror;
use crate::cluster::answer::words;
use crate::cluster::caches::Caches;
use crate::cluster::kind::Kind;
use crate::cluster::labelled::LabelledPod;
use crate::cluster::owner::owned_by;
use crate::cluster::pod::Vitals;
use crate::cluster::problem::Problem;
use crate::cluster::store::Kept as _;
use crate::cluster::written::ObjectName;

/// How many pods of a mirror are asked at once.
const AT_ONCE: usize = 8;
/// So long all pods of a mirror are asked. A healthy one answers within milliseconds; many that are
/// silent must not keep the operator from other resources.
const LONGEST: Duration = Duration::from_secs(16);
/// So many pods with a sidecar are asked and notified. Anybody who may make pods in a namespace
/// decides how many have the label; the kubelet brings the others a new document within two
/// minutes.
pub const MOST_LABELLED: usize = 100;

/// The Deployment could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {object}: {}", words(source))]
pub struct Error {
    /// Which.
    pub object: ObjectName,
    /// Why.
    pub source: kube::Error,
}

/// A pod of a mirror.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodReport {
    /// `metadata.name`.
    pub name: String,
    /// The configuration that it began with or was notified of, and after a dot the number of
    /// reminders.
    pub notified: Option<String>,
    /// What keeps its container from running.
    pub problem: Option<Problem>,
    /// Since when Kubernetes has called it ready.
    pub ready_since: Option<Timestamp>,
    /// Whether a service mesh is in front of its ports.
    pub is_meshed: bool,
    /// What it answered; none if it does not run yet, was not asked or did not answer.
    pub answer: Option<PodAnswer>,
    /// Why there is no answer, if it was asked.
    pub silence: Option<String>,
}

impl PodReport {
    /// Whether it was notified of this configuration.
    #[must_use]
    pub fn is_notified_of(&self, configuration: &str) -> bool {
        self.notified
            .as_deref()
            .is_some_and(|notified| notified.split('.').next() == Some(configuration))
    }
}

/// The Deployment that runs a resource's pods, if there is one by now and it is the resource's.
///
/// # Errors
/// If it is too large for the cache and cannot be read.
pub async fn deployment(
    client: &Client,
    caches: &Caches,
    mirror: &ValidatedMirror,
    built: &Built,
) -> Result<Option<DynamicObject>, Error> {
    let mut children = built.children.iter();
    let Some(child) = children.find(|child| child.kind == Kind::Deployment) else {
        return Ok(None);
    };
    let namespace = &mirror.namespace;
    let there = caches
        .whole_child(client, child.kind, namespace, child.name())
        .await;
    let there = there.map_err(|source| Error {
        object: child.object(),
        source,
    })?;
    Ok(there.filter(|there| owned_by(there, &mirror.uid)))
}

/// Reports every pod of a mirror's Deployment that is not about to end, and asks each unless the
/// resource says that it shall not be asked.
pub async fn pods(
    http: &reqwest::Client,
    caches: &Caches,
    deployment: &DynamicObject,
    checks: PodChecks,
) -> Vec<PodReport> {
    let pods = caches.pods_of(deployment);
    let known = pods.iter().map(|pod| {
        let mut report = unasked(pod.name().to_owned(), &pod.vitals);
        // One that is older was left by an earlier Deployment.
        let is_older = pod.made_at() < deployment.metadata.creation_timestamp.as_ref();
        if report.notified.is_none() && !is_older {
            report.notified = begun::said_by(deployment).map(str::to_owned);
        }
        (report, pod.address().map(str::to_owned))
    });
    ask_all(http, known.collect(), checks).await
}

/// The same of pods with a sidecar that are not about to end, but of [`MOST_LABELLED`] at most: of
/// those with a problem first.
pub async fn labelled(
    http: &reqwest::Client,
    pods: &[Arc<LabelledPod>],
    checks: PodChecks,
) -> Vec<PodReport> {
    let pods = pods
        .iter()
        .filter(|pod| pod.has_mirror() && !pod.is_ending());
    let (failing, others): (Vec<_>, Vec<_>) = pods.partition(|pod| pod.vitals.problem.is_some());
    let pods = failing.into_iter().chain(others).take(MOST_LABELLED);
    let known = pods.map(|pod| {
        (
            unasked(pod.name_any(), &pod.vitals),
            pod.address().map(str::to_owned),
        )
    });
    ask_all(http, known.collect(), checks).await
}

/// What is known of a pod before it is asked.
fn unasked(name: String, vitals: &Vitals) -> PodReport {
    let vitals = vitals.clone();
    PodReport {
        name,
        notified: vitals.notified,
        problem: vitals.problem,
        ready_since: vitals.ready_since,
        is_meshed: vitals.is_meshed,
        ..PodReport::default()
    }
}

/// Asks pods at their addresses, where they have one and shall be asked.
async fn ask_all(
    http: &reqwest::Client,
    pods: Vec<(PodReport, Option<String>)>,
    checks: PodChecks,
) -> Vec<PodReport> {
    let end = Instant::now() + LONGEST;
    let mut reports: Vec<_> = futures::stream::iter(pods)
        .map(|(report, address)| async move {
            let asked = match address {
                Some(ip) if checks != PodChecks::Never => {
                    let answer = timeout_at(end, ask(http, &ip)).await;
                    let late = |_| {
                        Err(format!(
                            "no answer in the {} s for all pods",
                            LONGEST.as_secs()
                        ))
                    };
                    Some(answer.unwrap_or_else(late))
                }
                _ => None,
            };
            let (answer, silence) = match asked {
                Some(Ok(answer)) => (Some(answer), None),
                Some(Err(silence)) => (None, Some(silence)),
                None => (None, None),
            };
            PodReport {
                answer,
                silence,
                ..report
            }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    reports.sort_by(|a, b| a.name.cmp(&b.name));
    reports
}
