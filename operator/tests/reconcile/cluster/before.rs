//! A cluster before the operator has seen it, and the ways to start one there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use kube::runtime::events::{Recorder, Reporter};
use operator::cluster::caches::{Caches, Streams};
use operator::cluster::policy::Policy;
use operator::cluster::scope::Scope;
use operator::controller::build::Defaults;
use operator::controller::{self, Context};
use operator::telemetry::metrics::Metrics;
use serde_json::Value;

use super::manifests::policies;
use super::{Cluster, HERE, key, shop};
use crate::api_server::ApiServer;
use crate::pods::Pods;

/// A cluster before the operator has seen it.
pub(crate) struct Before {
    pub(crate) api: ApiServer,
    pub(crate) policy: Policy,
    pub(crate) scope: Scope,
    pods: Pods,
}

impl Before {
    /// What another operator left when it ended.
    pub(crate) fn as_left_by(cluster: &Cluster) -> Self {
        Self {
            api: cluster.api.clone(),
            policy: Policy::default(),
            scope: Scope::Cluster,
            pods: cluster.pods.clone(),
        }
    }

    /// The resource and its Secret.
    pub(crate) fn new(spec: Value) -> Self {
        let before = Self::without_key(spec);
        before.api.put(key());
        before
    }

    /// The resource alone.
    pub(crate) fn without_key(spec: Value) -> Self {
        // Another test may have done it before.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let api = ApiServer::default();
        api.put(shop(spec));
        policies().into_iter().for_each(|object| api.put(object));
        Self {
            api,
            policy: Policy::default(),
            scope: Scope::Cluster,
            pods: Pods::default(),
        }
    }

    async fn context(self) -> (ApiServer, Pods, Context, Streams) {
        let client = self.api.client();
        let (caches, streams) = Caches::new(&client, self.scope);
        let metrics = Arc::new(Metrics::default());
        let reporter = Reporter {
            controller: "prometheus-mirror-operator".to_owned(),
            instance: Some("test".to_owned()),
        };
        let context = Context {
            recorder: Recorder::new(client.clone(), reporter),
            impatient: client.clone(),
            client,
            caches: Arc::new(caches),
            known_keys: Default::default(),
            http: self.pods.client().await,
            policy: self.policy,
            defaults: Defaults {
                image: "prometheus-mirror:1".to_owned(),
                image_pull_secrets: vec![],
                operator_namespace: "system".to_owned(),
                platform_assigns_users: false,
            },
            waiting: metrics.waiting(),
            metrics,
            failures: Default::default(),
            contested: Default::default(),
            injection: Default::default(),
            evictions: Default::default(),
            throttle: Default::default(),
            claimant: "system/operator".to_owned(),
            claims: Default::default(),
        };
        (self.api, self.pods, context, streams)
    }

    /// An operator that reconciles when the scenario says so.
    pub(crate) async fn start(self) -> Cluster {
        let (api, pods, context, streams) = self.context().await;
        // Statuses about progress are not held back: a long time has passed since the last.
        let long_ago = Instant::now().checked_sub(Duration::from_secs(3600));
        let resource = (HERE.to_owned(), "shop".to_owned());
        context.throttle.written(&resource, long_ago.unwrap());
        let taken_in = Arc::new(AtomicUsize::new(0));
        let work = tokio::spawn(take_in(streams, Arc::clone(&taken_in)));
        let cluster = Cluster {
            api,
            pods,
            context: Arc::new(context),
            taken_in,
            work,
        };
        cluster.caught_up().await;
        cluster.api.asked();
        cluster
    }

    /// An operator that reconciles when something changes, as it does in a real cluster.
    pub(crate) async fn run(self) -> Cluster {
        let (api, pods, context, streams) = self.context().await;
        let context = Arc::new(context);
        let forever = std::future::pending();
        Cluster {
            api,
            pods,
            context: Arc::clone(&context),
            taken_in: Arc::default(),
            work: tokio::spawn(controller::triggers::run(context, streams, forever)),
        }
    }
}

/// Fills the caches.
async fn take_in(streams: Streams, taken_in: Arc<AtomicUsize>) {
    fn count<K: Send>(
        changes: impl futures::Stream<Item = K> + Send + 'static,
        taken_in: &Arc<AtomicUsize>,
    ) -> BoxFuture<'static, ()> {
        let taken_in = Arc::clone(taken_in);
        let each = move |_| {
            taken_in.fetch_add(1, Ordering::SeqCst);
            std::future::ready(())
        };
        changes.for_each(each).boxed()
    }
    let mut all = vec![
        count(streams.mirrors, &taken_in),
        count(streams.replica_sets, &taken_in),
        count(streams.pods, &taken_in),
        count(streams.labelled, &taken_in),
        count(streams.secrets, &taken_in),
        count(streams.config_maps, &taken_in),
        count(streams.services, &taken_in),
        count(streams.slices, &taken_in),
        count(streams.prometheuses, &taken_in),
    ];
    let children = streams.children.into_iter();
    all.extend(children.map(|(_, changes)| count(changes, &taken_in)));
    all.extend(streams.namespaces.map(|changes| count(changes, &taken_in)));
    futures::future::join_all(all).await;
}
