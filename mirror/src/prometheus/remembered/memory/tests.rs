use super::*;
use crate::model::series::{Samples, Series};
use crate::model::time::Timestamp;

const LENGTH: Millis = Millis(1_000);

fn key(promql: &str) -> Arc<Key> {
    Arc::new(Key {
        server: 0,
        dialect: Dialect::PromQl,
        promql: promql.to_owned(),
        step: Millis(10),
        phase: 0,
    })
}

/// One series with the same value at each instant.
fn run(first: i64, last: i64, value: &str) -> Run {
    let mut samples = Samples::default();
    for at in (first..=last).step_by(10) {
        samples.push(Timestamp(at), value);
    }
    Run {
        first: Timestamp(first),
        last: Timestamp(last),
        series: vec![Series {
            samples,
            ..Series::default()
        }],
        comments: Vec::new(),
    }
}

fn of(most: u64) -> Arc<Remembered> {
    let remembered = Remembered::new(RememberedMetrics::default());
    remembered.set(Remembering {
        most: ByteSize(most),
        settle: Millis(0),
    });
    remembered
}

fn learn(remembered: &Remembered, promql: &str, run: Run) {
    let epoch = remembered.recall_learned(&key(promql)).epoch;
    remembered.learn(&key(promql), Ok((Millis(0), run)), LENGTH, epoch);
}

fn runs(remembered: &Remembered, promql: &str) -> Vec<Run> {
    let known = remembered.recall_learned(&key(promql)).known;
    let runs = known.map_or_else(Vec::new, |known| known.runs);
    runs.iter().map(|run| Run::clone(run)).collect()
}

#[test]
fn runs_with_a_common_instant_become_one_and_neighbours_stay_apart() {
    let remembered = of(1 << 20);
    learn(&remembered, "a", run(0, 100, "1"));
    learn(&remembered, "a", run(110, 200, "1"));
    assert_eq!(
        runs(&remembered, "a"),
        [run(0, 100, "1"), run(110, 200, "1")]
    );
    learn(&remembered, "a", run(90, 110, "1"));
    assert_eq!(runs(&remembered, "a"), [run(0, 200, "1")]);
    learn(&remembered, "a", run(50, 60, "1"));
    assert_eq!(runs(&remembered, "a"), [run(0, 200, "1")]);
}

#[test]
fn where_runs_disagree_the_newer_one_is_right() {
    let remembered = of(1 << 20);
    learn(&remembered, "a", run(0, 100, "1"));
    learn(&remembered, "a", run(300, 400, "1"));
    learn(&remembered, "a", run(100, 200, "2"));
    assert_eq!(
        runs(&remembered, "a"),
        [run(300, 400, "1"), run(100, 200, "2")]
    );
}

#[test]
fn a_run_has_twice_the_length_of_the_longest_range_at_most() {
    let remembered = of(1 << 20);
    learn(&remembered, "a", run(0, 1_500, "1"));
    learn(&remembered, "a", run(1_500, 3_000, "1"));
    assert_eq!(runs(&remembered, "a"), [run(1_000, 3_000, "1")]);
}

#[test]
fn what_was_used_longest_ago_makes_room_for_what_comes() {
    // A copy has no room to grow.
    let one = run(0, 1_000, "1").clone().bytes() + ENTRY + 1;
    // Room for eight entries, each of which may have as much as that.
    let remembered = of(8 * one);
    for index in 0..8 {
        learn(&remembered, &index.to_string(), run(0, 1_000, "1"));
    }
    assert_eq!(runs(&remembered, "0"), [run(0, 1_000, "1")]);
    learn(&remembered, "8", run(0, 1_000, "1"));
    let known = (0..9).filter(|index| !runs(&remembered, &index.to_string()).is_empty());
    assert_eq!(known.collect::<Vec<_>>(), [0, 2, 3, 4, 5, 6, 7, 8]);
    let held = i64::try_from(8 * one).expect("few bytes");
    assert_eq!(remembered.metrics.bytes.get(), held);
    learn(&remembered, "9", run(0, 1_100, "1"));
    assert!(runs(&remembered, "9").is_empty(), "larger than its share");
    assert!(remembered.metrics.bytes.get() <= held);
}

#[test]
fn nothing_is_kept_once_it_is_switched_off_nor_what_was_found_out_before() {
    let remembered = of(1 << 20);
    learn(&remembered, "a", run(0, 100, "1"));
    let before = remembered.recall_learned(&key("a")).epoch;
    remembered.set(Remembering::default());
    assert!(!remembered.is_on());
    assert_eq!(remembered.metrics.bytes.get(), 0);
    remembered.set(Remembering {
        most: ByteSize(1 << 20),
        settle: Millis(0),
    });
    let late = Ok((Millis(0), run(0, 100, "1")));
    remembered.learn(&key("a"), late, LENGTH, before);
    assert!(runs(&remembered, "a").is_empty());
    learn(&remembered, "a", run(0, 100, "1"));
    let before = remembered.recall_learned(&key("a")).epoch;
    remembered.forget(&key("a"));
    remembered.learn(&key("a"), Err(Passing::At), LENGTH, before);
    assert!(remembered.recall_learned(&key("a")).known.is_none());
}
