//! Targets are made of what their settings say, some of it taken over from those before.

use std::sync::{Arc, Mutex};

use url::Url;

use super::{NamedLanes, Targets, Undeclared};
use crate::budget::Memory;
use crate::prometheus::client::Credentials;
use crate::prometheus::guard::Guard;
use crate::prometheus::limits::{Lane, Pool};
use crate::prometheus::observe::{ServerLabels, UNDECLARED, UpstreamMetrics};
use crate::prometheus::remembered::Remembered;
use crate::prometheus::server::{Lanes, Parts, Server};
use crate::prometheus::target::{Shard, Target};
use crate::settings::{Replicas, Settings, TargetName, TargetSettings};

/// A lane that shares the workers with no other has half of them for itself. Places for calls
/// after another replica has failed are not taken from those of the other lanes, which may be used
/// up by calls that hang: so they are beside `workers`, and empty as long as nothing fails.
const ALONE: usize = 1;

/// What targets are made of.
pub(super) struct Making<'a> {
    pub(super) settings: &'a Settings,
    pub(super) metrics: &'a UpstreamMetrics,
    pub(super) previous: Option<&'a Targets>,
    pub(super) pool: &'a Arc<Pool>,
    pub(super) remembered: &'a Arc<Remembered>,
    /// How many lanes there are.
    pub(super) count: usize,
    /// Whether the metrics tell the servers of a target apart.
    pub(super) tells_apart: bool,
}

impl Making<'_> {
    /// The lanes of the target called so.
    pub(super) fn lanes(&self, name: &TargetName) -> NamedLanes {
        let mut kept = self.previous.iter().flat_map(|previous| &previous.lanes);
        if let Some(kept) = kept.find(|kept| kept.name == *name) {
            self.resize(&kept.lanes);
            return kept.clone();
        }
        NamedLanes {
            name: name.clone(),
            lanes: self.new_lanes(&name.0),
        }
    }

    fn new_lanes(&self, name: &str) -> Lanes {
        let (workers, depth) = (self.settings.workers, self.metrics.waiting(name));
        let lane = |lanes| Arc::new(Lane::new(self.pool, workers, lanes, depth.clone()));
        Lanes {
            usual: lane(self.count),
            instead: lane(ALONE),
        }
    }

    fn resize(&self, lanes: &Lanes) {
        lanes.usual.resize(self.settings.workers, self.count);
        lanes.instead.resize(self.settings.workers, ALONE);
    }

    pub(super) fn target(
        &self,
        settings: &Arc<TargetSettings>,
        lanes: &Lanes,
        memory: &Memory,
    ) -> Arc<Target> {
        let mut before = self.previous.iter().flat_map(|previous| &previous.declared);
        let before = before.find(|before| before.settings().name == settings.name);
        let keeps_labels = |server: &Arc<Server>| {
            server.metrics().labels == self.labels(settings, server.url().as_str())
        };
        if let Some(before) = before
            && before.settings() == settings
            && before.servers().all(keeps_labels)
        {
            return Arc::clone(before);
        }
        let mut alike = before.iter().flat_map(|before| before.servers());
        let credentials = match alike.find(|server| server.suits(settings)) {
            Some(server) => Arc::clone(server.credentials()),
            None => Arc::new(Credentials::new(settings)),
        };
        let server = |url: &Url| {
            let mut kept = before.iter().flat_map(|before| before.servers());
            let kept =
                kept.find(|kept| kept.url() == url && kept.suits(settings) && keeps_labels(kept));
            if let Some(kept) = kept {
                return Arc::clone(kept);
            }
            let labels = self.labels(settings, url.as_str());
            let parts = Parts {
                name: Arc::clone(&settings.name.0),
                lanes: lanes.clone(),
                credentials: Arc::clone(&credentials),
                memory: Arc::clone(&memory.work),
                metrics: Arc::new(self.metrics.of_server(labels)),
                guard: None,
                remembered: Some(Arc::clone(self.remembered)),
            };
            Arc::new(Server::new(Arc::clone(settings), url.clone(), parts))
        };
        let shard = |replicas: &Replicas| {
            let servers: Vec<_> = replicas.urls().map(server).collect();
            let was_preferred = |server: &Arc<Server>| {
                let mut shards = before.iter().flat_map(|before| before.preferred());
                shards.any(|preferred| Arc::ptr_eq(preferred, server))
            };
            let first = servers.iter().position(was_preferred).unwrap_or_default();
            Arc::new(Shard::new(settings, servers, first))
        };
        let shards = settings.servers.shards().iter().map(shard).collect();
        Arc::new(Target::new(Arc::clone(settings), shards))
    }

    /// Under which labels a server's calls are counted.
    fn labels(&self, settings: &TargetSettings, url: &str) -> ServerLabels {
        let is_told_apart = self.tells_apart && settings.servers.only().is_none();
        ServerLabels {
            target: settings.name.to_string(),
            server: is_told_apart.then(|| url.to_owned()),
        }
    }

    pub(super) fn undeclared(&self) -> Arc<Undeclared> {
        let guard = Guard::of(self.settings);
        let kept = self
            .previous
            .and_then(|previous| previous.undeclared.as_ref());
        if let Some(kept) = kept {
            self.resize(&kept.lanes);
            return Undeclared::guarded(kept, guard);
        }
        let labels = ServerLabels {
            target: UNDECLARED.to_owned(),
            server: None,
        };
        Arc::new(Undeclared {
            lanes: self.new_lanes(UNDECLARED),
            metrics: Arc::new(self.metrics.of_server(labels)),
            guard: guard.map(Arc::new),
            recent: Mutex::default(),
        })
    }
}

/// A target that no document declares.
pub(super) fn undeclared_target(
    settings: &Arc<TargetSettings>,
    undeclared: &Undeclared,
    memory: &Memory,
) -> Arc<Target> {
    let credentials = Arc::new(Credentials::new(settings));
    let server = |url: &Url| {
        let parts = Parts {
            name: UNDECLARED.into(),
            lanes: undeclared.lanes.clone(),
            credentials: Arc::clone(&credentials),
            memory: Arc::clone(&memory.work),
            metrics: Arc::clone(&undeclared.metrics),
            guard: undeclared.guard.clone(),
            // Each of its connections is checked, and so each answer must come over one.
            remembered: None,
        };
        Arc::new(Server::new(Arc::clone(settings), url.clone(), parts))
    };
    let shards = settings.servers.shards().iter().map(|replicas| {
        let servers = replicas.urls().map(server).collect();
        Arc::new(Shard::new(settings, servers, 0))
    });
    Arc::new(Target::new(Arc::clone(settings), shards.collect()))
}
