//! Pods that are ready for Kubernetes and say nothing to the operator: a service mesh or a network
//! policy is in the way, or the operator shall not ask.

use crds::{ConditionType, PodChecks, PrometheusMirrorStatus, Reason};
use k8s_openapi::jiff::Timestamp;

use super::ready::{Expectation, Numbers, Readiness, notified_lately};
use super::{Progress, reconciling_for};
use crate::controller::observe::PodReport;

/// So many seconds a pod that is ready may be silent: at once after its start, it may be busy.
const PAUSE: i64 = 5;
/// After so many seconds it is said that pods do not answer.
const LONG: i64 = 20;
/// After so many seconds without any answer, Kubernetes' own readiness decides.
const TOO_LONG: i64 = 120;

/// Judges a mirror with pods that do not say what they serve. None if they answer, or may still.
pub(super) fn judge(
    progress: &Progress,
    numbers: Numbers,
    previous: &PrometheusMirrorStatus,
    now: Timestamp,
    spreading: bool,
) -> Option<Readiness> {
    let pods = &progress.pods;
    let checks = progress.mirror.spec.pod_checks;
    if checks == PodChecks::Never {
        return notified_lately(progress, spreading)
            .or_else(|| Some(unchecked(numbers, "spec.podChecks is Never")));
    }
    let silent: Vec<_> = pods.iter().filter(|pod| pod.answer.is_none()).collect();
    let shortest = silent.iter().map(|pod| ready_for(pod, now)).min()?;
    let all = silent.len() == pods.len();
    let lasts = reconciling_for(previous, now);
    if checks == PodChecks::Auto && all {
        let meshed = pods.iter().all(|pod| pod.is_meshed) && shortest >= PAUSE;
        let unchecked_before = previous.is_because(ConditionType::Ready, Reason::ServingUnchecked);
        let before = unchecked_before && shortest >= PAUSE;
        if meshed || before || shortest.min(lasts) >= TOO_LONG {
            let why = format!("they do not answer on port 9901 ({})", cause(&silent));
            return notified_lately(progress, spreading).or_else(|| Some(unchecked(numbers, &why)));
        }
    }
    (shortest.min(lasts) >= LONG).then(|| {
        let message = format!(
            "The pods are ready for Kubernetes, but {} of {} do not answer the operator on port 9901: {}. Is a NetworkPolicy or a service mesh in the way? (hint: let the operator's namespace reach port 9901, or set spec.podChecks: Never)",
            silent.len(),
            pods.len(),
            cause(&silent)
        );
        Readiness::not(Reason::PodsNotAnswering, Expectation::Reconciling, message)
    })
}

/// Ready, as far as Kubernetes knows.
fn unchecked(numbers: Numbers, why: &str) -> Readiness {
    let Numbers { wanted, ready } = numbers;
    Readiness {
        is_ready: true,
        reason: Reason::ServingUnchecked,
        message: format!(
            "{ready} of {wanted} pods are ready for Kubernetes. What they serve is not known: {why}."
        ),
        expectation: Expectation::Settled,
    }
}

/// For how many seconds Kubernetes has called a pod ready.
fn ready_for(pod: &PodReport, now: Timestamp) -> i64 {
    let since = pod.ready_since;
    since.map_or(0, |since| now.as_second() - since.as_second())
}

/// Why the first of them does not answer.
fn cause(silent: &[&PodReport]) -> String {
    let mut causes = silent.iter().filter_map(|pod| {
        let silence = pod.silence.as_ref()?;
        Some(format!("{}: {silence}", pod.name))
    });
    causes.next().unwrap_or_else(|| "no address".to_owned())
}
