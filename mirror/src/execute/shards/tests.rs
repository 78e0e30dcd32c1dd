use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Barrier;

use super::*;
use crate::model::capabilities::RangeBoundary;
use crate::model::series::{HistogramSample, Labels, Samples, Series};
use crate::model::time::Timestamp;
use crate::prometheus::Data;

type Script = Box<dyn Fn(&Call) -> Result<Data, StoreError> + Send + Sync>;

/// A shard that answers as it is told.
struct Scripted {
    answers: Script,
    capabilities: Capabilities,
    /// Each call waits until so many shards have been asked.
    together: Option<Arc<Barrier>>,
    asked: AtomicUsize,
}

const PROMETHEUS: Capabilities = Capabilities {
    range_boundary: RangeBoundary::LeftOpen,
    native_histograms: true,
    settles_after: Millis(0),
    keeps_nan: true,
};

impl Store for Scripted {
    async fn call(&self, call: Call, _: Deadline) -> Result<Arc<Answer>, StoreError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if let Some(together) = &self.together {
            together.wait().await;
        }
        (self.answers)(&call).map(|data| Arc::new(Answer::of(data)))
    }

    async fn capabilities(&self, _: Deadline) -> Result<Capabilities, StoreError> {
        match (self.answers)(&Call::BuildInfo) {
            Err(error) => Err(error),
            Ok(_) => Ok(self.capabilities),
        }
    }
}

fn scripted(
    answers: impl Fn(&Call) -> Result<Data, StoreError> + Send + Sync + 'static,
) -> Scripted {
    Scripted {
        answers: Box::new(answers),
        capabilities: PROMETHEUS,
        together: None,
        asked: AtomicUsize::new(0),
    }
}

/// The labels of an element, and its values at the instants 0, 1, ….
type Element = (
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);

/// A shard with these elements, whatever it is asked, and a name of each.
fn with(elements: &'static [Element]) -> Scripted {
    scripted(move |call| {
        Ok(match call {
            Call::SeriesExist { .. } => Data::SeriesExist(!elements.is_empty()),
            Call::Range { .. } | Call::Instant { .. } | Call::Samples { .. } => Data::Series(
                elements
                    .iter()
                    .map(|(labels, values)| series(labels, values))
                    .collect(),
            ),
            _ => Data::Names(
                elements
                    .iter()
                    .flat_map(|(labels, _)| labels.iter())
                    .map(|(_, value)| (*value).to_owned())
                    .collect(),
            ),
        })
    })
}

fn series(labels: &[(&str, &str)], values: &[&str]) -> Series {
    let mut samples = Samples::default();
    for (at, value) in (0..).zip(values) {
        samples.push(Timestamp(at), value);
    }
    let labels = labels.iter();
    let labels: Labels = labels
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Series {
        labels,
        samples,
        ..Series::default()
    }
}

fn down() -> Scripted {
    scripted(|_| Err(StoreError::Unreachable("connection refused".to_owned())))
}

fn soon() -> Deadline {
    Deadline(Instant::now() + Duration::from_secs(60))
}

fn range(promql: &str) -> Call {
    Call::Range {
        promql: promql.to_owned(),
        start: Timestamp(0),
        end: Timestamp(9),
        step: Millis(1),
    }
}

async fn asked(shards: &Shards<Scripted>, promql: &str) -> Result<Vec<Series>, String> {
    let answer = shards.call(range(promql), soon()).await;
    let answer = answer.map_err(|error| error.to_string())?;
    match &answer.data {
        Data::Series(series) => Ok(series.clone()),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn all_shards_are_asked_at_once() {
    let together = Arc::new(Barrier::new(6));
    let member = || Scripted {
        together: Some(Arc::clone(&together)),
        ..with(&[(&[], &["1"])])
    };
    let shards = Shards::new(vec![member(), member(), member()], false);
    // Two expressions for each of three shards: none is answered before the last is asked.
    let found = tokio::time::timeout(Duration::from_secs(5), asked(&shards, "avg(x)")).await;
    assert_eq!(found.ok(), Some(Ok(vec![series(&[], &["1.0"])])));
}

#[tokio::test]
async fn who_has_what_is_asked_together_with_the_query_once_it_is_known() {
    let holders = Arc::new(Holders::default());
    let shards = |together: Option<&Arc<Barrier>>| {
        let has = |elements| Scripted {
            together: together.cloned(),
            ..with(elements)
        };
        let members = vec![has(&[]), has(&[(&[("a", "x")], &["2"])])];
        Shards::new(members, false).knowing(&holders)
    };
    // Of two shards: the selector of the one that has nothing, and the whole of the other.
    let promql = "topk(1, x)";
    let at_first = asked(&shards(None), promql).await;
    let together = Arc::new(Barrier::new(2 + 1));
    let again = shards(Some(&together));
    let again = tokio::time::timeout(Duration::from_secs(5), asked(&again, promql)).await;
    assert_eq!(again.ok(), Some(at_first));
}

#[tokio::test]
async fn what_was_known_and_is_no_longer_so_changes_nothing() {
    let holders = Arc::new(Holders::default());
    let (none, some): (&[Element], &[Element]) = (&[], &[(&[("a", "x")], &["1.50"])]);
    let refused = "topk() needs all of its series in one Prometheus, and 2 shards";
    for (first, second, expected) in [
        (none, some, Ok(vec![series(&[("a", "x")], &["1.50"])])),
        (some, none, Ok(vec![series(&[("a", "x")], &["1.50"])])),
        (some, some, Err(refused)),
        (none, none, Ok(vec![])),
        (some, some, Err(refused)),
        (none, some, Ok(vec![series(&[("a", "x")], &["1.50"])])),
    ] {
        let shards = Shards::new(vec![with(first), with(second)], false).knowing(&holders);
        let found = asked(&shards, "topk(1, m)").await;
        let found = found.map_err(|error| error[..refused.len()].to_owned());
        assert_eq!(found, expected.map_err(str::to_owned));
    }
}

#[tokio::test]
async fn a_guess_that_cannot_be_asked_is_no_error() {
    let holders = Arc::new(Holders::default());
    // All was in the first shard, which now refuses the whole, and has nothing of it any more.
    let first = Shards::new(vec![with(&[(&[], &["1"])]), with(&[])], false).knowing(&holders);
    asked(&first, "topk(1, m)").await.expect("an answer");
    let refuses = scripted(|call| match call {
        Call::Range { .. } => Err(StoreError::Unreachable("too much".to_owned())),
        _ => Ok(Data::SeriesExist(false)),
    });
    let shards = Shards::new(vec![refuses, with(&[(&[], &["2"])])], false).knowing(&holders);
    let found = asked(&shards, "topk(1, m)").await;
    assert_eq!(found, Ok(vec![series(&[], &["2"])]));
}

#[tokio::test]
async fn a_single_shard_is_asked_as_it_is() {
    let only = scripted(|call| match call {
        Call::Range { promql, .. } if promql == "topk(1, avg(x))" => {
            Ok(Data::Series(vec![series(&[], &["1.50"])]))
        }
        other => panic!("{other:?}"),
    });
    let shards = Shards::new(vec![only], true);
    let found = asked(&shards, "topk(1, avg(x))").await;
    assert_eq!(found, Ok(vec![series(&[], &["1.50"])]));
    assert!(!shards.is_sharded());
}

#[tokio::test]
async fn partial_results_become_the_whole_one() {
    let shards = || {
        let one = with(&[
            (&[("a", "x")], &["1", "2.50", "NaN"]),
            (&[("a", "y")], &["7"]),
        ]);
        let other = with(&[(&[("a", "x")], &["10", "1"])]);
        Shards::new(vec![one, other, with(&[])], false)
    };
    let of_x = |values: &[&str]| series(&[("a", "x")], values);
    let of_y = |values: &[&str]| series(&[("a", "y")], values);
    let table = [
        // What one shard has alone is in its digits.
        (
            "sum by (a) (m)",
            vec![of_x(&["11.0", "3.5", "NaN"]), of_y(&["7"])],
        ),
        (
            "max by (a) (m)",
            vec![of_x(&["10.0", "2.5", "NaN"]), of_y(&["7"])],
        ),
        (
            "min by (a) (m)",
            vec![of_x(&["1.0", "1.0", "NaN"]), of_y(&["7"])],
        ),
        (
            "sum by (a) (m) * 2 > 7",
            vec![of_x(&["22.0"]), of_y(&["14.0"])],
        ),
        (
            "sum(sum by (a) (m))",
            vec![series(&[], &["18.0", "3.5", "NaN"])],
        ),
    ];
    for (promql, expected) in table {
        let found = asked(&shards(), promql).await.expect(promql);
        assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{promql}");
    }
}

#[tokio::test]
async fn a_histogram_is_put_together_from_buckets_of_several_shards() {
    let one = with(&[(&[("le", "1")], &["2"]), (&[("le", "+Inf")], &["3"])]);
    let other = with(&[(&[("le", "2")], &["4"]), (&[("le", "+Inf")], &["1"])]);
    let shards = Shards::new(vec![one, other], false);
    let promql = "histogram_quantile(0.75, sum by (le) (rate(h_bucket[5m])))";
    // Of four, two are up to 1 and four are up to 2: the third is in the middle of the second.
    assert_eq!(
        asked(&shards, promql).await,
        Ok(vec![series(&[], &["1.5"])])
    );
}

#[tokio::test]
async fn what_needs_all_series_is_asked_of_the_shard_that_has_them() {
    let shards = Shards::new(vec![with(&[]), with(&[(&[("a", "x")], &["1.50"])])], false);
    let found = asked(&shards, "topk(1, m)").await;
    assert_eq!(found, Ok(vec![series(&[("a", "x")], &["1.50"])]));
    let both = || with(&[(&[("a", "x")], &["1"])]);
    let shards = Shards::new(vec![both(), both()], false);
    assert_eq!(
        asked(&shards, "topk(1, m)").await,
        Err("topk() needs all of its series in one Prometheus, and 2 shards of this target have some: write an expression whose outermost aggregation is sum, min, max, count or avg, or select series of one shard only".to_owned())
    );
}

#[tokio::test]
async fn native_histograms_of_one_shard_are_its_own_business_and_of_two_are_refused() {
    let native = |whole: &'static str| {
        scripted(move |call| {
            Ok(match call {
                Call::SeriesExist { .. } => Data::SeriesExist(true),
                Call::Range { promql, .. } if promql.starts_with("histogram_quantile") => {
                    Data::Series(vec![series(&[], &[whole])])
                }
                _ => Data::Series(vec![Series {
                    histograms: vec![HistogramSample {
                        at: Timestamp(0),
                        count: 1.0,
                        sum: 1.0,
                    }],
                    ..Series::default()
                }]),
            })
        })
    };
    let promql = "histogram_quantile(0.5, sum(rate(h[5m])))";
    let shards = Shards::new(vec![native("0.25"), with(&[])], false);
    assert_eq!(
        asked(&shards, promql).await,
        Ok(vec![series(&[], &["0.25"])])
    );
    let shards = Shards::new(vec![native("0.25"), native("0.5")], false);
    let error = asked(&shards, promql).await.expect_err("two");
    assert!(
        error.starts_with(
            "the buckets of native histograms cannot be added up across shards, and 2 shards"
        ),
        "{error}"
    );
}

#[tokio::test]
async fn a_shard_that_is_down_is_an_error_unless_answers_may_be_partial() {
    let members = || vec![with(&[(&[], &["1"])]), down(), with(&[(&[], &["2"])])];
    let shards = Shards::new(members(), false);
    assert_eq!(
        asked(&shards, "sum(x)").await,
        Err("shards[1]: connection refused".to_owned())
    );
    let shards = Shards::new(members(), true);
    let answer = shards
        .call(range("sum(x)"), soon())
        .await
        .expect("an answer");
    assert_eq!(answer.data, Data::Series(vec![series(&[], &["3.0"])]));
    let remarks: Vec<&str> = answer.remarks.iter().map(|one| one.text.as_str()).collect();
    assert_eq!(
        remarks,
        ["shards[1] of 3 shards is left out: connection refused"]
    );
    assert!(answer.is_incomplete());
    let shards = Shards::new(vec![down(), down()], true);
    assert_eq!(
        asked(&shards, "sum(x)").await,
        Err("shards[0]: connection refused".to_owned())
    );
}

#[tokio::test]
async fn what_one_shard_answers_alone_is_partial_without_another() {
    let shards = Shards::new(vec![with(&[(&[], &["1"])]), down(), with(&[])], true);
    for promql in ["topk(1, x)", "sum(topk(1, x)) + sum(topk(1, y))", "time()"] {
        let answer = shards.call(range(promql), soon()).await;
        assert!(answer.expect(promql).is_incomplete(), "{promql}");
    }
}

#[tokio::test]
async fn lists_have_what_any_shard_has_each_once() {
    let one = with(&[(&[("a", "x"), ("b", "y")], &[])]);
    let other = with(&[(&[("a", "w"), ("b", "y")], &[])]);
    let shards = Shards::new(vec![one, other], false);
    let call = |label: &str| Call::LabelValues {
        label: label.to_owned(),
        selector: None,
        start: Timestamp(0),
        end: Timestamp(1),
    };
    let answer = shards.call(call("a"), soon()).await.expect("names");
    let names = ["w", "x", "y"].map(str::to_owned).to_vec();
    assert_eq!(answer.data, Data::Names(names));
    let exist = Call::SeriesExist {
        selectors: vec!["x".to_owned()],
        start: Timestamp(0),
        end: Timestamp(1),
    };
    let shards = Shards::new(vec![with(&[]), with(&[(&[], &[])])], false);
    let answer = shards.call(exist, soon()).await.expect("a word");
    assert_eq!(answer.data, Data::SeriesExist(true));
}

#[tokio::test]
async fn shards_that_read_a_query_in_different_ways_are_refused() {
    let closed = Scripted {
        capabilities: Capabilities {
            range_boundary: RangeBoundary::Closed,
            ..PROMETHEUS
        },
        ..with(&[])
    };
    let shards = Shards::new(vec![with(&[]), closed], false);
    let error = shards.capabilities(soon()).await.expect_err("two kinds");
    assert_eq!(
        error.to_string(),
        "shards[0] and shards[1] are servers of different kinds or versions, which read the same query in different ways: run the same version on every shard"
    );
    let late = Scripted {
        capabilities: Capabilities {
            settles_after: Millis(30),
            ..PROMETHEUS
        },
        ..with(&[])
    };
    let shards = Shards::new(vec![late, with(&[])], false);
    let found = shards.capabilities(soon()).await.expect("they agree");
    assert_eq!(found.settles_after, Millis(30));
}

#[tokio::test]
async fn an_expression_that_cannot_be_read_gets_a_shards_complaint() {
    let member = || {
        scripted(|call| match call {
            Call::Range { promql, .. } if promql == "sum(" => Err(StoreError::Rejected {
                kind: "bad_data".to_owned(),
                message: "1:5: parse error".to_owned(),
            }),
            _ => Ok(Data::Series(Vec::new())),
        })
    };
    let shards = Shards::new(vec![member(), member()], false);
    let error = |promql: &'static str| asked(&shards, promql);
    assert_eq!(error("sum(").await, Err("1:5: parse error".to_owned()));
    assert_eq!(
        error("rollup(x[5m])").await,
        Err("the mirror cannot tell how the shards of this target answer the expression: it is not PromQL that this mirror can read".to_owned())
    );
}
