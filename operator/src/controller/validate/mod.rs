//! Step 2: the spec and what it refers to become a [`ValidatedMirror`], or the reason why they
//! cannot. Pure. The only place where a spec is refused.

mod problems;
mod servers;
mod sidecar;
mod urls;

use std::collections::BTreeMap;

use crds::{DataKind, Fault, PrometheusMirrorSpec, Reason};
use k8s_openapi::jiff::Timestamp;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use self::problems::Problems;
use self::servers::Resolver;
use super::Stop;
use super::dereference::Dereferenced;
use crate::cluster::caches::Caches;
use crate::cluster::packed::{LARGEST, LARGEST_POD_TEMPLATE, Oversize};
use crate::cluster::policy::Policy;
use crate::cluster::references::References;

/// A resource that can be built.
#[derive(Clone, Debug, PartialEq)]
pub struct ValidatedMirror {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.uid`.
    pub uid: String,
    /// The spec. Every target, replica and shard has a `url`, or replicas or shards that have one;
    /// the references that led to them are gone.
    pub spec: PrometheusMirrorSpec,
    /// What the spec refers to.
    pub references: References,
    /// The version of each Secret, so that pods are notified when one changes.
    pub secret_versions: BTreeMap<String, String>,
    /// The version of each ConfigMap, for the same.
    pub config_map_versions: BTreeMap<String, String>,
    /// The Secrets and ConfigMaps that are immutable, such as `Secret key`, and when they were
    /// created.
    pub immutable: BTreeMap<String, Timestamp>,
}

/// Why a resource cannot be built. Only a change of it, or of what it refers to, can help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// In one word, for programs.
    pub reason: Reason,
    /// For people: what is wrong, where, and what to do.
    pub message: String,
}

/// The spec, if it is to be built.
///
/// # Errors
/// If it is paused, too large, against the schema, against the policy, or would have pods refused.
pub fn admit(
    object: &DynamicObject,
    oversize: Option<Oversize>,
    policy: &Policy,
) -> Result<PrometheusMirrorSpec, Stop> {
    if object.data["spec"]["paused"] == true && oversize.is_some() {
        return Err(Stop::Paused);
    }
    check_size(oversize)?;
    let spec = parse(object)?;
    if spec.paused {
        return Err(Stop::Paused);
    }
    check_policy(policy, &spec)?;
    sidecar::check(&spec)?;
    Ok(spec)
}

/// Refuses to judge a resource while the operator cannot see what it refers to.
///
/// # Errors
/// If a kind of object was never seen.
pub fn check_readable(caches: &Caches, references: &References) -> Result<(), Invalid> {
    let unreadable = caches.unreadable(references);
    unreadable.map_or(Ok(()), |message| {
        Err(Invalid {
            reason: Reason::Forbidden,
            message,
        })
    })
}

/// Refuses a resource that is larger than what the operator keeps.
///
/// # Errors
/// If something was left out of it.
pub fn check_size(oversize: Option<Oversize>) -> Result<(), Invalid> {
    let kib = |bytes: usize| bytes.div_ceil(1024);
    let message = match oversize {
        None => return Ok(()),
        Some(Oversize::Object(bytes)) => format!(
            "the resource must be at most {} KiB of JSON, is {} KiB (hint: shorten spec and annotations)",
            kib(LARGEST),
            kib(bytes)
        ),
        Some(Oversize::PodTemplate(bytes)) => format!(
            "spec.podTemplate: must be at most {} KiB of JSON, is {} KiB (hint: move what is long into a ConfigMap and mount it)",
            kib(LARGEST_POD_TEMPLATE),
            kib(bytes)
        ),
    };
    Err(Invalid {
        reason: Reason::TooLarge,
        message,
    })
}

/// Refuses a spec that sets denied fields.
///
/// # Errors
/// All of the denied fields that it sets.
pub fn check_policy(policy: &Policy, spec: &PrometheusMirrorSpec) -> Result<(), Invalid> {
    let denied = policy.denied_by(spec);
    if denied.is_empty() {
        return Ok(());
    }
    Err(Invalid {
        reason: Reason::FieldDenied,
        message: format!(
            "{}: denied in this cluster (hint: leave it out, or ask whoever runs the operator to take it from --deny-fields)",
            denied.join(", ")
        ),
    })
}

/// The resource as its type.
///
/// # Errors
/// Everything that the schema has against it. The API server has asked the same, but perhaps with
/// an older schema.
pub fn parse(object: &DynamicObject) -> Result<PrometheusMirrorSpec, Invalid> {
    let document = json!({
        "apiVersion": crds::API_VERSION,
        "kind": crds::KIND,
        "metadata": {"name": object.metadata.name, "namespace": object.metadata.namespace},
        "spec": object.data.get("spec").cloned().unwrap_or(Value::Null),
    });
    let mirror =
        crds::parse_stored(&document).map_err(|faults| invalid(Reason::InvalidSpec, &faults))?;
    Ok(mirror.spec)
}

impl ValidatedMirror {
    /// A resource without a look at what it refers to: enough to render its sidecar. What targets
    /// refer to and the versions of Secrets are in the document and not in the sidecar.
    #[must_use]
    pub fn unresolved(
        name: String,
        namespace: String,
        uid: String,
        spec: PrometheusMirrorSpec,
    ) -> Self {
        Self {
            references: References::of(&spec, &namespace),
            name,
            namespace,
            uid,
            spec,
            secret_versions: BTreeMap::new(),
            config_map_versions: BTreeMap::new(),
            immutable: BTreeMap::new(),
        }
    }
}

/// Checks what was found and resolves targets to URLs.
///
/// # Errors
/// Every reference that leads nowhere.
pub fn validate(
    object: &DynamicObject,
    mut spec: PrometheusMirrorSpec,
    found: &Dereferenced,
) -> Result<ValidatedMirror, Invalid> {
    let namespace = object.metadata.namespace.clone().unwrap_or_default();
    let references = References::of(&spec, &namespace);
    let mut problems = Problems::default();
    let [secret_versions, config_map_versions] = [
        (DataKind::Secret, &found.secrets),
        (DataKind::ConfigMap, &found.config_maps),
    ]
    .map(|(kind, found)| problems.versions(kind, &namespace, references.of_kind(kind), found));
    let resolver = Resolver {
        namespace: &namespace,
        found,
    };
    for (index, target) in spec.targets.iter_mut().enumerate() {
        resolver.resolve(&format!("spec.targets[{index}]"), target, &mut problems);
    }
    problems.none_or_invalid()?;
    Ok(ValidatedMirror {
        name: object.metadata.name.clone().unwrap_or_default(),
        uid: object.metadata.uid.clone().unwrap_or_default(),
        namespace,
        spec,
        references,
        secret_versions,
        config_map_versions,
        immutable: immutable(found),
    })
}

/// What of what was found is immutable.
fn immutable(found: &Dereferenced) -> BTreeMap<String, Timestamp> {
    let kinds = [
        (DataKind::Secret, &found.secrets),
        (DataKind::ConfigMap, &found.config_maps),
    ];
    let all = kinds
        .into_iter()
        .flat_map(|(kind, found)| found.iter().map(move |(name, facts)| (kind, name, facts)));
    all.filter_map(|(kind, name, facts)| {
        let since = facts.as_ref()?.immutable_since?;
        Some((format!("{} {name}", kind.as_str()), since))
    })
    .collect()
}

fn invalid(reason: Reason, faults: &[Fault]) -> Invalid {
    /// A condition is no place for a hundred faults.
    const MOST: usize = 10;
    let mut lines: Vec<_> = faults.iter().take(MOST).map(Fault::to_string).collect();
    if faults.len() > MOST {
        lines.push(format!("and {} more", faults.len() - MOST));
    }
    Invalid {
        reason,
        message: lines.join("; "),
    }
}

fn list<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let names: Vec<_> = names.into_iter().take(10).map(String::as_str).collect();
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
pub(crate) mod tests;
