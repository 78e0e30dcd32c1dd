//! From watches to reconciles: which change concerns which resource.

use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use kube::api::{DynamicObject, PartialObjectMeta};
use kube::runtime::controller::{self, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt as _};

use super::caches::Streams;
use super::references::References;
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
    let (store, of_secret) = (
        mirrors.clone(),
        |references: &References, _: &str, at: &(String, String), namespace: &str| {
            at.0 == namespace && references.secrets.contains_key(&at.1)
        },
    );
    controller = controller
        .watches_stream(streams.pods, |pod: Pod| instance(&pod))
        .watches_stream(streams.secrets, move |secret: PartialObjectMeta<Secret>| {
            referring(&store, &secret, of_secret)
        });
    let store = mirrors.clone();
    controller = controller.watches_stream(streams.services, move |service: Service| {
        referring(&store, &service, |references, _, at, _| {
            references.services.contains(at)
        })
    });
    let (resource, changes) = streams.prometheuses;
    controller = controller.watches_stream_with(
        changes,
        move |prometheus: DynamicObject| {
            // Another one in the namespace may share its Service, so all that name that namespace are asked.
            referring(&mirrors, &prometheus, |references, _, at, _| {
                references.prometheuses.iter().any(|named| named.0 == at.0)
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
    let owners = child.owner_references().iter();
    let owner = owners
        .filter(|owner| owner.controller == Some(true) && owner.kind == crds::KIND)
        .next_back()?;
    reference(child.namespace(), &owner.name)
}

/// The resource that a pod runs for. Its owner is a ReplicaSet, so its label says.
fn instance(pod: &Pod) -> Option<ObjectRef<DynamicObject>> {
    reference(pod.namespace(), pod.labels().get(INSTANCE_LABEL)?)
}

/// The resources whose specs refer to an object: `refers` gets the references, the resource's name, the object's namespace and
/// name, and the resource's namespace.
fn referring<K: Resource>(
    mirrors: &Store<DynamicObject>,
    object: &K,
    refers: impl Fn(&References, &str, &(String, String), &str) -> bool,
) -> Vec<ObjectRef<DynamicObject>> {
    let at = (
        object.meta().namespace.clone().unwrap_or_default(),
        object.meta().name.clone().unwrap_or_default(),
    );
    let concerned = mirrors.state_filter(|mirror| {
        let namespace = mirror.namespace().unwrap_or_default();
        // An invalid spec refers to nothing, and waits for a change of its own.
        let spec = mirror.data.get("spec").cloned().unwrap_or_default();
        serde_json::from_value(spec).is_ok_and(|spec| {
            refers(
                &References::of(&spec, &namespace),
                &mirror.name_any(),
                &at,
                &namespace,
            )
        })
    });
    concerned
        .iter()
        .filter_map(|mirror| reference(mirror.namespace(), &mirror.name_any()))
        .collect()
}
