//! Step 5: conditions from what was decided, applied and observed. Pure, except [`write`].
//!
//! `Ready` is about answering StackState: every pod is there and serves the current document.
//! `Reconciling` is there while the operator expects that to come by itself, `Stalled` when only a
//! change of the resource or of what it refers to can help; never both, and neither of them when
//! there is nothing to do.

use crds::{PrometheusMirror, PrometheusMirrorStatus, TargetStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

pub mod throttle;

use super::apply::Applied;
use super::build::Built;
use super::observe::PodReport;
use super::validate::{Invalid, ValidatedMirror};
use crate::names::OPERATOR;

/// What this reconcile came to.
#[derive(Debug)]
pub enum Outcome<'a> {
    /// The resource cannot be built, or the API server refuses what was built. What ran before
    /// still runs.
    Invalid(&'a Invalid),
    /// `spec.paused`: nothing was looked at.
    Paused,
    /// Everything is as it should be, as far as it is the operator's to write.
    Applied(Box<Progress<'a>>),
}

/// How far the pods are.
#[derive(Debug)]
pub struct Progress<'a> {
    /// The resource.
    pub mirror: &'a ValidatedMirror,
    /// What should be.
    pub built: &'a Built,
    /// What applying it came to.
    pub applied: &'a Applied,
    /// The Deployment as the cache has it.
    pub deployment: Option<&'a DynamicObject>,
    /// What the pods say.
    pub pods: &'a [PodReport],
    /// A pod was told of a changed configuration just now; what it says was said before.
    pub told: bool,
}

/// One condition before its times are known.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    type_: &'static str,
    status: &'static str,
    reason: String,
    message: String,
}

fn finding(
    type_: &'static str,
    status: &'static str,
    reason: &str,
    message: impl Into<String>,
) -> Finding {
    Finding {
        type_,
        status,
        reason: reason.to_owned(),
        message: message.into(),
    }
}

/// Whether more will come by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outlook {
    Settled,
    Reconciling,
    Stalled,
}

/// The status after this reconcile. Equal to `previous` if nothing changed, times included.
#[must_use]
pub fn status(
    outcome: &Outcome,
    previous: &PrometheusMirrorStatus,
    generation: Option<i64>,
    now: Timestamp,
) -> PrometheusMirrorStatus {
    let mut status = previous.clone();
    status.observed_generation = generation;
    let findings = match outcome {
        Outcome::Invalid(invalid) => {
            let mut findings = with_outlook(
                finding("Ready", "False", invalid.reason, &invalid.message),
                Outlook::Stalled,
            );
            findings.push(kept(previous, "TargetsReachable", || {
                finding(
                    "TargetsReachable",
                    "Unknown",
                    "NotAsked",
                    "No pod was asked.",
                )
            }));
            findings
        }
        Outcome::Paused => vec![
            kept(previous, "Ready", || {
                finding(
                    "Ready",
                    "False",
                    "Paused",
                    "Nothing was made before spec.paused was set.",
                )
            }),
            kept(previous, "TargetsReachable", || {
                finding(
                    "TargetsReachable",
                    "Unknown",
                    "NotAsked",
                    "No pod was asked.",
                )
            }),
            finding(
                "Paused",
                "True",
                "Paused",
                "The operator changes nothing until spec.paused is false.",
            ),
        ],
        Outcome::Applied(progress) => {
            let replicas = Replicas::of(progress.deployment);
            status.endpoint = Some(progress.built.endpoint.clone());
            status.selector = Some(progress.built.selector.clone());
            status.replicas = Some(replicas.all);
            status.ready_replicas = Some(replicas.ready);
            status.targets = targets(progress, previous, now);
            let reached = status
                .targets
                .iter()
                .filter(|target| target.reachable == Some(true))
                .count();
            status.reachable_targets = Some(format!("{reached}/{}", status.targets.len()));
            let (ready, outlook) = readiness(progress, &replicas, spreading_lately(previous, now));
            let mut findings = with_outlook(ready, outlook);
            findings.push(reachability(&status.targets));
            if !progress.applied.missing.is_empty() {
                findings.push(finding(
                    "Degraded",
                    "True",
                    "ApiMissing",
                    progress.applied.missing.join("; "),
                ));
            }
            findings
        }
    };
    status.conditions = findings
        .into_iter()
        .map(|finding| condition(finding, previous, generation, now))
        .collect();
    status
}

/// Whether a status tells nothing new but how far things have come, while they are still on their
/// way: numbers and messages, or that a new resource was seen at all. Such a status may wait for
/// the next one.
#[must_use]
pub fn is_progress(before: &PrometheusMirrorStatus, after: &PrometheusMirrorStatus) -> bool {
    let but_progress = |status: &PrometheusMirrorStatus| {
        let mut status = status.clone();
        status.replicas = None;
        status.ready_replicas = None;
        for condition in &mut status.conditions {
            condition.message.clear();
        }
        status
    };
    let reconciling = |condition: &Condition| condition.type_ == "Reconciling";
    after.conditions.iter().any(reconciling)
        && after != before
        && (before.conditions.is_empty() || but_progress(before) == but_progress(after))
}

fn with_outlook(ready: Finding, outlook: Outlook) -> Vec<Finding> {
    let (reason, message) = (ready.reason.clone(), ready.message.clone());
    let mut findings = vec![ready];
    match outlook {
        Outlook::Settled => {}
        Outlook::Reconciling => findings.push(finding("Reconciling", "True", &reason, message)),
        Outlook::Stalled => findings.push(finding("Stalled", "True", &reason, message)),
    }
    findings
}

/// A condition that this reconcile found out nothing about.
fn kept(
    previous: &PrometheusMirrorStatus,
    type_: &'static str,
    otherwise: impl FnOnce() -> Finding,
) -> Finding {
    let found = previous
        .conditions
        .iter()
        .find(|condition| condition.type_ == type_);
    found.map_or_else(otherwise, |condition| {
        let status = match condition.status.as_str() {
            "True" => "True",
            "False" => "False",
            _ => "Unknown",
        };
        finding(type_, status, &condition.reason, &condition.message)
    })
}

fn condition(
    found: Finding,
    previous: &PrometheusMirrorStatus,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    let before = previous
        .conditions
        .iter()
        .find(|condition| condition.type_ == found.type_ && condition.status == found.status);
    Condition {
        type_: found.type_.to_owned(),
        status: found.status.to_owned(),
        reason: found.reason,
        message: shortened(found.message, 4096),
        observed_generation: generation,
        last_transition_time: before.map_or_else(
            || Time(whole_second(now)),
            |before| before.last_transition_time.clone(),
        ),
    }
}

/// Times are stored in whole seconds; what is compared must be what comes back.
fn whole_second(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

fn shortened(text: String, most: usize) -> String {
    if text.chars().count() <= most {
        text
    } else {
        text.chars().take(most - 1).chain(['…']).collect()
    }
}

/// The Deployment's numbers.
struct Replicas {
    wanted: i32,
    all: i32,
    ready: i32,
    updated: i32,
    /// The Deployment controller has seen the present template.
    current: bool,
    /// It gave up.
    deadline_exceeded: bool,
}

impl Replicas {
    fn of(deployment: Option<&DynamicObject>) -> Self {
        let nothing = Value::Null;
        let data = deployment.map_or(&nothing, |deployment| &deployment.data);
        let number = |value: &Value| {
            value
                .as_i64()
                .and_then(|number| i32::try_from(number).ok())
                .unwrap_or_default()
        };
        let status = &data["status"];
        let observed = status["observedGeneration"].as_i64();
        let conditions = status["conditions"].as_array().into_iter().flatten();
        Self {
            wanted: number(&data["spec"]["replicas"]),
            all: number(&status["replicas"]),
            ready: number(&status["readyReplicas"]),
            updated: number(&status["updatedReplicas"]),
            current: deployment
                .is_some_and(|deployment| observed >= deployment.metadata.generation),
            deadline_exceeded: conditions.into_iter().any(|condition| {
                condition["type"] == "Progressing"
                    && condition["reason"] == "ProgressDeadlineExceeded"
            }),
        }
    }
}

/// The first cause there is, from the one nearest to the user's hands to the one that only takes
/// time.
fn readiness(progress: &Progress, replicas: &Replicas, spreading: bool) -> (Finding, Outlook) {
    let no = |reason: &str, message: String, outlook| {
        (finding("Ready", "False", reason, message), outlook)
    };
    if let Some(taken) = progress.applied.taken.first() {
        let message = format!(
            "{taken} exists and does not belong to this resource; it is left alone. Delete it, or give this resource another name."
        );
        return no("NameTaken", message, Outlook::Stalled);
    }
    if let Some(leaving) = progress.applied.leaving.first() {
        let message = format!("Waiting for an earlier {leaving} to be gone.");
        return no("Replacing", message, Outlook::Reconciling);
    }
    let written = |kind: &str| {
        progress
            .applied
            .written
            .iter()
            .any(|write| write.object.starts_with(kind))
    };
    if progress.deployment.is_none() || written("Deployment ") || !replicas.current {
        return no(
            "RollingOut",
            "The Deployment is being brought up to date.".to_owned(),
            Outlook::Reconciling,
        );
    }
    if replicas.wanted == 0 {
        return no(
            "ScaledToZero",
            "No pod is wanted, so nobody answers.".to_owned(),
            Outlook::Settled,
        );
    }
    if let Some((pod, trouble)) = progress
        .pods
        .iter()
        .find_map(|pod| Some((&pod.name, pod.trouble.as_ref()?)))
    {
        // Exit code 1 is the mirror's own word: it cannot serve this configuration. 137 is the
        // kernel's.
        let refused = trouble.starts_with("ended with exit code 1:");
        let (reason, outlook) = match refused {
            true => ("ConfigurationRefused", Outlook::Stalled),
            false if replicas.deadline_exceeded => ("PodsFailing", Outlook::Stalled),
            false => ("PodsFailing", Outlook::Reconciling),
        };
        return no(reason, format!("Pod {pod}: {trouble}"), outlook);
    }
    if replicas.updated < replicas.wanted
        || replicas.ready < replicas.wanted
        || replicas.all > replicas.wanted
    {
        let Replicas {
            wanted,
            ready,
            updated,
            all,
            ..
        } = replicas;
        let message =
            format!("{updated} of {wanted} pods are up to date, {ready} are ready, {all} exist.");
        let outlook = if replicas.deadline_exceeded {
            Outlook::Stalled
        } else {
            Outlook::Reconciling
        };
        return no("RollingOut", message, outlook);
    }
    let refusing = |pod: &&PodReport| {
        pod.answer
            .as_ref()
            .is_some_and(|answer| answer.newer_document_refused)
    };
    if let Some(pod) = progress.pods.iter().find(refusing) {
        let message = format!(
            "Pod {} refuses the current configuration and keeps serving the one before: kubectl logs -n {} {} says why.",
            pod.name, progress.mirror.namespace, pod.name
        );
        return no("ConfigurationRefused", message, Outlook::Stalled);
    }
    let current = |pod: &&PodReport| {
        let serves = pod
            .answer
            .as_ref()
            .is_some_and(|answer| answer.document.as_ref() == Some(&progress.built.document.hash));
        serves && is_told(pod, &progress.built.document.configuration)
    };
    let serving = progress.pods.iter().filter(current).count();
    if i32::try_from(serving) != Ok(replicas.wanted) {
        let message = format!(
            "{serving} of {} pods serve the current configuration.",
            replicas.wanted
        );
        return no("ConfigurationSpreading", message, Outlook::Reconciling);
    }
    if progress.told || spreading {
        let message = "Pods have been told to read their configuration again.".to_owned();
        return no("ConfigurationSpreading", message, Outlook::Reconciling);
    }
    let mut message = format!("{serving} of {serving} pods serve the current configuration.");
    let answers = progress.pods.iter().filter_map(|pod| pod.answer.as_ref());
    let noted = answers
        .map(|answer| &answer.notices)
        .find(|notices| !notices.is_empty());
    if let Some(notices) = noted {
        // They do not stop anything from working, so they do not change the condition.
        message = format!("{message} Note: {}", notices.join("; "));
    }
    (
        finding("Ready", "True", "Serving", message),
        Outlook::Settled,
    )
}

/// A pod says which document it serves, but of a Secret it only says when it refuses one. So long
/// after pods were told, what they say counts: the kubelet brings them the Secret in about two
/// seconds, and they look each second.
const SPREADING: i64 = 5;

/// Whether pods were told of a changed configuration less than [`SPREADING`] seconds ago.
fn spreading_lately(previous: &PrometheusMirrorStatus, now: Timestamp) -> bool {
    previous.conditions.iter().any(|condition| {
        condition.type_ == "Reconciling"
            && condition.reason == "ConfigurationSpreading"
            && now.as_second() - condition.last_transition_time.0.as_second() < SPREADING
    })
}

/// Whether a pod was told of this configuration.
pub(super) fn is_told(pod: &PodReport, configuration: &str) -> bool {
    pod.told
        .as_deref()
        .is_some_and(|told| told.split('.').next() == Some(configuration))
}

fn targets(
    progress: &Progress,
    previous: &PrometheusMirrorStatus,
    now: Timestamp,
) -> Vec<TargetStatus> {
    let answers = || {
        progress
            .pods
            .iter()
            .filter_map(|pod| Some((&pod.name, pod.answer.as_ref()?)))
    };
    let of_target = |declared: &crds::Target| {
        let seen: Vec<_> = answers()
            .flat_map(|(pod, answer)| answer.targets.iter().map(move |target| (pod, target)))
            .filter(|(_, target)| target.name == declared.name)
            .collect();
        let unreachable = seen
            .iter()
            .find(|(_, target)| target.reachable == Some(false));
        let all = !seen.is_empty()
            && seen.len() == answers().count()
            && seen
                .iter()
                .all(|(_, target)| target.reachable == Some(true));
        let before = previous
            .targets
            .iter()
            .find(|target| target.name == declared.name);
        let same_server = before.filter(|before| {
            before.url.as_deref() == declared.url.as_ref().map(|url| url.0.as_str())
        });
        let mut target = TargetStatus {
            name: declared.name.clone(),
            url: declared.url.as_ref().map(|url| url.0.clone()),
            reachable: if unreachable.is_some() {
                Some(false)
            } else {
                all.then_some(true)
            },
            version: seen
                .iter()
                .find_map(|(_, target)| target.version.clone())
                // A server that does not answer has not lost its version.
                .or_else(|| same_server.and_then(|before| before.version.clone())),
            message: unreachable
                .and_then(|(_, target)| target.message.clone())
                .or_else(|| {
                    let noted = seen.iter().find(|(_, target)| !target.notices.is_empty());
                    noted.map(|(_, target)| target.notices.join("; "))
                })
                .map(|message| shortened(message, 1024)),
            last_probe_time: before.and_then(|before| before.last_probe_time.clone()),
        };
        // The time of the last change, not of the last look: a look that finds nothing new writes
        // nothing.
        if before != Some(&target) {
            target.last_probe_time = target.reachable.map(|_| Time(whole_second(now)));
        }
        target
    };
    progress.mirror.spec.targets.iter().map(of_target).collect()
}

fn reachability(targets: &[TargetStatus]) -> Finding {
    let unreachable: Vec<_> = targets
        .iter()
        .filter(|target| target.reachable == Some(false))
        .map(|target| {
            format!(
                "{}: {}",
                target.name,
                target.message.as_deref().unwrap_or("not reachable")
            )
        })
        .collect();
    let reached = targets
        .iter()
        .filter(|target| target.reachable == Some(true))
        .count();
    if !unreachable.is_empty() {
        finding(
            "TargetsReachable",
            "False",
            "Unreachable",
            unreachable.join("; "),
        )
    } else if reached < targets.len() {
        finding(
            "TargetsReachable",
            "Unknown",
            "NotAsked",
            "Not every pod has said what it reaches.",
        )
    } else {
        finding(
            "TargetsReachable",
            "True",
            "Reachable",
            format!("Every pod reaches all {reached} targets."),
        )
    }
}

/// Writes a status.
///
/// # Errors
/// If the request fails. A resource that is gone is no error.
pub async fn write(
    client: &Client,
    object: &DynamicObject,
    status: &PrometheusMirrorStatus,
) -> kube::Result<()> {
    let api: Api<PrometheusMirror> =
        Api::namespaced(client.clone(), &object.namespace().unwrap_or_default());
    let patch = json!({
        "apiVersion": crds::API_VERSION,
        "kind": crds::KIND,
        // With its uid, or a status could land on a resource of the same name that came later.
        "metadata": { "name": object.name_any(), "uid": object.metadata.uid },
        "status": status,
    });
    match api
        .patch_status(
            &object.name_any(),
            &PatchParams::apply(OPERATOR).force(),
            &Patch::Apply(patch),
        )
        .await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(answer)) if [404, 409].contains(&answer.code) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
