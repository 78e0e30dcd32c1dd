//! A target: its shards, each with replicas.

use std::sync::Arc;

use super::holders::Holders;
use super::limits::Caller;
use super::replicas::{Preference, Replicas};
use super::server::{ForRequest, Server, ServerCalls, Way};
use super::{Answer, Call, Deadline, Foreseen, Held, Store, StoreError};
use crate::budget::Reservation;
use crate::model::capabilities::Capabilities;
use crate::settings::TargetSettings;

/// What a request may mean: one server, or several that belong together. Made by
/// [`super::Targets`].
#[derive(Debug)]
pub struct Target {
    settings: Arc<TargetSettings>,
    /// At least one.
    shards: Vec<Arc<Shard>>,
    holders: Arc<Holders>,
}

/// A part of a target's series: servers that scrape the same, at least one.
#[derive(Debug)]
pub(super) struct Shard {
    pub(super) servers: Vec<Arc<Server>>,
    pub(super) preference: Arc<Preference>,
}

impl Target {
    pub(super) fn new(settings: Arc<TargetSettings>, shards: Vec<Arc<Shard>>) -> Self {
        Self {
            settings,
            shards,
            holders: Arc::default(),
        }
    }

    /// What the target was made from.
    #[must_use]
    pub fn settings(&self) -> &Arc<TargetSettings> {
        &self.settings
    }

    /// What is known of which shard has what.
    #[must_use]
    pub fn holders(&self) -> &Arc<Holders> {
        &self.holders
    }

    /// Its servers, by shard.
    pub fn shards(&self) -> impl Iterator<Item = &[Arc<Server>]> {
        self.shards.iter().map(|shard| &shard.servers[..])
    }

    /// All of its servers.
    pub fn servers(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.shards().flatten()
    }

    /// The preferred server of each shard.
    pub fn preferred(&self) -> impl Iterator<Item = &Arc<Server>> {
        let shards = self.shards.iter();
        shards.filter_map(|shard| shard.servers.get(shard.preference.get()))
    }

    /// The only server. None if there are several.
    #[must_use]
    pub fn only(&self) -> Option<&Arc<Server>> {
        let mut servers = self.servers();
        servers.next().filter(|_| servers.next().is_none())
    }

    /// The stores to use for all calls of one request of `caller`, one for each shard.
    #[must_use]
    pub fn for_request(&self, caller: Caller) -> Vec<RequestCalls> {
        self.calls_of(ForRequest::of(caller, true))
    }

    /// The same of a request that asks the servers for everything, whatever is remembered.
    #[must_use]
    pub fn for_fresh_request(&self, caller: Caller) -> Vec<RequestCalls> {
        self.calls_of(ForRequest::of(caller, false))
    }

    fn calls_of(&self, request: Arc<ForRequest>) -> Vec<RequestCalls> {
        let calls = |shard: &Arc<Shard>| RequestCalls::new(shard, &request, &self.settings);
        self.shards.iter().map(calls).collect()
    }
}

impl Shard {
    /// `first` is the preferred one to begin with.
    pub(super) fn new(settings: &TargetSettings, servers: Vec<Arc<Server>>, first: usize) -> Self {
        let shown = if servers.len() > 1 { &servers[..] } else { &[] };
        let shown = shown.iter().map(|server| {
            let metrics = Arc::clone(server.metrics());
            (server.url().to_string(), Some(metrics))
        });
        let preference = Preference::new(&settings.name.0, shown.collect(), first);
        Self {
            servers,
            preference: Arc::new(preference),
        }
    }
}

/// The calls of one request to a shard of a target, whichever of its replicas answers them.
#[derive(Debug)]
pub struct RequestCalls {
    request: Arc<ForRequest>,
    replicas: Replicas<ServerCalls>,
}

impl RequestCalls {
    fn new(shard: &Arc<Shard>, request: &Arc<ForRequest>, settings: &TargetSettings) -> Self {
        let members = shard.servers.iter().map(|server| ServerCalls {
            server: Arc::clone(server),
            request: Arc::clone(request),
            way: Way::Usual,
        });
        Self {
            request: Arc::clone(request),
            replicas: Replicas::new(
                members.collect(),
                Arc::clone(&shard.preference),
                settings.scrape_interval.into(),
            ),
        }
    }

    /// The same, with the memory of the request: it grows by what is kept of the answers.
    #[must_use]
    pub fn with_memory(self, reservation: Arc<Reservation>) -> Self {
        self.request.has_memory(Some(reservation));
        self
    }

    /// The same, without memory: what the request had is given back.
    #[must_use]
    pub fn without_memory(self) -> Self {
        self.request.has_memory(None);
        self
    }
}

impl Store for RequestCalls {
    async fn call(&self, call: Call, deadline: Deadline) -> Result<Arc<Answer>, StoreError> {
        let answer = self.replicas.call(call, deadline).await?;
        self.request.keeps(&answer, deadline).await?;
        Ok(answer)
    }

    async fn capabilities(&self, deadline: Deadline) -> Result<Capabilities, StoreError> {
        self.replicas.capabilities(deadline).await
    }

    async fn foresee(&self, call: &Call, deadline: Deadline) -> Option<Foreseen> {
        self.replicas.foresee(call, deadline).await
    }

    async fn hold(&self, bytes: u64, deadline: Deadline) -> Result<Held, StoreError> {
        self.request.hold(bytes, deadline).await
    }
}
