//! The ConfigMap with the document that the pods serve.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Kind, ValidatedMirror, child_name, object};
use crate::names::DOCUMENT;

/// The fields of the spec that the mirror reads. The others are about what runs it: a change of
/// theirs is no change of the document.
const FIELDS: &[&str] = &[
    "apiKeySecretRef",
    "targets",
    "defaultTarget",
    "requestTargets",
    "workers",
    "limits",
    "port",
    "server",
];

/// What the pods should serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// A `PrometheusMirror` manifest in YAML.
    pub text: String,
    /// SHA-256 of the text in hex, as pods report it.
    pub hash: String,
    /// SHA-256 over the hash and the versions of all Secrets and ConfigMaps: changes whenever a pod
    /// has something new to read.
    pub configuration: String,
}

impl Document {
    pub(super) fn of(mirror: &ValidatedMirror) -> Self {
        let mut spec = json!(mirror.spec);
        if let Some(fields) = spec.as_object_mut() {
            fields.retain(|name, _| FIELDS.contains(&name.as_str()));
        }
        let document = json!({
            "apiVersion": crds::API_VERSION,
            "kind": crds::KIND,
            "metadata": {"name": mirror.name, "namespace": mirror.namespace},
            "spec": spec,
        });
        // JSON is YAML, too: nothing is lost should the nicer form ever fail.
        let text = serde_yaml::to_string(&document).unwrap_or_else(|_| document.to_string());
        let hash = sha256(&[&text]);
        let versions: Vec<_> = mirror
            .secret_versions
            .iter()
            .chain(&mirror.config_map_versions)
            .flat_map(|(name, version)| [name.as_str(), version])
            .collect();
        let configuration = sha256(&[&[hash.as_str()], versions.as_slice()].concat());
        Self {
            text,
            hash,
            configuration,
        }
    }
}

fn sha256(parts: &[&str]) -> String {
    Sha256::digest(parts.join("\n"))
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

pub(super) fn build(mirror: &ValidatedMirror, document: &Document) -> Value {
    object(
        mirror,
        Kind::ConfigMap,
        &child_name(mirror),
        json!({ "data": { DOCUMENT: document.text } }),
    )
}
