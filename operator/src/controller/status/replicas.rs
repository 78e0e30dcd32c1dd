//! The numbers of a Deployment.

use kube::api::DynamicObject;
use serde_json::Value;

/// The Deployment's numbers.
pub(super) struct Replicas {
    pub(super) wanted: i32,
    pub(super) all: i32,
    pub(super) ready: i32,
    pub(super) updated: i32,
    /// The Deployment controller has seen the present template.
    pub(super) current: bool,
    /// Somebody paused it.
    pub(super) paused: bool,
    /// It gave up.
    pub(super) deadline_exceeded: bool,
    /// Why the API server refuses to create pods, in its words.
    pub(super) refused: Option<String>,
}

impl Replicas {
    pub(super) fn of(deployment: Option<&DynamicObject>) -> Self {
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
        let conditions = || status["conditions"].as_array().into_iter().flatten();
        let refused = conditions().find(|condition| {
            condition["type"] == "ReplicaFailure" && condition["status"] == "True"
        });
        Self {
            wanted: number(&data["spec"]["replicas"]),
            all: number(&status["replicas"]),
            ready: number(&status["readyReplicas"]),
            updated: number(&status["updatedReplicas"]),
            current: deployment
                .is_some_and(|deployment| observed >= deployment.metadata.generation),
            paused: data["spec"]["paused"] == true,
            deadline_exceeded: conditions().any(|condition| {
                condition["type"] == "Progressing"
                    && condition["reason"] == "ProgressDeadlineExceeded"
            }),
            refused: refused
                .and_then(|condition| condition["message"].as_str())
                .map(str::to_owned),
        }
    }

    /// Whether all wanted pods are up to date and ready, and no others exist.
    pub(super) fn are_settled(&self) -> bool {
        self.updated >= self.wanted && self.ready >= self.wanted && self.all <= self.wanted
    }
}
