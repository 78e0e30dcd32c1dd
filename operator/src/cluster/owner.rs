//! Who controls an object.

use kube::core::ObjectMeta;
use kube::{Resource, ResourceExt as _};

use super::packed::Packed;
use super::references::NamespacedName;

/// Whether a resource with this uid controls an object.
#[must_use]
pub fn owned_by(object: &impl Resource, uid: &str) -> bool {
    object
        .owner_references()
        .iter()
        .any(|owner| owner.controller == Some(true) && owner.uid == uid)
}

/// The uid of an object's controller.
#[must_use]
pub(super) fn controller(metadata: &ObjectMeta) -> Option<&str> {
    let mut owners = metadata.owner_references.iter().flatten();
    let controller = owners.find(|owner| owner.controller == Some(true))?;
    Some(&controller.uid)
}

/// The resource that controls a child.
#[must_use]
pub fn owner(child: &Packed) -> Option<NamespacedName> {
    let mut owners = child.owner_references().iter();
    let owner = owners.find(|owner| owner.controller == Some(true) && owner.kind == crds::KIND)?;
    Some((child.namespace()?, owner.name.clone()))
}
