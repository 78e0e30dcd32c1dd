//! What the operator knows of the cluster: one watch and one store a kind, so that a reconcile
//! reads from memory.
//!
//! A kind that cannot be watched never holds up the other kinds; see [`watched`](super::watched).

use crds::contract::{OPERATOR, labels};
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{Api, DynamicObject, PartialObjectMeta};
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::Store;
use kube::runtime::watcher;
use kube::{Client, Resource};

use super::child::KeptChild;
use super::index::{Referent, Referrers};
use super::kind::{Kind, Stored};
use super::known::Known;
use super::labelled::LabelledPod;
use super::packed::Packed;
use super::pod::MirrorPod;
use super::problem::End;
use super::prometheus::PrometheusObject;
use super::references::{NamespacedName, References};
use super::reported::Reported;
use super::scope::Scope;
use super::service::KnownService;
use super::slice::{HEADLESS, Slice};
use super::store::{Kept as _, Watched};
use super::text::Samples;
use super::trim::{only_owners, only_version, whole};
pub use super::watched::Changes;
use super::watched::{Cache, reflect};

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
    pub namespaces: Option<Cache<Known>>,
    /// The resources themselves.
    pub mirrors: Store<Packed>,
    /// What they refer to.
    pub referrers: Arc<Referrers>,
    /// Children by kind.
    pub children: BTreeMap<Kind, Cache<KeptChild>>,
    /// The ReplicaSets of all mirrors: which Deployment controls them. They stand between it and
    /// its pods.
    pub replica_sets: Cache<Known>,
    /// What is labelled as a pod of a mirror.
    pub pods: Cache<MirrorPod>,
    /// What is labelled to carry a sidecar.
    pub labelled: Cache<LabelledPod>,
    /// Every Secret's metadata; no content.
    pub secrets: Cache<Known>,
    /// Every ConfigMap's metadata, but those of mirrors; no content.
    pub config_maps: Cache<Known>,
    /// Every Service's ports, and whether it is headless.
    pub services: Cache<KnownService>,
    /// The pods of headless Services.
    pub slices: Cache<Slice>,
    /// The Prometheus Operator's Prometheus objects.
    pub prometheuses: Cache<PrometheusObject>,
}

/// What must be polled for the caches to fill.
pub struct Streams {
    /// Of namespaces that match, or matched until now.
    pub namespaces: Option<Changes<PartialObjectMeta<Namespace>>>,
    /// Of the resources.
    pub mirrors: Changes<Packed>,
    /// Of children, with their kinds.
    pub children: Vec<(Stored, Changes<Packed>)>,
    /// Of ReplicaSets.
    pub replica_sets: Changes<PartialObjectMeta<ReplicaSet>>,
    /// Of pods.
    pub pods: Changes<Reported<MirrorPod>>,
    /// Of pods that should carry a sidecar.
    pub labelled: Changes<LabelledPod>,
    /// Of Secrets.
    pub secrets: Changes<PartialObjectMeta<Secret>>,
    /// Of ConfigMaps.
    pub config_maps: Changes<PartialObjectMeta<ConfigMap>>,
    /// Of Services.
    pub services: Changes<Reported<KnownService>>,
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
                let (cache, changes) = Cache::watch(api, config, &(), only_version);
                (Some(cache), Some(changes))
            }
            Scope::Cluster | Scope::Namespace(_) => (None, None),
        };
        let resource = Stored::Mirror;
        let referrers = Arc::new(Referrers::default());
        let of_mirrors = Arc::clone(&referrers);
        let (mirrors, mirror_changes) = reflect(
            scope.dynamic(client, &resource),
            all_whole(),
            &resource,
            shorten(),
            move |event| of_mirrors.note(event),
        );
        let mut children = BTreeMap::new();
        let mut child_changes = Vec::new();
        for kind in Kind::ALL {
            let resource = Stored::Child(kind);
            let api = scope.dynamic(client, &resource);
            let (cache, changes) = Cache::watch(api, ours_whole(), &resource, shorten());
            children.insert(kind, cache);
            child_changes.push((resource, changes));
        }
        let (replica_sets, replica_set_changes) = typed(client, &scope, ours(), only_owners);
        let (pods, pod_changes) = typed(client, &scope, ours_whole(), whole);
        // A watch of its own: label selectors have no "or", and most clusters have none of these.
        let inject = all_whole().labels(labels::INJECT);
        let (labelled, labelled_changes) = typed(client, &scope, inject, whole);
        let (secrets, secret_changes) = typed(client, &scope, all(), only_version);
        let (config_maps, config_map_changes) = typed(client, &scope, not_ours(), only_version);
        let (services, service_changes) = typed(client, &scope, all_whole(), whole);
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
            referrers,
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
    pub fn child(&self, kind: Kind, namespace: &str, name: &str) -> Option<Arc<KeptChild>> {
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
        last(ended.filter_map(|pod| Some((pod.name().to_owned(), pod.end.as_deref().cloned()?))))
    }

    /// The same of the pods that should have carried the sidecar of a resource.
    #[must_use]
    pub fn ended_for(&self, namespace: &str, mirror: &str) -> Option<(String, End)> {
        let labelled = self.labelled.of(namespace, mirror);
        let ended = labelled.iter();
        last(ended.filter_map(|pod| Some((pod.name().to_owned(), pod.end.as_deref().cloned()?))))
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
        let replica_sets = self.replica_sets.of(namespace, uid);
        let pods = replica_sets.iter().flat_map(|replica_set| {
            let pods = self.pods.of(namespace, &replica_set.uid).into_iter();
            pods.filter(|pod| pod.is_controlled_by(replica_set) && is(pod))
        });
        pods.collect()
    }

    /// The pods that should carry the sidecar of a resource, in the order of their names. Those
    /// that have ended are none.
    #[must_use]
    pub fn labelled_for(&self, namespace: &str, mirror: &str) -> Vec<Arc<LabelledPod>> {
        let mut pods = self.labelled.of(namespace, mirror);
        pods.retain(|pod| !pod.has_ended());
        pods.sort_by(|one, other| one.name().cmp(other.name()));
        pods
    }

    /// The children of a kind that a resource with this uid controls.
    #[must_use]
    pub fn children_of(&self, kind: Kind, namespace: &str, uid: &str) -> Vec<Arc<KeptChild>> {
        let children = self.children.get(&kind);
        children.map_or_else(Vec::new, |children| children.of(namespace, uid))
    }

    /// The resources of a namespace.
    #[must_use]
    pub fn mirrors_in(&self, namespace: &str) -> Vec<NamespacedName> {
        self.referrers
            .of(&Referent::Namespace(namespace.to_owned()))
    }

    /// What is known of the pods of a headless Service.
    #[must_use]
    pub fn slices_of(&self, service: &NamespacedName) -> Vec<Arc<Slice>> {
        self.slices.of(&service.0, &service.1)
    }

    /// The Prometheus objects of a namespace that a governing Service leads to.
    #[must_use]
    pub fn governed_by(&self, namespace: &str, service: &str) -> Vec<Arc<PrometheusObject>> {
        self.prometheuses.of(namespace, service)
    }

    /// Whether resources of `namespace` are the operator's to reconcile. Nobody's, while it is not
    /// known which namespaces match.
    #[must_use]
    pub fn selects(&self, namespace: &str) -> bool {
        let Some(namespaces) = &self.namespaces else {
            return true;
        };
        namespaces.get("", namespace).is_some()
    }
}

/// The one that ended last.
fn last(ended: impl Iterator<Item = (String, End)>) -> Option<(String, End)> {
    ended.max_by_key(|(_, end)| end.at)
}

/// Shortens the texts of one kind.
fn shorten() -> impl FnMut(&mut Packed) + Send + 'static {
    let mut samples = Samples::default();
    move |object| object.shorten(&mut samples)
}

/// A cache of objects of one type, of which `strip` leaves a part.
fn typed<K>(
    client: &Client,
    scope: &Scope,
    config: watcher::Config,
    strip: fn(&mut K),
) -> (Cache<K::Kept>, Changes<K>)
where
    K: Watched + Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    Cache::watch(scope.api(client), config, &(), strip)
}

#[cfg(test)]
mod tests;
