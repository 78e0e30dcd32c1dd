//! What all requests share: the settings being served, and the instruments.

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::budget::Memory;
use crate::prometheus::Targets;
use crate::settings::{LoggedRequests, Settings};
use crate::telemetry::metrics::Metrics;

/// Shared by every handler. A request takes one [`AppState::serving`] snapshot and works with it to
/// its end, so that a reload never changes a request half-way.
pub struct AppState {
    serving: ArcSwap<Serving>,
    /// The instruments; they outlive every reload.
    pub metrics: Arc<Metrics>,
}

/// One validated document and the targets made from it.
pub struct Serving {
    /// The document.
    pub settings: Arc<Settings>,
    /// Its targets, ready to be asked.
    pub targets: Targets,
}

impl AppState {
    /// The state before the first request.
    #[must_use]
    pub fn new(settings: Settings, metrics: Arc<Metrics>) -> Arc<Self> {
        Self::within(Arc::default(), settings, metrics)
    }

    /// The same, where requests share so much memory.
    #[must_use]
    pub fn within(memory: Arc<Memory>, settings: Settings, metrics: Arc<Metrics>) -> Arc<Self> {
        let targets = Targets::within(memory, &settings, &metrics.upstream, None);
        let serving = Serving {
            settings: Arc::new(settings),
            targets,
        };
        Arc::new(Self {
            serving: ArcSwap::from_pointee(serving),
            metrics,
        })
    }

    /// The document that a request arriving now is answered from.
    #[must_use]
    pub fn serving(&self) -> Arc<Serving> {
        self.serving.load_full()
    }

    /// Which of the requests that arrive now are logged.
    #[must_use]
    pub fn logged_requests(&self) -> Option<LoggedRequests> {
        self.serving.load().settings.logged_requests
    }

    /// Serves `settings` from now on. Requests under way keep what they have; targets that did not
    /// change keep their connections.
    pub fn replace(&self, settings: Settings) {
        let targets = Targets::new(
            &settings,
            &self.metrics.upstream,
            Some(&self.serving().targets),
        );
        self.serving.store(Arc::new(Serving {
            settings: Arc::new(settings),
            targets,
        }));
    }
}
