//! The log of requests (`spec.logging.requests`): one line each, which says who asked, what for,
//! and how it ended. Without that field nothing of it is made.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::Arc;
use std::time::Instant;

use axum::body::HttpBody as _;
use axum::extract::Request;
use axum::response::Response;
use server::{ClientAddress, ClientCertificate};

use crate::model::notes::Notes;
use crate::settings::{LoggedRequests, subject};
use crate::telemetry::metrics::Outcome;

/// The outcome of a request whose client left before it was answered.
const ABANDONED: Outcome = Outcome("abandoned");

/// A request whose line is written when it ends, in whatever way.
pub(super) struct Entry {
    which: LoggedRequests,
    is_sampled: bool,
    arrived: Instant,
    client: Option<ClientAddress>,
    certificate: Option<ClientCertificate>,
    notes: Arc<Notes>,
    end: Option<End>,
}

/// How a request ended.
struct End {
    outcome: Outcome,
    status: u16,
    bytes: Option<u64>,
}

impl Entry {
    /// Begins the line of a request. Whoever answers it finds the [`Notes`] in its extensions,
    /// where they may be already.
    pub(super) fn begin(which: LoggedRequests, request: &mut Request) -> Self {
        let extensions = request.extensions_mut();
        let notes = Arc::clone(extensions.get_or_insert_default::<Arc<Notes>>());
        Self {
            which,
            is_sampled: is_chosen(which.sample_percent),
            arrived: Instant::now(),
            client: extensions.get().copied(),
            certificate: extensions.get().cloned(),
            notes,
            end: None,
        }
    }

    /// Ends it with the answer.
    pub(super) fn answered(mut self, response: &Response, outcome: Outcome) {
        self.end = Some(End {
            outcome,
            status: response.status().as_u16(),
            bytes: response.body().size_hint().exact(),
        });
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let duration = self.arrived.elapsed();
        let is_slow = duration >= self.which.slow;
        if !is_slow && !self.is_sampled {
            return;
        }
        let noted = self.notes.read();
        let client = self.client.map(|client| client.ip().to_string());
        let certificate = self.certificate.as_ref();
        let certificate = certificate.and_then(|certificate| subject(certificate.der()));
        let outcome = self.end.as_ref().map_or(ABANDONED, |end| end.outcome);
        // Text is written as a literal with quotes, so that no line break of a user ends the line.
        macro_rules! line {
            ($level:ident, $message:literal) => {
                tracing::$level!(
                    target: "requests",
                    outcome = outcome.0,
                    status = self.end.as_ref().map(|end| end.status),
                    duration_ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
                    client = client.as_deref(),
                    certificate = certificate.as_deref(),
                    target_name = noted.target,
                    kind = noted.kind,
                    metric = noted.metric,
                    promql = noted.promql,
                    calls = noted.calls,
                    samples = noted.samples,
                    points = noted.points,
                    bytes = self.end.as_ref().and_then(|end| end.bytes),
                    $message
                )
            };
        }
        if is_slow {
            line!(warn, "slow request");
        } else {
            line!(info, "request");
        }
    }
}

/// Whether a request is one of those that are logged, by chance: streams that are polled in turn
/// would otherwise be logged always or never.
fn is_chosen(percent: u8) -> bool {
    // The standard library's hash keys are random and differ from call to call.
    let random = || std::hash::RandomState::new().build_hasher().finish();
    match percent {
        0 => false,
        100.. => true,
        percent => random() % 100 < u64::from(percent),
    }
}

#[cfg(test)]
mod tests;
