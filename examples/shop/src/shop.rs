//! The made-up shop: three web servers whose load follows the day, with noise and now and then an
//! incident.
//!
//! Everything is a function of the time alone (noise is a hash of the time), so the history and the
//! live page fit together.

use std::f64::consts::TAU;

/// The shop moves in steps of this many seconds, which is also its scrape interval.
pub(crate) const STEP_SECONDS: u64 = 15;

const INSTANCES: [&str; 3] = ["web-1", "web-2", "web-3"];
/// Method, status code and share of all requests.
const REQUESTS: [(&str, &str, f64); 4] = [
    ("GET", "200", 0.80),
    ("GET", "404", 0.04),
    ("POST", "200", 0.15),
    ("POST", "500", 0.01),
];
/// Upper bounds of the latency histogram in seconds.
const BUCKETS: [f64; 9] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
/// Quantiles that the payment summary exports.
const QUANTILES: [f64; 3] = [0.5, 0.9, 0.99];
/// How many requests of a step are drawn one by one for the histogram; their weights make up for
/// the rest.
const DRAWN_REQUESTS: u32 = 40;

/// What a metric is, as `# TYPE` lines name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Gauge,
    Counter,
    Histogram,
    Summary,
}

/// A metric name with its type and help text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Family {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) help: &'static str,
}

/// One line of a metrics page.
pub(crate) struct Sample {
    pub(crate) family: &'static Family,
    /// What follows the family's name: `_total`, `_bucket`, `_sum`, `_count` or nothing.
    pub(crate) suffix: &'static str,
    /// Labels as they stand between the braces.
    pub(crate) labels: String,
    pub(crate) value: f64,
}

static CPU: Family = Family {
    name: "shop_cpu_usage_ratio",
    kind: Kind::Gauge,
    help: "Share of one core that the web server uses.",
};
static MEMORY: Family = Family {
    name: "shop_memory_bytes",
    kind: Kind::Gauge,
    help: "Resident memory of the web server.",
};
static REQUESTS_TOTAL: Family = Family {
    name: "shop_http_requests",
    kind: Kind::Counter,
    help: "HTTP requests answered.",
};
static DURATION: Family = Family {
    name: "shop_http_request_duration_seconds",
    kind: Kind::Histogram,
    help: "Time to answer an HTTP request.",
};
static PAYMENT: Family = Family {
    name: "shop_payment_duration_seconds",
    kind: Kind::Summary,
    help: "Time the payment provider takes.",
};

/// The shop at one moment.
pub(crate) struct Shop {
    step: u64,
    servers: [Server; INSTANCES.len()],
}

#[derive(Default)]
struct Server {
    steps_since_start: u64,
    cpu: f64,
    memory: f64,
    requests: [f64; REQUESTS.len()],
    buckets: [u64; BUCKETS.len() + 1],
    duration_sum: f64,
    quantiles: [f64; QUANTILES.len()],
    payments: u64,
    payment_sum: f64,
}

impl Shop {
    /// A shop that starts to count at the first step at or after `seconds` since the epoch.
    pub(crate) fn opened_at(seconds: u64) -> Self {
        let mut shop = Self {
            step: seconds.div_ceil(STEP_SECONDS) - 1,
            servers: Default::default(),
        };
        shop.advance();
        shop
    }

    /// Seconds since the epoch.
    pub(crate) fn time(&self) -> u64 {
        self.step * STEP_SECONDS
    }

    /// Moves on by one step.
    pub(crate) fn advance(&mut self) {
        self.step += 1;
        for (server, index) in self.servers.iter_mut().zip(0_u64..) {
            server.advance(index, self.step);
        }
    }

    /// All samples, those of a family together, always in the same order.
    pub(crate) fn samples(&self) -> Vec<Sample> {
        let mut samples = Vec::new();
        let servers = || INSTANCES.iter().zip(&self.servers);
        let mut push = |family, suffix, labels, value| {
            samples.push(Sample {
                family,
                suffix,
                labels,
                value,
            });
        };
        for (instance, server) in servers() {
            push(&CPU, "", base_labels(instance), server.cpu);
        }
        for (instance, server) in servers() {
            push(&MEMORY, "", base_labels(instance), server.memory);
        }
        for (instance, server) in servers() {
            for ((method, code, _), count) in REQUESTS.iter().zip(server.requests) {
                let labels = format!(
                    "{},method=\"{method}\",code=\"{code}\"",
                    base_labels(instance)
                );
                push(&REQUESTS_TOTAL, "_total", labels, count.floor());
            }
        }
        for (instance, server) in servers() {
            let labels = base_labels(instance);
            let mut cumulative = 0;
            for (bucket, count) in server.buckets.iter().enumerate() {
                cumulative += count;
                let bound = BUCKETS
                    .get(bucket)
                    .map_or_else(|| "+Inf".to_owned(), |bound| format!("{bound:?}"));
                push(
                    &DURATION,
                    "_bucket",
                    format!("{labels},le=\"{bound}\""),
                    cumulative as f64,
                );
            }
            push(&DURATION, "_sum", labels.clone(), server.duration_sum);
            push(&DURATION, "_count", labels, cumulative as f64);
        }
        for (instance, server) in servers() {
            let labels = base_labels(instance);
            for (quantile, value) in QUANTILES.iter().zip(server.quantiles) {
                push(
                    &PAYMENT,
                    "",
                    format!("{labels},quantile=\"{quantile}\""),
                    value,
                );
            }
            push(&PAYMENT, "_sum", labels.clone(), server.payment_sum);
            push(&PAYMENT, "_count", labels, server.payments as f64);
        }
        samples
    }
}

impl Server {
    fn advance(&mut self, index: u64, step: u64) {
        if restarts(index, step) {
            *self = Self::default();
        }
        self.steps_since_start += 1;
        let load = load(index, step);
        let slow: f64 = if incident(step) { 3.0 } else { 1.0 };
        let mut noise = Noise::of(index, step);

        self.cpu = (0.05 + 0.6 * load * (0.85 + 0.3 * noise.next()) * slow.min(1.5)).min(1.0);
        // A cache that fills up after a start, and what the requests in flight hold.
        let filled = 1.0 - (-(self.steps_since_start as f64) / 240.0).exp();
        self.memory =
            ((180.0 + 220.0 * filled + 90.0 * load + 12.0 * noise.next()) * 1048576.0).floor();

        let answered = 40.0 * load * (0.8 + 0.4 * noise.next()) * STEP_SECONDS as f64;
        for ((_, code, share), count) in REQUESTS.iter().zip(&mut self.requests) {
            let failing = if *code == "500" && slow > 1.0 {
                12.0
            } else {
                1.0
            };
            *count += answered * share * failing * (0.7 + 0.6 * noise.next());
        }

        let weight = (answered / f64::from(DRAWN_REQUESTS)).ceil();
        for _ in 0..DRAWN_REQUESTS {
            let seconds = 0.03 * slow * (1.0 + load) * noise.long_tail();
            let bucket = BUCKETS
                .iter()
                .position(|bound| seconds <= *bound)
                .unwrap_or(BUCKETS.len());
            self.buckets[bucket] += weight as u64;
            self.duration_sum += seconds * weight;
        }

        let median = 0.3 * slow * (0.9 + 0.2 * noise.next());
        self.quantiles = [
            median,
            median * (1.9 + 0.3 * noise.next()),
            median * (4.0 + noise.next()),
        ];
        let payments = (answered * 0.02).round();
        self.payments += payments as u64;
        self.payment_sum += payments * median * 1.15;
    }
}

/// Load between about 0.1 and 1: highest in the early afternoon (UTC), with a shorter wave on top.
fn load(index: u64, step: u64) -> f64 {
    let seconds = (step * STEP_SECONDS) as f64;
    let day = 0.5 - 0.5 * (TAU * (seconds / 86_400.0 - 2.0 / 24.0)).cos();
    let wave = 0.5 + 0.5 * (TAU * (seconds / 2_700.0 + index as f64 / 9.0)).sin();
    0.15 + 0.5 * day + 0.3 * wave + 0.03 * index as f64
}

/// For twelve minutes every three hours the database is slow.
fn incident(step: u64) -> bool {
    (step * STEP_SECONDS) % 10_800 < 720
}

/// Every six hours one server is restarted, which resets its counters.
fn restarts(index: u64, step: u64) -> bool {
    let seconds = step * STEP_SECONDS;
    seconds.is_multiple_of(21_600) && (seconds / 21_600) % INSTANCES.len() as u64 == index
}

fn base_labels(instance: &str) -> String {
    format!("job=\"shop\",instance=\"{instance}\"")
}

/// Numbers that look random and are the same for the same server and step (splitmix64).
struct Noise(u64);

impl Noise {
    fn of(index: u64, step: u64) -> Self {
        Self(step.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ index)
    }

    /// Between 0 and 1, evenly.
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Around 1, seldom much more, as latencies are.
    fn long_tail(&mut self) -> f64 {
        let normal = (0..12).map(|_| self.next()).sum::<f64>() - 6.0;
        (0.7 * normal).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIDNIGHT: u64 = 1_750_032_000;

    fn lines(shop: &Shop) -> Vec<(String, f64)> {
        let line = |sample: Sample| {
            let name = format!(
                "{}{}{{{}}}",
                sample.family.name, sample.suffix, sample.labels
            );
            (name, sample.value)
        };
        shop.samples().into_iter().map(line).collect()
    }

    #[test]
    fn the_same_time_looks_the_same_again() {
        let mut one = Shop::opened_at(MIDNIGHT);
        let mut other = Shop::opened_at(MIDNIGHT - 7);
        for _ in 0..100 {
            one.advance();
            other.advance();
        }
        assert_eq!(lines(&one), lines(&other));
    }

    #[test]
    fn counters_fall_only_when_a_server_restarts() {
        let mut shop = Shop::opened_at(MIDNIGHT + 15);
        let mut before = lines(&shop);
        let mut falls = 0;
        for _ in 0..(86_400 / STEP_SECONDS) {
            shop.advance();
            let now = lines(&shop);
            let counters = |name: &str| {
                ["_total{", "_bucket{", "_sum{", "_count{"]
                    .iter()
                    .any(|part| name.contains(part))
            };
            let fell = |((name, old), (_, new)): &(&(String, f64), &(String, f64))| {
                counters(name) && new < old
            };
            if before.iter().zip(&now).filter(fell).count() > 0 {
                falls += 1;
            }
            before = now;
        }
        assert_eq!(falls, 4, "one restart every six hours");
    }

    #[test]
    fn the_histogram_counts_every_request_it_sums() {
        let mut shop = Shop::opened_at(MIDNIGHT);
        (0..1000).for_each(|_| shop.advance());
        let value = |name: &str| {
            let found = lines(&shop)
                .into_iter()
                .find(|(line, _)| line.starts_with(name) && line.contains("web-1"));
            found.unwrap_or_else(|| panic!("no {name}")).1
        };
        let mean = value("shop_http_request_duration_seconds_sum")
            / value("shop_http_request_duration_seconds_count");
        assert!(
            (0.02..0.3).contains(&mean),
            "{mean} s is no believable mean"
        );
    }
}
