//! What a resource says of itself.

use serde_json::Value;

/// A condition of the present generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// `True`, `False` or `Unknown`, and the reason.
    pub state: String,
    /// In words.
    pub message: String,
}

/// A condition of a resource, if it is about the present generation.
#[must_use]
pub fn condition(resource: &Value, type_: &str) -> Option<Condition> {
    let conditions = resource["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|condition| {
        condition["type"] == type_
            && condition["observedGeneration"] == resource["metadata"]["generation"]
    })?;
    let text = |field: &str| found[field].as_str().unwrap_or_default();
    Some(Condition {
        state: format!("{} {}", text("status"), text("reason")),
        message: text("message").to_owned(),
    })
}

/// Whether a resource says that it is ready.
#[must_use]
pub fn is_ready(resource: &Value) -> bool {
    condition(resource, "Ready").is_some_and(|ready| ready.state.starts_with("True "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_condition_of_another_generation_says_nothing() {
        let resource = |observed: u32| {
            json!({
                "metadata": {"generation": 2},
                "status": {"conditions": [{
                    "type": "Ready", "status": "True", "reason": "Serving", "message": "1 of 1",
                    "observedGeneration": observed,
                }]},
            })
        };
        let ready = Condition {
            state: "True Serving".to_owned(),
            message: "1 of 1".to_owned(),
        };
        assert_eq!(condition(&resource(2), "Ready"), Some(ready));
        assert_eq!(condition(&resource(1), "Ready"), None);
        assert_eq!(condition(&resource(2), "Stalled"), None);
        assert!(is_ready(&resource(2)) && !is_ready(&resource(1)));
    }
}
