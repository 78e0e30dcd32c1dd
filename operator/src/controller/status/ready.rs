//! Whether a mirror is ready, and if not, why: the first reason that applies, user errors before
//! waiting.

use crds::{ConditionType, PrometheusMirrorStatus, Reason};
use k8s_openapi::jiff::Timestamp;

use super::replicas::Replicas;
use super::silence;
use super::{Progress, reconciling_for};
use crate::cluster::kind::Kind;
use crate::controller::apply::Applied;
use crate::controller::build::deployment_name;
use crate::controller::observe::PodReport;

/// A pod says which document it serves, but of a Secret it only says when it refuses one. So long
/// after pods were notified, what they say counts: the kubelet brings them the Secret in about two
/// seconds, and they look each second.
const SPREADING: i64 = 5;

/// Whether more will come by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expectation {
    /// Nothing is to be done.
    Settled,
    /// It will change by itself.
    Reconciling,
    /// Only a change can help.
    Stalled,
}

/// Whether a mirror is ready, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Readiness {
    pub(super) is_ready: bool,
    pub(super) reason: Reason,
    pub(super) message: String,
    pub(super) expectation: Expectation,
}

impl Readiness {
    pub(super) fn not(
        reason: Reason,
        expectation: Expectation,
        message: impl Into<String>,
    ) -> Self {
        Self {
            is_ready: false,
            reason,
            message: message.into(),
            expectation,
        }
    }
}

/// How many pods there should be, and how many are ready for Kubernetes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Numbers {
    pub(super) wanted: i32,
    pub(super) ready: i32,
}

/// Judges a mirror by its children first, then by its Deployment, then by its pods.
pub(super) fn readiness(
    progress: &Progress,
    replicas: &Replicas,
    previous: &PrometheusMirrorStatus,
    now: Timestamp,
) -> Readiness {
    let spreading = spreading_lately(previous, now);
    let numbers = Numbers {
        wanted: replicas.wanted,
        ready: replicas.ready,
    };
    conflict(&progress.applied)
        .or_else(|| deployment(progress, replicas))
        .or_else(|| failing_pod(progress, unless_given_up(replicas)))
        .or_else(|| rollout(progress, replicas, now))
        .or_else(|| silence::judge(progress, numbers, previous, now, spreading))
        .or_else(|| configuration(progress, replicas.wanted, spreading))
        .unwrap_or_else(|| serving(progress, replicas.wanted))
}

/// Objects that have the names of children.
pub(super) fn conflict(applied: &Applied) -> Option<Readiness> {
    if let Some(taken) = applied.taken.first() {
        let message = format!(
            "{taken} exists and does not belong to this resource; it is left alone. Delete it, or give this resource another name."
        );
        let stalled = Expectation::Stalled;
        return Some(Readiness::not(Reason::NameTaken, stalled, message));
    }
    let leaving = applied.leaving.first()?;
    let message = format!("Waiting for an earlier {leaving} to be gone.");
    let reconciling = Expectation::Reconciling;
    Some(Readiness::not(Reason::Replacing, reconciling, message))
}

/// What keeps the Deployment from being as it should be.
fn deployment(progress: &Progress, replicas: &Replicas) -> Option<Readiness> {
    let mut written = progress.applied.written.iter();
    let changed = written.any(|write| write.object.kind == Kind::Deployment);
    if progress.deployment.is_none() || changed || !replicas.current {
        let message = "The Deployment is being brought up to date.";
        let reconciling = Expectation::Reconciling;
        return Some(Readiness::not(Reason::RollingOut, reconciling, message));
    }
    (replicas.wanted == 0).then(|| {
        let message = "No pod is wanted, so nobody answers.";
        Readiness::not(Reason::ScaledToZero, Expectation::Settled, message)
    })
}

/// A pod whose container does not run.
pub(super) fn failing_pod(progress: &Progress, otherwise: Expectation) -> Option<Readiness> {
    let mut pods = progress.pods.iter();
    let (pod, problem) = pods.find_map(|pod| Some((&pod.name, pod.problem.as_ref()?)))?;
    let (reason, expectation) = if problem.is_refusal() {
        (Reason::ConfigurationRefused, Expectation::Stalled)
    } else {
        (Reason::PodsFailing, otherwise)
    };
    let message = format!("Pod {pod}: {problem}");
    Some(Readiness::not(reason, expectation, message))
}

/// Pods that are missing, old or too many.
fn rollout(progress: &Progress, replicas: &Replicas, now: Timestamp) -> Option<Readiness> {
    let Replicas {
        wanted,
        ready,
        updated,
        all,
        ..
    } = replicas;
    if replicas.are_settled() {
        return None;
    }
    let mut message =
        format!("{updated} of {wanted} pods are up to date, {ready} are ready, {all} exist.");
    let mut reason = Reason::RollingOut;
    if let Some(refused) = &replicas.refused {
        reason = Reason::PodsRefused;
        message = format!("Pods cannot be created: {refused} ({ready} of {wanted} are ready)");
    }
    if replicas.paused {
        let of = &progress.mirror;
        message += &format!(
            " The Deployment is paused: kubectl -n {} rollout resume deployment/{} lets it go on.",
            of.namespace,
            deployment_name(&of.name)
        );
        let stalled = Expectation::Stalled;
        return Some(Readiness::not(Reason::RolloutPaused, stalled, message));
    }
    message += &ended_lately(progress, now).unwrap_or_default();
    Some(Readiness::not(reason, unless_given_up(replicas), message))
}

/// Whether every pod has been made from the present template, and all of them are ready.
pub(super) fn is_rolled_out(progress: &Progress) -> bool {
    let replicas = Replicas::of(progress.deployment.as_ref());
    deployment(progress, &replicas).is_none() && replicas.are_settled()
}

/// A pod that Kubernetes ended not long ago, such as one evicted from a node without memory: why
/// there is one less.
pub(super) fn ended_lately(progress: &Progress, now: Timestamp) -> Option<String> {
    const LATELY: i64 = 600;
    let (name, end) = progress.ended.as_ref()?;
    let age = end.at.map(|at| now.as_second() - at.as_second());
    age.is_none_or(|age| age < LATELY)
        .then(|| format!(" Pod {name} ended: {end}."))
}

/// Pods that do not serve the current configuration.
pub(super) fn configuration(
    progress: &Progress,
    wanted: i32,
    spreading: bool,
) -> Option<Readiness> {
    let refuses = |pod: &&PodReport| {
        let answer = pod.answer.as_ref();
        answer.is_some_and(|answer| answer.newer_document_refused)
    };
    if let Some(PodReport { name, .. }) = progress.pods.iter().find(refuses) {
        let message = format!(
            "Pod {name} refuses the current configuration and keeps serving the one before: kubectl logs -n {} {name} says why.",
            progress.mirror.namespace
        );
        let stalled = Expectation::Stalled;
        return Some(Readiness::not(
            Reason::ConfigurationRefused,
            stalled,
            message,
        ));
    }
    let serving = progress.pods.iter().filter(|pod| is_current(progress, pod));
    let serving = serving.count();
    if i32::try_from(serving) == Ok(wanted) {
        return notified_lately(progress, spreading);
    }
    let message = format!("{serving} of {wanted} pods serve the current configuration.");
    let (reason, reconciling) = (Reason::ConfigurationSpreading, Expectation::Reconciling);
    Some(Readiness::not(reason, reconciling, message))
}

/// Pods that have not had the time to say that they refuse a Secret.
pub(super) fn notified_lately(progress: &Progress, spreading: bool) -> Option<Readiness> {
    (progress.notified || spreading).then(|| {
        let message = "Pods have been told to read their configuration again.";
        let (reason, reconciling) = (Reason::ConfigurationSpreading, Expectation::Reconciling);
        Readiness::not(reason, reconciling, message)
    })
}

pub(super) fn serving(progress: &Progress, wanted: i32) -> Readiness {
    let mut message = format!("{wanted} of {wanted} pods serve the current configuration.");
    let answers = progress.pods.iter().filter_map(|pod| pod.answer.as_ref());
    let mut notices = answers.map(|answer| &answer.notices);
    if let Some(notices) = notices.find(|notices| !notices.is_empty()) {
        // They do not stop anything from working, so they do not change the condition.
        message = format!("{message} Note: {}", notices.join("; "));
    }
    message += &unused_replicas(progress).unwrap_or_default();
    Readiness {
        is_ready: true,
        reason: Reason::Serving,
        message,
        expectation: Expectation::Settled,
    }
}

/// `kubectl scale` says "scaled", and the autoscaler decides.
fn unused_replicas(progress: &Progress) -> Option<String> {
    let spec = &progress.mirror.spec;
    let limits = spec.autoscaling.as_ref().filter(|_| spec.replicas != 1)?;
    Some(format!(
        " Note: spec.replicas ({}) has no effect, because spec.autoscaling sets the number of pods: change its minReplicas ({}).",
        spec.replicas, limits.min_replicas
    ))
}

/// Whether a pod serves the document that it should, and was notified of it.
pub(super) fn is_current(progress: &Progress, pod: &PodReport) -> bool {
    let document = &progress.built.document;
    let serves = pod
        .answer
        .as_ref()
        .is_some_and(|answer| answer.document.as_ref() == Some(&document.hash));
    serves && pod.is_notified_of(&document.configuration)
}

fn unless_given_up(replicas: &Replicas) -> Expectation {
    match replicas.deadline_exceeded {
        true => Expectation::Stalled,
        false => Expectation::Reconciling,
    }
}

/// Whether pods were notified of a changed configuration less than [`SPREADING`] seconds ago.
pub(super) fn spreading_lately(previous: &PrometheusMirrorStatus, now: Timestamp) -> bool {
    previous.is_because(ConditionType::Reconciling, Reason::ConfigurationSpreading)
        && reconciling_for(previous, now) < SPREADING
}
