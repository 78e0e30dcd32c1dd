//! Which fields of a spec name which keys of which objects: the operator mounts these keys, and the
//! mirror reads them.
//!
//! A field is found by its name in the schema, so a new kind of credentials is found without a
//! change here: `…SecretRef` and `…ConfigMapRef` hold the name of an object and a key, and
//! `…SecretName` the name alone. Maps of the user's, such as `headers`, are not looked into.

use serde_json::Value;

use crate::contract::{API_KEY, DOCUMENT_FIELDS, PREVIOUS_API_KEY};
use crate::definition::schema;
use crate::field_path;

/// A kind of object that holds data under keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum DataKind {
    Secret,
    ConfigMap,
}

impl DataKind {
    /// Its name in Kubernetes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "Secret",
            Self::ConfigMap => "ConfigMap",
        }
    }

    /// The folder of such objects in a pod, below [`crate::contract::CONFIGURATION_DIR`].
    #[must_use]
    pub const fn folder(self) -> &'static str {
        match self {
            Self::Secret => "secrets",
            Self::ConfigMap => "configmaps",
        }
    }

    /// What a field with this name refers to, if it is a reference.
    fn of_field(name: &str) -> Option<Self> {
        let secret = ["SecretRef", "SecretName", "secretName"];
        if secret.iter().any(|suffix| name.ends_with(suffix)) {
            return Some(Self::Secret);
        }
        name.ends_with("ConfigMapRef").then_some(Self::ConfigMap)
    }
}

/// A field that names a key of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The path of the field, such as `spec.targets[0].auth.bearer.tokenSecretRef`.
    pub field: String,
    /// The object's kind.
    pub kind: DataKind,
    /// The object's name.
    pub name: String,
    /// The key.
    pub key: String,
    /// Whether the key may be absent.
    pub is_optional: bool,
}

/// The keys of fields that name only an object.
const FIXED_KEYS: &[(&str, &[&str])] = &[
    ("apiKeySecretRef", &[API_KEY]),
    ("clientCaSecretName", &["ca.crt"]),
    ("clientCertificateSecretRef", &["tls.crt", "tls.key"]),
    ("secretName", &["tls.crt", "tls.key"]),
];

/// Every key that a spec refers to, in the order of [`DOCUMENT_FIELDS`]. A field that is not sound
/// is left out.
#[must_use]
pub fn references(spec: &Value) -> Vec<Reference> {
    let mut found = Vec::new();
    each_field(spec, &mut |path, name, value| {
        let kind = DataKind::of_field(name);
        found.extend(
            kind.into_iter()
                .flat_map(|kind| named_by(path, name, kind, value)),
        );
        kind.is_some()
    });
    found
}

/// Takes a field's path, name and value. Whether its fields are no fields of the spec's.
pub(crate) type Take<'a> = dyn FnMut(&str, &str, &Value) -> bool + 'a;

/// Shows every field of the document that the schema knows to `take`.
pub(crate) fn each_field(spec: &Value, take: &mut Take) {
    let properties = &schema()["properties"]["spec"]["properties"];
    for name in DOCUMENT_FIELDS {
        let path = field_path("spec", name);
        visit(&path, name, &spec[name], &properties[name], take);
    }
}

fn visit(path: &str, name: &str, value: &Value, schema: &Value, take: &mut Take) {
    if take(path, name, value) {
        return;
    }
    match value {
        Value::Object(_) => {
            for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
                visit(&field_path(path, name), name, &value[name], schema, take);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let path = format!("{path}[{index}]");
                visit(&path, "", item, &schema["items"], take);
            }
        }
        _ => {}
    }
}

/// The keys that one field names.
fn named_by(path: &str, field: &str, kind: DataKind, value: &Value) -> Vec<Reference> {
    let Some(name) = value.as_str().or_else(|| value["name"].as_str()) else {
        return Vec::new();
    };
    let reference = |key: &str, is_optional| Reference {
        field: path.to_owned(),
        kind,
        name: name.to_owned(),
        key: key.to_owned(),
        is_optional,
    };
    let fixed = FIXED_KEYS.iter().find(|(known, _)| *known == field);
    let mut found: Vec<_> = match (value["key"].as_str(), fixed) {
        (Some(key), _) => vec![reference(key, false)],
        (None, Some((_, keys))) => keys.iter().map(|key| reference(key, false)).collect(),
        (None, None) => Vec::new(),
    };
    if field == "apiKeySecretRef" {
        found.push(reference(PREVIOUS_API_KEY, true));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As `kind name/key field`, with a `?` after a key that may be absent.
    fn lines(spec: &Value) -> Vec<String> {
        let line = |reference: Reference| {
            let Reference {
                field,
                kind,
                name,
                key,
                is_optional,
            } = reference;
            let mark = if is_optional { "?" } else { "" };
            format!("{} {name}/{key}{mark} {field}", kind.as_str())
        };
        references(spec).into_iter().map(line).collect()
    }

    #[test]
    fn every_key_is_found_with_the_field_that_names_it() {
        let key = |name: &str, key: &str| json!({"name": name, "key": key});
        let spec = json!({
            "apiKeySecretRef": {"name": "key"},
            "server": {"tls": {"secretName": "certificate", "clientCaSecretName": "clients"}},
            "targets": [
                {"name": "a", "auth": {"basic": {"usernameSecretRef": key("login", "user"), "passwordSecretRef": key("login", "password")}}},
                {"name": "b", "tls": {"caConfigMapRef": key("ca", "ca.crt"), "clientCertificateSecretRef": {"name": "own"}}},
            ],
        });
        let expected = [
            "Secret key/apiKey spec.apiKeySecretRef",
            "Secret key/previousApiKey? spec.apiKeySecretRef",
            "Secret clients/ca.crt spec.server.tls.clientCaSecretName",
            "Secret certificate/tls.crt spec.server.tls.secretName",
            "Secret certificate/tls.key spec.server.tls.secretName",
            "Secret login/password spec.targets[0].auth.basic.passwordSecretRef",
            "Secret login/user spec.targets[0].auth.basic.usernameSecretRef",
            "ConfigMap ca/ca.crt spec.targets[1].tls.caConfigMapRef",
            "Secret own/tls.crt spec.targets[1].tls.clientCertificateSecretRef",
            "Secret own/tls.key spec.targets[1].tls.clientCertificateSecretRef",
        ];
        assert_eq!(lines(&spec), expected);
    }

    #[test]
    fn a_map_of_the_users_refers_to_nothing() {
        let target = json!({
            "name": "a",
            "headers": {"secretName": "s", "X-SecretRef": "s"},
            "auth": {"oauth2": {"endpointParams": {"secretName": "s"}}},
        });
        let spec = json!({
            "targets": [target],
            "podTemplate": {"spec": {"volumes": [{"secret": {"secretName": "s"}}]}},
        });
        assert_eq!(lines(&spec), [""; 0]);
    }

    #[test]
    fn a_field_that_is_not_sound_refers_to_nothing() {
        let spec = json!({"apiKeySecretRef": {"name": 1}, "server": {"tls": []}, "targets": "x"});
        assert_eq!(lines(&spec), [""; 0]);
    }

    /// Each reference in the schema says which key it means.
    #[test]
    fn every_reference_of_the_schema_has_a_key() {
        fn unkeyed(name: &str, schema: &Value, found: &mut Vec<String>) {
            if DataKind::of_field(name).is_some() {
                let has_key = schema["properties"]["key"].is_object();
                let fixed = FIXED_KEYS.iter().any(|(known, _)| *known == name);
                if !(has_key || fixed) {
                    found.push(name.to_owned());
                }
                return;
            }
            for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
                unkeyed(name, schema, found);
            }
            if schema["items"].is_object() {
                unkeyed("", &schema["items"], found);
            }
        }
        let mut found = Vec::new();
        for name in DOCUMENT_FIELDS {
            let properties = &schema()["properties"]["spec"]["properties"];
            unkeyed(name, &properties[name], &mut found);
        }
        assert_eq!(found, [""; 0]);
    }
}
