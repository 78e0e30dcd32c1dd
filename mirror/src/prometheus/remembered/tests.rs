//! Answers with and without memory, of a store whose samples come late, are deleted, or are not
//! there yet.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::budget::size::ByteSize;
use crate::model::capabilities::Capabilities;
use crate::model::series::{HistogramSample, Labels, Series};
use crate::prometheus::remarks::Remark;

/// The distance of samples, and of evaluations.
const STEP: i64 = 10;

/// A store with one metric, of which `sum_over_time(m[…])` is asked.
#[derive(Default)]
struct Model {
    /// By instance: the samples.
    series: Mutex<BTreeMap<String, BTreeMap<i64, i64>>>,
    /// Later samples are not there yet.
    visible: Mutex<i64>,
    calls: Mutex<Vec<(i64, i64)>>,
    /// What becomes of an answer.
    spoiled: Option<fn(Answer) -> Answer>,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Model {
    /// A series with a sample at each step until `end`.
    fn with(self, instance: &str, start: i64, end: i64) -> Self {
        let samples = (start..=end).step_by(10).map(|at| (at, at % 7));
        lock(&self.series).insert(instance.to_owned(), samples.collect());
        *lock(&self.visible) = i64::MAX;
        self
    }

    /// The ranges that were asked for since the last look.
    fn asked(&self) -> Vec<(i64, i64)> {
        std::mem::take(&mut lock(&self.calls))
    }

    fn result(&self, window: i64, start: i64, end: i64, step: i64) -> Vec<Series> {
        let visible = *lock(&self.visible);
        let all = lock(&self.series);
        let series = all.iter().map(|(instance, samples)| {
            let mut one = Series {
                labels: labels(instance),
                ..Series::default()
            };
            for at in (start..=end).step_by(usize::try_from(step).expect("a step")) {
                let seen = samples.range(at - window + 1..=at);
                let seen: Vec<i64> = seen
                    .filter(|(at, _)| **at <= visible)
                    .map(|(_, value)| *value)
                    .collect();
                if !seen.is_empty() {
                    let sum = seen.iter().sum::<i64>().to_string();
                    one.samples.push(Timestamp(at), &sum);
                }
            }
            one
        });
        series.filter(|one| !one.samples.is_empty()).collect()
    }
}

fn labels(instance: &str) -> Labels {
    [("instance".to_owned(), instance.to_owned())].into()
}

/// The milliseconds of the window in `sum_over_time(m[30ms])`; of other expressions one step.
fn window(promql: &str) -> i64 {
    let digits = promql.split_once('[').map(|(_, rest)| rest);
    let digits = digits.and_then(|rest| rest.split_once("ms"));
    digits.map_or(STEP, |(digits, _)| digits.parse().expect("a number"))
}

impl Store for Model {
    async fn call(&self, call: Call, _: Deadline) -> Result<Arc<Answer>, StoreError> {
        let Call::Range {
            promql,
            start,
            end,
            step,
        } = call
        else {
            return Ok(Arc::new(Answer::of(Data::SeriesExist(true))));
        };
        lock(&self.calls).push((start.0, end.0));
        let series = self.result(window(&promql), start.0, end.0, step.0);
        let answer = Answer::of(Data::Series(series));
        Ok(Arc::new(match self.spoiled {
            Some(spoiled) => spoiled(answer),
            None => answer,
        }))
    }

    async fn capabilities(&self, _: Deadline) -> Result<Capabilities, StoreError> {
        Err(StoreError::QueueFull)
    }
}

fn memory(settle: i64) -> OfServer {
    let remembered = Remembered::new(RememberedMetrics::default());
    remembered.set(Remembering {
        most: ByteSize(64 << 20),
        settle: Millis(settle),
    });
    OfServer {
        remembered,
        server: 1,
        dialect: Dialect::PromQl,
    }
}

fn range(promql: &str, start: i64, end: i64) -> Call {
    Call::Range {
        promql: promql.to_owned(),
        start: Timestamp(start),
        end: Timestamp(end),
        step: Millis(STEP),
    }
}

const SUM: &str = "sum_over_time(m[10ms])";

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build();
    runtime.expect("a runtime").block_on(future)
}

fn soon() -> Deadline {
    Deadline(Instant::now() + Duration::from_secs(60))
}

/// What the store is asked for one poll after the other. Each answer is that without memory.
fn polls(
    memory: &OfServer,
    store: &Model,
    now: i64,
    polls: &[(&str, i64, i64)],
) -> Vec<Vec<(i64, i64)>> {
    let deadline = soon();
    let polled = polls.iter().map(|(promql, start, end)| {
        let call = range(promql, *start, *end);
        store.asked();
        let answer = memory.answer(store, call.clone(), deadline, Timestamp(now));
        let answer = block_on(answer).expect("an answer");
        let asked = store.asked();
        let plain = block_on(store.call(call, deadline)).expect("an answer");
        assert_eq!(answer, plain, "{promql} from {start} to {end}");
        asked
    });
    polled.collect()
}

#[test]
fn only_the_last_settled_evaluation_and_what_follows_is_asked_again() {
    let store = Model::default().with("a", 0, 1_000).with("b", 0, 1_000);
    let memory = memory(100);
    let asked = polls(
        &memory,
        &store,
        1_000,
        &[
            (SUM, 0, 1_000),
            (SUM, 0, 1_000),
            // A window that has moved on.
            (SUM, 200, 1_000),
            // Of the past.
            (SUM, 100, 300),
            // Another phase, and another expression, are other evaluations.
            (SUM, 5, 995),
            ("sum_over_time(m[20ms])", 0, 1_000),
        ],
    );
    assert_eq!(
        asked,
        [
            vec![(0, 1_000)],
            vec![(900, 1_000)],
            vec![(900, 1_000)],
            vec![(300, 300)],
            vec![(5, 995)],
            vec![(0, 1_000)],
        ]
    );
    let metrics = &memory.remembered.metrics;
    assert_eq!((metrics.hits.get(), metrics.misses.get()), (180, 325));
}

#[test]
fn what_is_missing_before_is_asked_with_the_first_evaluation_that_is_known() {
    let store = Model::default().with("a", 0, 1_000);
    let memory = memory(100);
    let asked = polls(
        &memory,
        &store,
        1_000,
        &[
            (SUM, 500, 1_000),
            // One more call saves most of it, and all of it is one run from then on.
            (SUM, 400, 1_000),
            (SUM, 400, 1_000),
            // Here it does not.
            (SUM, -5_000, 1_000),
        ],
    );
    assert_eq!(
        asked,
        [
            vec![(500, 1_000)],
            vec![(400, 500), (900, 1_000)],
            vec![(900, 1_000)],
            vec![(-5_000, 1_000)],
        ]
    );
}

#[test]
fn nothing_is_remembered_after_the_last_sample_nor_a_window_before_it() {
    let store = Model::default().with("a", 200, 600);
    let memory = memory(100);
    let three = "sum_over_time(m[30ms])";
    let asked = polls(
        &memory,
        &store,
        1_000,
        &[
            (SUM, 0, 1_000),
            (SUM, 0, 1_000),
            (three, 0, 1_000),
            (three, 300, 1_000),
        ],
    );
    assert_eq!(
        asked,
        [
            vec![(0, 1_000)],
            // Before the first sample nothing is known either.
            vec![(0, 1_000)],
            vec![(0, 1_000)],
            // The last value is that of 620, made of the sample of 600.
            vec![(590, 1_000)],
        ]
    );
}

#[test]
fn a_store_that_says_something_else_is_asked_for_everything() {
    let store = Model::default().with("a", 0, 1_000).with("b", 0, 1_000);
    let memory = memory(100);
    polls(&memory, &store, 1_000, &[(SUM, 0, 1_000)]);
    lock(&store.series).remove("a");
    let asked = polls(&memory, &store, 1_000, &[(SUM, 0, 1_000), (SUM, 0, 1_000)]);
    assert_eq!(asked, [vec![(900, 1_000), (0, 1_000)], vec![(900, 1_000)]]);
}

#[test]
fn an_empty_evaluation_does_not_vouch_for_those_before_it() {
    let store = Model::default().with("a", 0, 1_000);
    lock(&store.series).insert("a".to_owned(), {
        let samples = (0..=500).chain(700..=1_000).step_by(10);
        samples.map(|at| (at, 1)).collect()
    });
    let memory = memory(100);
    polls(&memory, &store, 1_000, &[(SUM, 0, 1_000)]);
    // It lags, or has lost its latest samples.
    *lock(&store.visible) = 400;
    let asked = polls(&memory, &store, 1_000, &[(SUM, 0, 600)]);
    assert_eq!(asked, [vec![(500, 600), (0, 600)]]);
}

/// Of two polls, what the second one asks.
fn second(spoiled: fn(Answer) -> Answer, promql: &str) -> Vec<(i64, i64)> {
    let store = Model {
        spoiled: Some(spoiled),
        ..Model::default().with("a", 0, 1_000).with("b", 0, 1_000)
    };
    let again = [(promql, 0, 1_000), (promql, 0, 1_000)];
    polls(&memory(100), &store, 1_000, &again).remove(1)
}

fn in_series(mut answer: Answer, change: fn(&mut Vec<Series>)) -> Answer {
    if let Data::Series(series) = &mut answer.data {
        change(series);
    }
    answer
}

#[test]
fn what_is_not_all_there_is_or_must_not_be_kept_is_asked_again() {
    let whole = vec![(0, 1_000)];
    let comment = Remark::info("PromQL info: metric might not be a counter");
    let kept = second(|answer| answer, SUM);
    assert_eq!(kept, [(900, 1_000)]);
    let commented = |mut answer: Answer| {
        answer.remarks = vec![Remark::info("PromQL info: metric might not be a counter")];
        answer
    };
    assert_eq!(
        commented(Answer::of(Data::SeriesExist(true))).remarks,
        [comment]
    );
    assert_eq!(second(commented, SUM), [(900, 1_000)]);
    let spoiled: [fn(Answer) -> Answer; 7] = [
        |mut answer| {
            answer.is_partial = true;
            answer
        },
        |mut answer| {
            answer.remarks = vec![Remark::warning("results truncated due to limit")];
            answer
        },
        |mut answer| {
            answer.must_not_be_kept = true;
            answer
        },
        // Another order, times beside the grid, histograms, and several names.
        |answer| in_series(answer, |series| series.reverse()),
        |answer| {
            in_series(answer, |series| {
                for one in series {
                    one.samples.push(Timestamp(1_003), "1");
                }
            })
        },
        |answer| {
            in_series(answer, |series| {
                series[0].histograms = vec![HistogramSample {
                    at: Timestamp(500),
                    count: 1.0,
                    sum: 1.0,
                }];
            })
        },
        |answer| {
            in_series(answer, |series| {
                series[0]
                    .labels
                    .insert("__name__".to_owned(), "a".to_owned());
            })
        },
    ];
    for spoiled in spoiled {
        assert_eq!(second(spoiled, SUM), whole);
    }
    for promql in [
        "m[1m] @ end()",
        "absent(m)",
        "sum_over_time(m[10ms] offset -1m)",
        "?",
    ] {
        assert_eq!(second(|answer| answer, promql), whole, "{promql}");
    }
}

#[test]
fn a_part_that_is_not_all_there_is_says_nothing_about_the_rest() {
    let mut store = Model::default().with("a", 0, 1_000);
    let memory = memory(100);
    polls(&memory, &store, 1_000, &[(SUM, 0, 1_000)]);
    store.spoiled = Some(|mut answer| {
        answer.is_partial = true;
        answer
    });
    let partial = polls(&memory, &store, 1_000, &[(SUM, 0, 1_000)]);
    assert_eq!(partial, [vec![(900, 1_000), (0, 1_000)]]);
    store.spoiled = None;
    let again = polls(&memory, &store, 1_000, &[(SUM, 0, 1_000)]);
    assert_eq!(again, [vec![(900, 1_000)]]);
}

#[test]
fn what_would_be_asked_is_foreseen() {
    let store = Model::default().with("a", 0, 1_000);
    let memory = memory(100);
    let whole = |never| Foreseen {
        remembered: 0,
        asked: vec![(Timestamp(0), Timestamp(1_000))],
        never,
    };
    assert_eq!(
        block_on(memory.foresee(&range(SUM, 0, 1_000), soon())),
        Some(whole(None))
    );
    polls(&memory, &store, 1_000, &[(SUM, 0, 1_000)]);
    let some = Foreseen {
        remembered: 90,
        asked: vec![(Timestamp(900), Timestamp(1_000))],
        never: None,
    };
    assert_eq!(
        block_on(memory.foresee(&range(SUM, 0, 1_000), soon())),
        Some(some)
    );
    let at = block_on(memory.foresee(&range("m @ start()", 0, 1_000), soon()));
    assert_eq!(at, Some(whole(Some(Passing::At))));
    assert_eq!(block_on(memory.foresee(&range(SUM, 0, 0), soon())), None);
}

#[derive(Clone, Debug)]
enum Event {
    /// So many steps later; the series that still live get a sample at each.
    Later(i64),
    /// From so many steps ago, of so many steps.
    Poll(bool, i64, i64),
    /// A sample comes late, so many steps ago at most: not longer than things take to settle.
    Late(i64),
    /// What is not settled of some instances is deleted.
    DeleteLate,
    /// An instance that has always been there is deleted.
    Delete,
    /// So far behind is what can be seen.
    Lag(i64),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (1i64..30).prop_map(Event::Later),
        8 => (any::<bool>(), 0i64..300, 2i64..300)
            .prop_map(|(wide, from, length)| Event::Poll(wide, from, length)),
        4 => (any::<bool>(), 60i64..90).prop_map(|(wide, from)| Event::Poll(wide, from, from)),
        2 => (0i64..10).prop_map(Event::Late),
        1 => Just(Event::DeleteLate),
        1 => Just(Event::Delete),
        1 => (0i64..60).prop_map(Event::Lag),
        1 => Just(Event::Lag(0)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn whatever_comes_late_or_is_deleted_answers_are_those_of_the_store(
        events in prop::collection::vec(event(), 1..60),
    ) {
        const SETTLE: i64 = 10 * STEP;
        let store = Model::default()
            .with("always", 0, 3_000)
            .with("also", 0, 3_000)
            .with("sometimes", 1_000, 2_000);
        let memory = memory(SETTLE);
        let (mut now, mut lag) = (3_000, 0);
        for event in events {
            match event {
                Event::Later(steps) => {
                    for at in (now + STEP..=now + steps * STEP).step_by(10) {
                        let mut series = lock(&store.series);
                        let live = series.iter_mut().filter(|(name, _)| *name != "sometimes");
                        for (_, samples) in live {
                            samples.insert(at, at % 11);
                        }
                    }
                    now += steps * STEP;
                }
                Event::Poll(wide, from, length) => {
                    let promql = if wide { "sum_over_time(m[40ms])" } else { SUM };
                    let start = now - from * STEP;
                    let end = now.min(start + length * STEP);
                    polls(&memory, &store, now, &[(promql, start, end)]);
                }
                Event::Late(steps) => {
                    let mut series = lock(&store.series);
                    if let Some(samples) = series.get_mut("sometimes") {
                        samples.insert(now - steps * STEP + 1, 5);
                    }
                }
                Event::DeleteLate => {
                    for name in ["always", "sometimes"] {
                        if let Some(samples) = lock(&store.series).get_mut(name) {
                            samples.retain(|at, _| *at <= now - SETTLE);
                        }
                    }
                }
                Event::Delete => drop(lock(&store.series).remove("also")),
                Event::Lag(steps) => lag = steps * STEP,
            }
            *lock(&store.visible) = now - lag;
        }
    }
}
