//! What the operator knows of the cluster: one watch and one store a kind, so that a reconcile
//! reads from memory.
//!
//! A kind that cannot be watched never holds up the other kinds; see [`watched`](super::watched).

use crds::contract::{OPERATOR, labels};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures::StreamExt as _;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service};
use kube::api::{Api, DynamicObject, PartialObjectMeta};
use kube::core::{ApiResource, NamespaceResourceScope};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher;
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::kind::Kind;
use super::labelled::LabelledPod;
use super::owner::owned_by;
use super::packed::Packed;
use super::pod::MirrorPod;
use super::problem::End;
use super::prometheus::PrometheusObject;
use super::references::References;
use super::scope::Scope;
use super::slice::{HEADLESS, Slice};
use super::trim::{only_owners, strip_metadata, strip_service, whole};
use super::watched::Cache;
use crate::cluster::kind::mirror_resource;

/// How many objects come in one answer to a list of metadata.
const PAGE: u32 = 25;

/// The same where objects come whole. The text of a page is in memory twice before its objects are
/// packed, and each may be a megabyte and a half.
const PAGE_OF_WHOLE: u32 = 5;

/// After so many lists that failed, in a quarter of a minute, a kind that not every resource asks
/// for holds up none of them any more. Its lists may fail for good: a conversion webhook that is
/// down is enough.
const PATIENCE_WITH_OPTIONAL: u32 = 5;

/// All caches of one scope.
pub struct Caches {
    /// Where they look.
    pub scope: Scope,
    /// The namespaces with matching labels, where the scope asks for that.
    pub namespaces: Option<Cache<PartialObjectMeta<Namespace>>>,
    /// The resources themselves.
    pub mirrors: Cache<Packed>,
    /// Children by kind.
    pub children: BTreeMap<Kind, Cache<Packed>>,
    /// The ReplicaSets of all mirrors: which Deployment controls them. They stand between it and
    /// its pods.
    pub replica_sets: Cache<PartialObjectMeta<ReplicaSet>>,
    /// What is labelled as a pod of a mirror.
    pub pods: Cache<MirrorPod>,
    /// What is labelled to carry a sidecar.
    pub labelled: Cache<LabelledPod>,
    /// Every Secret's metadata; no content.
    pub secrets: Cache<PartialObjectMeta<Secret>>,
    /// Every ConfigMap's metadata, but those of mirrors; no content.
    pub config_maps: Cache<PartialObjectMeta<ConfigMap>>,
    /// Every Service's ports, and whether it is headless.
    pub services: Cache<Service>,
    /// The pods of headless Services.
    pub slices: Cache<Slice>,
    /// The Prometheus Operator's Prometheus objects.
    pub prometheuses: Cache<PrometheusObject>,
}

/// A stream of what changed.
pub type Changes<K> = futures::stream::BoxStream<'static, Result<K, watcher::Error>>;

/// What must be polled for the caches to fill.
pub struct Streams {
    /// Of namespaces that match, or matched until now.
    pub namespaces: Option<Changes<PartialObjectMeta<Namespace>>>,
    /// Of the resources.
    pub mirrors: Changes<Packed>,
    /// Of children, with their kinds.
    pub children: Vec<(ApiResource, Changes<Packed>)>,
    /// Of ReplicaSets.
    pub replica_sets: Changes<PartialObjectMeta<ReplicaSet>>,
    /// Of pods.
    pub pods: Changes<MirrorPod>,
    /// Of pods that should carry a sidecar.
    pub labelled: Changes<LabelledPod>,
    /// Of Secrets.
    pub secrets: Changes<PartialObjectMeta<Secret>>,
    /// Of ConfigMaps.
    pub config_maps: Changes<PartialObjectMeta<ConfigMap>>,
    /// Of Services.
    pub services: Changes<Service>,
    /// Of the pods of headless Services.
    pub slices: Changes<Slice>,
    /// Of Prometheus objects.
    pub prometheuses: Changes<PrometheusObject>,
}

impl Caches {
    /// The caches of a scope, and the streams that fill them.
    #[must_use]
    pub fn new(client: &Client, scope: Scope) -> (Self, Streams) {
        let all = || watcher::Config::default().page_size(PAGE);
        let all_whole = || all().page_size(PAGE_OF_WHOLE);
        let ours = || all().labels(&format!("{}={OPERATOR}", labels::MANAGED_BY));
        let ours_whole = || ours().page_size(PAGE_OF_WHOLE);
        // Those of mirrors are children already, and nobody keeps certificates in them.
        let not_ours = || all().labels(&format!("{}!={OPERATOR}", labels::MANAGED_BY));

        // The API server selects: a namespace that matches no more is gone for this watch.
        let (namespaces, namespace_changes) = match &scope {
            Scope::Selected(selector) => {
                let api = Api::all(client.clone());
                let config = all().labels(selector);
                let (cache, changes) = Cache::watch(api, config, (), strip_metadata);
                (Some(cache), Some(changes.boxed()))
            }
            Scope::Cluster | Scope::Namespace(_) => (None, None),
        };
        let resource = mirror_resource();
        let (mirrors, mirror_changes) = packed(client, &scope, resource, all_whole());
        let mut children = BTreeMap::new();
        let mut child_changes = Vec::new();
        for kind in Kind::ALL {
            let resource = kind.resource();
            let (cache, changes) = packed(client, &scope, resource.clone(), ours_whole());
            children.insert(kind, cache);
            child_changes.push((resource, changes));
        }
        let (replica_sets, replica_set_changes) = typed(client, &scope, ours(), only_owners);
        let (pods, pod_changes) = typed(client, &scope, ours_whole(), whole);
        // A watch of its own: label selectors have no "or", and most clusters have none of these.
        let inject = all_whole().labels(labels::INJECT);
        let (labelled, labelled_changes) = typed(client, &scope, inject, whole);
        let (secrets, secret_changes) = typed(client, &scope, all(), strip_metadata);
        let (config_maps, config_map_changes) = typed(client, &scope, not_ours(), strip_metadata);
        let (services, service_changes) = typed(client, &scope, all_whole(), strip_service);
        let headless = all_whole().labels(HEADLESS);
        let (slices, slice_changes) = typed(client, &scope, headless, whole);
        let (prometheuses, prometheus_changes) = typed(client, &scope, all_whole(), whole);

        let streams = Streams {
            namespaces: namespace_changes,
            mirrors: mirror_changes,
            children: child_changes,
            replica_sets: replica_set_changes,
            pods: pod_changes,
            labelled: labelled_changes,
            secrets: secret_changes,
            config_maps: config_map_changes,
            services: service_changes,
            slices: slice_changes,
            prometheuses: prometheus_changes,
        };
        let caches = Self {
            scope,
            namespaces,
            mirrors,
            children,
            replica_sets,
            pods,
            labelled,
            secrets,
            config_maps,
            services,
            slices,
            prometheuses,
        };
        (caches, streams)
    }

    /// Waits until every cache knows what there is, or that its kind cannot be watched; for what
    /// not every resource needs, only for a while.
    pub async fn settled(&self) {
        if let Some(namespaces) = &self.namespaces {
            namespaces.settled(u32::MAX).await;
        }
        for (kind, cache) in &self.children {
            let optional = kind.is_optional();
            cache
                .settled(if optional {
                    PATIENCE_WITH_OPTIONAL
                } else {
                    u32::MAX
                })
                .await;
        }
        self.replica_sets.settled(u32::MAX).await;
        self.pods.settled(u32::MAX).await;
        self.labelled.settled(u32::MAX).await;
        self.secrets.settled(u32::MAX).await;
        self.config_maps.settled(u32::MAX).await;
        self.services.settled(u32::MAX).await;
        self.slices.settled(PATIENCE_WITH_OPTIONAL).await;
        self.prometheuses.settled(PATIENCE_WITH_OPTIONAL).await;
    }

    /// Why nothing can be said of a resource with these references: what it needs was never seen.
    /// Not seeing a Secret would otherwise be taken for its absence. What was seen once and is
    /// refused later stays known.
    #[must_use]
    pub fn unreadable(&self, references: &References) -> Option<String> {
        let config_maps = match references.config_maps.is_empty() {
            true => None,
            false => self.config_maps.never_seen(),
        };
        let needed = [
            ("Secrets", self.secrets.never_seen()),
            ("ConfigMaps", config_maps),
            ("ReplicaSets", self.replica_sets.never_seen()),
            ("Pods", self.pods.never_seen()),
            ("Pods", self.labelled.never_seen()),
        ];
        let (what, why) = needed
            .into_iter()
            .find_map(|(what, why)| Some((what, why?)))?;
        Some(format!("{what} cannot be watched: {why}"))
    }

    /// What is there under the name of a child.
    #[must_use]
    pub fn child(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<Packed>> {
        self.children.get(&kind)?.get(namespace, name)
    }

    /// A child as the cache has it, read from the API server where the cache does not have all of
    /// it. The operator makes no child that is so large; somebody else must have enlarged it.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn whole_child(
        &self,
        client: &Client,
        kind: Kind,
        namespace: &str,
        name: &str,
    ) -> kube::Result<Option<DynamicObject>> {
        let Some(there) = self.child(kind, namespace, name) else {
            return Ok(None);
        };
        if there.oversize().is_none() {
            return Ok(Some(there.unpack()));
        }
        let resource = kind.resource();
        let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource);
        api.get_opt(name).await
    }

    /// The pods that a resource's Deployment controls, through one of its ReplicaSets, and that are
    /// not over. What a pod's labels say counts for nothing here: anybody who may make pods can
    /// write them.
    #[must_use]
    pub fn pods_of(&self, deployment: &DynamicObject) -> Vec<Arc<MirrorPod>> {
        self.controlled_by(deployment, |pod| !pod.is_over())
    }

    /// The pod of a resource's Deployment that Kubernetes ended last, of those that are on record.
    #[must_use]
    pub fn ended_of(&self, deployment: &DynamicObject) -> Option<(String, End)> {
        let ended = self.controlled_by(deployment, |pod| pod.end.is_some());
        let ended = ended.iter();
        last(ended.filter_map(|pod| Some((pod.name_any(), pod.end.as_deref().cloned()?))))
    }

    /// The same of the pods that should have carried the sidecar of a resource.
    #[must_use]
    pub fn ended_for(&self, namespace: &str, mirror: &str) -> Option<(String, End)> {
        let is = |pod: &LabelledPod| pod.end.is_some() && pod.is_for(namespace, mirror);
        let ended = self.labelled.filter(is);
        let ended = ended.iter();
        last(ended.filter_map(|pod| Some((pod.name_any(), pod.end.as_deref().cloned()?))))
    }

    /// The pods that a Deployment controls and that are so.
    fn controlled_by(
        &self,
        deployment: &DynamicObject,
        is: impl Fn(&MirrorPod) -> bool,
    ) -> Vec<Arc<MirrorPod>> {
        let (Some(namespace), Some(uid)) = (
            deployment.metadata.namespace.as_deref(),
            deployment.metadata.uid.as_deref(),
        ) else {
            return Vec::new();
        };
        self.pods.filter(|pod| {
            let replica_set = pod
                .controller
                .as_ref()
                .filter(|_| pod.is_in(namespace) && is(pod))
                .and_then(|controller| {
                    let there = self.replica_sets.get(namespace, &controller.name)?;
                    (there.metadata.uid.as_ref() == Some(&controller.uid)).then_some(there)
                });
            replica_set.is_some_and(|there| owned_by(there.as_ref(), uid))
        })
    }

    /// The pods that should carry the sidecar of a resource, in the order of their names. Those
    /// that have ended are none.
    #[must_use]
    pub fn labelled_for(&self, namespace: &str, mirror: &str) -> Vec<Arc<LabelledPod>> {
        let wanted = |pod: &LabelledPod| pod.is_for(namespace, mirror) && !pod.has_ended();
        let mut pods = self.labelled.filter(wanted);
        pods.sort_by_key(|pod| pod.name_any());
        pods
    }

    /// Whether resources of `namespace` are the operator's to reconcile. Nobody's, while it is not
    /// known which namespaces match.
    #[must_use]
    pub fn selects(&self, namespace: &str) -> bool {
        let Some(namespaces) = &self.namespaces else {
            return true;
        };
        namespaces.store().get(&ObjectRef::new(namespace)).is_some()
    }
}

/// The one that ended last.
fn last(ended: impl Iterator<Item = (String, End)>) -> Option<(String, End)> {
    ended.max_by_key(|(_, end)| end.at)
}

/// A cache of objects of any kind, kept as text.
fn packed(
    client: &Client,
    scope: &Scope,
    resource: ApiResource,
    config: watcher::Config,
) -> (Cache<Packed>, Changes<Packed>) {
    let api = scope.dynamic(client, &resource);
    let (cache, changes) = Cache::watch(api, config, resource, whole);
    (cache, changes.boxed())
}

/// A cache of objects of one type, of which `strip` leaves a part.
fn typed<K>(
    client: &Client,
    scope: &Scope,
    config: watcher::Config,
    strip: fn(&mut K),
) -> (Cache<K>, Changes<K>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    K: Clone + DeserializeOwned + Debug + Send + Sync + 'static,
{
    let (cache, changes) = Cache::watch(scope.api(client), config, (), strip);
    (cache, changes.boxed())
}

#[cfg(test)]
mod tests;
