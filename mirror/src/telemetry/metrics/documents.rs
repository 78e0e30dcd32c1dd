//! The document that is being served.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::model::time::Timestamp;

/// Whether a changed document was taken over, as the `result` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// It is being served.
    Success,
    /// It has faults; the one before keeps being served.
    Failure,
}

impl Reload {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByDocument {
    name: String,
    hash: String,
}

/// Of the document being served.
#[derive(Default)]
pub(super) struct Documents {
    reloads: Family<ByResult, Counter>,
    last_reload_successful: Gauge,
    last_reload_at: Gauge<f64, AtomicU64>,
    served: Family<ByDocument, Gauge>,
}

impl Documents {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let documents = Self::default();
        registry.register(
            "config_reloads",
            "Changed documents, by whether they were taken over",
            documents.reloads.clone(),
        );
        registry.register(
            "config_last_reload_successful",
            "1 if the newest document is the one being served",
            documents.last_reload_successful.clone(),
        );
        registry.register(
            "config_last_reload_success_timestamp_seconds",
            "When the document being served was taken over",
            documents.last_reload_at.clone(),
        );
        registry.register(
            "config_document",
            "1 for the document being served: its name and SHA-256",
            documents.served.clone(),
        );
        // Both results exist from the start, so that a rate over the first failure is not lost.
        for result in [Reload::Success, Reload::Failure] {
            drop(documents.reloads.get_or_create(&ByResult {
                result: result.as_str(),
            }));
        }
        documents
    }

    pub(super) fn serves(&self, name: &str, hash: &str) {
        self.last_reload_successful.set(1);
        self.last_reload_at.set(Timestamp::now().0 as f64 / 1000.0);
        self.served.clear();
        let document = ByDocument {
            name: name.to_owned(),
            hash: hash.to_owned(),
        };
        self.served.get_or_create(&document).set(1);
    }

    pub(super) fn reloaded(&self, result: Reload) {
        self.reloads
            .get_or_create(&ByResult {
                result: result.as_str(),
            })
            .inc();
        self.last_reload_successful
            .set(i64::from(result == Reload::Success));
    }
}
