//! Query parameters that a target's every call carries.

use std::collections::BTreeMap;

use crds::{Fault, field_path};
use serde_json::Value;
use url::form_urlencoded;

/// Those that the mirror sets itself, for one call or another.
const RESERVED: &[&str] = &[
    "query", "time", "start", "end", "step", "timeout", "match[]", "limit", "nocache",
];

/// Parameters that go into the URL of every call, whether it is a GET or a POST: proxies that
/// enforce one, such as OpenShift's, read it there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Option<String>);

impl Parameters {
    pub(super) fn of(declared: &BTreeMap<String, String>) -> Self {
        let encoded = || {
            form_urlencoded::Serializer::new(String::new())
                .extend_pairs(declared)
                .finish()
        };
        Self((!declared.is_empty()).then(encoded))
    }

    /// As a URL's query; none if there are none.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

/// Reports parameters that the mirror sets itself.
pub(super) fn check(path: &str, target: &Value, faults: &mut Vec<Fault>) {
    let path = field_path(path, "parameters");
    let declared = target["parameters"].as_object();
    for (name, _) in declared.into_iter().flatten() {
        if name.is_empty() {
            faults.push(Fault::new(path.clone(), "must not have an empty name"));
        }
        if RESERVED.contains(&name.as_str()) {
            let message = "must not be set here: the mirror sets it itself";
            faults.push(Fault::new(field_path(&path, name), message));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parameters_are_encoded_and_none_are_no_query() {
        let query = |declared: &[(&str, &str)]| {
            let declared = declared.iter();
            let declared = declared.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            Parameters::of(&declared.collect()).0
        };
        assert_eq!(query(&[]), None);
        let table = [
            (&[("namespace", "team-a")][..], "namespace=team-a"),
            (
                &[("extra_label", "a=b&c"), ("dedup", "true")],
                "dedup=true&extra_label=a%3Db%26c",
            ),
            (
                &[("extra_filters[]", "{a=~\"ü+\"}")],
                "extra_filters%5B%5D=%7Ba%3D%7E%22%C3%BC%2B%22%7D",
            ),
            (&[("tenant", "")], "tenant="),
        ];
        for (declared, expected) in table {
            assert_eq!(query(declared).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_parameter_of_the_mirrors_own_is_refused() {
        let mut faults = Vec::new();
        let target =
            json!({"parameters": {"match[]": "up", "namespace": "a", "timeout": "1s", "": "x"}});
        check("spec.targets[0]", &target, &mut faults);
        let shown: Vec<_> = faults.iter().map(ToString::to_string).collect();
        let own = "must not be set here: the mirror sets it itself";
        let expected = [
            "spec.targets[0].parameters: must not have an empty name".to_owned(),
            format!("spec.targets[0].parameters[\"match[]\"]: {own}"),
            format!("spec.targets[0].parameters.timeout: {own}"),
        ];
        assert_eq!(shown, expected);
    }
}
