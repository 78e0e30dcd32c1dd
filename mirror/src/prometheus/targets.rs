//! All targets: the declared ones, and the undeclared ones that requests named lately.

mod making;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::making::Making;
use super::guard::Guard;
use super::limits::Pool;
use super::observe::{MOST_TOLD_APART, ServerLabels, ServerMetrics, UpstreamMetrics};
use super::remembered::{Remembered, Remembering};
use super::server::Lanes;
use super::target::Target;
use crate::budget::Memory;
use crate::budget::size::ByteSize;
use crate::settings::{Cache, Settings, TargetName, TargetSettings};

/// So many undeclared targets keep their connections.
const MOST_UNDECLARED: usize = 64;

/// An undeclared target that nobody asked for so long is dropped when another is asked for.
const UNDECLARED_IDLE: Duration = Duration::from_secs(600);

/// All targets of one document, with the limits they share.
#[derive(Debug)]
pub struct Targets {
    pool: Arc<Pool>,
    declared: Vec<Arc<Target>>,
    lanes: Vec<NamedLanes>,
    undeclared: Option<Arc<Undeclared>>,
    memory: Arc<Memory>,
    remembered: Arc<Remembered>,
}

/// A declared target's lanes outlive the target when only the target's settings change.
#[derive(Clone, Debug)]
struct NamedLanes {
    name: TargetName,
    lanes: Lanes,
}

/// The undeclared targets: one lane for all, least recently used first.
#[derive(Debug)]
struct Undeclared {
    lanes: Lanes,
    metrics: Arc<ServerMetrics>,
    /// None if no target has enforced matchers.
    guard: Option<Arc<Guard>>,
    recent: Mutex<Vec<(Instant, Arc<Target>)>>,
}

impl Undeclared {
    /// The same with this guard. Targets that were made with another one are not taken over.
    fn guarded(self: &Arc<Self>, guard: Option<Guard>) -> Arc<Self> {
        let as_before = match (&self.guard, &guard) {
            (Some(kept), Some(guard)) => kept.is_like(guard),
            (kept, guard) => kept.is_none() && guard.is_none(),
        };
        if as_before {
            return Arc::clone(self);
        }
        Arc::new(Self {
            lanes: self.lanes.clone(),
            metrics: Arc::clone(&self.metrics),
            guard: guard.map(Arc::new),
            recent: Mutex::default(),
        })
    }
}

impl Targets {
    /// Makes the targets of `settings`. Those that `previous` has with the same settings are taken
    /// over with their connections and what is known of them, and calls that are in flight keep
    /// counting against the limits.
    #[must_use]
    pub fn new(settings: &Settings, metrics: &UpstreamMetrics, previous: Option<&Self>) -> Self {
        let memory = previous.map_or_else(Arc::default, |previous| Arc::clone(&previous.memory));
        Self::within(memory, settings, metrics, previous)
    }

    /// The same, for calls that share a process' memory.
    #[must_use]
    pub fn within(
        memory: Arc<Memory>,
        settings: &Settings,
        metrics: &UpstreamMetrics,
        previous: Option<&Self>,
    ) -> Self {
        let workers = settings.workers;
        let count = settings.targets.len() + usize::from(settings.request_targets.is_some());
        let pool = previous.map_or_else(
            || Arc::new(Pool::new(workers, count)),
            |previous| Arc::clone(&previous.pool),
        );
        pool.resize(workers, count);
        let remembered = previous.map_or_else(
            || Remembered::new(metrics.remembered()),
            |previous| Arc::clone(&previous.remembered),
        );
        remembered.set(remembering(settings.cache, &memory));
        let making = Making {
            settings,
            metrics,
            previous,
            pool: &pool,
            remembered: &remembered,
            count,
            tells_apart: servers_of(settings) <= MOST_TOLD_APART,
        };
        let lanes: Vec<NamedLanes> = settings
            .targets
            .iter()
            .map(|target| making.lanes(&target.name))
            .collect();
        let declared = settings
            .targets
            .iter()
            .zip(&lanes)
            .map(|(target, named)| making.target(target, &named.lanes, &memory))
            .collect::<Vec<_>>();
        let undeclared = settings
            .request_targets
            .as_ref()
            .map(|_| making.undeclared());
        for gone in previous.iter().flat_map(|previous| &previous.lanes) {
            if lanes.iter().all(|kept| kept.name != gone.name) {
                metrics.remove_target(&gone.name.0);
            }
        }
        let kept: HashSet<&ServerLabels> = labels(&declared).collect();
        for gone in previous
            .iter()
            .flat_map(|previous| labels(&previous.declared))
        {
            if !kept.contains(gone) {
                metrics.remove_server(gone);
            }
        }
        Self {
            pool,
            declared,
            lanes,
            undeclared,
            memory,
            remembered,
        }
    }

    /// The memory that the calls share.
    #[must_use]
    pub fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    /// The declared targets, in the document's order.
    #[must_use]
    pub fn declared(&self) -> &[Arc<Target>] {
        &self.declared
    }

    /// The declared target of that name.
    #[must_use]
    pub fn get(&self, name: &TargetName) -> Option<&Arc<Target>> {
        self.declared
            .iter()
            .find(|target| target.settings().name == *name)
    }

    /// A target that no document declares. Whether a request may name it was decided before, when
    /// `target` was made from it. `None` if the settings allow no undeclared targets at all.
    #[must_use]
    pub fn undeclared(&self, target: &Arc<TargetSettings>) -> Option<Arc<Target>> {
        let undeclared = self.undeclared.as_ref()?;
        let now = Instant::now();
        let mut recent = undeclared
            .recent
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        recent.retain(|(used, _)| now.saturating_duration_since(*used) < UNDECLARED_IDLE);
        let found = recent
            .iter()
            .position(|(_, known)| known.settings() == target)
            .map(|index| recent.remove(index).1);
        let found =
            found.unwrap_or_else(|| making::undeclared_target(target, undeclared, &self.memory));
        if recent.len() >= MOST_UNDECLARED {
            recent.remove(0);
        }
        recent.push((now, Arc::clone(&found)));
        Some(found)
    }
}

/// How much is remembered: what the document says, as far as there is memory for it.
fn remembering(cache: Option<Cache>, memory: &Memory) -> Remembering {
    let remembering = cache.map(|cache| Remembering {
        most: ByteSize(cache.size.0).min(memory.remembered()),
        settle: cache.settle.into(),
    });
    remembering.unwrap_or_default()
}

/// How many servers a document declares.
fn servers_of(settings: &Settings) -> usize {
    let counts = settings.targets.iter();
    counts.map(|target| target.servers.count()).sum()
}

/// Under which labels the calls of targets are counted.
fn labels(targets: &[Arc<Target>]) -> impl Iterator<Item = &ServerLabels> {
    let servers = targets.iter().flat_map(|target| target.servers());
    servers.map(|server| &server.metrics().labels)
}
