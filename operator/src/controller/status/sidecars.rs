//! What the pods with sidecars come to: whether the resource is ready in mode Sidecar, and whether
//! the sidecars are the current ones.

use std::collections::HashMap;

use crds::contract::{SIDECAR_CONTAINER, SIDECAR_VOLUME, labels};
use crds::{ConditionType, LocalName, PrometheusMirrorStatus, Reason, SidecarStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::Progress;
use super::conditions::{Finding, Truth, whole_second};
use super::ready::{self, Expectation, Numbers, Readiness};
use super::silence;
use crate::controller::build::Sidecar;
use crate::controller::injection::Injects;
use crate::controller::observe::MOST_LABELLED;
use crate::controller::restart::{Restart, replaces};
use crate::controller::sidecars::{SidecarPod, Sidecars, State, rendered_at};

/// So many pods are named in a message.
const MOST_NAMES: usize = 3;

/// The numbers of the pods with the label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) labelled: i32,
    pub(super) injected: i32,
    pub(super) current: i32,
    pub(super) ready: i32,
    pub(super) serving: i32,
    pub(super) unasked: i32,
}

impl Counts {
    pub(super) fn of(progress: &Progress) -> Self {
        let Some(sidecars) = &progress.sidecars else {
            return Self::default();
        };
        // Anybody may label pods: there can be thousands.
        let reports: HashMap<_, _> = progress
            .pods
            .iter()
            .map(|report| (report.name.as_str(), report))
            .collect();
        let mut counts = Self {
            unasked: i32::try_from(sidecars.unasked).unwrap_or(i32::MAX),
            ..Self::default()
        };
        for pod in sidecars.staying() {
            let report = reports.get(pod.name.as_str());
            let serves = report.is_some_and(|report| ready::is_current(progress, report));
            counts.labelled += 1;
            counts.injected += i32::from(pod.has_sidecar);
            counts.current += i32::from(pod.state == State::Current);
            counts.ready += i32::from(pod.is_ready && pod.has_sidecar);
            counts.serving += i32::from(pod.is_ready && serves);
        }
        counts
    }

    /// Those of an earlier status, if nothing was counted.
    pub(super) fn known(previous: &PrometheusMirrorStatus) -> Self {
        let before = previous.sidecar.as_ref();
        before.map_or_else(Self::default, |before| Self {
            labelled: before.labelled,
            injected: before.injected,
            current: before.current,
            ready: 0,
            serving: before.serving,
            unasked: before.unasked,
        })
    }
}

/// The part of the status for the policy, with the counts.
pub(super) fn status(
    sidecar: &Sidecar,
    counts: Counts,
    previous: &PrometheusMirrorStatus,
    now: Timestamp,
) -> SidecarStatus {
    let before = rendered_at(previous, &sidecar.hash);
    SidecarStatus {
        hash: sidecar.hash.clone(),
        container: sidecar.container.clone(),
        volumes: sidecar.volumes.clone(),
        image_pull_secrets: named(&sidecar.pull_secrets),
        rendered_at: Some(Time(before.unwrap_or_else(|| whole_second(now)))),
        labelled: counts.labelled,
        injected: counts.injected,
        current: counts.current,
        serving: counts.serving,
        unasked: counts.unasked,
    }
}

fn named(secrets: &[String]) -> Vec<LocalName> {
    let names = secrets.iter();
    names.map(|name| LocalName { name: name.clone() }).collect()
}

/// Judges a mirror by its children first, then by the pods that should carry it.
pub(super) fn readiness(
    progress: &Progress,
    sidecars: &Sidecars,
    previous: &PrometheusMirrorStatus,
    now: Timestamp,
) -> Readiness {
    let spreading = ready::spreading_lately(previous, now);
    let counts = Counts::of(progress);
    let numbers = Numbers {
        wanted: counts.labelled,
        ready: counts.ready,
    };
    let asked = counts.labelled - counts.unasked;
    let mut readiness = ready::conflict(&progress.applied)
        .or_else(|| no_pods(progress, sidecars, now))
        .or_else(|| not_carried(progress, sidecars))
        .or_else(|| ready::failing_pod(progress, Expectation::Reconciling))
        .or_else(|| not_ready(progress, (sidecars, counts), now))
        .or_else(|| silence::judge(progress, numbers, previous, now, spreading))
        .or_else(|| ready::configuration(progress, asked, spreading))
        .unwrap_or_else(|| ready::serving(progress, asked));
    if counts.unasked > 0 {
        let Counts {
            injected, unasked, ..
        } = counts;
        readiness.message += &format!(
            " Of {injected} pods with a sidecar, {} were asked and {unasked} were not: the operator asks {MOST_LABELLED} at most.",
            injected - unasked
        );
    }
    readiness
}

/// Nobody asks for the sidecar.
fn no_pods(progress: &Progress, sidecars: &Sidecars, now: Timestamp) -> Option<Readiness> {
    if sidecars.staying().next().is_some() {
        return None;
    }
    let mirror = &progress.mirror;
    let mut message = format!(
        "No pod in namespace {} carries the label {}: {}. Add it to the pod template of Prometheus.",
        mirror.namespace,
        labels::INJECT,
        mirror.name
    );
    if let Some(by_hand) = by_hand(progress, sidecars) {
        message = format!("{message} {by_hand}");
    }
    message += &ready::ended_lately(progress, now).unwrap_or_default();
    let settled = Expectation::Settled;
    Some(Readiness::not(Reason::NoPods, settled, message))
}

/// Pods without a mirror.
fn not_carried(progress: &Progress, sidecars: &Sidecars) -> Option<Readiness> {
    let found = [
        Reason::ContainerNameTaken,
        Reason::PortTaken,
        Reason::SidecarMissing,
    ]
    .into_iter()
    .find_map(|reason| found(progress, sidecars, reason));
    let (reason, message) = found?;
    let is_missing = [Reason::SidecarMissing, Reason::InjectionUnavailable].contains(&reason);
    let expectation = match progress.restart {
        Restart::Evicted(_) | Restart::Waiting(_) if is_missing => Expectation::Reconciling,
        _ => Expectation::Stalled,
    };
    Some(Readiness::not(reason, expectation, message))
}

/// Pods with the sidecar that are not ready.
fn not_ready(
    progress: &Progress,
    (sidecars, counts): (&Sidecars, Counts),
    now: Timestamp,
) -> Option<Readiness> {
    let waiting = names(sidecars, |pod| !pod.is_ready)?;
    let mut message = format!(
        "{} of {} pods with the sidecar are ready; not ready: {waiting}.",
        counts.ready, counts.labelled
    );
    let mut pods = sidecars.staying().filter(|pod| !pod.is_ready);
    if let Some((pod, problem)) = pods.find_map(|pod| Some((pod, pod.beside.as_ref()?))) {
        message += &format!(" Pod {}: {problem}", pod.name);
    }
    message += &ready::ended_lately(progress, now).unwrap_or_default();
    let reconciling = Expectation::Reconciling;
    Some(Readiness::not(Reason::PodsNotReady, reconciling, message))
}

/// `SidecarsCurrent`.
pub(super) fn current(progress: &Progress, sidecars: &Sidecars) -> Finding {
    let type_ = ConditionType::SidecarsCurrent;
    if sidecars.staying().next().is_none() {
        let message = "No pod carries the label.";
        return Finding::new(type_, Truth::Unknown, Reason::NoPods, message);
    }
    let reasons = [
        Reason::ContainerNameTaken,
        Reason::PortTaken,
        Reason::SidecarMissing,
        Reason::SidecarOutdated,
    ];
    let found: Vec<_> = reasons
        .into_iter()
        .filter_map(|reason| found(progress, sidecars, reason))
        .collect();
    let Some((reason, _)) = found.first() else {
        if progress.restart != Restart::Nothing {
            let message = "A pod is being restarted to get the current sidecar.";
            return Finding::new(type_, Truth::False, Reason::SidecarOutdated, message);
        }
        let message = "Every labelled pod has the current sidecar.";
        return Finding::new(type_, Truth::True, Reason::UpToDate, message);
    };
    let messages: Vec<_> = found.iter().map(|(_, message)| message.as_str()).collect();
    let mut message = messages.join(" ");
    if let Restart::Waiting(why) = &progress.restart {
        let why = why.trim_end_matches('.');
        message = format!("{message} The next restart waits: {why}.");
    }
    Finding::new(type_, Truth::False, *reason, message)
}

/// The pods in a state that has this reason, in words; the reason may be a more specific one.
fn found(progress: &Progress, sidecars: &Sidecars, reason: Reason) -> Option<(Reason, String)> {
    match reason {
        Reason::ContainerNameTaken => name_taken(sidecars).map(|message| (reason, message)),
        Reason::PortTaken => port_taken(progress, sidecars).map(|message| (reason, message)),
        Reason::SidecarMissing => missing(progress, sidecars),
        _ => outdated(progress, sidecars).map(|message| (Reason::SidecarOutdated, message)),
    }
}

fn name_taken(sidecars: &Sidecars) -> Option<String> {
    let named = |state: State| names(sidecars, |pod| pod.state == state);
    let container = named(State::NameTaken).map(|pods| {
        format!(
            "A container named {SIDECAR_CONTAINER} that is not a mirror is in {pods}; the pod gets no sidecar. Rename that container."
        )
    });
    let volume = named(State::VolumeTaken).map(|pods| {
        format!(
            "A volume named {SIDECAR_VOLUME} is in {pods}; the pod gets no sidecar. Rename that volume."
        )
    });
    let all: Vec<_> = container.into_iter().chain(volume).collect();
    (!all.is_empty()).then(|| all.join(" "))
}

fn port_taken(progress: &Progress, sidecars: &Sidecars) -> Option<String> {
    let pods = names(sidecars, |pod| matches!(pod.state, State::PortTaken(_)))?;
    let port = sidecars.staying().find_map(|pod| match &pod.state {
        State::PortTaken(port) => Some(port),
        _ => None,
    })?;
    Some(format!(
        "Container {} declares port {}, but the mirror needs ports {} and {}: {pods}. Change spec.port, or that container.",
        port.container,
        port.number,
        progress.mirror.spec.port,
        crds::contract::ADMIN_PORT_NUMBER
    ))
}

fn missing(progress: &Progress, sidecars: &Sidecars) -> Option<(Reason, String)> {
    let is_missing = |pod: &SidecarPod| pod.state == State::Missing;
    let pods = names(sidecars, is_missing)?;
    if let Some(by_hand) = by_hand(progress, sidecars) {
        let message = format!("No sidecar: {pods}. {by_hand}");
        return Some((Reason::InjectionUnavailable, message));
    }
    let is_new = |pod: &SidecarPod| {
        is_missing(pod) && sidecars.rendered_at.is_some() && !sidecars.is_from_before(pod)
    };
    let message = match names(sidecars, is_new) {
        Some(new) => format!(
            "No sidecar: {pods}. The policy added none to {new}, although this resource existed before: check the MutatingAdmissionPolicy and its binding."
        ),
        None => format!(
            "No sidecar: {pods}. {}",
            restart_them(progress, sidecars, State::Missing)
        ),
    };
    Some((Reason::SidecarMissing, message))
}

fn outdated(progress: &Progress, sidecars: &Sidecars) -> Option<String> {
    let old = names(sidecars, |pod| pod.state == State::Outdated).map(|pods| {
        let advice = by_hand(progress, sidecars)
            .unwrap_or_else(|| restart_them(progress, sidecars, State::Outdated));
        format!("An older sidecar: {pods}. {advice}")
    });
    let differing = names(sidecars, |pod| pod.state == State::Differs).map(|pods| {
        format!(
            "A sidecar that is not the current one is in the pod template of {pods}: {}",
            what_to_paste(progress)
        )
    });
    let all: Vec<_> = [old, differing].into_iter().flatten().collect();
    (!all.is_empty()).then(|| all.join(" "))
}

/// What helps pods in this state.
fn restart_them(progress: &Progress, sidecars: &Sidecars, state: State) -> String {
    let asked = progress.mirror.spec.sidecar.as_ref();
    if !asked.is_some_and(|asked| asked.restart_pods) {
        return "Restart them, or set spec.sidecar.restartPods.".to_owned();
    }
    let is_replaced = |pod: &SidecarPod| pod.owner.as_ref().is_some_and(replaces);
    let by_operator = names(sidecars, |pod| pod.state == state && is_replaced(pod));
    let by_hand = names(sidecars, |pod| pod.state == state && !is_replaced(pod));
    let by_operator = by_operator.map(|_| "The operator restarts one at a time.".to_owned());
    let by_hand = by_hand.map(|pods| {
        format!(
            "Create again by hand: {pods}. Only a StatefulSet, a ReplicaSet or a DaemonSet replaces a pod that the operator evicts."
        )
    });
    let all: Vec<_> = by_operator.into_iter().chain(by_hand).collect();
    all.join(" ")
}

/// What to do where nothing adds sidecars.
fn by_hand(progress: &Progress, sidecars: &Sidecars) -> Option<String> {
    let why = match sidecars.injects {
        Injects::Yes => return None,
        Injects::NoApi => {
            "This cluster has no MutatingAdmissionPolicy v1 (Kubernetes 1.36) that could add one:"
        }
        Injects::NoPolicy => {
            "No policy of this cluster adds one: install it with the operator's chart (sidecar.injection) or dist/sidecar-injection.yaml, and restart the pods then. Without it,"
        }
    };
    Some(format!("{why} {}", what_to_paste(progress)))
}

fn what_to_paste(progress: &Progress) -> String {
    let mirror = &progress.mirror;
    format!(
        "prometheus-mirror-operator sidecar {} -n {} prints what belongs there.",
        mirror.name, mirror.namespace
    )
}

/// The names of pods, a few of them in words; none if there are none.
fn names(sidecars: &Sidecars, is: impl Fn(&SidecarPod) -> bool) -> Option<String> {
    let all: Vec<_> = sidecars
        .staying()
        .filter(|pod| is(pod))
        .map(|pod| pod.name.as_str())
        .collect();
    let shown = all.get(..MOST_NAMES).unwrap_or(&all).join(", ");
    match all.len() {
        0 => None,
        1 => Some(format!("Pod {shown}")),
        number if number > MOST_NAMES => {
            Some(format!("Pods {shown} and {} more", number - MOST_NAMES))
        }
        _ => Some(format!("Pods {shown}")),
    }
}
