use proptest::prelude::*;

use super::combine::Combiner;
use super::*;
use crate::model::series::{Samples, Series};
use crate::model::time::Timestamp;
use crate::plan::enforce::EnforceError;
use crate::plan::value;

const LONGEST: usize = 256 << 10;

/// The formula, and what each leaf is.
fn told(promql: &str) -> String {
    let node = match distribute(promql, LONGEST) {
        Ok(node) => node,
        Err(error) => return format!("error: {error}"),
    };
    let leaves = node.leaves();
    let leaves = leaves.iter().map(|leaf| match &leaf.across {
        Across::Alone(reason) => format!("alone ({reason}): {}", leaf.promql),
        across => format!("{}: {}", across.words(), leaf.promql),
    });
    [node.formula()]
        .into_iter()
        .chain(leaves)
        .collect::<Vec<_>>()
        .join("; ")
}

#[test]
fn what_is_of_one_series_each_stands_side_by_side() {
    let table = [
        "up",
        r#"up{job=~"a.*"}"#,
        r#"{__name__=~"a|b"}"#,
        "rate(x[5m])",
        "2 * up - 1",
        "-up",
        "up > bool 0",
        "avg_over_time((up\n)[5m:15s])",
        "quantile_over_time(0.95, rate(x[1m])[5m:15s])",
        "clamp_min(up, 0)",
        "timestamp(up offset 5m)",
        r#"label_replace(up, "a", "$1", "b", "(.*)")"#,
        "histogram_count(increase(h[5m]))",
        "up / up",
        r#"(increase(s{a="b"}[15m]) unless timestamp(s{a="b"} offset 15m) > time() - 900.0005) or 2 * increase(s{a="b"}[14m]) - increase(s{a="b"}[13m])"#,
        "sort_desc(up)",
        "up[5m]",
    ];
    for promql in table {
        assert_eq!(told(promql), format!("$1; side by side: {promql}"));
    }
}

#[test]
fn what_the_outermost_aggregation_folds_is_asked_of_each_shard() {
    let table = [
        ("sum(x)", "added"),
        ("count(x)", "added"),
        ("sum by (a) (rate(x[5m]))", "added"),
        ("sum without (a) (rate(x[5m]))", "added"),
        ("min(min_over_time(x[5m]))", "the smallest"),
        ("max(x)", "the largest"),
        ("group(x)", "the largest"),
        ("vector(1)", "any shard's"),
        ("time()", "any shard's"),
        ("(sum(x))", "added"),
        ("histogram_count(sum(rate(h[5m])))", "added"),
    ];
    for (promql, how) in table {
        assert_eq!(told(promql), format!("$1; {how}: {promql}"));
    }
}

#[test]
fn the_gateway_computes_what_needs_the_answers_of_all_shards() {
    let table = [
        (
            "avg(rate(x[5m]))",
            "$1 / $2; added: sum(rate(x[5m])); added: count(rate(x[5m]))",
        ),
        (
            "avg by (a, b) (x)",
            "$1 / $2; added: sum by (a, b) (x); added: count by (a, b) (x)",
        ),
        (
            "sum(increase(x[5m])) * 0.25",
            "$1 * 0.25; added: sum(increase(x[5m]))",
        ),
        (
            "100 * sum by (a) (x) / sum by (a) (y)",
            "(100 * $1) / $2; added: sum by (a) (x); added: sum by (a) (y)",
        ),
        (
            "sum(x) / on () sum(y)",
            "$1 / on() $2; added: sum(x); added: sum(y)",
        ),
        (
            "sum(x) or vector(0)",
            "$1 or $2; added: sum(x); any shard's: vector(0)",
        ),
        ("a / b", "$1 / $2; side by side: a; side by side: b"),
        (
            "a and on (x) b",
            "$1 and on(x) $2; side by side: a; side by side: b",
        ),
        (
            "sum(max by (a) (x))",
            "sum($1); the largest: max by (a) (x)",
        ),
        (
            "histogram_quantile(0.95, sum by (le) (rate(h_bucket[5m])))",
            "histogram_quantile(0.95, $1); added: sum by (le) (rate(h_bucket[5m]))",
        ),
        (
            "histogram_quantile(0.5, rate(h_bucket[5m]))",
            "histogram_quantile(0.5, $1); side by side: rate(h_bucket[5m])",
        ),
        (
            r#"label_replace(count(a), "le", "both", "", "")"#,
            "label_replace($1, \"le\", \"both\", \"\", \"\"); added: count(a)",
        ),
        ("-sum(x)", "-1 * $1; added: sum(x)"),
        ("sum(x) > 5", "$1 > 5; added: sum(x)"),
        (
            "sum(x) * time()",
            "$1 * $2; added: sum(x); any shard's: time()",
        ),
        ("sum(x) - sum(x) % 2", "$1 - ($1 % 2); added: sum(x)"),
        (
            r#"sum by ("a.b") ({"x.y", "a.b"=~"\"c"})"#,
            r#"$1; added: sum by ("a.b") ({"x.y", "a.b"=~"\"c"})"#,
        ),
        (
            r#"avg by ("a.b") ({"x.y", "a.b"=~"\"c"})"#,
            r#"$1 / $2; added: sum by ("a.b") ({"a.b"=~"\"c",__name__="x.y"}); added: count by ("a.b") ({"a.b"=~"\"c",__name__="x.y"})"#,
        ),
    ];
    for (promql, expected) in table {
        assert_eq!(told(promql), expected, "{promql}");
    }
}

#[test]
fn the_rest_needs_all_series_in_one_shard() {
    let table = [
        ("topk(3, x)", "topk()"),
        ("quantile(0.5, x)", "quantile()"),
        ("stddev(x)", "stddev()"),
        ("count_values(\"v\", x)", "count_values()"),
        ("absent(x)", "absent()"),
        ("absent_over_time(x[5m])", "absent_over_time()"),
        ("scalar(x)", "scalar()"),
        ("vector(scalar(x))", "vector()"),
        ("histogram_fraction(0, 1, h)", "histogram_fraction()"),
        ("histogram_quantile(scalar(q), h)", "histogram_quantile()"),
        ("abs(sum(x))", "abs()"),
        ("clamp_max(x, scalar(y))", "clamp_max()"),
        (
            "avg_over_time(sum(x)[5m:15s])",
            "a subquery of an aggregation",
        ),
        ("a * on (x) group_left (y) b", "group_left and group_right"),
        ("a atan2 b", "the operator atan2"),
        ("histogram_count(max(h))", "histogram_count()"),
    ];
    for (promql, what) in table {
        let told = told(promql);
        let (formula, alone) = told.split_once("; alone (").expect(&told);
        assert_eq!(formula, "$1", "{promql}");
        assert!(alone.starts_with(what), "{told}");
        assert!(alone.ends_with(&format!("): {promql}")), "{told}");
    }
    assert_eq!(
        told("sum(topk(3, x)) / sum(x)"),
        "sum($1) / $2; alone (topk() needs all of its series in one Prometheus): topk(3, x); added: sum(x)"
    );
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let table = [
        ("sum(", EnforceError::Unreadable),
        ("sum(x) keep_metric_names", EnforceError::Unreadable),
        ("info(x)", EnforceError::Info),
        ("x # y", EnforceError::Comment),
    ];
    for (promql, expected) in table {
        assert_eq!(distribute(promql, LONGEST), Err(expected), "{promql}");
    }
    let deep = "(".repeat(100_000);
    assert_eq!(distribute(&deep, LONGEST), Err(EnforceError::TooDeep));
}

#[test]
fn what_an_expression_reads_and_when_is_known() {
    let reads = |selector: &str, before: Option<i64>, after| Reads {
        selector: selector.to_owned(),
        before: before.map(Millis),
        after: Millis(after),
    };
    let table = [
        ("topk(1, up)", vec![reads("up", Some(300_000), 0)]),
        (
            r#"topk(1, rate(x{a=~"b"}[5m] offset 1h) + y offset -1m)"#,
            vec![
                reads(r#"x{a=~"b"}"#, Some(3_900_000), 0),
                reads("y", Some(300_000), 60_000),
            ],
        ),
        (
            "topk(1, max_over_time(rate(x[1m])[10m:1m] offset 5m))",
            vec![reads("x", Some(960_000), 0)],
        ),
        ("topk(1, x @ 100)", vec![reads("x", None, 0)]),
    ];
    for (promql, expected) in table {
        let node = distribute(promql, LONGEST).expect("PromQL");
        assert_eq!(node.leaves()[0].reads, expected, "{promql}");
    }
}

#[test]
fn what_no_shard_has_is_left_out() {
    let table = [
        ("sum(a or b)", "$1; added: sum(b)"),
        ("sum(b or a)", "$1; added: sum(b)"),
        ("avg(b unless a)", "$1 / $2; added: sum(b); added: count(b)"),
        ("sum(a unless b)", "nothing"),
        ("sum(a and b) or vector(1)", "$1; any shard's: vector(1)"),
        ("sum(a) / sum(b)", "nothing"),
        (
            "histogram_quantile(0.5, sum(a)) or sum(b)",
            "$1; added: sum(b)",
        ),
    ];
    for (promql, expected) in table {
        let node = distribute(promql, LONGEST).expect("PromQL");
        let node = node.without(&|reads| reads.selector == "a");
        let leaves = node.leaves();
        let leaves = leaves
            .iter()
            .map(|leaf| format!("{}: {}", leaf.across.words(), leaf.promql));
        let told = [node.formula()]
            .into_iter()
            .chain(leaves)
            .collect::<Vec<_>>()
            .join("; ");
        assert_eq!(told, expected, "{promql}");
    }
}

/// An element with a group, a series of its own, and a value at each instant.
fn elements() -> impl Strategy<Value = Vec<(usize, Series)>> {
    let value = prop_oneof![
        (-1_000_i32..1_000).prop_map(|tenths| f64::from(tenths) / 10.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
    ];
    let values = proptest::collection::vec(proptest::option::of(value), 0..4);
    let element = (0_usize..3, 0_u8..3, values);
    proptest::collection::vec(element, 0..12).prop_map(|all| {
        let all = all.into_iter().enumerate();
        all.map(|(index, (shard, group, values))| {
            let labels = [("group", group.to_string()), ("series", index.to_string())];
            let mut samples = Samples::default();
            for (at, value) in (0..).zip(values) {
                if let Some(value) = value {
                    samples.push(Timestamp(at), &value::write(value));
                }
            }
            let labels = labels.map(|(name, value)| (name.to_owned(), value));
            let series = Series {
                labels: labels.into(),
                samples,
                ..Series::default()
            };
            (shard, series)
        })
        .collect()
    })
}

/// The result of a tree over the answers to its leaves.
fn combined(node: &Node, parts: &dyn Fn(&Leaf) -> Vec<Vec<Series>>) -> Vec<(String, i64, f64)> {
    let leaves: Vec<Leaf> = node.leaves().into_iter().cloned().collect();
    let answers: Vec<Vec<Vec<Series>>> = leaves.iter().map(parts).collect();
    let of_leaf = |leaf: &Leaf| {
        let place = leaves.iter().position(|known| known == leaf);
        let answers = place.map(|place| answers[place].iter().map(Vec::as_slice).collect());
        answers.unwrap_or_default()
    };
    let combiner = Combiner {
        parts: &of_leaf,
        drops_nan: false,
    };
    let result = combiner.result(node).expect("floats");
    let mut points = Vec::new();
    for one in &result {
        for (at, text) in one.samples.iter() {
            points.push((format!("{:?}", one.labels), at.0, value::parse(text)));
        }
    }
    points
}

proptest! {
    /// However series are spread over shards, and whatever the aggregation: what each shard makes
    /// of its own is put together to what one makes of all.
    #[test]
    fn aggregations_do_not_depend_on_where_series_are(all in elements(), place in 0_usize..6, by in any::<bool>()) {
        let (operator, name) = [
            (Operator::Sum, "sum"), (Operator::Min, "min"), (Operator::Max, "max"),
            (Operator::Count, "count"), (Operator::Avg, "avg"), (Operator::Group, "group"),
        ][place];
        let grouping = Grouping::Of(if by { vec!["group".to_owned()] } else { Vec::new() });
        let own = |shard: Option<usize>| -> Vec<Series> {
            let own = all.iter().filter(|(place, _)| shard.is_none_or(|shard| shard == *place));
            own.map(|(_, series)| series.clone()).collect()
        };
        let read = |promql: &str| distribute(promql, LONGEST).expect("PromQL");
        // A tiny evaluator: what a shard makes of the series that it has.
        let of_one = |operator: Operator, series: Vec<Series>| -> Vec<Series> {
            let leaf = read("m");
            let node = Node::Aggregated { operator, grouping: grouping.clone(), inner: Box::new(leaf) };
            let parts = |_: &Leaf| vec![&series[..]];
            Combiner { parts: &parts, drops_nan: false }.result(&node).expect("floats")
        };
        let tree = read(&format!("{name}{grouping}(m)"));
        let across = combined(&tree, &|leaf| {
            let asked = ["sum", "min", "max", "count", "group"].into_iter().zip([
                Operator::Sum, Operator::Min, Operator::Max, Operator::Count, Operator::Group,
            ]);
            let (_, operator) = asked.clone().find(|(name, _)| leaf.promql.starts_with(name)).expect("an aggregation");
            (0..3).map(|shard| of_one(operator, own(Some(shard)))).collect()
        });
        let whole = combined(&read("m"), &|_| vec![of_one(operator, own(None))]);
        prop_assert_eq!(across.len(), whole.len());
        for (one, other) in across.iter().zip(&whole) {
            prop_assert_eq!((&one.0, one.1), (&other.0, other.1));
            let (one, other) = (one.2, other.2);
            let is_same = one == other || one.is_nan() && other.is_nan()
                || (one - other).abs() <= 1e-12 * other.abs().max(1_000.0);
            prop_assert!(is_same, "{} {}", one, other);
        }
    }
}
