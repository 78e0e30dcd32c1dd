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
        let lanes_count = settings.targets.len() + usize::from(settings.request_targets.is_some());
        let pool = previous.map_or_else(
            || Arc::new(Pool::new(workers, lanes_count)),
            |previous| Arc::clone(&previous.pool),
        );
        pool.resize(workers, lanes_count);
        let new_lane = |metrics: &TargetMetrics| {
            Arc::new(Lane::new(
                &pool,
                workers,
                lanes_count,
                metrics.waiting.clone(),
            ))
        };

        let lanes: Vec<NamedLane> = settings
            .targets
            .iter()
            .map(|target| {
                let kept = previous.and_then(|previous| {
                    previous.lanes.iter().find(|kept| kept.name == target.name)
                });
                if let Some(kept) = kept {
                    kept.lane.resize(workers, lanes_count);
                    return kept.clone();
                }
                let metrics = Arc::new(metrics.of_target(&target.name.0));
                NamedLane {
                    name: target.name.clone(),
                    lane: new_lane(&metrics),
                    metrics,
                }
            })
            .collect();
        let declared = settings
            .targets
            .iter()
            .zip(&lanes)
            .map(
                |(
                    target,
                    NamedLane {
                        name,
                        lane,
                        metrics,
                    },
                )| {
                    let kept = previous.and_then(|previous| {
                        previous
                            .declared
                            .iter()
                            .find(|kept| kept.settings() == target)
                    });
                    kept.cloned().unwrap_or_else(|| {
                        Arc::new(Target::new(
                            Arc::clone(target),
                            &name.0,
                            Arc::clone(lane),
                            Arc::clone(&memory.work),
                            Arc::clone(metrics),
                            None,
                        ))
                    })
                },
            )
            .collect();
        let undeclared = settings.request_targets.as_ref().map(|_| {
            let guard = Guard::of(settings);
            if let Some(kept) = previous.and_then(|previous| previous.undeclared.as_ref()) {
                kept.lane.resize(workers, lanes_count);
                return Undeclared::guarded(kept, guard);
            }
            let metrics = Arc::new(metrics.of_target(UNDECLARED));
            Arc::new(Undeclared {
                lane: new_lane(&metrics),
                metrics,
                guard: guard.map(Arc::new),
                recent: Mutex::default(),
            })
        });
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
