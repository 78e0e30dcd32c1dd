use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Outcome, ServerLabels, UNDECLARED};
use crate::model::api_method::ApiMethod;
use crate::telemetry::exposition::Format;
use crate::telemetry::metrics::{self, Metrics};

/// What the error map calls the ends of a request, and `ok`.
const ANSWERS: [&str; 11] = [
    "ok",
    "connection_error",
    "timeout",
    "not_found",
    "unsupported",
    "bad_request",
    "busy",
    "internal_error",
    "no_such_method",
    "unauthorized",
    "one to come",
];

/// The only server of a target.
fn only(target: &str) -> ServerLabels {
    let (target, server) = (target.to_owned(), None);
    ServerLabels { target, server }
}

/// Everything has happened to 64 targets, which is as many as a document may have, and to an
/// undeclared one.
fn after_everything() -> Arc<Metrics> {
    let metrics = Metrics::new();
    metrics.serves("mirror", "hash");
    let names = (0..64).map(|index| format!("target-{index}"));
    for name in names.chain([UNDECLARED.to_owned()]) {
        metrics.upstream.waiting(&name);
        let target = Arc::new(metrics.upstream.of_server(only(&name)));
        for outcome in Outcome::ALL {
            let mut sent = target.sent(Instant::now() + Duration::from_secs(60));
            sent.outcome = outcome;
        }
        target.throttled(Instant::now());
    }
    for method in ApiMethod::ALL.map(Some).into_iter().chain([None]) {
        for outcome in ANSWERS {
            let outcome = metrics::Outcome(outcome);
            metrics.answered(method, outcome, Duration::ZERO);
        }
    }
    metrics
}

#[test]
fn whatever_happens_to_64_targets_an_agent_that_reads_2000_lines_reads_all() {
    let metrics = after_everything();
    for format in [Format::Prometheus, Format::OpenMetrics] {
        let text = metrics.render(format);
        let lines = text.lines().count();
        assert!(lines < 2000, "{lines} lines as {format:?}");
    }
}

#[test]
fn a_target_has_at_most_24_series_and_none_once_it_is_gone() {
    let metrics = after_everything();
    let of_the_seventh = || {
        let text = metrics.render(Format::OpenMetrics);
        let label = "target=\"target-7\"";
        text.lines().filter(|line| line.contains(label)).count()
    };
    assert_eq!(of_the_seventh(), 24);
    metrics.upstream.remove_target("target-7");
    metrics.upstream.remove_server(&only("target-7"));
    assert_eq!(of_the_seventh(), 0);
}

#[test]
fn a_call_that_nobody_waits_for_after_its_deadline_timed_out() {
    let metrics = Metrics::new();
    let target = Arc::new(metrics.upstream.of_server(only("silent")));
    drop(target.sent(Instant::now()));
    drop(target.sent(Instant::now() + Duration::from_secs(60)));
    let text = metrics.render(Format::Prometheus);
    for outcome in ["timeout", "abandoned"] {
        let line = format!(
            "prometheus_mirror_upstream_requests_total{{target=\"silent\",outcome=\"{outcome}\"}} 1"
        );
        assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
    }
}
