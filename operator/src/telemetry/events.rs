//! Events: what `kubectl describe` shows of what changed and of what is wrong.

use crds::{ConditionType, PrometheusMirrorStatus, Reason};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource as _;
use kube::api::DynamicObject;
use kube::runtime::events::{Event, EventType, Recorder};

use crate::cluster::kind::mirror_resource;
use crate::cluster::written::{Change, Written};

/// The events of one reconcile. Conditions that stay as they are make none.
#[must_use]
pub fn events(
    before: &PrometheusMirrorStatus,
    after: &PrometheusMirrorStatus,
    written: &[Written],
) -> Vec<Event> {
    let mut events = Vec::new();
    for change in Change::ALL {
        let objects: Vec<_> = written
            .iter()
            .filter(|write| write.change == change)
            .map(|write| write.object.to_string())
            .collect();
        if !objects.is_empty() {
            let reason = change.as_str();
            let note = format!("{reason} {}", objects.join(", "));
            events.push(event(EventType::Normal, reason, "Apply", note));
        }
    }
    let types = [
        ConditionType::Ready,
        ConditionType::TargetsReachable,
        ConditionType::Degraded,
        ConditionType::SidecarsCurrent,
    ];
    let changed = after.conditions.iter().filter(|condition| {
        let mut reported = types.iter();
        reported.any(|type_| condition.type_ == type_.as_str()) && is_news(before, condition)
    });
    for condition in changed {
        if let Some(type_) = importance(before, after, condition) {
            let note = condition.message.clone();
            events.push(event(type_, &condition.reason, "Reconcile", note));
        }
    }
    events
}

/// The event of a pod that was evicted because of its sidecar.
#[must_use]
pub fn evicted(pod: &str) -> Event {
    let note = format!("Evicted Pod {pod}, which had no sidecar or an older one");
    event(EventType::Normal, "Restarted", "Restart", note)
}

/// The event of a resource that another operator looks after, too.
#[must_use]
pub fn another_operator(another: &str, ours: &str) -> Event {
    let note = format!(
        "Operator {another} looks after this resource, so {ours} stands back. Uninstall one of \
         them, or let them watch different namespaces"
    );
    event(EventType::Warning, "AnotherOperator", "Claim", note)
}

fn is_news(before: &PrometheusMirrorStatus, condition: &Condition) -> bool {
    let known = before.conditions.iter().any(|before| {
        before.type_ == condition.type_
            && before.status == condition.status
            && before.reason == condition.reason
    });
    !known && condition.status != "Unknown"
}

/// How a changed condition is reported, if it is.
fn importance(
    before: &PrometheusMirrorStatus,
    after: &PrometheusMirrorStatus,
    condition: &Condition,
) -> Option<EventType> {
    let also = |type_: ConditionType| {
        let other = after.condition(type_);
        other.is_some_and(|other| other.reason == condition.reason)
    };
    let is_of = |type_: ConditionType| condition.type_ == type_.as_str();
    let of_targets = is_of(ConditionType::TargetsReachable);
    let of_sidecars = is_of(ConditionType::SidecarsCurrent);
    if of_sidecars && also(ConditionType::Ready) {
        // Ready says the same.
        return None;
    }
    let is_wrong = if of_targets || of_sidecars {
        condition.status == "False"
    } else if condition.type_ == ConditionType::Ready.as_str() {
        let harmful = [
            Reason::PodsFailing,
            Reason::PodsRefused,
            Reason::ApplyFailing,
        ];
        also(ConditionType::Stalled) || harmful.iter().any(|it| it.as_str() == condition.reason)
    } else {
        true
    };
    if is_wrong {
        return Some(EventType::Warning);
    }
    let was_false = || {
        let mut earlier = before.conditions.iter();
        earlier.any(|it| it.type_ == condition.type_ && it.status == "False")
    };
    if (of_targets || of_sidecars) && !was_false() {
        // It is news only after a target was not reachable, or a sidecar not current: that a new
        // resource serves is said once.
        return None;
    }
    // A stage on the way is in the condition. An event for each would double what a new resource
    // costs the API server.
    (!also(ConditionType::Reconciling)).then_some(EventType::Normal)
}

fn event(type_: EventType, reason: &str, action: &str, note: String) -> Event {
    let note = cut(note);
    Event {
        type_,
        reason: reason.to_owned(),
        note: Some(note),
        action: action.to_owned(),
        secondary: None,
    }
}

/// A note, no longer than the API server takes: it counts bytes, and refuses an event with a longer
/// one.
fn cut(mut note: String) -> String {
    const LONGEST: usize = 1024;
    if note.len() > LONGEST {
        note.truncate(note.floor_char_boundary(LONGEST - '…'.len_utf8()));
        note.push('…');
    }
    note
}

/// Publishes events. A failure is logged: nothing depends on them.
pub async fn publish(recorder: &Recorder, object: &DynamicObject, events: Vec<Event>) {
    let reference = object.object_ref(&mirror_resource());
    for event in events {
        if let Err(error) = recorder.publish(&event, &reference).await {
            tracing::warn!(%error, reason = event.reason, "cannot publish an event");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(conditions: &[(&str, &str, &str)]) -> PrometheusMirrorStatus {
        let condition = |(type_, status, reason): &(&str, &str, &str)| -> Value {
            json!({"type": type_, "status": status, "reason": reason, "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let conditions: Vec<_> = conditions.iter().map(condition).collect();
        serde_json::from_value(json!({ "conditions": conditions })).unwrap()
    }

    fn reported(
        before: &[(&str, &str, &str)],
        after: &[(&str, &str, &str)],
    ) -> Vec<(bool, String)> {
        let events = events(&status(before), &status(after), &[]);
        let summary = |event: Event| (event.type_ == EventType::Warning, event.reason);
        events.into_iter().map(summary).collect()
    }

    #[test]
    fn a_note_is_cut_to_the_bytes_that_the_api_server_takes() {
        let note = |text: String| event(EventType::Normal, "Reason", "Action", text).note;
        let cut = note("ü".repeat(600)).unwrap();
        assert!(cut.len() <= 1024 && cut.ends_with("üü…"), "{}", cut.len());
        assert_eq!(note("x".repeat(1024)), Some("x".repeat(1024)));
    }

    #[test]
    fn results_and_faults_are_reported_once_and_stages_are_not() {
        let rolling = [
            ("Ready", "False", "RollingOut"),
            ("Reconciling", "True", "RollingOut"),
        ];
        let failing = [
            ("Ready", "False", "PodsFailing"),
            ("Reconciling", "True", "PodsFailing"),
        ];
        let stalled = [
            ("Ready", "False", "SecretMissing"),
            ("Stalled", "True", "SecretMissing"),
        ];
        let ready = [("Ready", "True", "Serving")];
        assert_eq!(reported(&[], &rolling), []);
        assert_eq!(reported(&rolling, &ready), [(false, "Serving".to_owned())]);
        assert_eq!(reported(&ready, &ready), []);
        assert_eq!(
            reported(&ready, &failing),
            [(true, "PodsFailing".to_owned())]
        );
        assert_eq!(
            reported(&ready, &stalled),
            [(true, "SecretMissing".to_owned())]
        );
        let reachable = [ready[0], ("TargetsReachable", "True", "Reachable")];
        let unreachable = [ready[0], ("TargetsReachable", "False", "Unreachable")];
        assert_eq!(
            reported(&rolling, &reachable),
            [(false, "Serving".to_owned())]
        );
        assert_eq!(
            reported(&reachable, &unreachable),
            [(true, "Unreachable".to_owned())]
        );
        assert_eq!(
            reported(&unreachable, &reachable),
            [(false, "Reachable".to_owned())]
        );
        let zero = [("Ready", "False", "ScaledToZero")];
        assert_eq!(
            reported(&ready, &zero),
            [(false, "ScaledToZero".to_owned())]
        );
    }
}
