//! The ways through a long range, against a store that is a list of samples. That the expressions
//! mean what they should is proven on real servers.

mod absence;
mod calls;
mod ranges;
mod refusals;
mod series;
mod stores;
mod why;

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crds::NanInterpretation;
use proptest::prelude::*;

use self::stores::{ListedStore, ScriptedStore, one_series};
use super::counted::Counted;
use super::*;
use crate::model::capabilities::{Capabilities, RangeBoundary};
use crate::model::series::{Labels, Samples, Series};
use crate::model::time::{Millis, Timestamp};
use crate::plan::aggregation::Aggregation;
use crate::plan::selector::{Matcher, Selector};
use crate::prometheus::{Answer, Call, Data, Deadline, StoreError};

fn query(start: i64, end: i64, limit: Option<u64>, bucket: Option<i64>) -> MetricQuery {
    MetricQuery {
        kind: QueryKind::Gauge(Selector::new("m", Vec::new())),
        start: Timestamp(start),
        end: Timestamp(end),
        limit,
        aggregation: bucket
            .map(|bucket| Aggregation::new("EVENT_COUNT", Millis(bucket)).expect("a method")),
    }
}

fn run(store: &ListedStore, query: &MetricQuery) -> Result<Telemetry, EvaluateError> {
    let context = Context {
        store,
        scrape_interval: Millis(1_000),
        nan_interpretation: NanInterpretation::Zero,
        now: Timestamp(i64::MAX / 4),
        deadline: Deadline(Instant::now() + Duration::from_secs(60)),
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
        .block_on(metric(&context, query))
}

fn run_in_calls(
    store: &ListedStore,
    query: &MetricQuery,
    at_most: u32,
) -> Result<Telemetry, EvaluateError> {
    let at_most = NonZeroU32::new(at_most).expect("at least one");
    let context = Context {
        store: &Counted::new(store, at_most),
        scrape_interval: Millis(1_000),
        nan_interpretation: NanInterpretation::Zero,
        now: Timestamp(i64::MAX / 4),
        deadline: Deadline(Instant::now() + Duration::from_secs(60)),
    };
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .expect("a runtime")
        .block_on(metric(&context, query))
}

fn expression(promql: &str) -> QueryKind {
    QueryKind::Expression {
        promql: promql.to_owned(),
        matchers: Vec::new(),
    }
}

fn instants(telemetry: &Telemetry) -> Vec<i64> {
    telemetry.points.iter().map(|(at, _)| at.0).collect()
}
