use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::capabilities::RangeBoundary;
use crate::model::series::{Samples, Series};
use crate::model::time::Timestamp;
use crate::prometheus::Data;

const INTERVAL: i64 = 15_000;

const CAN: Capabilities = Capabilities {
    range_boundary: RangeBoundary::LeftOpen,
    native_histograms: true,
    settles_after: Millis(0),
    keeps_nan: true,
};

/// A server that has one series with samples at these instants, each with its own name as value.
#[derive(Clone)]
struct Server {
    name: &'static str,
    has: BTreeSet<i64>,
    /// Instead of an answer.
    fails: Option<StoreError>,
    /// So many calls it answers before that.
    answers: usize,
    hangs: bool,
    throttled: bool,
    can: Capabilities,
    calls: Arc<Mutex<Vec<Call>>>,
}

fn server(name: &'static str, has: impl IntoIterator<Item = i64>) -> Server {
    Server {
        name,
        has: has.into_iter().collect(),
        fails: None,
        answers: 0,
        hangs: false,
        throttled: false,
        can: CAN,
        calls: Arc::default(),
    }
}

impl Server {
    fn answer(&self, call: &Call) -> Data {
        let any = |from: i64, to: i64| self.has.range(from..=to).next().is_some();
        let at: Vec<i64> = match call {
            Call::Samples { from, to, .. } => self.has.range(from.0..=to.0).copied().collect(),
            Call::Range {
                start, end, step, ..
            } => (0..)
                .map(|index| start.0 + index * step.0)
                .take_while(|at| *at <= end.0)
                .filter(|at| any(at - step.0 + 1, *at))
                .collect(),
            Call::SeriesExist { start, end, .. } => {
                return Data::SeriesExist(any(start.0, end.0));
            }
            _ => {
                let names = (!self.has.is_empty()).then(|| self.name.to_owned());
                return Data::Names(names.into_iter().collect());
            }
        };
        let mut samples = Samples::default();
        for at in at {
            samples.push(Timestamp(at), self.name);
        }
        let one = Series {
            samples,
            ..Series::default()
        };
        Data::Series(
            Some(one)
                .into_iter()
                .filter(|one| !one.samples.is_empty())
                .collect(),
        )
    }
}

impl Store for Server {
    async fn call(
        &self,
        call: Call,
        Deadline(deadline): Deadline,
    ) -> Result<Arc<Answer>, StoreError> {
        let before = self.calls.lock().unwrap().len();
        self.calls.lock().unwrap().push(call.clone());
        if self.hangs {
            tokio::time::sleep_until(deadline.into()).await;
            return Err(StoreError::Timeout(format!("{} is silent", self.name)));
        }
        match &self.fails {
            Some(error) if before >= self.answers => Err(error.clone()),
            _ => Ok(Arc::new(Answer::of(self.answer(&call)))),
        }
    }

    async fn capabilities(&self, _: Deadline) -> Result<Capabilities, StoreError> {
        self.fails.clone().map_or(Ok(self.can), Err)
    }
}

impl Member for Server {
    fn throttled(&self) -> Option<StoreError> {
        self.throttled.then(|| throttled(5))
    }

    fn instead(self) -> Self {
        self
    }
}

fn throttled(seconds: u64) -> StoreError {
    StoreError::Throttled {
        message: "slow down".to_owned(),
        retry_after: Duration::from_secs(seconds),
    }
}

fn replicas(members: Vec<Server>) -> Replicas<Server> {
    let urls = members.iter().map(|one| (one.name.to_owned(), None));
    let preference = Preference::new(&"main".into(), urls.collect(), 0);
    Replicas::new(members, Arc::new(preference), Millis(INTERVAL))
}

fn soon(milliseconds: u64) -> Deadline {
    Deadline(Instant::now() + Duration::from_millis(milliseconds))
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap()
        .block_on(future)
}

fn ask(replicas: &Replicas<Server>, call: Call) -> Result<Arc<Answer>, StoreError> {
    run(replicas.call(call, soon(60_000)))
}

fn samples(from: i64, to: i64) -> Call {
    Call::Samples {
        selector: "m".to_owned(),
        from: Timestamp(from),
        to: Timestamp(to),
    }
}

fn range(start: i64, end: i64, step: i64) -> Call {
    Call::Range {
        promql: "m".to_owned(),
        start: Timestamp(start),
        end: Timestamp(end),
        step: Millis(step),
    }
}

/// What an answer has, and of whom.
fn points(answer: &Answer) -> Vec<(i64, String)> {
    let Data::Series(series) = &answer.data else {
        panic!("{answer:?}");
    };
    let samples = series.iter().flat_map(|one| one.samples.iter());
    samples.map(|(at, text)| (at.0, text.to_owned())).collect()
}

fn calls(replicas: &Replicas<Server>) -> Vec<usize> {
    let made = |one: &Server| one.calls.lock().unwrap().len();
    replicas.members.iter().map(made).collect()
}

fn every(interval: i64, times: std::ops::Range<i64>) -> impl Iterator<Item = i64> {
    times.map(move |index| index * interval)
}

#[test]
fn a_pair_costs_one_call_where_the_preferred_one_has_all() {
    let pair = replicas(vec![
        server("a", every(INTERVAL, 0..100)),
        server("b", every(INTERVAL, 0..100)),
    ]);
    let exist = Call::SeriesExist {
        selectors: vec![],
        start: Timestamp(0),
        end: Timestamp(1),
    };
    for call in [
        samples(0, 99 * INTERVAL),
        range(0, 99 * INTERVAL, 60_000),
        exist,
        Call::Metadata,
    ] {
        ask(&pair, call).unwrap();
    }
    assert_eq!(calls(&pair), [4, 0]);
}

#[test]
fn a_failure_of_the_server_goes_to_the_next_and_no_other_does() {
    let text = || "x".to_owned();
    let of_server = [
        StoreError::Unreachable(text()),
        StoreError::CredentialsRefused(text()),
        StoreError::Timeout(text()),
        throttled(1),
    ];
    let of_others = [
        StoreError::Rejected {
            kind: text(),
            message: text(),
        },
        StoreError::QueueFull,
        StoreError::ExpiredInQueue,
        StoreError::OutOfMemory,
        StoreError::TooLarge(text()),
        StoreError::BeyondMemory(text()),
    ];
    let cases = of_server.map(|error| (error, true)).into_iter();
    for (error, goes_on) in cases.chain(of_others.map(|error| (error, false))) {
        let first = Server {
            fails: Some(error.clone()),
            ..server("a", [0])
        };
        let pair = replicas(vec![first, server("b", [0])]);
        let answer = ask(&pair, samples(0, 0));
        assert_eq!(answer.is_ok(), goes_on, "{error:?}");
        let preferred = usize::from(goes_on);
        assert_eq!(pair.preference.get(), preferred, "{error:?}");
        assert_eq!(calls(&pair), [1, preferred], "{error:?}");
        if goes_on {
            // It stays so.
            ask(&pair, samples(0, 0)).unwrap();
            assert_eq!(calls(&pair), [1, 2], "{error:?}");
        }
    }
}

#[test]
fn a_call_that_one_does_not_offer_is_asked_of_the_other_each_time() {
    let not_offered = || StoreError::NotOffered("a has no such call".to_owned());
    let too_long = || StoreError::TooLongForUrl {
        message: "a only accepts GET".to_owned(),
        bytes: 9,
        at_most: 8,
    };
    let lacks = |name, error| Server {
        fails: Some(error),
        ..server(name, [0])
    };
    for error in [not_offered(), too_long()] {
        let pair = replicas(vec![lacks("a", error), server("b", [0])]);
        for _ in 0..2 {
            assert!(!points(&ask(&pair, samples(0, 0)).unwrap()).is_empty());
        }
        // The others of its calls it may answer.
        assert_eq!((calls(&pair), pair.preference.get()), (vec![2, 2], 0));
        assert!(!pair.preference.is_out(0));
    }
    let gone = StoreError::Unreachable("b is gone".to_owned());
    for other in [not_offered(), gone] {
        let pair = replicas(vec![lacks("a", not_offered()), lacks("b", other)]);
        let said = ask(&pair, Call::Metadata).unwrap_err();
        assert_eq!(said.to_string(), "a has no such call");
    }
}

#[test]
fn a_late_one_is_not_waited_for_and_the_other_is_preferred() {
    let silent = Server {
        hangs: true,
        ..server("a", [0])
    };
    let pair = replicas(vec![silent, server("b", [0])]);
    let answer = run(pair.call(samples(0, 0), soon(600))).unwrap();
    assert_eq!(points(&answer), [(0, "b".to_owned())]);
    assert_eq!(pair.preference.get(), 1);
}

#[test]
fn a_silent_one_is_left_even_if_no_other_gets_its_turn() {
    let silent = Server {
        hangs: true,
        ..server("a", [0])
    };
    let full = Server {
        fails: Some(StoreError::ExpiredInQueue),
        ..server("b", [0])
    };
    let pair = replicas(vec![silent, full]);
    let answer = run(pair.call(samples(0, 0), soon(300)));
    assert!(matches!(answer, Err(StoreError::ExpiredInQueue)));
    assert_eq!(pair.preference.get(), 1);
}

#[test]
fn one_that_asks_to_slow_down_is_not_asked_while_another_can_be() {
    let busy = Server {
        throttled: true,
        ..server("a", [0])
    };
    let pair = replicas(vec![busy, server("b", [0])]);
    ask(&pair, samples(0, 0)).unwrap();
    assert_eq!((calls(&pair), pair.preference.get()), (vec![0, 1], 1));
}

#[test]
fn where_none_answers_each_says_why() {
    let fails = |name, error| Server {
        fails: Some(error),
        ..server(name, [])
    };
    let gone = |text: &str| StoreError::Unreachable(text.to_owned());
    let said = |first, second| {
        let pair = replicas(vec![fails("a", first), fails("b", second)]);
        ask(&pair, samples(0, 0)).unwrap_err()
    };
    let both = said(gone("a is gone"), gone("b is gone"));
    assert_eq!(both.to_string(), "no replica answers: a is gone; b is gone");
    assert!(matches!(both, StoreError::Unreachable(_)));
    assert!(matches!(
        said(gone("a is gone"), throttled(7)),
        StoreError::Throttled { retry_after, .. } if retry_after.as_secs() == 7
    ));
    let late = || StoreError::Timeout("late".to_owned());
    assert!(matches!(said(late(), late()), StoreError::Timeout(_)));
}

#[test]
fn one_that_evaluates_otherwise_neither_fills_nor_follows() {
    let other = || Server {
        can: Capabilities {
            range_boundary: RangeBoundary::Closed,
            ..CAN
        },
        ..server("b", every(INTERVAL, 0..100))
    };
    let pair = replicas(vec![server("a", []), other()]);
    run(pair.capabilities(soon(60_000))).unwrap();
    let answer = ask(&pair, samples(0, INTERVAL)).unwrap();
    assert_eq!((points(&answer), calls(&pair)), (vec![], vec![1, 0]));

    let gone = Server {
        fails: Some(StoreError::Unreachable("a is gone".to_owned())),
        ..server("a", [])
    };
    // A request that begins now is planned for it.
    let pair = replicas(vec![gone, other()]);
    assert_eq!(
        run(pair.capabilities(soon(60_000))).unwrap().range_boundary,
        RangeBoundary::Closed
    );
    assert!(!points(&ask(&pair, samples(0, INTERVAL)).unwrap()).is_empty());
}

#[test]
fn a_server_that_is_out_is_not_asked_for_gaps_again_and_again() {
    let gone = Server {
        fails: Some(StoreError::Unreachable("b is gone".to_owned())),
        ..server("b", [])
    };
    let pair = replicas(vec![server("a", every(INTERVAL, 0..10)), gone]);
    for _ in 0..3 {
        let has = points(&ask(&pair, samples(0, 99 * INTERVAL)).unwrap());
        assert_eq!(has.len(), 10);
    }
    assert_eq!(calls(&pair), [3, 1]);
}

#[test]
fn before_nothing_at_all_is_answered_a_server_that_failed_lately_is_asked_again() {
    let exist = || Call::SeriesExist {
        selectors: vec![],
        start: Timestamp(0),
        end: Timestamp(9),
    };
    let lost = StoreError::Unreachable("a lost one connection".to_owned());
    let empty = || server("b", []);
    for call in [samples(0, 9), range(0, 9, 9), exist(), Call::Metadata] {
        let pair = replicas(vec![server("a", [5]), empty()]);
        let nothing = run(replicas(vec![empty()]).call(call.clone(), soon(60_000))).unwrap();
        pair.preference.moves(0, 1, Some(&lost));
        pair.preference.failed(0);
        let answer = ask(&pair, call.clone()).unwrap();
        assert_ne!(answer.data, nothing.data, "{call:?}");
        // It is there, as it seems.
        assert!(!pair.preference.is_out(0), "{call:?}");
        // By one request at a time, so that calls that hang hold no places of others.
        pair.preference.failed(0);
        let _other = pair.preference.trial(0).unwrap();
        let answer = ask(&pair, call.clone()).unwrap();
        assert_eq!(answer.data, nothing.data, "{call:?}");
    }
}

#[test]
fn a_second_look_at_a_server_that_is_silent_takes_no_longer_than_a_second() {
    let silent = Server {
        hangs: true,
        ..server("a", [5])
    };
    let pair = replicas(vec![silent, server("b", [])]);
    pair.preference.moves(0, 1, None);
    pair.preference.failed(0);
    let began = Instant::now();
    assert_eq!(points(&ask(&pair, samples(0, 9)).unwrap()), []);
    // A third of the time would be twenty.
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(pair.preference.trial(0).is_some(), "the next one may look");
}

#[test]
fn what_one_does_not_know_the_other_may() {
    let pair = replicas(vec![server("a", []), server("b", [5])]);
    let names = ask(&pair, Call::Metadata).unwrap();
    assert_eq!(names.data, Data::Names(vec!["b".to_owned()]));
    let exist = Call::SeriesExist {
        selectors: vec![],
        start: Timestamp(0),
        end: Timestamp(9),
    };
    assert_eq!(ask(&pair, exist).unwrap().data, Data::SeriesExist(true));
}

#[test]
fn a_gap_of_a_range_is_asked_of_the_other_and_filled() {
    // One sample a minute, and an outage from the minute 4 to the minute 6.
    let minute = |index: i64| index * 60_000;
    let has = (0..12).filter(|index| !(4..=6).contains(index)).map(minute);
    let pair = replicas(vec![server("a", has), server("b", (0..12).map(minute))]);
    let answer = ask(&pair, range(0, minute(11), 60_000)).unwrap();
    let of: String = points(&answer).into_iter().map(|(_, name)| name).collect();
    // The instants beside the outage, too: what one has there may be a part.
    assert_eq!(of, "aaabbbbbaaaa");
    assert_eq!(
        *pair.members[1].calls.lock().unwrap(),
        [range(minute(2), minute(8), 60_000)]
    );
}

#[test]
fn the_absence_of_series_is_not_looked_for_in_the_gaps_of_another() {
    let asks = |promql: &str| {
        let pair = replicas(vec![server("a", []), server("b", [0])]);
        let range = Call::Range {
            promql: promql.to_owned(),
            start: Timestamp(0),
            end: Timestamp(0),
            step: Millis(1),
        };
        let instant = Call::Instant {
            promql: promql.to_owned(),
            at: Timestamp(0),
        };
        for call in [range, instant] {
            ask(&pair, call).unwrap();
        }
        calls(&pair)[1] == 2
    };
    for promql in [
        "absent(up)",
        "max(ABSENT (up)) * 2",
        "absent_over_time\n(up[5m])",
    ] {
        assert!(!asks(promql), "{promql}");
    }
    for promql in [
        "absent",
        "sum(absent)",
        "not_absent(up)",
        "max(absent{a=\"(\"})",
    ] {
        assert!(asks(promql), "{promql}");
    }
}

#[test]
fn a_gap_of_samples_is_asked_of_the_other_and_filled() {
    let has = every(INTERVAL, 0..100).filter(|at| !(600_000..750_000).contains(at));
    let late = every(INTERVAL, 0..100).map(|at| at + 1_700);
    let pair = replicas(vec![server("a", has), server("b", late)]);
    let answer = ask(&pair, samples(0, 99 * INTERVAL)).unwrap();
    let times: Vec<i64> = points(&answer).iter().map(|(at, _)| *at).collect();
    let expected = every(INTERVAL, 0..100).map(|at| match at {
        600_000..750_000 => at + 1_700,
        _ => at,
    });
    assert_eq!(times, expected.collect::<Vec<_>>());
    assert_eq!(calls(&pair), [1, 1]);
}

#[test]
fn a_series_that_is_scraped_more_seldom_has_no_gaps() {
    let pair = replicas(vec![
        server("a", every(60_000, 0..30)),
        server("b", every(60_000, 0..30).map(|at| at + 30_000)),
    ]);
    let answer = ask(&pair, samples(0, 29 * 60_000)).unwrap();
    assert_eq!((points(&answer).len(), calls(&pair)), (30, vec![1, 0]));
}

#[test]
fn a_scrape_at_the_edge_of_what_was_asked_for_counts_once() {
    // The last scrape of one is just before the beginning, that of the other just behind it.
    let pair = replicas(vec![
        server("a", [90_000 - 500]),
        server("b", every(INTERVAL, 0..12).map(|at| at + 1_200)),
    ]);
    let answer = ask(&pair, samples(90_000, 150_000)).unwrap();
    let times: Vec<i64> = points(&answer).iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [106_200, 121_200, 136_200]);
}

#[test]
fn an_answer_stands_if_its_server_does_not_say_what_is_at_its_edges() {
    let goes = Server {
        fails: Some(StoreError::Unreachable("a is gone".to_owned())),
        answers: 1,
        ..server("a", [90_000 - 500])
    };
    let pair = replicas(vec![
        goes,
        server("b", every(INTERVAL, 0..12).map(|at| at + 1_200)),
    ]);
    let answer = ask(&pair, samples(90_000, 150_000)).unwrap();
    // What the other one has might be the same scrapes.
    assert_eq!((points(&answer), calls(&pair)), (vec![], vec![2, 1]));
}

/// Scrapes of a server that was out at times.
fn scrapes() -> impl Strategy<Value = BTreeSet<i64>> {
    let outages = prop::collection::vec((0_i64..200, 1_i64..40), 0..5);
    (0..INTERVAL, outages).prop_map(|(phase, outages)| {
        let is_out = |index: i64| {
            let mut outages = outages.iter();
            outages.any(|(from, long)| (*from..from + long).contains(&index))
        };
        let up = (0..200).filter(|index| !is_out(*index));
        up.map(|index| index * INTERVAL + phase).collect()
    })
}

proptest! {
    #[test]
    fn no_scrape_counts_twice_and_no_gap_is_left_that_the_other_covers(
        a in scrapes(),
        b in scrapes(),
        cuts in prop::collection::vec(0_i64..200 * INTERVAL, 0..3),
    ) {
        let pair = replicas(vec![server("a", a.clone()), server("b", b.clone())]);
        let mut edges: Vec<i64> = cuts;
        edges.extend([0, 200 * INTERVAL]);
        edges.sort_unstable();
        edges.dedup();
        let mut all = Vec::new();
        for two in edges.windows(2) {
            all.extend(points(&ask(&pair, samples(two[0], two[1] - 1)).unwrap()));
        }
        let times: Vec<i64> = all.iter().map(|(at, _)| *at).collect();
        prop_assert!(times.is_sorted());
        prop_assert!(times.windows(2).all(|two| two[1] - two[0] >= INTERVAL / 2), "{all:?}");
        let has: BTreeSet<i64> = times.into_iter().collect();
        prop_assert!(a.is_subset(&has), "all of the preferred one");
        // A gap that is cut may be too short on either side.
        let longest = 4 * INTERVAL;
        for at in b.difference(&has) {
            let near = |at: &i64| a.range(at - longest..=at + longest).next().is_some();
            prop_assert!(near(at), "{at} of b is missing");
        }
    }

    #[test]
    fn a_range_has_what_either_has(
        a in scrapes(),
        b in scrapes(),
        step in 1_i64..20,
    ) {
        let pair = replicas(vec![server("a", a), server("b", b)]);
        let call = range(0, 200 * INTERVAL, step * INTERVAL);
        let [a, b] = [0, 1].map(|place| {
            let Data::Series(series) = pair.members[place].answer(&call) else { panic!() };
            let samples = series.first().map(|one| one.samples.clone()).unwrap_or_default();
            samples.iter().map(|(at, _)| at.0).collect::<BTreeSet<_>>()
        });
        let found = points(&ask(&pair, call).unwrap());
        let times: Vec<i64> = found.iter().map(|(at, _)| *at).collect();
        let either: Vec<i64> = a.union(&b).copied().collect();
        prop_assert_eq!(times, either);
        for (at, name) in found {
            let step = step * INTERVAL;
            let beside = [at - step, at + step].iter().any(|at| {
                (0..=200 * INTERVAL).contains(at) && !a.contains(at)
            });
            // Where it has all around, nobody else is heard.
            prop_assert!(!a.contains(&at) || beside || name == "a");
        }
    }
}
