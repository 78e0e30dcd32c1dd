//! From watches to reconciles: which change concerns which resource.

use std::sync::Arc;
use std::time::Duration;

use futures::{Stream, StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PartialObjectMeta;
use kube::runtime::controller::{self, Controller};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt as _};

use super::{Context, error_policy, reconcile};
use crate::cluster::caches::Streams;
use crate::cluster::index::{Referent, Referrers};
use crate::cluster::kind::Stored;
use crate::cluster::labelled::LabelledPod;
use crate::cluster::owner::owner;
use crate::cluster::packed::Packed;
use crate::cluster::pod::MirrorPod;
use crate::cluster::references::{NamespacedName, key};
use crate::cluster::reported::Reported;
use crate::cluster::slice::Slice;
use crate::cluster::store;
use crate::telemetry::waiting::Waiting;

/// How many resources of a scope are reconciled at once. Most of a reconcile is waiting for pods.
const CONCURRENCY: u16 = 16;

/// How long to wait for more of the same: a rollout changes Deployment and pods many times a
/// second, and each look may write a status.
const DEBOUNCE: Duration = Duration::from_millis(200);

/// Finds the resources that a change concerns.
#[derive(Clone)]
struct Triggers {
    mirrors: Store<Packed>,
    referrers: Arc<Referrers>,
    waiting: Arc<Waiting>,
}

impl Triggers {
    /// Resources by their names.
    fn concerned(&self, names: impl IntoIterator<Item = NamespacedName>) -> Vec<ObjectRef<Packed>> {
        let references = names.into_iter().map(|(namespace, name)| {
            self.waiting.put((namespace.clone(), name.clone()));
            ObjectRef::new_with(&name, Stored::Mirror).within(&namespace)
        });
        references.collect()
    }

    /// The resources that refer to an object of a kind.
    fn referring<K: Resource + 'static>(
        &self,
        referent: fn(NamespacedName) -> Referent,
    ) -> impl Fn(K) -> Vec<ObjectRef<Packed>> + Send + Sync + use<K> {
        let triggers = self.clone();
        move |object| {
            let referent = referent(key(&object));
            triggers.concerned(triggers.referrers.of(&referent))
        }
    }
}

/// The pods of a slice are its Service's.
fn pods_of(slice: &Slice) -> Referent {
    let namespace = slice.namespace().unwrap_or_default();
    Referent::PodsOf((namespace, slice.service.clone()))
}

/// Another Prometheus object of the namespace may share its Service, so all resources that name one
/// there are concerned.
fn prometheus_in((namespace, _): NamespacedName) -> Referent {
    Referent::PrometheusIn(namespace)
}

/// Reconciles until `shutdown` resolves, and then what is under way to its end.
pub async fn run(
    context: Arc<Context>,
    streams: Streams,
    shutdown: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let triggers = Triggers {
        mirrors: context.caches.mirrors.clone(),
        referrers: Arc::clone(&context.caches.referrers),
        waiting: Arc::clone(&context.waiting),
    };
    let waiting = Arc::clone(&context.waiting);
    let changed = streams
        .mirrors
        .inspect_ok(move |mirror| waiting.put(key(mirror)));
    let mirrors = triggers.mirrors.clone();
    let config = controller::Config::default()
        .concurrency(CONCURRENCY)
        .debounce(DEBOUNCE);
    let mut controller = Controller::for_stream_with(changed, mirrors, Stored::Mirror)
        .with_config(config)
        .graceful_shutdown_on(shutdown);
    for (resource, changes) in streams.children {
        let triggers = triggers.clone();
        let mapper = move |child: Packed| triggers.concerned(owner(&child));
        controller = controller.watches_stream_with(changes, mapper, resource);
    }
    if let Some(changes) = streams.namespaces {
        let (triggers, caches) = (triggers.clone(), Arc::clone(&context.caches));
        let mapper = move |namespace: PartialObjectMeta<Namespace>| {
            triggers.concerned(caches.mirrors_in(&namespace.name_any()))
        };
        controller = controller.watches_stream(changes, mapper);
    }
    let of_pods = triggers.clone();
    let of_labelled = triggers.clone();
    let of_slices = triggers.clone();
    // The change of a ReplicaSet comes with one of its Deployment.
    let none = |_: PartialObjectMeta<ReplicaSet>| None;
    controller = controller
        .watches_stream(streams.replica_sets, none)
        .watches_stream(streams.pods, move |pod: Reported<MirrorPod>| {
            of_pods.concerned(instance(&pod.part))
        })
        .watches_stream(streams.labelled, move |pod: LabelledPod| {
            of_labelled.concerned(
                pod.namespace()
                    .map(|namespace| (namespace, pod.mirror.clone())),
            )
        })
        .watches_stream(streams.secrets, triggers.referring(Referent::Secret))
        .watches_stream(streams.config_maps, triggers.referring(Referent::ConfigMap))
        .watches_stream(streams.services, triggers.referring(Referent::Service))
        .watches_stream(streams.slices, move |slice: Slice| {
            of_slices.concerned(of_slices.referrers.of(&pods_of(&slice)))
        })
        .watches_stream(streams.prometheuses, triggers.referring(prometheus_in));
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
    let mirror = pod.mirror.as_deref()?;
    let namespace = store::Kept::namespace(pod);
    Some((namespace.to_owned(), mirror.to_owned()))
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
            let metadata = json!({"name": "p", "namespace": "n", "labels": labels});
            let pod: Reported<MirrorPod> =
                serde_json::from_value(json!({ "metadata": metadata })).unwrap();
            name(instance(&pod.part))
        };
        let labelled = pod(
            json!({"app.kubernetes.io/instance": "a", "app.kubernetes.io/name": "prometheus-mirror"}),
        );
        assert_eq!(labelled.as_deref(), Some("n/a"));
        assert_eq!(pod(json!({})), None);
    }
}
