//! Samples that are hard to get right, the same ones on every run.
//!
//! All of them lie in the six hours from [`START`] on. Targets are scraped every 15 s, nominally:
//! scrapes are late or early, some are missing, targets go away and come back, and near every full
//! minute a scrape falls exactly on it or exactly 1 ms before it, which are the two sides of a
//! bucket's edge.

use std::collections::BTreeMap;

/// 2024-03-01 00:00:00 UTC in milliseconds. Long ago, so that nothing depends on the present.
pub const START: i64 = 1_709_251_200_000;
/// Six hours later: no sample is later.
pub const END: i64 = START + 6 * HOUR;
/// The interval between scrapes that the mirror is told.
pub const SCRAPE: i64 = 15_000;
/// Milliseconds of an hour.
pub const HOUR: i64 = 3_600_000;
/// Milliseconds of a minute.
pub const MINUTE: i64 = 60_000;

/// Values of the label `place` that break careless quoting.
pub const AWKWARD: [&str; 6] = [
    r#"say "hello""#,
    r"C:\temp\new",
    "two\nlines",
    "größe → 東京 🦀",
    r"a.*|b+(c)[d]{2}^$?",
    "plain, with 'quotes' and `ticks` } or vector(1) #",
];

/// A float sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Milliseconds since the epoch.
    pub at: i64,
    /// Its value.
    pub value: f64,
}

/// A native (exponential) histogram with counter semantics: everything only grows, until a reset.
#[derive(Clone, Debug, PartialEq)]
pub struct NativeHistogram {
    /// Bucket `i` reaches from `2^((i-1)/2^schema)`, exclusive, to `2^(i/2^schema)`, inclusive.
    pub schema: i32,
    /// Observations with an absolute value up to this are in the zero bucket.
    pub zero_threshold: f64,
    /// How many those are.
    pub zero_count: u64,
    /// Positive observations by bucket.
    pub positive: BTreeMap<i32, u64>,
    /// Negative observations by bucket of the absolute value.
    pub negative: BTreeMap<i32, u64>,
    /// Sum of all observations.
    pub sum: f64,
}

impl NativeHistogram {
    /// Number of observations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.zero_count + self.positive.values().sum::<u64>() + self.negative.values().sum::<u64>()
    }

    fn new() -> Self {
        Self {
            schema: 2,
            zero_threshold: 1e-3,
            zero_count: 0,
            positive: BTreeMap::new(),
            negative: BTreeMap::new(),
            sum: 0.0,
        }
    }

    fn observe(&mut self, value: f64) {
        self.sum += value;
        let size = value.abs();
        if size <= self.zero_threshold {
            self.zero_count += 1;
            return;
        }
        let index = (size.log2() * f64::from(1 << self.schema)).ceil() as i32;
        let side = if value > 0.0 {
            &mut self.positive
        } else {
            &mut self.negative
        };
        *side.entry(index).or_default() += 1;
    }
}

/// One stored series.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its labels, `__name__` included.
    pub labels: BTreeMap<String, String>,
    /// Its float samples, ascending.
    pub samples: Vec<Sample>,
    /// Its native histogram samples, ascending.
    pub histograms: Vec<(i64, NativeHistogram)>,
    /// Where the scrape found that it had ended.
    pub stale_at: Vec<i64>,
}

impl Series {
    /// A series without samples.
    #[must_use]
    pub fn new(name: &str, labels: &[(&str, &str)]) -> Self {
        let named = [("__name__", name)];
        let labels = named
            .iter()
            .chain(labels)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            labels: labels.collect(),
            ..Self::default()
        }
    }

    /// `__name__`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.labels.get("__name__").map_or("", String::as_str)
    }

    /// When it has anything stored.
    pub fn instants(&self) -> impl Iterator<Item = i64> + '_ {
        let floats = self.samples.iter().map(|sample| sample.at);
        let histograms = self.histograms.iter().map(|(at, _)| *at);
        floats
            .chain(histograms)
            .chain(self.stale_at.iter().copied())
    }

    fn push(&mut self, at: i64, value: f64) {
        self.samples.push(Sample { at, value });
    }
}

/// Splitmix64: a few lines that give the same numbers on every machine and in every version of
/// every crate.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// A generator of its own for each seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `[low, high)`.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + (self.bits() % (high - low).unsigned_abs()).cast_signed()
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }
}

/// A number with at most `digits` decimals: what exporters write, and what VictoriaMetrics, which
/// stores decimals, keeps exactly.
fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}

/// When a target was scraped.
fn scrapes(random: &mut Random, from: i64, to: i64) -> Vec<i64> {
    let mut instants = Vec::new();
    for planned in (from..to).step_by(SCRAPE as usize) {
        if random.chance(0.03) {
            continue;
        }
        let edge = planned.rem_euclid(MINUTE) == 0;
        let at = match random.between(0, 10) {
            0..=4 if edge => planned,
            5..=9 if edge => planned - 1,
            8 => planned + random.between(-3_000, 3_000),
            9 => planned + random.between(-300, 300),
            _ => planned,
        };
        instants.push(at.max(from));
    }
    instants.sort_unstable();
    instants.dedup();
    instants
}

/// The same with the target gone from 2:10 to 2:31 and from 4:00:00 to 4:00:59.
fn scrapes_with_gaps(random: &mut Random, from: i64, to: i64) -> Vec<i64> {
    let gaps = [
        START + 130 * MINUTE..START + 151 * MINUTE,
        START + 240 * MINUTE..START + 241 * MINUTE,
    ];
    let mut instants = scrapes(random, from, to);
    instants.retain(|at| !gaps.iter().any(|gap| gap.contains(at)));
    instants
}

/// Everything that is loaded.
#[must_use]
pub fn everything() -> Vec<Series> {
    let mut all = gauges();
    all.extend(counters());
    all.extend(classic_histograms());
    all.extend(native_histograms());
    all.extend(both_kinds_of_histogram());
    all.extend(mixed_histograms());
    all.extend(summaries());
    all.extend(utf8_names());
    all
}

/// Gauges: one and several series, special values, extreme values, and one scraped every 300 ms.
#[must_use]
pub fn gauges() -> Vec<Series> {
    let mut random = Random::new(1);
    let mut all = Vec::new();

    let mut one = Series::new("room_temperature", &[("room", "attic")]);
    for at in scrapes_with_gaps(&mut random, START, END) {
        one.push(at, rounded(random.unit() * 80.0 - 40.0, 3));
    }
    all.push(one);

    for (index, place) in AWKWARD.iter().enumerate() {
        let mut series = Series::new("load", &[("place", place), ("index", &index.to_string())]);
        // Series come and go: each lives for its own part of the time.
        let from = START + index as i64 * 17 * MINUTE;
        let to = END - index as i64 * 23 * MINUTE;
        for at in scrapes(&mut random, from, to) {
            series.push(at, rounded(random.unit() * 200.0 - 50.0, 4));
        }
        series.stale_at = vec![to + 7_000];
        all.push(series);
    }

    let mut special = Series::new("special", &[("kind", "all")]);
    for at in scrapes(&mut random, START, END) {
        let value = match random.between(0, 300) {
            0 => f64::INFINITY,
            1 => f64::NEG_INFINITY,
            2..=6 => f64::NAN,
            7..=11 => 0.0,
            12..=16 => -0.0,
            _ => rounded(random.unit() * 10.0 - 5.0, 2),
        };
        special.push(at, value);
    }
    all.push(special);

    for (size, unit) in [("tiny", 1e-300), ("huge", 1e300)] {
        let mut extreme = Series::new("extreme", &[("size", size)]);
        for at in scrapes(&mut random, START, END) {
            extreme.push(at, (random.between(1, 1000) as f64) * unit);
        }
        all.push(extreme);
    }

    let mut dense = Series::new("dense", &[]);
    let mut at = START + HOUR - 5 * MINUTE;
    while at < START + HOUR + 20 * MINUTE {
        dense.push(at, random.between(-1000, 1000) as f64);
        at += random.between(1, 600);
        // Every few samples one on the edge of a second.
        if random.chance(0.2) {
            at = at.div_euclid(1000) * 1000 + 1000 - random.between(0, 2);
        }
    }
    all.push(dense);
    all
}

/// Counters: one with resets and gaps; several, of which one restarts under the same labels and one
/// appears late.
#[must_use]
pub fn counters() -> Vec<Series> {
    let mut random = Random::new(2);
    let mut all = Vec::new();
    let mut one = Series::new("http_requests_total", &[("job", "shop")]);
    fill_counter(&mut one, &mut random, START, END, 0.01);
    all.push(one);
    for (index, path) in ["/", "/cart", "/pay\"now\"", "/späti"].iter().enumerate() {
        let mut series = Series::new("bytes_total", &[("path", path)]);
        let from = START + index as i64 * 41 * MINUTE;
        fill_counter(
            &mut series,
            &mut random,
            from,
            END - index as i64 * 29 * MINUTE,
            0.004 * index as f64,
        );
        all.push(series);
    }
    all
}

fn fill_counter(series: &mut Series, random: &mut Random, from: i64, to: i64, reset: f64) {
    let mut value = random.between(0, 5_000) as f64;
    for at in scrapes_with_gaps(random, from, to) {
        if random.chance(reset) {
            value = random.between(0, 20) as f64;
        }
        // A fifth of the time nothing happens, as with most counters.
        if !random.chance(0.2) {
            value += random.between(0, 4_000) as f64 / 4.0;
        }
        series.push(at, value);
    }
    series.stale_at = vec![to + 11_000];
}

/// Upper bounds of the classic histogram's buckets.
pub const BOUNDS: [&str; 7] = ["0.1", "0.25", "0.5", "1", "2.5", "10", "+Inf"];

/// A classic histogram of two instances, one of which restarts.
#[must_use]
pub fn classic_histograms() -> Vec<Series> {
    let mut random = Random::new(3);
    let mut all = Vec::new();
    for instance in ["a", "b"] {
        let mut histogram = ClassicHistogram::new("request_duration_seconds", instance);
        for at in scrapes_with_gaps(&mut random, START, END) {
            if instance == "b" && random.chance(0.01) {
                histogram.restart();
            }
            for _ in 0..random.between(0, 40) {
                histogram.observe(rounded(10f64.powf(random.unit() * 3.0 - 1.7), 3));
            }
            histogram.scrape(at);
        }
        all.extend(histogram.series());
    }
    all
}

/// A histogram that is exported natively and classically at once, from the same observations.
#[must_use]
pub fn both_kinds_of_histogram() -> Vec<Series> {
    let mut random = Random::new(7);
    let name = "both_seconds";
    let mut classic = ClassicHistogram::new(name, "a");
    let mut native = NativeHistogram::new();
    let mut series = Series::new(name, &[("instance", "a")]);
    for at in scrapes(&mut random, START, END) {
        for _ in 0..random.between(1, 20) {
            let seconds = rounded(10f64.powf(random.unit() * 3.0 - 1.7), 3);
            classic.observe(seconds);
            native.observe(seconds);
        }
        classic.scrape(at);
        series.histograms.push((at, native.clone()));
    }
    let mut all = classic.series();
    all.push(series);
    all
}

/// Histograms of a fleet that migrates: `a` is native, `b` classic, `c` both, `d` becomes native at
/// 2:00:20, `e` native as well as classic at 3:00:20.
#[must_use]
pub fn mixed_histograms() -> Vec<Series> {
    let mut random = Random::new(8);
    let name = "mixed_seconds";
    let mut all = Vec::new();
    for instance in ["a", "b", "c", "d", "e"] {
        let mut classic = ClassicHistogram::new(name, instance);
        let mut native = NativeHistogram::new();
        let mut series = Series::new(name, &[("instance", instance)]);
        let second = |minutes: i64| START + minutes * MINUTE + 20_000;
        for at in scrapes(&mut random, START, END) {
            for _ in 0..random.between(1, 20) {
                let seconds = rounded(10f64.powf(random.unit() * 3.0 - 1.7), 3);
                classic.observe(seconds);
                native.observe(seconds);
            }
            let is_classic = match instance {
                "a" => false,
                "d" => at < second(120),
                _ => true,
            };
            let is_native = match instance {
                "b" => false,
                "d" => !is_classic,
                "e" => at >= second(180),
                _ => true,
            };
            if is_classic {
                classic.scrape(at);
            }
            if is_native {
                series.histograms.push((at, native.clone()));
            }
        }
        if instance != "a" {
            all.extend(classic.series());
        }
        if instance != "b" {
            all.push(series);
        }
    }
    all
}

/// The series of one classic histogram.
struct ClassicHistogram {
    counts: [u64; BOUNDS.len()],
    sum: f64,
    sum_series: Series,
    count_series: Series,
    buckets: Vec<Series>,
}

impl ClassicHistogram {
    fn new(name: &str, instance: &str) -> Self {
        let labels = [("instance", instance)];
        let bucket = |bound: &&str| {
            Series::new(
                &format!("{name}_bucket"),
                &[("instance", instance), ("le", bound)],
            )
        };
        Self {
            counts: [0; BOUNDS.len()],
            sum: 0.0,
            sum_series: Series::new(&format!("{name}_sum"), &labels),
            count_series: Series::new(&format!("{name}_count"), &labels),
            buckets: BOUNDS.iter().map(bucket).collect(),
        }
    }

    fn restart(&mut self) {
        self.counts = [0; BOUNDS.len()];
        self.sum = 0.0;
    }

    fn observe(&mut self, seconds: f64) {
        self.sum = rounded(self.sum + seconds, 3);
        for (bound, count) in BOUNDS.iter().zip(&mut self.counts) {
            *count += u64::from(bound.parse::<f64>().is_ok_and(|bound| seconds <= bound));
        }
    }

    fn scrape(&mut self, at: i64) {
        self.sum_series.push(at, self.sum);
        self.count_series
            .push(at, self.counts[BOUNDS.len() - 1] as f64);
        for (series, count) in self.buckets.iter_mut().zip(self.counts) {
            series.push(at, count as f64);
        }
    }

    fn series(self) -> Vec<Series> {
        let mut all = vec![self.sum_series, self.count_series];
        all.extend(self.buckets);
        all
    }
}

/// A native histogram of two instances, with negative observations and observations near zero; one
/// restarts.
#[must_use]
pub fn native_histograms() -> Vec<Series> {
    let mut random = Random::new(4);
    let mut all = Vec::new();
    for instance in ["a", "b"] {
        let mut series = Series::new("deviation_seconds", &[("instance", instance)]);
        let mut histogram = NativeHistogram::new();
        for at in scrapes_with_gaps(&mut random, START, END) {
            if instance == "b" && random.chance(0.01) {
                histogram = NativeHistogram::new();
            }
            for _ in 0..random.between(1, 30) {
                let size = 10f64.powf(random.unit() * 5.0 - 4.0);
                histogram.observe(if random.chance(0.3) { -size } else { size });
            }
            series.histograms.push((at, histogram.clone()));
        }
        all.push(series);
    }
    all
}

/// The quantiles that the summary exports.
pub const QUANTILES: [&str; 7] = ["0.25", "0.5", "0.75", "0.9", "0.95", "0.98", "0.99"];

/// A summary of two instances.
#[must_use]
pub fn summaries() -> Vec<Series> {
    let mut random = Random::new(5);
    let mut all = Vec::new();
    for instance in ["a", "b"] {
        let name = "gc_pause_seconds";
        let mut sum_series = Series::new(&format!("{name}_sum"), &[("instance", instance)]);
        let mut count_series = Series::new(&format!("{name}_count"), &[("instance", instance)]);
        let mut quantiles: Vec<Series> = QUANTILES
            .iter()
            .map(|quantile| Series::new(name, &[("instance", instance), ("quantile", quantile)]))
            .collect();
        let (mut sum, mut count) = (0.0, 0);
        for at in scrapes_with_gaps(&mut random, START, END) {
            if random.chance(0.005) {
                (sum, count) = (0.0, 0);
            }
            let events = random.between(0, 9);
            count += events;
            sum = rounded(sum + events as f64 * random.unit(), 6);
            sum_series.push(at, sum);
            count_series.push(at, count as f64);
            let base = random.unit();
            for (index, series) in quantiles.iter_mut().enumerate() {
                // A summary without recent events exports NaN.
                let value = if events == 0 {
                    f64::NAN
                } else {
                    rounded(base + index as f64 / 7.0, 6)
                };
                series.push(at, value);
            }
        }
        all.extend([sum_series, count_series]);
        all.extend(quantiles);
    }
    all
}

/// A metric and a label whose names need quotes in PromQL.
#[must_use]
pub fn utf8_names() -> Vec<Series> {
    let mut random = Random::new(6);
    let mut series = Series::new(
        "heizung.vorlauf °C",
        &[("raum.größe", "groß \"&\" \\ klein")],
    );
    for at in scrapes(&mut random, START, END) {
        series.push(at, rounded(random.unit() * 60.0, 1));
    }
    vec![series]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_ascends_strictly_and_stays_within_the_six_hours() {
        for series in everything() {
            let mut instants: Vec<i64> = series.samples.iter().map(|sample| sample.at).collect();
            instants.extend(series.histograms.iter().map(|(at, _)| *at));
            assert!(!instants.is_empty(), "{:?}", series.labels);
            assert!(
                instants.windows(2).all(|pair| pair[0] < pair[1]),
                "{:?}",
                series.labels
            );
            assert!(instants[0] >= START - 1 && *instants.last().unwrap() < END + 3_000);
        }
    }

    #[test]
    fn many_samples_lie_on_both_sides_of_an_edge() {
        let gauges = gauges();
        let on = |offset: i64| {
            gauges[0]
                .samples
                .iter()
                .filter(|s| (s.at + offset) % MINUTE == 0)
                .count()
        };
        assert!(
            on(0) > 100 && on(1) > 100,
            "{} on the edge, {} before it",
            on(0),
            on(1)
        );
    }

    #[test]
    fn the_same_samples_come_out_on_every_run() {
        // Debug text, because NaN is not equal to itself.
        assert_eq!(format!("{:?}", everything()), format!("{:?}", everything()));
    }
}
