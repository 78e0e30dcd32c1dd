//! What is left out of objects before they are kept.

use std::collections::BTreeMap;

use crds::contract::annotations;
use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use kube::api::PartialObjectMeta;
use kube::core::ObjectMeta;

use super::policy::LONGEST_ALLOW_FROM;

/// Nothing is taken away: it is small already.
pub(super) fn whole<K>(_: &mut K) {}

pub(super) fn only_owners<K>(object: &mut PartialObjectMeta<K>) {
    object.metadata.annotations = None;
    object.metadata.labels = None;
}

pub(super) fn strip_metadata<K>(object: &mut PartialObjectMeta<K>) {
    object.metadata.annotations = None;
    object.metadata.labels = None;
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

pub(super) fn strip_service(service: &mut Service) {
    only_allow_from(&mut service.metadata);
    service.spec = service.spec.take().map(|spec| ServiceSpec {
        ports: spec.ports,
        cluster_ip: spec.cluster_ip.filter(|address| address == "None"),
        // Whether there is one is all that matters.
        selector: spec
            .selector
            .filter(|selector| !selector.is_empty())
            .map(|_| BTreeMap::new()),
        type_: spec.type_.filter(|type_| type_ == "ExternalName"),
        external_name: spec.external_name,
        ..ServiceSpec::default()
    });
    service.status = None;
}
