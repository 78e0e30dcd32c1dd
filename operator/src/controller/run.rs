//! From watches to reconciles: which change concerns which resource.

use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::runtime::controller::{self, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt as _};

use super::caches::Streams;
use super::references::{NamespacedName, References};
use super::{Context, error_policy, reconcile};
use crate::names::{INSTANCE_LABEL, mirror_resource};

/// How many resources of a scope are reconciled at once. Most of a reconcile is waiting for pods.
const CONCURRENCY: u16 = 16;

/// Reconciles until `shutdown` resolves, and then what is under way to its end.
pub async fn run(
    context: Arc<Context>,
    streams: Streams,
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let mirrors = context.caches.mirrors.store();
    let mut controller =
        Controller::for_stream_with(streams.mirrors, mirrors.clone(), mirror_resource())
            .with_config(controller::Config::default().concurrency(CONCURRENCY))
            .graceful_shutdown_on(shutdown);
    for (resource, changes) in streams.children {
        controller = controller.watches_stream_with(changes, |child| owner(&child), resource);
    }
    let (of_secret, of_service) = (mirrors.clone(), mirrors.clone());
    let (resource, changes) = streams.prometheuses;
    controller = controller
        .watches_stream(streams.pods, |pod: Pod| instance(&pod))
        .watches_stream(streams.secrets, move |secret: PartialObjectMeta<Secret>| {
            referring(
                &of_secret,
                &secret,
                |references, here, (namespace, name)| {
                    here == namespace && references.secrets.contains_key(name)
                },
            )
        })
        .watches_stream(streams.services, move |service: Service| {
            referring(&of_service, &service, |references, _, at| {
                references.services.contains(at)
            })
        })
        .watches_stream_with(
            changes,
            move |prometheus: DynamicObject| {
                // Another one in the namespace may share its Service, so all that name one there are asked.
                referring(&mirrors, &prometheus, |references, _, (namespace, _)| {
                    references
                        .prometheuses
                        .iter()
                        .any(|named| named.0 == *namespace)
                })
            },
            resource,
        );
    log(controller.run(reconcile, error_policy, context)).await;
}

async fn log<E: std::fmt::Display>(
    reconciled: impl Stream<Item = Result<(ObjectRef<DynamicObject>, controller::Action), E>>,
) {
    reconciled
        .for_each(async |result| match result {
            Ok((object, action)) => tracing::debug!(%object, ?action, "reconciled"),
            // Reconcile errors are logged by the error policy; what is left is resources that went before their turn.
            Err(error) => tracing::debug!(%error, "not reconciled"),
        })
        .await;
}

fn reference(namespace: Option<String>, name: &str) -> Option<ObjectRef<DynamicObject>> {
    Some(ObjectRef::new_with(name, mirror_resource()).within(&namespace?))
}

/// The resource that controls a child.
fn owner(child: &DynamicObject) -> Option<ObjectRef<DynamicObject>> {
    let mut owners = child.owner_references().iter();
    let owner = owners.find(|owner| owner.controller == Some(true) && owner.kind == crds::KIND)?;
    reference(child.namespace(), &owner.name)
}

/// The resource that a pod runs for. Its owner is a ReplicaSet, so its label says.
fn instance(pod: &Pod) -> Option<ObjectRef<DynamicObject>> {
    reference(pod.namespace(), pod.labels().get(INSTANCE_LABEL)?)
}

/// The resources whose specs refer to an object. `refers` gets their references and namespace, and the object's namespace and name.
fn referring<K: Resource>(
    mirrors: &Store<DynamicObject>,
    object: &K,
    refers: impl Fn(&References, &str, &NamespacedName) -> bool,
) -> Vec<ObjectRef<DynamicObject>> {
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    let at = (name(&object.meta().namespace), name(&object.meta().name));
    let concerned = mirrors.state_filter(|mirror| {
        let here = mirror.namespace().unwrap_or_default();
        // An invalid spec refers to nothing, and waits for a change of its own.
        let spec = mirror.data.get("spec").cloned().unwrap_or_default();
        serde_json::from_value(spec)
            .is_ok_and(|spec| refers(&References::of(&spec, &here), &here, &at))
    });
    concerned
        .iter()
        .filter_map(|mirror| reference(mirror.namespace(), &mirror.name_any()))
        .collect()
}

#[cfg(test)]
mod tests {
    use kube::runtime::{reflector, watcher};
    use serde_json::json;

    use super::*;

    fn names(found: impl IntoIterator<Item = ObjectRef<DynamicObject>>) -> Vec<String> {
        found
            .into_iter()
            .map(|object| format!("{}/{}", object.namespace.unwrap_or_default(), object.name))
            .collect()
    }

    #[test]
    fn a_child_concerns_its_controller_and_a_pod_the_resource_on_its_label() {
        let child = |owner: serde_json::Value| {
            let metadata = json!({"name": "c", "namespace": "n", "ownerReferences": [owner]});
            serde_json::from_value::<DynamicObject>(json!({ "metadata": metadata })).unwrap()
        };
        let owner_of = |kind: &str, controller: bool| {
            let reference = json!({"apiVersion": "v", "kind": kind, "name": "a", "uid": "u", "controller": controller});
            names(owner(&child(reference)))
        };
        assert_eq!(owner_of("PrometheusMirror", true), ["n/a"]);
        assert!(
            owner_of("PrometheusMirror", false).is_empty()
                && owner_of("ReplicaSet", true).is_empty()
        );
        let pod = |labels: serde_json::Value| {
            names(instance(
                &serde_json::from_value(
                    json!({"metadata": {"name": "p", "namespace": "n", "labels": labels}}),
                )
                .unwrap(),
            ))
        };
        assert_eq!(pod(json!({"app.kubernetes.io/instance": "a"})), ["n/a"]);
        assert!(pod(json!({})).is_empty());
    }

    #[test]
    fn a_secret_concerns_the_resources_of_its_namespace_that_name_it() {
        let mut writer = reflector::store::Writer::new(mirror_resource());
        for (namespace, name, secret) in [("n", "a", "key"), ("n", "b", "other"), ("m", "c", "key")]
        {
            let spec = json!({"apiKeySecretRef": {"name": secret}, "targets": [{"name": "t", "url": "http://t"}]});
            let mirror = json!({"metadata": {"name": name, "namespace": namespace}, "spec": spec});
            writer.apply_watcher_event(&watcher::Event::Apply(
                serde_json::from_value(mirror).unwrap(),
            ));
        }
        let invalid = json!({"metadata": {"name": "d", "namespace": "n"}, "spec": {}});
        writer.apply_watcher_event(&watcher::Event::Apply(
            serde_json::from_value(invalid).unwrap(),
        ));
        let secret: Secret =
            serde_json::from_value(json!({"metadata": {"name": "key", "namespace": "n"}})).unwrap();
        let concerned = referring(
            &writer.as_reader(),
            &secret,
            |references, here, (namespace, name)| {
                here == namespace && references.secrets.contains_key(name)
            },
        );
        assert_eq!(names(concerned), ["n/a"]);
    }
}
