//! What is explained is what is sent, on a store that holds back the newest instants and writes
//! names otherwise.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crds::NanInterpretation;

use super::*;
use crate::model::capabilities::Capabilities;
use crate::model::time::Timestamp;
use crate::plan::aggregation::Aggregation;
use crate::plan::kind::{QueryKind, QueryKindName};
use crate::plan::selector::Matcher;
use crate::prometheus::{Answer, Call, Data, Deadline, StoreError, range_selector};

/// Has series, but no samples.
#[derive(Default)]
struct EmptyStore {
    calls: Mutex<Vec<Call>>,
}

impl Store for EmptyStore {
    async fn call(&self, call: Call, _: Deadline) -> Result<Arc<Answer>, StoreError> {
        let data = match &call {
            Call::SeriesExist { .. } => Data::SeriesExist(true),
            _ => Data::Series(Vec::new()),
        };
        self.calls.lock().expect("no panic while locked").push(call);
        Ok(Arc::new(Answer::of(data)))
    }

    async fn capabilities(&self, _: Deadline) -> Result<Capabilities, StoreError> {
        Ok(Capabilities {
            range_boundary: RangeBoundary::LeftOpen,
            native_histograms: false,
            settles_after: Millis(30_000),
            keeps_nan: false,
        })
    }
}

/// A call in the words of an explanation.
fn in_words(call: &Call) -> Option<Value> {
    match call {
        Call::Range {
            promql,
            start,
            end,
            step,
        } => Some(json!({
            "promql": promql,
            "calls": [{ "api": "/api/v1/query_range", "start": start.0, "end": end.0, "stepMillis": step.0 }],
        })),
        Call::Samples { selector, from, to } => Some(json!({
            "promql": range_selector(selector, *from, *to),
            "calls": [{ "api": "/api/v1/query", "time": to.0 }],
        })),
        Call::Instant { promql, at } => Some(json!({
            "promql": promql,
            "calls": [{ "api": "/api/v1/query", "time": at.0 }],
        })),
        _ => None,
    }
}

fn explained_and_sent(query: &MetricQuery) -> (Value, Option<Value>) {
    let store = EmptyStore::default();
    let context = Context {
        store: &store,
        scrape_interval: Millis(15_000),
        nan_interpretation: NanInterpretation::Zero,
        now: Timestamp(1_000_000),
        deadline: Deadline(Instant::now() + Duration::from_secs(60)),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime");
    let explained = runtime.block_on(metric(&context, query)).expect("a plan");
    runtime
        .block_on(crate::execute::metric(&context, query))
        .expect("an answer");
    let calls = store.calls.lock().expect("no panic while locked");
    let explained = json!({ "promql": explained["promql"], "calls": explained["calls"] });
    (explained, calls.iter().find_map(in_words))
}

#[test]
fn what_is_explained_is_what_is_sent() {
    let kind = |name, text: &str| {
        let matchers = vec![Matcher::equal("a.b", "c")];
        QueryKind::new(name, text.to_owned(), matchers)
    };
    for (kind, method) in [
        (kind(QueryKindName::Gauge, "g"), Some("MAX")),
        (kind(QueryKindName::Counter, "c"), Some("SUM")),
        (kind(QueryKindName::Histogram, "h"), Some("PERCENTILE_95")),
        (kind(QueryKindName::Expression, "up"), Some("MEAN")),
        (kind(QueryKindName::Expression, "up"), None),
        // Rates and means read some time more, for the sample before the first one.
        (kind(QueryKindName::Gauge, "g"), None),
    ] {
        let query = MetricQuery {
            kind,
            start: Timestamp(400_000),
            end: Timestamp(1_000_000),
            limit: None,
            aggregation: method.and_then(|name| Aggregation::new(name, Millis(60_000))),
        };
        let (explained, sent) = explained_and_sent(&query);
        assert_eq!(Some(explained), sent, "{query:?}");
    }
}
