//! Step 7: conditions from what was decided, applied and observed. Pure, except `write`.
//!
//! `Ready` is about answering StackState: every pod is there and serves the current document.
//! `Reconciling` exists while the operator expects that to come by itself, `Stalled` when only a
//! change of the resource or of what it refers to can help; never both, and neither of them when
//! there is nothing to do.

pub mod throttle;

mod conditions;
mod memory;
mod ready;
mod replicas;
mod servers;
mod sidecars;
mod silence;
mod targets;
mod write;

use crds::rules::DRAINABLE;
use crds::{ConditionType, PrometheusMirrorStatus, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::json;

use self::conditions::{Conditions, Finding, Truth};
use self::ready::{Expectation, Readiness};
use self::replicas::Replicas;
use self::sidecars::Counts;
pub use self::write::write;
use super::apply::Applied;
use super::build::{Built, Sidecar};
use super::observe::PodReport;
use super::restart::Restart;
use super::sidecars::Sidecars;
use super::validate::{Invalid, ValidatedMirror};
use crate::cluster::problem::End;
use crate::cluster::written::Written;

/// How the steps before ended.
#[derive(Debug)]
pub enum Conclusion {
    /// The resource cannot be built, or the API server refuses what was built. What ran before
    /// still runs. In mode Sidecar, what pods should carry all the same: what is missing may come
    /// after them.
    Invalid(Invalid, Option<Sidecar>),
    /// The API server fails each time, in these words. It is tried again.
    Failing(String),
    /// `spec.paused`: nothing was checked.
    Paused,
    /// All steps ran.
    Applied(Box<Progress>),
}

impl Conclusion {
    /// What was written.
    #[must_use]
    pub fn written(&self) -> &[Written] {
        match self {
            Self::Applied(progress) => &progress.applied.written,
            Self::Invalid(..) | Self::Failing(_) | Self::Paused => &[],
        }
    }

    /// The pod that was evicted.
    #[must_use]
    pub fn evicted(&self) -> Option<&str> {
        match self {
            Self::Applied(progress) => match &progress.restart {
                Restart::Evicted(pod) => Some(pod),
                Restart::Nothing | Restart::Waiting(_) => None,
            },
            Self::Invalid(..) | Self::Failing(_) | Self::Paused => None,
        }
    }
}

/// What the steps before found out and did.
#[derive(Debug)]
pub struct Progress {
    /// The resource.
    pub mirror: ValidatedMirror,
    /// What should be.
    pub built: Built,
    /// What applying it came to.
    pub applied: Applied,
    /// The Deployment as the cache has it.
    pub deployment: Option<DynamicObject>,
    /// What the pods say.
    pub pods: Vec<PodReport>,
    /// The pod that Kubernetes ended last, if one is on record, and why.
    pub ended: Option<(String, End)>,
    /// The pods that should carry the sidecar; none in mode Deployment.
    pub sidecars: Option<Sidecars>,
    /// Whether a pod was restarted.
    pub restart: Restart,
    /// A pod was notified of a changed configuration just now; what it says was said before.
    pub notified: bool,
}

/// For how many seconds a resource has been reconciling; 0 if it is not.
#[must_use]
pub fn reconciling_for(status: &PrometheusMirrorStatus, now: Timestamp) -> i64 {
    let since = status.condition(ConditionType::Reconciling);
    since.map_or(0, |since| {
        now.as_second() - since.last_transition_time.0.as_second()
    })
}

/// What of a status can be true of a resource without a Deployment. Anything else came from
/// somewhere else, for example from a backup.
#[must_use]
pub fn without_pods(previous: &PrometheusMirrorStatus) -> PrometheusMirrorStatus {
    let possible = |condition: &&Condition| {
        let is = |type_: ConditionType| condition.type_ == type_.as_str();
        let asked = condition.reason != Reason::NotAsked.as_str();
        let serves = is(ConditionType::Ready) && condition.status == "True";
        let reaches = is(ConditionType::TargetsReachable) && asked;
        !serves && !reaches
    };
    PrometheusMirrorStatus {
        observed_generation: previous.observed_generation,
        conditions: previous
            .conditions
            .iter()
            .filter(possible)
            .cloned()
            .collect(),
        ..PrometheusMirrorStatus::default()
    }
}

/// The status after this reconcile. Equal to `previous` if nothing changed, times included.
#[must_use]
pub fn status(
    conclusion: &Conclusion,
    previous: &PrometheusMirrorStatus,
    generation: Option<i64>,
    now: Timestamp,
) -> PrometheusMirrorStatus {
    let mut status = previous.clone();
    status.observed_generation = generation;
    let conditions = Conditions {
        previous,
        generation,
        now,
    };
    status.conditions = match conclusion {
        Conclusion::Invalid(invalid, sidecar) => {
            if let Some(sidecar) = sidecar {
                let counts = Counts::known(previous);
                status.sidecar = Some(sidecars::status(sidecar, counts, previous, now));
            }
            of_invalid(&conditions, invalid)
        }
        Conclusion::Failing(message) => of_failing(&conditions, message),
        Conclusion::Paused => of_paused(&conditions),
        Conclusion::Applied(progress) => {
            note_progress(progress, &mut status, previous, now);
            let findings = findings(progress, &status, previous, now).into_iter();
            findings.map(|found| conditions.condition(found)).collect()
        }
    };
    status
}

fn of_invalid(conditions: &Conditions, invalid: &Invalid) -> Vec<Condition> {
    let Invalid { reason, message } = invalid;
    let finding = |type_, status| Finding::new(type_, status, *reason, message);
    vec![
        conditions.condition(finding(ConditionType::Ready, Truth::False)),
        conditions.condition(finding(ConditionType::Stalled, Truth::True)),
        conditions.kept(not_asked()),
    ]
}

/// What was served before is served still. Of a changed resource nothing is.
fn of_failing(conditions: &Conditions, message: &str) -> Vec<Condition> {
    let finding = |type_, status| Finding::new(type_, status, Reason::ApplyFailing, message);
    let not_ready = finding(ConditionType::Ready, Truth::False);
    let unchanged = conditions.previous.observed_generation == conditions.generation;
    vec![
        if unchanged && conditions.previous.has(ConditionType::Ready) {
            conditions.kept(not_ready)
        } else {
            conditions.condition(not_ready)
        },
        conditions.condition(finding(ConditionType::Reconciling, Truth::True)),
        conditions.kept(not_asked()),
    ]
}

fn of_paused(conditions: &Conditions) -> Vec<Condition> {
    let never = "Nothing was made before spec.paused was set.";
    let message = "The operator changes nothing until spec.paused is false.";
    let finding = |type_, status, message| Finding::new(type_, status, Reason::Paused, message);
    vec![
        conditions.kept(finding(ConditionType::Ready, Truth::False, never)),
        conditions.kept(not_asked()),
        conditions.condition(finding(ConditionType::Paused, Truth::True, message)),
    ]
}

fn not_asked() -> Finding {
    let (type_, reason) = (ConditionType::TargetsReachable, Reason::NotAsked);
    Finding::new(type_, Truth::Unknown, reason, "No pod was asked.")
}

/// The fields beside the conditions.
fn note_progress(
    progress: &Progress,
    status: &mut PrometheusMirrorStatus,
    previous: &PrometheusMirrorStatus,
    now: Timestamp,
) {
    let replicas = Replicas::of(progress.deployment.as_ref());
    let targets = targets::targets(progress, previous, now);
    let reached = targets::reached(&targets);
    let counts = Counts::of(progress);
    let (all, ready) = match progress.sidecars {
        Some(_) => (counts.labelled, counts.ready),
        None => (replicas.all, replicas.ready),
    };
    let sidecar = progress.built.sidecar.as_ref();
    status.sidecar = sidecar.map(|sidecar| sidecars::status(sidecar, counts, previous, now));
    status.endpoint = Some(progress.built.endpoint.clone());
    status.selector.clone_from(&progress.built.selector);
    status.replicas = Some(all);
    status.ready_replicas = Some(ready);
    status.reachable_targets = Some(format!("{reached}/{}", targets.len()));
    status.targets = targets;
}

fn findings(
    progress: &Progress,
    status: &PrometheusMirrorStatus,
    previous: &PrometheusMirrorStatus,
    now: Timestamp,
) -> Vec<Finding> {
    let Readiness {
        is_ready,
        reason,
        message,
        expectation,
    } = match &progress.sidecars {
        Some(sidecars) => sidecars::readiness(progress, sidecars, previous, now),
        None => {
            let replicas = Replicas::of(progress.deployment.as_ref());
            ready::readiness(progress, &replicas, previous, now)
        }
    };
    let finding = |type_, status| Finding::new(type_, status, reason, &message);
    let truth = if is_ready { Truth::True } else { Truth::False };
    let mut findings = vec![finding(ConditionType::Ready, truth)];
    findings.extend(match expectation {
        Expectation::Settled => None,
        Expectation::Reconciling => Some(finding(ConditionType::Reconciling, Truth::True)),
        Expectation::Stalled => Some(finding(ConditionType::Stalled, Truth::True)),
    });
    findings.push(match reason {
        Reason::ServingUnchecked => Finding::new(
            ConditionType::TargetsReachable,
            Truth::Unknown,
            Reason::NotAsked,
            message.clone(),
        ),
        _ => targets::reachability(&status.targets),
    });
    let of_pods = progress.sidecars.as_ref();
    findings.extend(of_pods.map(|of_pods| sidecars::current(progress, of_pods)));
    findings.extend(degraded(progress));
    findings
}

/// What could be better although the mirror serves.
fn degraded(progress: &Progress) -> Option<Finding> {
    let missing = progress.applied.missing.iter();
    let missing = missing.map(|(object, why)| (Reason::ApiMissing, format!("{object}: {why}")));
    let memory = memory::unfit(progress).map(|unfit| (Reason::MemoryTooSmall, unfit));
    let spec = &progress.mirror.spec;
    let blocks = spec.pod_disruption_budget.is_some() && !(DRAINABLE.holds)(&json!(spec));
    let budget = blocks.then(|| {
        (
            Reason::BudgetBlocksDrains,
            format!("spec: {}", DRAINABLE.message),
        )
    });
    let replaced = replaced(progress).map(|replaced| (Reason::ImmutableReplaced, replaced));
    let overruled = progress.applied.overruled.iter();
    let overruled = overruled.map(|overruled| (Reason::Overruled, overruled.to_string()));
    let all: Vec<_> = missing
        .chain(replaced)
        .chain(overruled)
        .chain(memory)
        .chain(budget)
        .collect();
    let (reason, _) = all.first()?;
    let messages: Vec<_> = all.iter().map(|(_, message)| message.as_str()).collect();
    let (type_, message) = (ConditionType::Degraded, messages.join("; "));
    Some(Finding::new(type_, Truth::True, *reason, message))
}

/// An immutable Secret or ConfigMap that was created after a pod was ready, so the pod began with
/// another one of that name. A kubelet reads an immutable object once, and gives its content to
/// every pod of its node while one of them names it: no restart one by one helps.
///
/// Not while pods are replaced: the old ones may never have named it. Nor in mode Sidecar: there,
/// pods may have begun without it.
fn replaced(progress: &Progress) -> Option<String> {
    if progress.sidecars.is_some() || !ready::is_rolled_out(progress) {
        return None;
    }
    let immutable = progress.mirror.immutable.iter();
    let mut replaced = immutable.filter_map(|(object, created)| {
        let mut pods = progress.pods.iter();
        let pod = pods.find(|pod| pod.ready_since.is_some_and(|since| since < *created))?;
        Some((object, pod))
    });
    let (object, pod) = replaced.next()?;
    Some(format!(
        "{object} is immutable and was created again after Pod {} had read it: its node may go on with the old content. Refer to a new name, or have no pod of the node use it for a moment.",
        pod.name
    ))
}

/// Whether a status reports nothing new but how far work under way has come: numbers and messages,
/// or that a new resource was seen at all. Such a status may wait for the next one.
#[must_use]
pub fn is_progress(before: &PrometheusMirrorStatus, after: &PrometheusMirrorStatus) -> bool {
    let but_progress = |status: &PrometheusMirrorStatus| {
        let mut status = status.clone();
        status.replicas = None;
        status.ready_replicas = None;
        if let Some(sidecar) = &mut status.sidecar {
            // What the policy adds to pods counts: it must be there before the next pod.
            (sidecar.labelled, sidecar.injected) = (0, 0);
            (sidecar.current, sidecar.serving) = (0, 0);
        }
        for condition in &mut status.conditions {
            condition.message.clear();
        }
        status
    };
    after.condition(ConditionType::Reconciling).is_some()
        && after != before
        && (before.conditions.is_empty() && after.sidecar.is_none()
            || but_progress(before) == but_progress(after))
}

#[cfg(test)]
mod tests;
