//! An administrator's client of a test cluster: what the fault harness and the scenarios share.

mod cluster;
mod conditions;
mod kinds;

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

pub use cluster::{Cluster, OPERATOR, SYSTEM};
pub use conditions::{Condition, condition, is_ready};
pub use kinds::{CHILDREN, GRANDCHILDREN, Kind, MIRROR, kind};

/// A `PrometheusMirror`.
#[must_use]
pub fn mirror(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "prometheus-mirror.io/v1alpha1", "kind": "PrometheusMirror",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    })
}

/// The documents of a YAML file.
///
/// # Errors
/// If it is none.
pub fn manifests(path: &Path) -> Result<Vec<Value>> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let documents = text.split("\n---\n").map(serde_yaml::from_str);
    let documents: Vec<Value> = documents.collect::<Result<_, _>>().context("not YAML")?;
    Ok(documents.into_iter().filter(Value::is_object).collect())
}
