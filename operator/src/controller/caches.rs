//! What the operator knows of the cluster: one watch and one store a kind, so that a reconcile reads from memory.
//!
//! A kind may be absent (its API is not installed) or forbidden. Its watch then goes on trying, at a slow pace, and the cache says
//! why it is empty; it never holds up the other kinds.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, Service, ServiceSpec};
use kube::api::{Api, DynamicObject, PartialObjectMeta};
use kube::core::{ApiResource, GroupVersionKind};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, Resource};
use kube_runtime::utils::Backoff;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::build::Kind;
use super::packed::Packed;
use super::pod::MirrorPod;
use super::references::References;
use crate::names::{MANAGED_BY_LABEL, OPERATOR, mirror_resource};

/// How many objects come in one answer to a list. A page is in memory as a whole before its objects are packed.
const PAGE: u32 = 25;

/// After so many lists that failed, in a quarter of a minute, a kind that not every resource asks for holds up none of them any more.
/// Its lists may fail for good: a conversion webhook that is down is enough.
const PATIENCE_WITH_OPTIONAL: u32 = 5;

/// Where the operator looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In every namespace.
    Cluster,
    /// In namespaces with matching labels; what their resources refer to may be anywhere.
    Selected(String),
    /// In one namespace only, with rights in that namespace only.
    Namespace(String),
}

impl Scope {
    fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        match self {
            Self::Cluster | Self::Selected(_) => Api::all(client.clone()),
            Self::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
        }
    }

    fn dynamic<K>(&self, client: &Client, resource: &ApiResource) -> Api<K>
    where
        K: Resource<DynamicType = ApiResource, Scope = kube::core::DynamicResourceScope>,
    {
        match self {
            Self::Cluster | Self::Selected(_) => Api::all_with(client.clone(), resource),
            Self::Namespace(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        }
    }

    /// Whether objects of `namespace` are seen.
    #[must_use]
    pub fn sees(&self, namespace: &str) -> bool {
        match self {
            Self::Cluster | Self::Selected(_) => true,
            Self::Namespace(own) => own == namespace,
        }
    }
}

/// Whether the objects of a kind can be watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// The first list has not arrived, but so many failures.
    Unknown(u32),
    /// The store holds what there is.
    Available,
    /// Why there is nothing in the store.
    Unavailable(String),
}

/// The objects of a kind.
pub struct Cache<K: Resource + Clone + 'static>
where
    K::DynamicType: Hash + Eq + Clone,
{
    store: Store<K>,
    resource: K::DynamicType,
    availability: watch::Receiver<Availability>,
}

impl<K> Cache<K>
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Hash + Eq + Clone + Send + Sync,
{
    /// Starts nothing: the cache fills while the stream is polled. The stream's items are the objects that changed or went.
    fn watch(
        api: Api<K>,
        config: watcher::Config,
        resource: K::DynamicType,
        strip: fn(&mut K),
    ) -> (
        Self,
        impl Stream<Item = Result<K, watcher::Error>> + Send + 'static,
    ) {
        let writer = reflector::store::Writer::<K>::new(resource.clone());
        let (known, availability) = watch::channel(Availability::Unknown(0));
        let cache = Self {
            store: writer.as_reader(),
            resource: resource.clone(),
            availability,
        };
        let kind = K::kind(&resource).into_owned();
        let stream = watcher(api, config)
            .backoff(Patience::default())
            .modify(move |object| {
                object.meta_mut().managed_fields = None;
                strip(object);
            })
            .reflect(writer)
            .inspect(move |event| note(event.as_ref(), &kind, &known))
            .touched_objects()
            // An error is noted above and slows this watch down, not those of the other kinds.
            .filter(|object| std::future::ready(object.is_ok()));
        (cache, stream)
    }

    /// One object.
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.store
            .get(&ObjectRef::new_with(name, self.resource.clone()).within(namespace))
    }

    /// The objects that meet a condition.
    pub fn filter(&self, condition: impl Fn(&K) -> bool) -> Vec<Arc<K>> {
        self.store.state_filter(condition)
    }

    /// The store itself.
    #[must_use]
    pub fn store(&self) -> Store<K> {
        self.store.clone()
    }

    /// Why nothing can be known of what is in it, if that is so.
    #[must_use]
    pub fn unavailable(&self) -> Option<String> {
        match &*self.availability.borrow() {
            Availability::Unavailable(why) => Some(why.clone()),
            Availability::Unknown(_) => Some("the API server fails to list it".to_owned()),
            Availability::Available => None,
        }
    }

    /// The same, if there never was anything in it.
    fn never_seen(&self) -> Option<String> {
        self.unavailable().filter(|_| self.store.is_empty())
    }

    /// Waits until it is known what there is, or that nothing can be known, or lists have failed too often.
    async fn settled(&self, patience: u32) {
        let open =
            |known: &Availability| matches!(known, Availability::Unknown(n) if *n < patience);
        let mut availability = self.availability.clone();
        // The sender lives as long as the watch, and the watch as long as the controller.
        let _ = availability.wait_for(|known| !open(known)).await;
    }
}

fn note<K>(
    event: Result<&watcher::Event<K>, &watcher::Error>,
    kind: &str,
    known: &watch::Sender<Availability>,
) {
    match event {
        Ok(watcher::Event::InitDone) => {
            let before = known.send_replace(Availability::Available);
            if matches!(before, Availability::Unavailable(_)) {
                tracing::info!(kind, "the API is there now");
            }
        }
        Ok(_) => {}
        Err(error) => match refusal(error) {
            Some(why) => {
                let now = Availability::Unavailable(why.clone());
                if known.send_replace(now.clone()) != now {
                    tracing::warn!(
                        kind,
                        why,
                        "cannot be watched, trying again from time to time"
                    );
                }
            }
            None => {
                tracing::debug!(kind, %error, "the watch broke off, trying again");
                let answered = matches!(
                    error,
                    watcher::Error::InitialListFailed(kube::Error::Api(_))
                );
                known.send_if_modified(|known| match known {
                    Availability::Unknown(failures) if answered => {
                        *failures = failures.saturating_add(1);
                        true
                    }
                    _ => false,
                });
            }
        },
    }
}

/// The pauses of a watch that fails. They grow until it has been quiet for a while; kube's own begin anew with each attempt,
/// because an attempt begins with an event.
struct Patience {
    pause: Duration,
    failed: Instant,
}

impl Patience {
    const SHORTEST: Duration = Duration::from_secs(1);
    const LONGEST: Duration = Duration::from_secs(30);
    const QUIET: Duration = Duration::from_secs(120);
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            pause: Self::SHORTEST,
            failed: Instant::now(),
        }
    }
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.failed.elapsed() > Self::QUIET {
            self.pause = Self::SHORTEST;
        }
        self.failed = Instant::now();
        let pause = self.pause;
        self.pause = (pause * 2).min(Self::LONGEST);
        Some(pause)
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {}
}

/// Why the API server will not let this kind be listed, if it said so. A watch that is refused after that says nothing: an API server
/// that has just started refuses everything for a moment, and what was listed stays known.
fn refusal(error: &watcher::Error) -> Option<String> {
    let watcher::Error::InitialListFailed(kube::Error::Api(status)) = error else {
        return None;
    };
    match status.code {
        404 | 405 => Some("its API is not installed in this cluster".to_owned()),
        401 | 403 => Some(format!(
            "the operator has no right to it: {}",
            status.message
        )),
        _ => None,
    }
}

/// All caches of one scope.
pub struct Caches {
    /// Where they look.
    pub scope: Scope,
    /// The namespaces with matching labels, where the scope asks for that.
    pub namespaces: Option<Cache<PartialObjectMeta<Namespace>>>,
    /// The resources themselves.
    pub mirrors: Cache<Packed>,
    /// Children by kind. [`Caches::child`] unpacks.
    pub children: BTreeMap<Kind, Cache<Packed>>,
    /// The pods of all mirrors.
    pub pods: Cache<MirrorPod>,
    /// Every Secret's metadata; no content.
    pub secrets: Cache<PartialObjectMeta<Secret>>,
    /// Every ConfigMap's metadata, but those of mirrors; no content.
    pub config_maps: Cache<PartialObjectMeta<ConfigMap>>,
    /// Every Service's ports.
    pub services: Cache<Service>,
    /// The Prometheus Operator's Prometheus objects.
    pub prometheuses: Cache<DynamicObject>,
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
    /// Of pods.
    pub pods: Changes<MirrorPod>,
    /// Of Secrets.
    pub secrets: Changes<PartialObjectMeta<Secret>>,
    /// Of ConfigMaps.
    pub config_maps: Changes<PartialObjectMeta<ConfigMap>>,
    /// Of Services.
    pub services: Changes<Service>,
    /// Of Prometheus objects, with their kind.
    pub prometheuses: (ApiResource, Changes<DynamicObject>),
}

impl Caches {
    /// The caches of a scope, and the streams that fill them.
    #[must_use]
    pub fn new(client: &Client, scope: Scope) -> (Self, Streams) {
        let all = || watcher::Config::default().page_size(PAGE);
        let ours = || all().labels(&format!("{MANAGED_BY_LABEL}={OPERATOR}"));

        // The API server selects: a namespace that matches no more is gone for this watch.
        let (namespaces, namespace_changes) = match &scope {
            Scope::Selected(selector) => {
                let api = Api::all(client.clone());
                let (cache, changes) =
                    Cache::watch(api, all().labels(selector), (), strip_metadata);
                (Some(cache), Some(changes.boxed()))
            }
            Scope::Cluster | Scope::Namespace(_) => (None, None),
        };
        let resource = mirror_resource();
        let (mirrors, mirror_changes) =
            Cache::watch(scope.dynamic(client, &resource), all(), resource, whole);
        let mut children = BTreeMap::new();
        let mut child_changes = Vec::new();
        for kind in Kind::ALL {
            let resource = kind.resource();
            let (cache, changes) = Cache::watch(
                scope.dynamic(client, &resource),
                ours(),
                resource.clone(),
                whole,
            );
            children.insert(kind, cache);
            child_changes.push((resource, changes.boxed()));
        }
        let (pods, pod_changes) = Cache::watch(scope.api(client), ours(), (), whole);
        let (secrets, secret_changes) = Cache::watch(scope.api(client), all(), (), strip_metadata);
        // Those of mirrors are children already, and nobody keeps certificates in them.
        let others = all().labels(&format!("{MANAGED_BY_LABEL}!={OPERATOR}"));
        let (config_maps, config_map_changes) =
            Cache::watch(scope.api(client), others, (), strip_metadata);
        let (services, service_changes) = Cache::watch(scope.api(client), all(), (), strip_service);
        let resource = prometheus_resource();
        let (prometheuses, prometheus_changes) = Cache::watch(
            scope.dynamic(client, &resource),
            all(),
            resource.clone(),
            strip_prometheus,
        );

        let caches = Self {
            scope,
            namespaces,
            mirrors,
            children,
            pods,
            secrets,
            config_maps,
            services,
            prometheuses,
        };
        let streams = Streams {
            namespaces: namespace_changes,
            mirrors: mirror_changes.boxed(),
            children: child_changes,
            pods: pod_changes.boxed(),
            secrets: secret_changes.boxed(),
            config_maps: config_map_changes.boxed(),
            services: service_changes.boxed(),
            prometheuses: (resource, prometheus_changes.boxed()),
        };
        (caches, streams)
    }

    /// Waits until every cache knows what there is, or that its kind cannot be watched; for what not every resource needs, only for a
    /// while.
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
        self.pods.settled(u32::MAX).await;
        self.secrets.settled(u32::MAX).await;
        self.config_maps.settled(u32::MAX).await;
        self.services.settled(u32::MAX).await;
        self.prometheuses.settled(PATIENCE_WITH_OPTIONAL).await;
    }

    /// Why nothing can be said of a resource with these references: what it needs was never seen. Not seeing a Secret would otherwise be
    /// taken for its absence. What was seen once and is refused later stays known.
    #[must_use]
    pub fn blind(&self, references: &References) -> Option<String> {
        let config_maps = match references.config_maps.is_empty() {
            true => None,
            false => self.config_maps.never_seen(),
        };
        let needed = [
            ("Secrets", self.secrets.never_seen()),
            ("ConfigMaps", config_maps),
            ("Pods", self.pods.never_seen()),
        ];
        let (what, why) = needed
            .into_iter()
            .find_map(|(what, why)| Some((what, why?)))?;
        Some(format!("{what} cannot be watched: {why}"))
    }

    /// A child that is there.
    #[must_use]
    pub fn child(&self, kind: Kind, namespace: &str, name: &str) -> Option<DynamicObject> {
        let there = self.children.get(&kind)?.get(namespace, name)?;
        Some(there.unpack())
    }

    /// Whether resources of `namespace` are the operator's to reconcile. Nobody's, while it is not known which namespaces match.
    #[must_use]
    pub fn selects(&self, namespace: &str) -> bool {
        let Some(namespaces) = &self.namespaces else {
            return true;
        };
        namespaces.store.get(&ObjectRef::new(namespace)).is_some()
    }
}

/// The Prometheus Operator's Prometheus.
#[must_use]
pub fn prometheus_resource() -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("monitoring.coreos.com", "v1", "Prometheus"),
        "prometheuses",
    )
}

/// Nothing is taken away: it is small already.
fn whole<K>(_: &mut K) {}

fn strip_metadata<K>(object: &mut PartialObjectMeta<K>) {
    object.metadata.annotations = None;
    object.metadata.labels = None;
    object.metadata.owner_references = None;
}

fn strip_service(service: &mut Service) {
    service.metadata.annotations = None;
    service.metadata.labels = None;
    service.metadata.owner_references = None;
    service.spec = service.spec.take().map(|spec| ServiceSpec {
        ports: spec.ports,
        ..ServiceSpec::default()
    });
    service.status = None;
}

fn strip_prometheus(prometheus: &mut DynamicObject) {
    prometheus.metadata.annotations = None;
    let spec = &prometheus.data["spec"];
    let kept =
        ["serviceName", "routePrefix", "web"].map(|field| (field.to_owned(), spec[field].clone()));
    prometheus.data = serde_json::json!({ "spec": serde_json::Map::from_iter(kept) });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_unavailable_when_its_list_is_refused_but_not_when_a_later_watch_is() {
        let (known, seen) = watch::channel(Availability::Unknown(0));
        let note = |event: Result<watcher::Event<()>, watcher::Error>| {
            note(event.as_ref(), "Ingress", &known);
            seen.borrow().clone()
        };
        let refused = || {
            kube::Error::Api(
                kube::core::Status::failure("no", "Forbidden")
                    .with_code(403)
                    .boxed(),
            )
        };
        let gone = || {
            kube::Error::Api(
                kube::core::Status::failure("no", "NotFound")
                    .with_code(404)
                    .boxed(),
            )
        };
        let broken = || {
            kube::Error::Api(
                kube::core::Status::failure("no", "x")
                    .with_code(500)
                    .boxed(),
            )
        };
        let unavailable = |why: &str| Availability::Unavailable(why.to_owned());
        let states = [
            note(Ok(watcher::Event::Init)),
            note(Err(watcher::Error::NoResourceVersion)),
            note(Err(watcher::Error::InitialListFailed(broken()))),
            note(Err(watcher::Error::InitialListFailed(broken()))),
            note(Err(watcher::Error::InitialListFailed(gone()))),
            note(Err(watcher::Error::InitialListFailed(refused()))),
            note(Ok(watcher::Event::InitDone)),
            note(Err(watcher::Error::WatchStartFailed(refused()))),
        ];
        assert_eq!(
            states,
            [
                Availability::Unknown(0),
                Availability::Unknown(0),
                Availability::Unknown(1),
                Availability::Unknown(2),
                unavailable("its API is not installed in this cluster"),
                unavailable("the operator has no right to it: no"),
                Availability::Available,
                Availability::Available,
            ]
        );
    }

    #[test]
    fn pauses_grow_although_every_attempt_begins_well() {
        let mut patience = Patience::default();
        let mut pauses = Vec::new();
        for _ in 0..7 {
            patience.reset();
            pauses.extend(patience.next().map(|pause| pause.as_secs()));
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 30, 30]);
        patience.failed -= Patience::QUIET + Duration::from_secs(1);
        assert_eq!(patience.next(), Some(Patience::SHORTEST));
    }
}
