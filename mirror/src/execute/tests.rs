//! The ways through a long range, against a store that is a list of samples. That the expressions
//! mean what they should is proven on real servers.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crds::NanInterpretation;
use proptest::prelude::*;

use super::counted::Counted;
use super::*;
use crate::model::capabilities::{Capabilities, RangeBoundary};
use crate::model::series::{Labels, Samples};
use crate::model::time::{Millis, Timestamp};
use crate::plan::aggregation::Aggregation;
use crate::plan::selector::{Matcher, Selector};
use crate::prometheus::{Call, Deadline, StoreError, range_selector};

/// Series with samples at these instants. A range query answers the number of samples in the step
/// up to each instant.
struct ListedStore {
    series: Vec<(&'static str, Vec<i64>)>,
    calls: Mutex<Vec<Call>>,
}

impl ListedStore {
    fn new(series: Vec<(&'static str, Vec<i64>)>) -> Self {
        Self {
            series,
            calls: Mutex::default(),
        }
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().expect("no panic while locked").clone()
    }

    fn range(&self, start: i64, end: i64, step: i64) -> Data {
        let until = |instants: &[i64], at: i64| instants.partition_point(|sample| *sample <= at);
        let count = |instants: &[i64], at: i64| until(instants, at) - until(instants, at - step);
        let found = self.series.iter().map(|(name, instants)| {
            let mut samples = Samples::default();
            let mut at = start;
            while at <= end {
                if count(instants, at) > 0 {
                    samples.push(Timestamp(at), &count(instants, at).to_string());
                }
                at += step;
            }
            Series {
                labels: labels(name),
                samples,
                histograms: Vec::new(),
            }
        });
        Data::Series(found.filter(|series| !series.samples.is_empty()).collect())
    }

    fn instant(&self, promql: &str, at: i64) -> Data {
        let window = promql
            .rsplit_once('[')
            .and_then(|(_, window)| window.strip_suffix(']'))
            .expect("a range selector");
        let (digits, unit) =
            window.split_at(window.find(|c: char| !c.is_ascii_digit()).expect("a unit"));
        let unit = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            _ => 3_600_000,
        };
        let from = at - digits.parse::<i64>().expect("digits") * unit;
        let found = self.series.iter().map(|(name, instants)| {
            let mut samples = Samples::default();
            for sample in instants
                .iter()
                .filter(|sample| (from..=at).contains(*sample))
            {
                samples.push(Timestamp(*sample), &sample.to_string());
            }
            Series {
                labels: labels(name),
                samples,
                histograms: Vec::new(),
            }
        });
        Data::Series(found.filter(|series| !series.samples.is_empty()).collect())
    }
}

fn labels(instance: &str) -> Labels {
    [("instance".to_owned(), instance.to_owned())].into()
}

impl Store for ListedStore {
    async fn call(&self, call: Call, _: Deadline) -> Result<Arc<Answer>, StoreError> {
        self.calls
            .lock()
            .expect("no panic while locked")
            .push(call.clone());
        let data = match &call {
            Call::Range {
                start, end, step, ..
            } => {
                assert!(
                    (end.0 - start.0) / step.0 < 11_000,
                    "Prometheus refuses more points"
                );
                self.range(start.0, end.0, step.0)
            }
            Call::Instant { promql, at } => self.instant(promql, at.0),
            Call::Samples { selector, from, to } => {
                self.instant(&range_selector(selector, *from, *to), to.0)
            }
            Call::SeriesExist { start, end, .. } => Data::SeriesExist(
                self.series
                    .iter()
                    .any(|(_, all)| all.iter().any(|at| (start.0..=end.0).contains(at))),
            ),
            _ => Data::Names(Vec::new()),
        };
        Ok(Arc::new(Answer::of(data)))
    }

    async fn capabilities(&self, _: Deadline) -> Result<Capabilities, StoreError> {
        Ok(Capabilities {
            range_boundary: RangeBoundary::LeftOpen,
            native_histograms: false,
            settles_after: Millis(0),
            keeps_nan: true,
        })
    }
}

fn query(start: i64, end: i64, limit: Option<u64>, bucket: Option<i64>) -> MetricQuery {
    MetricQuery {
        kind: Kind::Gauge(Selector::new("m", Vec::new())),
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

fn instants(telemetry: &Telemetry) -> Vec<i64> {
    telemetry.points.iter().map(|(at, _)| at.0).collect()
}

/// Asks again from the last point's timestamp while answers are partial, and drops the point that
/// is repeated there.
fn follow(store: &ListedStore, first: &MetricQuery) -> Vec<i64> {
    let mut all: Vec<i64> = Vec::new();
    let mut query = first.clone();
    for _ in 0..10_000 {
        let telemetry = run(store, &query).expect("an answer");
        let last = all.last().copied().unwrap_or(i64::MIN);
        all.extend(instants(&telemetry).into_iter().filter(|at| *at > last));
        if !telemetry.is_partial() {
            return all;
        }
        let next = *all.last().expect("a partial answer has points");
        assert!(next > query.start.0, "no progress beyond {next}");
        query.start = Timestamp(next);
    }
    panic!("it never ends");
}

#[test]
fn three_weeks_of_minutes_take_four_even_calls_and_miss_nothing() {
    let minutes: Vec<i64> = (0..30_240).map(|minute| minute * 60_000 + 5).collect();
    let store = ListedStore::new(vec![("a", minutes.clone())]);
    let telemetry = run(&store, &query(0, 30_240 * 60_000, None, Some(60_000))).expect("an answer");
    assert_eq!(
        instants(&telemetry),
        minutes.iter().map(|at| at - 5).collect::<Vec<_>>()
    );
    assert!(!telemetry.is_partial());
    let asked: Vec<i64> = store
        .calls()
        .iter()
        .map(|call| match call {
            Call::Range { start, end, .. } => (end.0 - start.0) / 60_000 + 1,
            _ => 0,
        })
        .collect();
    assert_eq!(asked, [7_560; 4]);
}

#[test]
fn a_small_limit_asks_for_a_small_range() {
    let store = ListedStore::new(vec![(
        "a",
        (0..100_000).map(|second| second * 1_000).collect(),
    )]);
    let telemetry = run(&store, &query(0, 100_000_000, Some(2), Some(1_000))).expect("an answer");
    assert_eq!(
        (instants(&telemetry), telemetry.is_partial()),
        (vec![0, 1_000], true)
    );
    let asked: Vec<i64> = store
        .calls()
        .iter()
        .map(|call| {
            if let Call::Range { start, end, .. } = call {
                end.0 - start.0
            } else {
                0
            }
        })
        .collect();
    assert_eq!(asked, [119_000]);
}

#[test]
fn exactly_as_many_points_as_the_limit_are_complete() {
    let store = ListedStore::new(vec![("a", vec![0, 1_000, 2_000])]);
    for bucket in [None, Some(1_000)] {
        let telemetry = run(&store, &query(0, 10_000, Some(3), bucket)).expect("an answer");
        assert_eq!(
            (instants(&telemetry), telemetry.is_partial()),
            (vec![0, 1_000, 2_000], false)
        );
    }
}

#[test]
fn decades_without_samples_are_skipped_by_looking_at_the_index() {
    let year = 365 * 24 * 3_600_000_i64;
    let store = ListedStore::new(vec![("a", vec![50 * year, 50 * year + 1_000])]);
    for bucket in [None, Some(60_000)] {
        store.calls.lock().expect("no panic while locked").clear();
        let telemetry = run(&store, &query(0, 51 * year, None, bucket)).expect("an answer");
        assert_eq!(
            telemetry.points.iter().len(),
            if bucket.is_some() { 1 } else { 2 }
        );
        assert!(store.calls().len() < 120, "{} calls", store.calls().len());
    }
}

#[test]
fn nothing_where_a_series_exists_is_an_empty_answer() {
    let store = ListedStore::new(vec![("a", vec![0])]);
    let telemetry = run(&store, &query(10_000, 20_000, None, None)).expect("an answer");
    assert_eq!(telemetry, Telemetry::default());
}

#[test]
fn nothing_where_no_series_exists_is_not_found() {
    let store = ListedStore::new(vec![("a", vec![0])]);
    let week = 7 * 24 * 3_600_000;
    assert!(matches!(
        run(&store, &query(week, week + 1_000, None, None)),
        Err(EvaluateError::NotFound(None))
    ));
}

#[test]
fn several_series_are_told_apart_where_one_is_needed() {
    let store = ListedStore::new(vec![("a", vec![1]), ("b", vec![2])]);
    let error = run(&store, &query(0, 10, None, None)).expect_err("two series");
    assert_eq!(
        error.to_string(),
        r#"2 series match and one is needed; they differ in: instance ("a", "b")"#
    );
}

#[test]
fn conditions_beside_an_expression_choose_among_its_series() {
    let store = ListedStore::new(vec![("a", vec![1_000]), ("b", vec![2_000])]);
    let matchers = vec![Matcher::equal("instance", "b")];
    let kind = Kind::Expression {
        promql: "x".to_owned(),
        matchers,
    };
    let telemetry = run(
        &store,
        &MetricQuery {
            kind,
            ..query(0, 10_000, None, None)
        },
    )
    .expect("one series");
    assert_eq!(instants(&telemetry), [2_000]);
}

#[test]
fn an_expression_bound_to_its_range_is_not_split() {
    let store = ListedStore::new(vec![("a", vec![1_000])]);
    let kind = Kind::Expression {
        promql: "m @ end ( )".to_owned(),
        matchers: Vec::new(),
    };
    let long = MetricQuery {
        kind: kind.clone(),
        ..query(0, 11_001_000, None, Some(1_000))
    };
    assert!(matches!(
        run(&store, &long),
        Err(EvaluateError::BoundToItsRange)
    ));
    let fitting = MetricQuery {
        kind,
        ..query(0, 11_000_000, Some(1), Some(1_000))
    };
    assert!(run(&store, &fitting).is_ok());
    assert_eq!(store.calls().len(), 1);
}

#[test]
fn percentiles_over_several_series_are_pooled_from_the_samples() {
    let store = ListedStore::new(vec![("a", vec![100, 300]), ("b", vec![200, 1_400])]);
    let percentile = MetricQuery {
        aggregation: Aggregation::new("PERCENTILE_50", Millis(1_000)),
        ..query(0, 2_000, None, None)
    };
    let telemetry = run(&store, &percentile).expect("an answer");
    let points: Vec<(i64, &str)> = telemetry
        .points
        .iter()
        .map(|(at, text)| (at.0, text))
        .collect();
    assert_eq!(points, [(0, "200.0"), (1_000, "1400.0")]);
}

impl<S: Store> Store for &S {
    async fn call(&self, call: Call, deadline: Deadline) -> Result<Arc<Answer>, StoreError> {
        (*self).call(call, deadline).await
    }

    async fn capabilities(&self, deadline: Deadline) -> Result<Capabilities, StoreError> {
        (*self).capabilities(deadline).await
    }
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

fn expression(promql: &str) -> Kind {
    Kind::Expression {
        promql: promql.to_owned(),
        matchers: Vec::new(),
    }
}

#[test]
fn an_expression_without_series_takes_no_more_calls_than_a_request_may_make() {
    let store = ListedStore::new(Vec::new());
    let nothing = MetricQuery {
        kind: expression("nosuch"),
        ..query(0, 1_800_000_000_000, None, Some(1_000))
    };
    let error = run_in_calls(&store, &nothing, 200).expect_err("too long");
    assert_eq!(
        error.to_string(),
        "the answer takes more than 200 API calls of Prometheus, which is the most for one request \
         (spec.limits.upstreamCallsPerRequest): ask for a shorter time or larger buckets, or add conditions"
    );
    assert_eq!(store.calls().len(), 200);
    // Hours since 1970 are an ordinary request.
    let hours = MetricQuery {
        kind: expression("nosuch"),
        ..query(0, 1_800_000_000_000, None, Some(3_600_000))
    };
    store.calls.lock().expect("no panic while locked").clear();
    let telemetry = run_in_calls(&store, &hours, 200).expect("an answer");
    assert_eq!(
        (telemetry, store.calls().len()),
        (
            Telemetry {
                bucket: Some(Millis(3_600_000)),
                ..Telemetry::default()
            },
            48
        )
    );
}

#[test]
fn where_calls_are_spent_after_points_the_answer_is_partial_and_the_caller_gets_on_from_it() {
    let samples: Vec<i64> = (1..=60).map(|index| index * 10_000_000).collect();
    for (kind, bucket) in [
        (Kind::Gauge(Selector::new("m", Vec::new())), None),
        (Kind::Gauge(Selector::new("m", Vec::new())), Some(1_000)),
        (expression("m"), Some(1_000)),
    ] {
        let store = ListedStore::new(vec![("a", samples.clone())]);
        let mut query = MetricQuery {
            kind,
            ..query(0, 600_001_000, None, bucket)
        };
        let mut all: Vec<i64> = Vec::new();
        let mut partial = 0;
        loop {
            store.calls.lock().expect("no panic while locked").clear();
            let telemetry = run_in_calls(&store, &query, 20).expect("an answer");
            assert!(store.calls().len() <= 20);
            let last = all.last().copied().unwrap_or(i64::MIN);
            all.extend(instants(&telemetry).into_iter().filter(|at| *at > last));
            if !telemetry.is_partial() {
                break;
            }
            partial += 1;
            assert!(telemetry.missing.beyond_limit);
            query.start = Timestamp(*all.last().expect("a partial answer has points"));
        }
        assert_eq!(all, samples, "{:?} {bucket:?}", query.kind);
        assert!(partial > 0, "{:?} {bucket:?}", query.kind);
    }
}

#[test]
fn a_call_with_too_much_promql_is_not_made() {
    let store = ListedStore::new(Vec::new());
    let long = MetricQuery {
        kind: expression(&"x".repeat(counted::MOST_PROMQL_BYTES)),
        ..query(0, 10_000, None, Some(1_000))
    };
    let error = run_in_calls(&store, &long, 200).expect_err("too long");
    assert_eq!(
        error.to_string(),
        "it takes 262171 bytes of PromQL, and at most 262144 are sent: ask for fewer or shorter values, or write a shorter expression"
    );
    assert_eq!(store.calls(), []);
}

#[test]
fn a_bucket_that_is_followed_by_days_without_samples_is_answered() {
    let hour = 3_600_000;
    let store = ListedStore::new(vec![("a", vec![hour, hour + 2_000]), ("b", vec![hour])]);
    let percentile = MetricQuery {
        aggregation: Aggregation::new("PERCENTILE_50", Millis(24 * hour)),
        ..query(0, 30 * 24 * hour, None, None)
    };
    let telemetry = run(&store, &percentile).expect("an answer");
    assert_eq!(instants(&telemetry), [0]);
}

/// A store that answers as it is told.
struct ScriptedStore<F> {
    script: F,
    calls: Mutex<Vec<Call>>,
    native_histograms: bool,
}

impl<F: Fn(&Call) -> Result<Data, StoreError> + Send + Sync> ScriptedStore<F> {
    fn new(script: F) -> Self {
        Self {
            script,
            calls: Mutex::default(),
            native_histograms: true,
        }
    }

    /// Without a deadline that a test would reach.
    fn run(&self, query: &MetricQuery) -> (Result<Telemetry, EvaluateError>, Vec<Call>) {
        let context = Context {
            store: self,
            scrape_interval: Millis(1_000),
            nan_interpretation: NanInterpretation::Zero,
            now: Timestamp(i64::MAX / 4),
            deadline: Deadline(Instant::now() + Duration::from_secs(60)),
        };
        let answer = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime")
            .block_on(metric(&context, query));
        let calls = std::mem::take(&mut *self.calls.lock().expect("no panic while locked"));
        (answer, calls)
    }
}

impl<F: Fn(&Call) -> Result<Data, StoreError> + Send + Sync> Store for ScriptedStore<F> {
    async fn call(&self, call: Call, _: Deadline) -> Result<Arc<Answer>, StoreError> {
        let data = (self.script)(&call);
        self.calls.lock().expect("no panic while locked").push(call);
        Ok(Arc::new(Answer::of(data?)))
    }

    async fn capabilities(&self, _: Deadline) -> Result<Capabilities, StoreError> {
        Ok(Capabilities {
            range_boundary: RangeBoundary::LeftOpen,
            native_histograms: self.native_histograms,
            settles_after: Millis(0),
            keeps_nan: true,
        })
    }
}

fn one_series(labels: &[(&str, &str)], points: &[(i64, &str)]) -> Series {
    let mut samples = Samples::default();
    for (at, text) in points {
        samples.push(Timestamp(*at), text);
    }
    Series {
        labels: labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        samples,
        histograms: Vec::new(),
    }
}

/// When each series was compared with all before it, each of these took hours.
#[test]
fn fifty_thousand_series_where_one_is_needed_are_refused_at_once() {
    let all: Vec<Series> = (0..50_000)
        .map(|index| one_series(&[("i", &format!("{index:06}")), ("job", "x")], &[(5, "1")]))
        .collect();
    let store = ScriptedStore::new(move |call: &Call| match call {
        Call::SeriesExist { .. } => Ok(Data::SeriesExist(true)),
        _ => Ok(Data::Series(all.clone())),
    });
    let any_of = |texts: std::ops::Range<usize>| {
        let texts = texts.map(|index| format!("{index:06}")).collect();
        Kind::Expression {
            promql: "m".to_owned(),
            matchers: vec![Matcher::one_of("i", texts)],
        }
    };
    for (kind, bucket, count) in [
        (Kind::Gauge(Selector::new("m", Vec::new())), None, 50_000),
        (Kind::Counter(Selector::new("m", Vec::new())), None, 50_000),
        (expression("m"), None, 50_000),
        (expression("m"), Some(1_000), 50_000),
        (any_of(0..10_000), None, 10_000),
        (any_of(0..10_000), Some(1_000), 10_000),
    ] {
        let (answer, calls) = store.run(&MetricQuery {
            kind,
            ..query(0, 10_000, None, bucket)
        });
        assert_eq!(
            answer.expect_err("several").to_string(),
            format!(
                "{count} series match and one is needed; they differ in: i (\"000000\", \"000001\", \"000002\", …)"
            ),
        );
        assert_eq!(calls.len(), 1);
    }
}

/// When each series was compared with each text that is accepted, this took hours, too.
#[test]
fn one_series_of_fifty_thousand_is_found_among_ten_thousand_accepted_texts() {
    let all: Vec<Series> = (0..50_000)
        .map(|index| one_series(&[("i", &format!("{index:06}"))], &[(index, "1")]))
        .collect();
    let store = ScriptedStore::new(move |_: &Call| Ok(Data::Series(all.clone())));
    let texts = (49_999..59_999).map(|index| format!("{index:06}"));
    let kind = Kind::Expression {
        promql: "m".to_owned(),
        matchers: vec![Matcher::one_of("i", texts.collect())],
    };
    let (answer, _) = store.run(&MetricQuery {
        kind,
        ..query(0, 300_000, None, None)
    });
    assert_eq!(instants(&answer.expect("one series")), [49_999]);
}

#[test]
fn buckets_in_which_a_series_changes_its_form_are_asked_for_once_more_with_the_longer_expression() {
    let of = |method| MetricQuery {
        kind: Kind::Histogram(Selector::new("h", Vec::new())),
        aggregation: Aggregation::new(method, Millis(1_000)),
        ..query(0, 3_000, None, None)
    };
    let store = |mark: &'static [(i64, &'static str)]| {
        ScriptedStore::new(move |call: &Call| {
            let Call::Range { promql, .. } = call else {
                return Ok(Data::SeriesExist(true));
            };
            let precise = promql.contains(" offset ");
            let values: &[_] = if precise {
                &[(999, "7"), (1_999, "8"), (2_999, "9")]
            } else {
                &[(999, "1"), (1_999, "2"), (2_999, "3")]
            };
            let mut all = vec![
                one_series(&[("le", "both")], if precise { &[] } else { mark }),
                one_series(&[], values),
            ];
            all.retain(|series| !series.samples.is_empty());
            Ok(Data::Series(all))
        })
    };
    let points = |telemetry: Telemetry| -> Vec<String> {
        telemetry
            .points
            .iter()
            .map(|(_, text)| text.to_owned())
            .collect()
    };
    let (answer, calls) = store(&[]).run(&of("EVENT_COUNT"));
    assert_eq!(points(answer.expect("an answer")), ["1", "2", "3"]);
    assert_eq!(calls.len(), 1);
    let (answer, calls) = store(&[(1_999, "1")]).run(&of("EVENT_COUNT"));
    assert_eq!(points(answer.expect("an answer")), ["7", "8", "9"]);
    assert_eq!(calls.len(), 2);
    let (answer, calls) = store(&[(1_999, "1")]).run(&of("MAX"));
    let error = answer.expect_err("no store merges them").to_string();
    assert!(
        error.starts_with("the bucket that begins at 1.000 has native and classic histograms"),
        "{error}"
    );
    assert_eq!(calls.len(), 1);
}

#[test]
fn where_nothing_is_found_the_condition_that_excludes_everything_is_named_in_few_calls() {
    let condition = |label: &str| Matcher::equal(label, "x");
    // Series have job="x" and zone="x", and an instance that is none of these.
    let has = |selector: &str| {
        !(selector.contains("name=")
            || selector.contains("name!=")
            || selector.contains("instance=")
            || selector.contains("nosuch"))
    };
    let none = "there is none of that name, whatever its labels";
    let many: Vec<String> = (0..20).map(|index| format!("name{index}")).collect();
    let table: [(&str, Vec<&str>, Option<&str>); 7] = [
        (
            "m",
            vec!["job", "name", "zone"],
            Some(
                "name=\"x\" excludes all of them (no series of this metric has the label \"name\")",
            ),
        ),
        (
            "m",
            vec!["instance"],
            Some("instance=\"x\" excludes all of them"),
        ),
        (
            "m",
            vec!["name", "instance", "job"],
            Some("each of name=\"x\" and instance=\"x\" excludes all of them"),
        ),
        ("nosuch", vec!["job", "zone"], Some(none)),
        ("nosuch", vec![], None),
        ("m", many.iter().map(String::as_str).collect(), None),
        (
            "m",
            vec!["instance", "a", "b", "c", "d", "e", "f", "g", "h"],
            Some("instance=\"x\" excludes all of them"),
        ),
    ];
    for (name, labels, expected) in table {
        let store = ScriptedStore::new(|call: &Call| match call {
            Call::SeriesExist { selectors, .. } => {
                Ok(Data::SeriesExist(selectors.iter().any(|selector| {
                    has(selector) && !selector.contains("name1")
                })))
            }
            _ => Ok(Data::Series(Vec::new())),
        });
        let conditions = labels.iter().map(|label| condition(label)).collect();
        let selector = Selector::new(name, conditions).within(Matcher::equal("team", "pay"));
        let (answer, calls) = store.run(&MetricQuery {
            kind: Kind::Gauge(selector),
            ..query(0, 10_000, None, None)
        });
        let Err(EvaluateError::NotFound(reason)) = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(reason.as_deref(), expected, "{name} {labels:?}");
        let looked: Vec<&Call> = calls
            .iter()
            .filter(|call| matches!(call, Call::SeriesExist { .. }))
            .collect();
        assert!(looked.len() <= 9, "{} calls", looked.len());
        for call in looked {
            let Call::SeriesExist { selectors, .. } = call else {
                continue;
            };
            assert!(
                selectors
                    .iter()
                    .all(|selector| selector.contains("team=\"pay\"")),
                "{selectors:?}"
            );
        }
    }
}

#[test]
fn a_complaint_about_the_length_of_a_query_says_that_the_bucket_counts() {
    let words = "the query time range exceeds the limit (query length: 1440h0m0s, limit: 768h0m0s)";
    let store = ScriptedStore::new(|_: &Call| {
        Err(StoreError::Rejected {
            kind: "bad_data".to_owned(),
            message: words.to_owned(),
        })
    });
    let month = 30 * 24 * 3_600_000;
    let (answer, _) = store.run(&query(0, 3 * month, None, Some(month)));
    assert_eq!(
        answer.expect_err("too long").to_string(),
        format!(
            "{words} (each point looks back over its bucket of 720h: choose a smaller bucket or a shorter time range)"
        )
    );
    let kind = Kind::Expression {
        promql: "max_over_time(up[90d])".to_owned(),
        matchers: Vec::new(),
    };
    let (answer, _) = store.run(&MetricQuery {
        kind,
        ..query(0, month, None, None)
    });
    assert_eq!(
        answer.expect_err("too long").to_string(),
        format!("{words} (choose a smaller window in the expression or a shorter time range)")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whoever_follows_the_partial_answers_gets_every_point_once(
        gaps in proptest::collection::vec(1i64..40_000, 1..60),
        start in 0i64..20_000,
        limit in prop_oneof![Just(1u64), Just(2), 3u64..100],
        bucket in prop_oneof![Just(None), (1i64..30_000).prop_map(Some)],
    ) {
        let samples: Vec<i64> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
        let end = samples.last().copied().unwrap_or_default() + 1_000;
        let store = ListedStore::new(vec![("a", samples.clone())]);
        let mut expected: Vec<i64> = match bucket {
            None => samples.into_iter().filter(|at| *at >= start).collect(),
            Some(width) => samples.into_iter().map(|at| at / width * width)
                .filter(|at| at + width > start && at + width <= end).collect(),
        };
        expected.dedup();
        prop_assume!(start <= end && !expected.is_empty());
        prop_assert_eq!(follow(&store, &query(start, end, Some(limit), bucket)), expected);
    }
}
