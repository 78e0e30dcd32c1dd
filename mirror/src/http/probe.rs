//! `/targets` on the admin port: which targets can this process reach? Asked by the operator, for
//! the resource's status.
//!
//! Targets are asked when somebody wants to know, at most every few seconds, with a query that
//! needs no data. It takes its turn like any other query; when no worker is free in time, nothing
//! is known.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crds::contract::{Reachability, ServerReachability, TargetReachability};
use futures::future::join_all;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use crate::api::state::AppState;
use crate::model::time::Timestamp;
use crate::prometheus::{Call, Data, Deadline, Server, Store, StoreError, Target};
use crate::settings::TargetSettings;

/// How long a target may take: less than the caller of the page waits.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How much longer a caller on another runtime waits.
const GRACE: Duration = Duration::from_secs(1);
/// The longest version that a resource's status has room for, in characters.
const LONGEST_VERSION: usize = 64;
/// So many servers of a target say what is wrong with them in the target's message.
const MOST_SAID: usize = 4;
/// How long an answer is good for.
const FRESH: Duration = Duration::from_secs(5);

/// Asks the targets of the document being served.
#[derive(Default)]
pub struct Probe {
    serving: OnceLock<(Arc<AppState>, Handle)>,
    /// When which document's targets were asked last.
    last: Mutex<Option<(Instant, String, Reachability)>>,
}

impl Probe {
    /// From now on there is something to ask. Targets are asked by the runtime that this is called
    /// in.
    pub fn starts(&self, state: Arc<AppState>) {
        // A process serves one state; a second one would be a mistake of little consequence.
        let _ = self.serving.set((state, Handle::current()));
    }

    /// As [`Probe::reachability`], for callers in another runtime than the one that asks targets.
    /// None, too, if that runtime is too busy to answer in time.
    pub async fn reachability_from_elsewhere(self: &Arc<Self>) -> Option<Reachability> {
        let (_, runtime) = self.serving.get()?;
        let probe = Arc::clone(self);
        let asked = runtime.spawn(async move { probe.reachability().await });
        let patience = TIMEOUT + GRACE;
        // A look that comes too late is still of use to the next caller.
        tokio::time::timeout(patience, asked).await.ok()?.ok()?
    }

    /// What can be reached now; none before the first document is served. Callers at the same time
    /// share one look.
    pub async fn reachability(&self) -> Option<Reachability> {
        let serving = self.serving.get()?.0.serving();
        let mut last = self.last.lock().await;
        if let Some((at, document, found)) = &*last
            && at.elapsed() < FRESH
            && *document == serving.settings.document_hash
        {
            return Some(found.clone());
        }
        // What a version was is still so while a target asks to slow down: the resource's status
        // must not flap.
        let before = match &*last {
            Some((_, document, found)) if *document == serving.settings.document_hash => {
                found.targets.clone()
            }
            _ => Vec::new(),
        };
        let known = |target: &Target| {
            let name = target.settings().name.to_string();
            before.iter().find(|found| found.name == name)
        };
        let targets = serving.targets.declared().iter();
        let asked = targets.map(|target| ask(target, known(target)));
        let mut targets = join_all(asked).await;
        let mut notices = Vec::new();
        for notice in &serving.settings.notices {
            let mut of_target = targets.iter_mut().enumerate();
            let of_target = of_target
                .find(|(index, _)| notice.path.starts_with(&format!("spec.targets[{index}].")));
            match of_target {
                Some((_, target)) => target.notices.push(notice.to_string()),
                None => notices.push(notice.to_string()),
            }
        }
        let found = Reachability { targets, notices };
        *last = Some((
            Instant::now(),
            serving.settings.document_hash.clone(),
            found.clone(),
        ));
        Some(found)
    }
}

/// `known` is what was found the last time.
async fn ask(target: &Target, known: Option<&TargetReachability>) -> TargetReachability {
    let version = |server: &Server| {
        let known = known?;
        let mut servers = known.servers.iter();
        let of_server = servers.find(|found| found.url == server.url().as_str());
        match target.only() {
            Some(_) => known.version.clone(),
            None => of_server.and_then(|found| found.version.clone()),
        }
    };
    let shards = target.shards().map(|replicas| {
        let asked = replicas.iter();
        join_all(asked.map(|server| ask_server(server, version(server))))
    });
    combined(target.settings(), join_all(shards).await)
}

/// `known` is the version that the server reported last.
async fn ask_server(server: &Server, known: Option<String>) -> ServerReachability {
    let deadline = Deadline(Instant::now() + TIMEOUT);
    let call = Call::Instant {
        promql: "vector(1)".to_owned(),
        at: Timestamp::now(),
    };
    let asked = match server.throttled() {
        Some(throttled) => Err(throttled),
        None => server.call(call, deadline).await.map(|_| ()),
    };
    let (reachable, version, message) = match asked {
        Ok(()) => (Some(true), version(server, deadline, known).await, None),
        // It answers, and asking more often is just what it does not want.
        Err(error @ StoreError::Throttled { .. }) => (Some(true), known, Some(error.to_string())),
        Err(
            StoreError::QueueFull
            | StoreError::ExpiredInQueue
            | StoreError::OutOfMemory
            | StoreError::GivesWay,
        ) => (None, None, None),
        Err(error) => (Some(false), None, Some(error.to_string())),
    };
    ServerReachability {
        url: server.url().to_string(),
        reachable,
        version,
        message,
    }
}

/// What its servers, by shard, say of a target.
fn combined(settings: &TargetSettings, shards: Vec<Vec<ServerReachability>>) -> TargetReachability {
    let of_replica = |server: &ServerReachability| server.reachable;
    let of_shard = |shard: &Vec<_>| any(shard.iter().map(of_replica));
    let reachable = match settings.partial_responses {
        true => any(shards.iter().map(of_shard)),
        // All: not one is down.
        false => any(shards.iter().map(|shard| of_shard(shard).map(|up| !up))).map(|down| !down),
    };
    let mut servers: Vec<_> = shards.into_iter().flatten().collect();
    let mut versions: Vec<&str> = Vec::new();
    for version in servers
        .iter()
        .filter_map(|server| server.version.as_deref())
    {
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    let version = (!versions.is_empty()).then(|| versions.join(", "));
    let mut messages: Vec<_> = servers
        .iter()
        .filter_map(|server| server.message.clone())
        .collect();
    let more = messages.len().saturating_sub(MOST_SAID);
    messages.truncate(MOST_SAID);
    if more > 0 {
        messages.push(format!("{more} more servers have a problem"));
    }
    if settings.servers.only().is_some() {
        servers.clear();
    }
    TargetReachability {
        name: settings.name.to_string(),
        reachable,
        version: version.map(|version| version.chars().take(LONGEST_VERSION).collect()),
        message: (!messages.is_empty()).then(|| messages.join("; ")),
        notices: Vec::new(),
        servers,
    }
}

/// Whether any holds, of which some may be unknown.
fn any(found: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut any = Some(false);
    for one in found {
        any = match (any, one) {
            (Some(true), _) | (_, Some(true)) => Some(true),
            (None, _) | (_, None) => None,
            _ => Some(false),
        };
    }
    any
}

/// Many stores that speak Prometheus' API have no version to tell: that is no fault.
async fn version(server: &Server, deadline: Deadline, known: Option<String>) -> Option<String> {
    let answer = match server.call(Call::BuildInfo, deadline).await {
        Ok(answer) => answer,
        Err(StoreError::Throttled { .. }) => return known,
        Err(_) => return None,
    };
    match &answer.data {
        Data::Version(version) if !version.is_empty() => {
            Some(version.chars().take(LONGEST_VERSION).collect())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Servers, undeclared};

    const UP: Option<bool> = Some(true);
    const DOWN: Option<bool> = Some(false);

    /// A target whose servers are so, by shard.
    fn target(partial_responses: bool, shards: &[&[Option<bool>]]) -> TargetReachability {
        let url = |place: usize, replica| format!("http://{place}.{replica}.example/");
        let server = |place, replica, reachable: &Option<bool>| ServerReachability {
            url: url(place, replica),
            reachable: *reachable,
            version: (*reachable == UP).then(|| "3.1.0".to_owned()),
            message: (*reachable == DOWN).then(|| format!("{place}.{replica} is down")),
        };
        let found: Vec<Vec<_>> = shards
            .iter()
            .enumerate()
            .map(|(place, shard)| {
                let replicas = shard.iter().enumerate();
                replicas
                    .map(|(replica, reachable)| server(place, replica, reachable))
                    .collect()
            })
            .collect();
        let urls = found.iter().map(|shard| {
            let urls = shard.iter().map(|server| server.url.parse().unwrap());
            urls.collect()
        });
        let settings = TargetSettings {
            servers: Servers::of(urls.collect()).unwrap(),
            partial_responses,
            ..undeclared::settings("http://a".parse().unwrap())
        };
        combined(&settings, found)
    }

    #[test]
    fn a_target_is_reachable_if_each_shard_has_a_replica_that_is() {
        type Shards<'a> = &'a [&'a [Option<bool>]];
        let table: [(Shards<'_>, Option<bool>, Option<bool>); 8] = [
            (&[&[UP]], UP, UP),
            (&[&[None]], None, None),
            (&[&[DOWN, UP]], UP, UP),
            (&[&[DOWN, DOWN]], DOWN, DOWN),
            (&[&[DOWN, None]], None, None),
            (&[&[UP], &[DOWN]], DOWN, UP),
            (&[&[UP], &[None]], None, UP),
            (&[&[UP, DOWN], &[DOWN, UP]], UP, UP),
        ];
        for (shards, whole, partial) in table {
            let found = [false, true].map(|allowed| target(allowed, shards).reachable);
            assert_eq!(found, [whole, partial], "{shards:?}");
        }
    }

    #[test]
    fn a_target_of_several_says_which_servers_are_down() {
        let found = target(false, &[&[DOWN, UP]]);
        assert_eq!(
            (found.message.as_deref(), found.version.as_deref()),
            (Some("0.0 is down"), Some("3.1.0"))
        );
        assert_eq!(found.servers.len(), 2);
        assert_eq!(target(false, &[&[DOWN]]).servers, []);
        let many = target(false, &[&[DOWN; 4], &[DOWN; 2]]);
        assert_eq!(
            many.message.as_deref(),
            Some(
                "0.0 is down; 0.1 is down; 0.2 is down; 0.3 is down; 2 more servers have a problem"
            )
        );
    }
}
