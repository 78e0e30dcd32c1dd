//! What there is to see: requests, the status, events.

use serde_json::Value;

use super::{Cluster, SHOP};
use crate::api_server::Asked;

impl Cluster {
    /// All requests since the last call.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.api.asked().iter().map(Asked::to_string).collect()
    }

    /// Those of them that wrote.
    pub(crate) fn writes(&self) -> Vec<String> {
        let asked = self.api.asked();
        asked
            .iter()
            .filter(|asked| asked.writes())
            .map(Asked::to_string)
            .collect()
    }

    /// The status.
    pub(crate) fn status(&self) -> Value {
        self.api
            .get(SHOP)
            .map_or(Value::Null, |shop| shop["status"].clone())
    }

    /// A condition of the status.
    pub(crate) fn condition(&self, type_: &str) -> Value {
        let status = self.status();
        let mut conditions = status["conditions"].as_array().into_iter().flatten();
        let found = conditions.find(|condition| condition["type"] == type_);
        found.cloned().unwrap_or_default()
    }

    /// All conditions: type, status and reason.
    pub(crate) fn conditions(&self) -> Vec<String> {
        let status = self.status();
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let parts = conditions.map(|condition| {
            ["type", "status", "reason"]
                .map(|part| text(&condition[part]))
                .join(" ")
        });
        parts.collect()
    }

    /// The message of `Ready`.
    pub(crate) fn says(&self) -> String {
        let ready = self.condition("Ready");
        ready["message"].as_str().unwrap_or_default().to_owned()
    }

    /// The events so far: type, reason and note.
    pub(crate) fn events(&self) -> Vec<String> {
        let events = self.api.all(&["events"]);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let parts = events.iter().map(|event| {
            ["type", "reason", "note"]
                .map(|part| text(&event[part]))
                .join(" ")
        });
        parts.collect()
    }
}
