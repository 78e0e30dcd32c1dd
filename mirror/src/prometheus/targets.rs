//! All targets: the declared ones, and the undeclared ones that requests named lately.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::guard::Guard;
use super::limits::{Lane, Pool};
use super::observe::{TargetMetrics, UNDECLARED, UpstreamMetrics};
use super::target::Target;
use crate::budget::Memory;
use crate::settings::{Settings, TargetName, TargetSettings};

/// So many undeclared targets keep their connections.
const MOST_UNDECLARED: usize = 64;

/// An undeclared target that nobody asked for so long is dropped when another is asked for.
const UNDECLARED_IDLE: Duration = Duration::from_secs(600);

/// All targets of one document, with the limits they share.
#[derive(Debug)]
pub struct Targets {
    pool: Arc<Pool>,
    declared: Vec<Arc<Target>>,
    lanes: Vec<NamedLane>,
    undeclared: Option<Arc<Undeclared>>,
    memory: Arc<Memory>,
}

/// A declared target's lane outlives the target when only the target's settings change.
#[derive(Clone, Debug)]
struct NamedLane {
    name: TargetName,
    lane: Arc<Lane>,
    metrics: Arc<TargetMetrics>,
}

/// The undeclared targets: one lane for all, least recently used first.
#[derive(Debug)]
struct Undeclared {
    lane: Arc<Lane>,
    metrics: Arc<TargetMetrics>,
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
            lane: Arc::clone(&self.lane),
            metrics: Arc::clone(&self.metrics),
            guard: guard.map(Arc::new),
            recent: Mutex::default(),
        })
    }
}

/// What targets are made of, some of it taken over from those before.
struct Making<'a> {
    settings: &'a Settings,
    metrics: &'a UpstreamMetrics,
    previous: Option<&'a Targets>,
    pool: &'a Arc<Pool>,
    /// How many lanes there are.
    count: usize,
}

impl Making<'_> {
    /// The lane of the target called so.
    fn lane(&self, name: &TargetName) -> NamedLane {
        let mut kept = self.previous.iter().flat_map(|previous| &previous.lanes);
        if let Some(kept) = kept.find(|kept| kept.name == *name) {
            kept.lane.resize(self.settings.workers, self.count);
            return kept.clone();
        }
        let metrics = Arc::new(self.metrics.of_target(&name.0));
        NamedLane {
            name: name.clone(),
            lane: self.new_lane(&metrics),
            metrics,
        }
    }

    fn new_lane(&self, metrics: &TargetMetrics) -> Arc<Lane> {
        let (workers, depth) = (self.settings.workers, metrics.waiting.clone());
        Arc::new(Lane::new(self.pool, workers, self.count, depth))
    }

    fn target(
        &self,
        target: &Arc<TargetSettings>,
        lane: &NamedLane,
        memory: &Memory,
    ) -> Arc<Target> {
        let mut kept = self.previous.iter().flat_map(|previous| &previous.declared);
        if let Some(kept) = kept.find(|kept| kept.settings() == target) {
            return Arc::clone(kept);
        }
        Arc::new(Target::new(
            Arc::clone(target),
            &lane.name.0,
            Arc::clone(&lane.lane),
            Arc::clone(&memory.work),
            Arc::clone(&lane.metrics),
            None,
        ))
    }

    fn undeclared(&self) -> Arc<Undeclared> {
        let guard = Guard::of(self.settings);
        let kept = self
            .previous
            .and_then(|previous| previous.undeclared.as_ref());
        if let Some(kept) = kept {
            kept.lane.resize(self.settings.workers, self.count);
            return Undeclared::guarded(kept, guard);
        }
        let metrics = Arc::new(self.metrics.of_target(UNDECLARED));
        Arc::new(Undeclared {
            lane: self.new_lane(&metrics),
            metrics,
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
        let making = Making {
            settings,
            metrics,
            previous,
            pool: &pool,
            count,
        };
        let lanes: Vec<NamedLane> = settings
            .targets
            .iter()
            .map(|target| making.lane(&target.name))
            .collect();
        let declared = settings
            .targets
            .iter()
            .zip(&lanes)
            .map(|(target, lane)| making.target(target, lane, &memory))
            .collect();
        let undeclared = settings
            .request_targets
            .as_ref()
            .map(|_| making.undeclared());
        for gone in previous.iter().flat_map(|previous| &previous.lanes) {
            if lanes.iter().all(|kept| kept.name != gone.name) {
                metrics.remove_target(&gone.name.0);
            }
        }
        Self {
            pool,
            declared,
            lanes,
            undeclared,
            memory,
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
        let found = found.unwrap_or_else(|| {
            let (lane, metrics) = (
                Arc::clone(&undeclared.lane),
                Arc::clone(&undeclared.metrics),
            );
            let memory = Arc::clone(&self.memory.work);
            let guard = undeclared.guard.clone();
            Arc::new(Target::new(
                Arc::clone(target),
                UNDECLARED,
                lane,
                memory,
                metrics,
                guard,
            ))
        });
        if recent.len() >= MOST_UNDECLARED {
            recent.remove(0);
        }
        recent.push((now, Arc::clone(&found)));
        Some(found)
    }
}
