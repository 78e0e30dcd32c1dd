//! Events: what `kubectl describe` shows of what changed and of what is wrong.

use crds::PrometheusMirrorStatus;
use kube::Resource as _;
use kube::api::DynamicObject;
use kube::runtime::events::{Event, EventType, Recorder};

use crate::cluster::written::{Change, Written};
use crate::names::mirror_resource;

/// The events of one reconcile. Conditions that stay as they are make none.
#[must_use]
pub fn events(
    before: &PrometheusMirrorStatus,
    after: &PrometheusMirrorStatus,
    written: &[Written],
) -> Vec<Event> {
    let mut events = Vec::new();
    for (change, reason) in [
        (Change::Created, "Created"),
        (Change::Updated, "Updated"),
        (Change::Deleted, "Deleted"),
    ] {
        let objects: Vec<_> = written
            .iter()
            .filter(|write| write.what == change)
            .map(|write| write.object.as_str())
            .collect();
        if !objects.is_empty() {
            events.push(event(
                EventType::Normal,
                reason,
                "Apply",
                format!("{reason} {}", objects.join(", ")),
            ));
        }
    }
    for condition in after.conditions.iter().filter(|condition| {
        ["Ready", "TargetsReachable", "Degraded"].contains(&condition.type_.as_str())
    }) {
        let known = before.conditions.iter().any(|before| {
            before.type_ == condition.type_
                && before.status == condition.status
                && before.reason == condition.reason
        });
        if known || condition.status == "Unknown" {
            continue;
        }
        let also = |type_: &str| {
            let mut others = after.conditions.iter();
            others.any(|other| other.type_ == type_ && other.reason == condition.reason)
        };
        let stalled = also("Stalled");
        let wrong = match condition.type_.as_str() {
            "Ready" => stalled || condition.reason == "PodsFailing",
            "TargetsReachable" => condition.status == "False",
            _ => true,
        };
        let was = |status: &str| {
            let mut earlier = before.conditions.iter();
            earlier.any(|before| before.type_ == condition.type_ && before.status == status)
        };
        if condition.type_ == "TargetsReachable" && !wrong && !was("False") {
            // It is news only after a target was not reachable: that a new resource serves is said
            // once.
            continue;
        }
        if !wrong && also("Reconciling") {
            // A stage on the way is in the condition. An event for each would double what a new
            // resource costs the API server.
            continue;
        }
        let type_ = if wrong {
            EventType::Warning
        } else {
            EventType::Normal
        };
        events.push(event(
            type_,
            &condition.reason,
            "Reconcile",
            condition.message.clone(),
        ));
    }
    events
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

    fn told(before: &[(&str, &str, &str)], after: &[(&str, &str, &str)]) -> Vec<(bool, String)> {
        let events = events(&status(before), &status(after), &[]);
        let told = |event: Event| (event.type_ == EventType::Warning, event.reason);
        events.into_iter().map(told).collect()
    }

    #[test]
    fn a_note_is_cut_to_the_bytes_that_the_api_server_takes() {
        let note = |text: String| event(EventType::Normal, "Reason", "Action", text).note;
        let cut = note("ü".repeat(600)).unwrap();
        assert!(cut.len() <= 1024 && cut.ends_with("üü…"), "{}", cut.len());
        assert_eq!(note("x".repeat(1024)), Some("x".repeat(1024)));
    }

    #[test]
    fn results_and_faults_are_told_once_and_stages_on_the_way_are_not() {
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
        assert_eq!(told(&[], &rolling), []);
        assert_eq!(told(&rolling, &ready), [(false, "Serving".to_owned())]);
        assert_eq!(told(&ready, &ready), []);
        assert_eq!(told(&ready, &failing), [(true, "PodsFailing".to_owned())]);
        assert_eq!(told(&ready, &stalled), [(true, "SecretMissing".to_owned())]);
        let reachable = [ready[0], ("TargetsReachable", "True", "Reachable")];
        let unreachable = [ready[0], ("TargetsReachable", "False", "Unreachable")];
        assert_eq!(told(&rolling, &reachable), [(false, "Serving".to_owned())]);
        assert_eq!(
            told(&reachable, &unreachable),
            [(true, "Unreachable".to_owned())]
        );
        assert_eq!(
            told(&unreachable, &reachable),
            [(false, "Reachable".to_owned())]
        );
        let zero = [("Ready", "False", "ScaledToZero")];
        assert_eq!(told(&ready, &zero), [(false, "ScaledToZero".to_owned())]);
    }
}
