//! Events: what `kubectl describe` shows of what changed and of what is wrong.

use crds::PrometheusMirrorStatus;
use kube::Resource as _;
use kube::api::DynamicObject;
use kube::runtime::events::{Event, EventType, Recorder};

use crate::controller::apply::{Change, Written};
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
        let stalled = after
            .conditions
            .iter()
            .any(|other| other.type_ == "Stalled" && other.reason == condition.reason);
        let wrong = match condition.type_.as_str() {
            "Ready" => stalled || condition.reason == "PodsFailing",
            "TargetsReachable" => condition.status == "False",
            _ => true,
        };
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
    // Longer notes are refused.
    let note = note.chars().take(900).collect();
    Event {
        type_,
        reason: reason.to_owned(),
        note: Some(note),
        action: action.to_owned(),
        secondary: None,
    }
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
