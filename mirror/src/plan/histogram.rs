//! Histograms, native and classic. In a fleet that migrates, both stand side by side: other series
//! of each form, one series in both forms at once, one series first in the one and then in the
//! other. Observations are added and none is counted twice.
//!
//! Forms are compared by their labels, which `rate` and the comparisons below leave without the
//! metric's name: `h` and `h_count` of one pod have the same ones.

use super::aggregation::{Method, Statistic};
use super::selector::Selector;
use super::source::{MatchingSeries, Meeting, Source};
use super::windowing::Windows;

/// The label of the series that marks buckets. Neither a sum nor a quantile has it.
pub const MARK: &str = "le";

/// The names of a histogram.
struct Names<'a> {
    native: &'a Selector,
    sum: Selector,
    count: Selector,
    bucket: Selector,
}

impl<'a> Names<'a> {
    fn of(base: &'a Selector) -> Self {
        Self {
            native: base,
            sum: base.with_suffix("_sum"),
            count: base.with_suffix("_count"),
            bucket: base.with_suffix("_bucket"),
        }
    }
}

/// What a classic histogram says, and a summary where it says the same.
pub(super) fn classic(base: &Selector, method: Method, windows: &Windows) -> String {
    let names = Names::of(base);
    let r = windows.rate;
    let increase =
        |s: &Selector| windows.scaled(format!("sum({})", windows.increase(s, |increase| increase)));
    match method.statistic() {
        Statistic::Quantile(rank) => format!(
            "histogram_quantile({rank}, sum by (le) (rate({}[{r}])))",
            names.bucket
        ),
        Statistic::Mean => {
            format!(
                "sum(rate({}[{r}])) / sum(rate({}[{r}]))",
                names.sum, names.count
            )
        }
        Statistic::Sum => increase(&names.sum),
        Statistic::Count => increase(&names.count),
    }
}

/// The source of a histogram's points.
pub(super) fn source(
    base: &Selector,
    method: Method,
    windows: &Windows,
    native_histograms: bool,
) -> Source {
    if native_histograms {
        of_both_forms(base, method, windows)
    } else {
        Source::of_one_series(classic(base, method, windows))
    }
}

/// The source on a store that may hold native histograms.
fn of_both_forms(base: &Selector, method: Method, windows: &Windows) -> Source {
    let names = Names::of(base);
    let (promql, meeting) = match method.statistic() {
        Statistic::Quantile(rank) => (
            quantile(&names, rank, base, method, windows),
            Meeting::Refused,
        ),
        statistic => {
            let either = total(statistic, &names, windows, |native, classic| {
                format!("{native} or {classic}")
            });
            let both = total(statistic, &names, windows, |native, classic| {
                added(&names, native, classic, windows)
            });
            let mark = mark(&format!("count({})", unequal(&names, windows)));
            (format!("({either}) or {mark}"), Meeting::Added(both))
        }
    };
    Source::Range {
        promql,
        before: 0,
        matching: MatchingSeries::Marked(meeting),
    }
}

/// What the series of both forms have together, where `join` makes one expression of what a series
/// has in its native and in its classic form.
fn total(
    statistic: Statistic,
    names: &Names<'_>,
    windows: &Windows,
    join: impl Fn(&str, &str) -> String,
) -> String {
    let sum = |of: &str, s: &Selector| {
        let (native, classic) = pair(statistic, of, names.native, s, windows);
        format!("sum({})", join(&native, &classic))
    };
    match statistic {
        Statistic::Mean => format!(
            "{} / {}",
            sum("histogram_sum", &names.sum),
            sum("histogram_count", &names.count)
        ),
        Statistic::Sum => windows.scaled(sum("histogram_sum", &names.sum)),
        Statistic::Count | Statistic::Quantile(_) => {
            windows.scaled(sum("histogram_count", &names.count))
        }
    }
}

/// The series that have both forms in the window, but not at once.
fn unequal(names: &Names<'_>, windows: &Windows) -> String {
    let w = windows.rate;
    let (native, count) = (names.native, &names.count);
    format!(
        "(count_over_time({count}[{w}]) and count_over_time({native}[{w}])) unless {}",
        at_once(names, windows)
    )
}

/// Each series' growth over the window in its native and in its classic form.
fn pair(
    statistic: Statistic,
    of: &str,
    native: &Selector,
    classic: &Selector,
    windows: &Windows,
) -> (String, String) {
    if statistic == Statistic::Mean {
        let r = windows.rate;
        return (
            format!("{of}(rate({native}[{r}]))"),
            format!("rate({classic}[{r}])"),
        );
    }
    (
        windows.increase(native, |increase| format!("{of}({increase})")),
        windows.increase(classic, |increase| increase),
    )
}

/// The series that are scraped in both forms at once, so that one of them is all there is to know:
/// as many samples of each in the window, and none of the forms goes on without the other at its
/// end.
fn at_once(names: &Names<'_>, windows: &Windows) -> String {
    let (native, count, w) = (
        names.native.to_string(),
        names.count.to_string(),
        windows.rate,
    );
    format!(
        "((count_over_time({native}[{w}]) == count_over_time({count}[{w}])) unless (({}) or ({})))",
        only(&native, &count),
        only(&count, &native)
    )
}

/// The series that have the form `a` at an instant, and not `b` as well. A form that has ended
/// without a stale marker still shows for five minutes, with an old timestamp.
fn only(a: &str, b: &str) -> String {
    format!("timestamp({a}) unless timestamp({b}) >= timestamp({a})")
}

fn mark(condition: &str) -> String {
    format!("label_replace({condition}, \"{MARK}\", \"both\", \"\", \"\")")
}

/// Of the native histograms if all series are native, of the classic ones if none is, and a mark
/// where some are only the one, or have more samples of one form than of the other.
fn quantile(
    names: &Names<'_>,
    rank: f64,
    base: &Selector,
    method: Method,
    windows: &Windows,
) -> String {
    let r = windows.rate;
    let Names { native, count, .. } = names;
    let of_native = format!("histogram_quantile({rank}, sum(rate({native}[{r}])))");
    let of_classic = classic(base, method, windows);
    let meet = format!(
        "count(count_over_time({count}[{r}]) > 1 unless {}) and {of_native}",
        at_once(names, windows)
    );
    format!("({of_native}) or ({of_classic}) or {}", mark(&meet))
}

/// The growth of series of which some have both forms in the window, perhaps one after the other.
/// Where there was a time at which a series had the one form only, that form is counted: at the
/// window's start, or at its end. If that is so of both, the one has followed the other. A series
/// that never had one form only is counted by its native form.
fn added(names: &Names<'_>, native: &str, classic: &str, windows: &Windows) -> String {
    let Names {
        native: h, count, ..
    } = names;
    let (native_at_start, classic_at_start) =
        (windows.at_the_start(h), windows.at_the_start(count));
    let (h_now, count_now) = (h.to_string(), count.to_string());
    let only_classic = format!(
        "({}) or ({})",
        only(&classic_at_start, &native_at_start),
        only(&count_now, &h_now)
    );
    let only_native = format!(
        "({}) or ({})",
        only(&native_at_start, &classic_at_start),
        only(&h_now, &count_now)
    );
    // With a label that tells them apart, both forms of one series are in the sum.
    format!(
        "({native} unless (({only_classic}) unless ({only_native}))) or {}",
        mark(&format!(
            "({classic} unless ({native} unless ({only_classic})))"
        ))
    )
}

#[cfg(test)]
mod tests {
    use super::super::aggregation::Aggregation;
    use super::super::kind::QueryKind;
    use super::super::source::source;
    use super::super::windowing::Windowing;
    use super::*;
    use crate::model::capabilities::RangeBoundary;
    use crate::model::time::Millis;

    fn planned(method: &str, boundary: RangeBoundary) -> (String, MatchingSeries) {
        let windowing = Windowing {
            scrape_interval: Millis(15_000),
            boundary,
            native_histograms: true,
            is_sharded: false,
        };
        let kind = QueryKind::Histogram(Selector::new("h", Vec::new()));
        let aggregation = Aggregation::new(method, Millis(900_000)).expect("a method");
        match source(&kind, None, aggregation, &windowing) {
            Ok(Source::Range {
                promql, matching, ..
            }) => (promql, matching),
            other => panic!("{other:?}"),
        }
    }

    const AT_ONCE: &str = "((count_over_time(h[15m]) == count_over_time(h_count[15m])) unless \
        ((timestamp(h) unless timestamp(h_count) >= timestamp(h)) or (timestamp(h_count) unless timestamp(h) >= timestamp(h_count))))";

    #[test]
    fn the_observations_of_both_forms_are_added_and_a_mark_says_where_one_series_has_unequal_ones()
    {
        let mark = format!(
            "label_replace(count((count_over_time(h_count[15m]) and count_over_time(h[15m])) unless {AT_ONCE}), \"le\", \"both\", \"\", \"\")"
        );
        let table = [
            (
                "EVENT_COUNT",
                "sum(histogram_count(increase(h[15m])) or increase(h_count[15m]))",
            ),
            (
                "SUM",
                "sum(histogram_sum(increase(h[15m])) or increase(h_sum[15m]))",
            ),
            (
                "MEAN",
                "sum(histogram_sum(rate(h[15m])) or rate(h_sum[15m])) / sum(histogram_count(rate(h[15m])) or rate(h_count[15m]))",
            ),
        ];
        for (method, expected) in table {
            let (promql, matching) = planned(method, RangeBoundary::LeftOpen);
            assert_eq!(promql, format!("({expected}) or {mark}"));
            assert!(matches!(
                matching,
                MatchingSeries::Marked(Meeting::Added(_))
            ));
        }
    }

    #[test]
    fn one_form_that_follows_the_other_is_added_with_a_label_of_its_own() {
        let (_, matching) = planned("EVENT_COUNT", RangeBoundary::LeftOpen);
        let only_classic = "((timestamp(h_count offset 15m) unless timestamp(h offset 15m) >= timestamp(h_count offset 15m)) \
            or (timestamp(h_count) unless timestamp(h) >= timestamp(h_count)))";
        let only_native = "((timestamp(h offset 15m) unless timestamp(h_count offset 15m) >= timestamp(h offset 15m)) \
            or (timestamp(h) unless timestamp(h_count) >= timestamp(h)))";
        let expected = format!(
            "sum((histogram_count(increase(h[15m])) unless ({only_classic} unless {only_native})) \
             or label_replace((increase(h_count[15m]) unless (histogram_count(increase(h[15m])) unless {only_classic})), \"le\", \"both\", \"\", \"\"))"
        );
        assert_eq!(matching, MatchingSeries::Marked(Meeting::Added(expected)));
    }

    #[test]
    fn a_quantile_is_of_one_form_and_a_mark_says_where_that_is_not_all() {
        let (promql, matching) = planned("PERCENTILE_95", RangeBoundary::LeftOpen);
        let expected = format!(
            "(histogram_quantile(0.95, sum(rate(h[15m])))) or (histogram_quantile(0.95, sum by (le) (rate(h_bucket[15m])))) \
             or label_replace(count(count_over_time(h_count[15m]) > 1 unless {AT_ONCE}) \
             and histogram_quantile(0.95, sum(rate(h[15m]))), \"le\", \"both\", \"\", \"\")"
        );
        assert_eq!(
            (promql.as_str(), matching),
            (expected.as_str(), MatchingSeries::Marked(Meeting::Refused))
        );
    }

    #[test]
    fn each_increase_of_a_store_with_closed_ranges_is_that_of_the_whole_window() {
        let (promql, _) = planned("EVENT_COUNT", RangeBoundary::Closed);
        let increase = |s: &str, of: &str, end: &str| {
            format!(
                "(({of}increase({s}[15m]){end} unless timestamp({s} offset 15m) > time() - 900.0005) \
                 or 2 * {of}increase({s}[899999ms]){end} - {of}increase({s}[899998ms]){end})"
            )
        };
        let expected = format!(
            "(sum({} or {})) or label_replace(count((count_over_time(h_count[899999ms]) and count_over_time(h[899999ms])) unless {}), \"le\", \"both\", \"\", \"\")",
            increase("h", "histogram_count(", ")"),
            increase("h_count", "", ""),
            AT_ONCE.replace("[15m]", "[899999ms]")
        );
        assert_eq!(promql, expected);
    }
}
