//! Which query kind a metric name belongs to: from the target's metadata, and where that has
//! nothing, from the naming conventions of the exposition formats.

use std::collections::{BTreeMap, BTreeSet};

use super::kind::QueryKindName;
use crate::model::metric_type::MetricType;

/// The metric names of a target by query kind. Histograms and summaries are listed by their base
/// name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricNames {
    /// For `__counter__`.
    pub counters: BTreeSet<String>,
    /// For `__gauge__`.
    pub gauges: BTreeSet<String>,
    /// For `__histogram__`.
    pub histograms: BTreeSet<String>,
    /// For `__summary__`.
    pub summaries: BTreeSet<String>,
}

impl MetricNames {
    /// Those of a kind; of expressions there are no names.
    #[must_use]
    pub fn of_kind(self, kind: QueryKindName) -> BTreeSet<String> {
        match kind {
            QueryKindName::Counter => self.counters,
            QueryKindName::Gauge => self.gauges,
            QueryKindName::Histogram => self.histograms,
            QueryKindName::Summary => self.summaries,
            QueryKindName::Expression => BTreeSet::new(),
        }
    }
}

/// Sorts the names of series by kind.
#[must_use]
pub fn classify<'a>(
    names: impl IntoIterator<Item = &'a String>,
    metadata: &BTreeMap<String, MetricType>,
) -> MetricNames {
    let all: BTreeSet<&str> = names.into_iter().map(String::as_str).collect();
    let mut by_kind = MetricNames::default();
    for &name in &all {
        let kind = declared(name, metadata).unwrap_or_else(|| guess(name, &all));
        match kind {
            Class::Counter => by_kind.counters.insert(name.to_owned()),
            Class::Gauge => by_kind.gauges.insert(name.to_owned()),
            Class::Histogram(base) => by_kind.histograms.insert(base.to_owned()),
            Class::Summary(base) => by_kind.summaries.insert(base.to_owned()),
        };
    }
    by_kind
}

enum Class<'a> {
    Counter,
    Gauge,
    Histogram(&'a str),
    Summary(&'a str),
}

fn declared<'a>(name: &'a str, metadata: &BTreeMap<String, MetricType>) -> Option<Class<'a>> {
    let of_family = |family: &'a str| match metadata.get(family)? {
        MetricType::Counter => Some(Class::Counter),
        MetricType::Gauge => Some(Class::Gauge),
        MetricType::Histogram => Some(Class::Histogram(family)),
        MetricType::Summary => Some(Class::Summary(family)),
        MetricType::Unknown => None,
    };
    if let Some(kind) = of_family(name) {
        return Some(kind);
    }
    // OpenMetrics names the family without the suffixes of its series.
    if let Some(family) = name.strip_suffix("_total")
        && matches!(metadata.get(family), Some(MetricType::Counter))
    {
        return Some(Class::Counter);
    }
    ["_bucket", "_count", "_sum"].iter().find_map(|suffix| {
        match of_family(name.strip_suffix(suffix)?)? {
            Class::Counter | Class::Gauge => None,
            distribution => Some(distribution),
        }
    })
}

fn guess<'a>(name: &'a str, all: &BTreeSet<&str>) -> Class<'a> {
    let exists = |base: &str, suffix: &str| all.contains(format!("{base}{suffix}").as_str());
    if name.ends_with("_total") {
        return Class::Counter;
    }
    for suffix in ["_bucket", "_count", "_sum"] {
        let Some(base) = name.strip_suffix(suffix) else {
            continue;
        };
        if exists(base, "_bucket") {
            return Class::Histogram(base);
        }
        if exists(base, "_count") && exists(base, "_sum") {
            return Class::Summary(base);
        }
    }
    if exists(name, "_count") && exists(name, "_sum") {
        return if exists(name, "_bucket") {
            Class::Histogram(name)
        } else {
            Class::Summary(name)
        };
    }
    Class::Gauge
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    fn set(list: &[&str]) -> BTreeSet<String> {
        names(list).into_iter().collect()
    }

    #[test]
    fn without_metadata_the_suffixes_tell() {
        let series = names(&[
            "up",
            "http_requests_total",
            "latency_bucket",
            "latency_count",
            "latency_sum",
            "gc_seconds",
            "gc_seconds_count",
            "gc_seconds_sum",
            "pods_count",
        ]);
        let expected = MetricNames {
            counters: set(&["http_requests_total"]),
            gauges: set(&["pods_count", "up"]),
            histograms: set(&["latency"]),
            summaries: set(&["gc_seconds"]),
        };
        assert_eq!(classify(&series, &BTreeMap::new()), expected);
    }

    #[test]
    fn metadata_comes_before_suffixes() {
        let metadata = [
            ("odd_total", MetricType::Gauge),
            ("requests", MetricType::Counter),
            ("native", MetricType::Histogram),
            ("x", MetricType::Summary),
            ("vague_total", MetricType::Unknown),
            ("processed", MetricType::Counter),
        ]
        .map(|(name, kind)| (name.to_owned(), kind))
        .into();
        let series = names(&[
            "odd_total",
            "requests_total",
            "native",
            "x_sum",
            "vague_total",
            "processed",
        ]);
        let expected = MetricNames {
            counters: set(&["processed", "requests_total", "vague_total"]),
            gauges: set(&["odd_total"]),
            histograms: set(&["native"]),
            summaries: set(&["x"]),
        };
        assert_eq!(classify(&series, &metadata), expected);
    }
}
