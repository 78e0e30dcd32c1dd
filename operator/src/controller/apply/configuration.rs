//! The configuration that the pods of a Deployment are made with. A pod reads its volumes when it
//! starts, so one that is made while the configuration is the Deployment's need not be notified of
//! it: the template says so with the annotation that notifies pods later.
//!
//! A change of the template replaces all pods, so the annotation stays as it is until something
//! else in the template changes. Pods that are made meanwhile are notified one by one. Pure.

use crds::contract::annotations::CONFIGURATION;
use kube::api::DynamicObject;
use serde_json::{Value, json};

/// Which configuration a Deployment's template is to name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Configuration {
    /// The present one: all pods will be new.
    Present,
    /// That which it names already.
    Kept(String),
    /// None, as before: an earlier version of the operator made it.
    #[default]
    None,
}

impl Configuration {
    /// For a Deployment that is there and whose pods may stay.
    pub(super) fn of(there: &DynamicObject) -> Self {
        let annotations = &there.data["spec"]["template"]["metadata"]["annotations"];
        let named = annotations[CONFIGURATION].as_str();
        named.map_or(Self::None, |named| Self::Kept(named.to_owned()))
    }

    /// Writes it into a Deployment's manifest. What the user's template says stays.
    pub(super) fn put_into(&self, manifest: &mut Value, present: &str) {
        let named = match self {
            Self::Present => present,
            Self::Kept(named) => named,
            Self::None => return,
        };
        let annotations = &mut manifest["spec"]["template"]["metadata"]["annotations"];
        if annotations[CONFIGURATION].is_null() {
            annotations[CONFIGURATION] = json!(named);
        }
    }
}

/// Whether a write that would come to `after` replaces the pods of a Deployment.
pub(super) fn replaces_pods(there: &DynamicObject, after: &DynamicObject) -> bool {
    let [there, after] = [there, after].map(|object| &object.data["spec"]["template"]);
    there != after
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(annotations: Value) -> Value {
        let template = json!({"metadata": {"annotations": annotations}, "spec": {}});
        json!({"metadata": {"name": "d"}, "spec": {"template": template}})
    }

    #[test]
    fn a_template_goes_on_naming_what_it_named_until_its_pods_are_new() {
        let named = |there: Value, then: Option<Configuration>| {
            let there = serde_json::from_value(manifest(there)).unwrap();
            let mut wanted = manifest(json!({"a": "b"}));
            let configuration = then.unwrap_or_else(|| Configuration::of(&there));
            configuration.put_into(&mut wanted, "present");
            wanted["spec"]["template"]["metadata"]["annotations"].take()
        };
        let before = json!({CONFIGURATION: "before", "theirs": "x"});
        let kept = json!({"a": "b", CONFIGURATION: "before"});
        assert_eq!(named(before.clone(), None), kept);
        assert_eq!(named(json!({}), None), json!({"a": "b"}));
        let present = json!({"a": "b", CONFIGURATION: "present"});
        assert_eq!(named(before, Some(Configuration::Present)), present);
    }

    #[test]
    fn what_the_pod_template_of_a_resource_says_stays() {
        let mut wanted = manifest(json!({CONFIGURATION: "mine"}));
        Configuration::Present.put_into(&mut wanted, "present");
        assert_eq!(wanted, manifest(json!({CONFIGURATION: "mine"})));
    }
}
