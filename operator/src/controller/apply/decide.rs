//! What is to be done for a child, from what is wanted and what is there. Pure.

use crds::contract::{annotations, sha256};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::difference::contains;
use crate::cluster::owner::owned_by;
use crate::controller::build::Child;

/// The version of a child that is not there. The API server compares it with that of the object, if
/// there is one: no object has it, as the first write to etcd makes version 2. If there is none,
/// the version is ignored and the object made; so it is in Kubernetes 1.29 to 1.37 (`Store.Update`
/// of k8s.io/apiserver's generic registry, with `forceAllowCreate`).
pub(super) const ABSENT: &str = "1";

/// What is to be done for a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Nothing,
    /// There is none, so it is created.
    Create,
    /// Ours, but different. The uid guards against writing to a successor of the same name.
    Update {
        uid: Option<String>,
    },
    /// An earlier resource's of the same name: the garbage collector is about to take it.
    Leaving,
    /// Somebody else's.
    Taken,
}

/// The child with the hash of what it is, so that a field which is no longer wanted is noticed.
pub(super) fn stamped(mut child: Child) -> Child {
    let hash = sha256(child.manifest.to_string());
    child.manifest["metadata"]["annotations"][annotations::APPLIED] = json!(hash);
    child
}

/// What is compared of a child with an object that is there.
pub(super) fn wanted(child: &Child) -> Value {
    let mut wanted = child.manifest.clone();
    if let Some(fields) = wanted.as_object_mut() {
        // Items of a list come without them.
        fields.retain(|name, _| !["apiVersion", "kind"].contains(&name.as_str()));
    }
    wanted
}

/// What an object that is there means for a child of the resource with `owner` as uid.
pub(super) fn decide(child: &Child, there: &DynamicObject, owner: &str) -> Decision {
    if !owned_by(there, owner) {
        let same_name = |other: &&OwnerReference| {
            let wanted = &child.manifest["metadata"]["ownerReferences"][0];
            other.controller == Some(true)
                && wanted["kind"] == other.kind
                && wanted["name"] == other.name
        };
        return if there
            .owner_references()
            .iter()
            .any(|other| same_name(&other))
        {
            Decision::Leaving
        } else {
            Decision::Taken
        };
    }
    if there.metadata.deletion_timestamp.is_some() {
        return Decision::Leaving;
    }
    if contains(&json!(there), &wanted(child)) {
        Decision::Nothing
    } else {
        Decision::Update {
            uid: there.metadata.uid.clone(),
        }
    }
}

impl Decision {
    /// Puts into a manifest what must be so of the object when it is written.
    pub(super) fn add_condition(&self, manifest: &mut Value) {
        match self {
            Self::Create => manifest["metadata"]["resourceVersion"] = json!(ABSENT),
            Self::Update { uid: Some(uid) } => manifest["metadata"]["uid"] = json!(uid),
            Self::Update { uid: None } | Self::Nothing | Self::Leaving | Self::Taken => {}
        }
    }
}

#[cfg(test)]
mod tests;
