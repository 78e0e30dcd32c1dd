//! What is left out of objects before they are kept.

use crds::contract::annotations;
use kube::api::PartialObjectMeta;
use kube::core::ObjectMeta;

use super::policy::LONGEST_ALLOW_FROM;

/// Nothing is taken away: it is small already.
pub(super) fn whole<K>(_: &mut K) {}

/// For objects that are only asked whose they are.
pub(super) fn only_owners<K>(object: &mut PartialObjectMeta<K>) {
    object.metadata.resource_version = None;
}

/// For objects that are only asked whether they changed.
pub(super) fn only_version<K>(object: &mut PartialObjectMeta<K>) {
    object.metadata.uid = None;
    object.metadata.owner_references = None;
}

/// Of what a tenant may write at length into the metadata of an object that others refer to, only
/// the annotation that says who may.
pub(super) fn only_allow_from(metadata: &mut ObjectMeta) {
    metadata.labels = None;
    metadata.owner_references = None;
    metadata.finalizers = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|name, value| {
            name == annotations::ALLOW_FROM && value.len() <= LONGEST_ALLOW_FROM
        });
    }
}
