//! From watches to reconciles: which change concerns which resource.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use kube::api::PartialObjectMeta;
use kube::runtime::controller::{self, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource as _, ResourceExt as _};

use super::{Context, error_policy, reconcile};
use crate::cluster::caches::Streams;
use crate::cluster::index::{Referent, Referrers};
use crate::cluster::kind::mirror_resource;
use crate::cluster::owner::owner;
use crate::cluster::packed::Packed;
use crate::cluster::pod::MirrorPod;
use crate::cluster::prometheus::PrometheusObject;
use crate::cluster::references::{NamespacedName, key};

/// How many resources of a scope are reconciled at once. Most of a reconcile is waiting for pods.
const CONCURRENCY: u16 = 16;

/// How long to wait for more of the same: a rollout changes Deployment and pods many times a
/// second, and each look may write a status.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// Reconciles until `shutdown` resolves, and then what is under way to its end.
pub async fn run(
    context: Arc<Context>,
    streams: Streams,
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let mirrors = context.caches.mirrors.store();
    let referrers = Arc::new(Referrers::default());
    let changed = {
        let (mirrors, waiting) = (mirrors.clone(), Arc::clone(&context.waiting));
        let referrers = Arc::clone(&referrers);
        streams.mirrors.inspect_ok(move |mirror| {
            let reference = ObjectRef::from_obj_with(mirror, mirror_resource());
            let there = mirrors.get(&reference).map(|there| there.unpack());
            referrers.note(&key(mirror), there.as_ref());
            waiting.put(key(mirror));
        })
    };
    let of_namespace = mirrors.clone();
    let mut controller = Controller::for_stream_with(changed, mirrors, mirror_resource())
        .with_config(
            controller::Config::default()
                .concurrency(CONCURRENCY)
                .debounce(DEBOUNCE),
        )
        .graceful_shutdown_on(shutdown);

    // Everything else concerns resources by their names.
    let concerned = {
        let waiting = Arc::clone(&context.waiting);
        move |names: Vec<NamespacedName>| {
            let references = names.into_iter().map(|(namespace, name)| {
                waiting.put((namespace.clone(), name.clone()));
                ObjectRef::new_with(&name, mirror_resource()).within(&namespace)
            });
            references.collect::<Vec<_>>()
        }
    };
    for (resource, changes) in streams.children {
        let concerned = concerned.clone();
        let mapper = move |child: Packed| concerned(owner(&child).into_iter().collect());
        controller = controller.watches_stream_with(changes, mapper, resource);
    }
    if let Some(changes) = streams.namespaces {
        let concerned = concerned.clone();
        controller =
            controller.watches_stream(changes, move |namespace: PartialObjectMeta<Namespace>| {
                concerned(within(&of_namespace, &namespace.name_any()))
            });
    }
    let referring = move |referent: Referent| concerned(referrers.of(&referent));
    let (of_secret, of_config_map) = (referring.clone(), referring.clone());
    let of_service = referring.clone();
    let waiting = Arc::clone(&context.waiting);
    let of_pod = move |pod: MirrorPod| {
        let (namespace, name) = instance(&pod)?;
        waiting.put((namespace.clone(), name.clone()));
        Some(ObjectRef::new_with(&name, mirror_resource()).within(&namespace))
    };
    controller = controller
        // Each comes with a change of its Deployment, which asks for the reconcile.
        .watches_stream(streams.replica_sets, |_: PartialObjectMeta<ReplicaSet>| {
            None
        })
        .watches_stream(streams.pods, of_pod)
        .watches_stream(streams.secrets, move |secret: PartialObjectMeta<Secret>| {
            of_secret(Referent::Secret(key(&secret)))
        })
        .watches_stream(
            streams.config_maps,
            move |config_map: PartialObjectMeta<ConfigMap>| {
                of_config_map(Referent::ConfigMap(key(&config_map)))
            },
        )
        .watches_stream(streams.services, move |service: Service| {
            of_service(Referent::Service(key(&service)))
        })
        .watches_stream(
            streams.prometheuses,
            // Another one in the namespace may share its Service, so all that name one there are
            // asked.
            move |prometheus: PrometheusObject| {
                referring(Referent::PrometheusIn(key(&prometheus).0))
            },
        );
    let known = Arc::clone(&context);
    log(controller.run(reconcile, error_policy, context), &known).await;
}

async fn log<E: std::error::Error + 'static, Q: std::error::Error + 'static>(
    reconciled: impl Stream<
        Item = Result<(ObjectRef<Packed>, controller::Action), controller::Error<E, Q>>,
    >,
    context: &Context,
) {
    reconciled
        .for_each(async |result| match result {
            Ok((object, action)) => tracing::debug!(%object, ?action, "reconciled"),
            // Reconcile errors are logged by the error policy; what is left is resources that went
            // before their turn.
            Err(error) => {
                if let controller::Error::ObjectNotFound(gone) = &error {
                    let namespace = gone.namespace.clone().unwrap_or_default();
                    context.forget(&(namespace, gone.name.clone()));
                }
                tracing::debug!(%error, "not reconciled");
            }
        })
        .await;
}

/// The resource that a pod runs for.
fn instance(pod: &MirrorPod) -> Option<NamespacedName> {
    Some((pod.namespace()?, pod.mirror.clone()?))
}

/// The resources of a namespace.
fn within(mirrors: &Store<Packed>, namespace: &str) -> Vec<NamespacedName> {
    let here = mirrors.state_filter(|mirror| mirror.meta().namespace.as_deref() == Some(namespace));
    here.iter().map(|mirror| key(mirror.as_ref())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn name(found: Option<NamespacedName>) -> Option<String> {
        found.map(|(namespace, name)| format!("{namespace}/{name}"))
    }

    #[test]
    fn a_child_concerns_its_controller_and_a_pod_the_resource_on_its_label() {
        let child = |owner: serde_json::Value| {
            let metadata = json!({"name": "c", "namespace": "n", "ownerReferences": [owner]});
            serde_json::from_value::<Packed>(json!({ "metadata": metadata })).unwrap()
        };
        let owner_of = |kind: &str, controller: bool| {
            let reference = json!({"apiVersion": "v", "kind": kind, "name": "a", "uid": "u", "controller": controller});
            name(owner(&child(reference)))
        };
        assert_eq!(owner_of("PrometheusMirror", true).as_deref(), Some("n/a"));
        assert!(
            owner_of("PrometheusMirror", false).is_none() && owner_of("ReplicaSet", true).is_none()
        );
        let pod = |labels: serde_json::Value| {
            name(instance(
                &serde_json::from_value(
                    json!({"metadata": {"name": "p", "namespace": "n", "labels": labels}}),
                )
                .unwrap(),
            ))
        };
        let labelled = pod(
            json!({"app.kubernetes.io/instance": "a", "app.kubernetes.io/name": "prometheus-mirror"}),
        );
        assert_eq!(labelled.as_deref(), Some("n/a"));
        assert_eq!(pod(json!({})), None);
    }
}
