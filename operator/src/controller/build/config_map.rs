//! The ConfigMap with the document that the pods serve.

use crds::contract::{DOCUMENT, DOCUMENT_FIELDS, sha256};
use serde_json::{Value, json};

use super::{Kind, ValidatedMirror, child_name, object};

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
            fields.retain(|name, _| DOCUMENT_FIELDS.contains(&name.as_str()));
        }
        let document = json!({
            "apiVersion": crds::API_VERSION,
            "kind": crds::KIND,
            "metadata": {"name": mirror.name, "namespace": mirror.namespace},
            "spec": spec,
        });
        // JSON is YAML, too: nothing is lost should the nicer form ever fail.
        let text = serde_yaml::to_string(&document).unwrap_or_else(|_| document.to_string());
        let hash = sha256(&text);
        let versions = mirror
            .secret_versions
            .iter()
            .chain(&mirror.config_map_versions)
            .flat_map(|(name, version)| [name.as_str(), version]);
        let parts: Vec<_> = std::iter::once(hash.as_str()).chain(versions).collect();
        let configuration = sha256(parts.join("\n"));
        Self {
            text,
            hash,
            configuration,
        }
    }
}

pub(super) fn build(mirror: &ValidatedMirror, document: &Document) -> Value {
    object(
        mirror,
        Kind::ConfigMap,
        &child_name(mirror),
        json!({ "data": { DOCUMENT: document.text } }),
    )
}
