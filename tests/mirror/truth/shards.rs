//! A target of several shards, against the raw samples and against one Prometheus with all series.
//!
//! Series are spread by their labels, all of them: the buckets of one histogram, and its sum and
//! count, are in different shards.

use anyhow::{Context as _, Result, ensure};
use futures::future::{try_join, try_join_all};
use harness::client::{Answer, Client, any_of, equals, telemetry};
use harness::compare::compare;
use harness::oracle::{Expected, METHODS, Question, Store, answer, as_stored};
use harness::samples::{self, HOUR, MINUTE, START, Sample, Series};
use harness::servers::{Mirror, MirrorConfig, Prometheus, VictoriaMetrics, load_into};
use serde_json::{Value, json};

use super::ground_truth::{Subject, range, subjects};

/// What the stores compute in floating point, in an order of their own.
const COMPUTED: f64 = 1e-9;
/// Between one Prometheus and several: sums are added in another order, and each shard rounds its
/// own.
const ROUNDED: f64 = 1e-12;
/// Buckets far below, and above, the distance of scrapes.
const WIDTHS: [i64; 3] = [1_000, MINUTE, 15 * MINUTE];

/// One server with all series, and the same series in several.
pub(crate) struct Stores {
    _all: Server,
    shards: Vec<(usize, Vec<Server>)>,
    /// `all`, `of-2` and so on: as a mirror's document has them.
    pub(crate) targets: Value,
}

/// A server, which ends when it is dropped.
enum Server {
    Prometheus(Prometheus),
    VictoriaMetrics(VictoriaMetrics),
}

impl Server {
    async fn of(store: Store, series: &[Series]) -> Result<Self> {
        let server = match store {
            Store::RecentVictoriaMetrics => {
                Self::VictoriaMetrics(VictoriaMetrics::start_recent().await?)
            }
            _ => Self::Prometheus(Prometheus::start_3().await?),
        };
        load_into(store, &server.url(), series).await?;
        Ok(server)
    }

    fn url(&self) -> String {
        match self {
            Self::Prometheus(server) => server.url(),
            Self::VictoriaMetrics(server) => server.url(),
        }
    }
}

impl Stores {
    pub(crate) async fn of(store: Store, series: &[Series], counts: &[usize]) -> Result<Self> {
        let part = |count: usize, index: usize| {
            let own = series.iter().filter(move |one| place(one, count) == index);
            let own: Vec<Series> = own.cloned().collect();
            async move { Server::of(store, &own).await }
        };
        let several = counts.iter().map(async |count| {
            let members = try_join_all((0..*count).map(|index| part(*count, index))).await?;
            anyhow::Ok((*count, members))
        });
        let (all, shards) = try_join(Server::of(store, series), try_join_all(several)).await?;
        let mut targets = vec![json!({"name": "all", "url": all.url()})];
        for (count, members) in &shards {
            let urls = members.iter().map(|one| json!({"url": one.url()}));
            let urls: Vec<Value> = urls.collect();
            targets.push(json!({"name": format!("of-{count}"), "shards": urls}));
            targets.push(json!({"name": format!("some-of-{count}"), "shards": urls, "partialResponses": true}));
        }
        for target in &mut targets {
            target["scrapeInterval"] = json!("15s");
            target["requestTimeout"] = json!("30s");
        }
        Ok(Self {
            _all: all,
            shards,
            targets: json!(targets),
        })
    }

    pub(crate) fn config(&self) -> MirrorConfig {
        MirrorConfig::for_targets(&[])
            .with("targets", self.targets.clone())
            .with("defaultTarget", json!("all"))
    }
}

/// What the tests ask.
struct Asked {
    stores: Stores,
    mirror: Mirror,
}

impl Asked {
    async fn of(series: &[Series], counts: &[usize]) -> Result<Self> {
        let stores = Stores::of(Store::Prometheus3, series, counts).await?;
        let mirror = Mirror::start(&stores.config()).await?;
        Ok(Self { stores, mirror })
    }

    fn client(&self, target: &str) -> Client {
        Client::new(&self.mirror.url()).of_target(target)
    }
}

/// The shard that a series is in: of its labels, so that no two of a histogram need to be in one.
fn place(series: &Series, count: usize) -> usize {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for (name, value) in &series.labels {
        for byte in name
            .bytes()
            .chain([b'='])
            .chain(value.bytes())
            .chain([b','])
        {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    usize::try_from((hash >> 32) % count as u64).unwrap_or(0)
}

/// Why shards refuse what one Prometheus answers, if they may.
fn may_be_refused(subject: &Subject, method: Option<&str>, answer: &Answer) -> bool {
    let is_quantile = method
        .is_some_and(|method| method.starts_with("PERCENTILE") || ["MIN", "MAX"].contains(&method));
    subject.name.starts_with("histogram: ")
        && !subject.name.contains("classic, ")
        && is_quantile
        && answer.status == 400
        && answer.body.contains("native histograms")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shards_answer_what_one_prometheus_with_all_series_does() -> Result<()> {
    let all = samples::everything();
    let asked = Asked::of(&all, &[2, 3]).await?;
    let all = as_stored(Store::Prometheus3, all);
    let (mut differences, mut compared, mut refused) = (Vec::new(), 0, 0);
    for subject in subjects() {
        let raw = (None, (START + 3 * HOUR + 12_345, START + 4 * HOUR + 12_345));
        let raw = match subject.name {
            "gauge: a sample every 0.3 s" => (None, (START + HOUR + 345, START + HOUR + 60_345)),
            _ => raw,
        };
        let aggregated = METHODS
            .iter()
            .flat_map(|method| WIDTHS.map(|width| (Some((*method, width)), range(width))));
        let questions = [raw].into_iter().chain(aggregated);
        for (index, (aggregation, (start, end))) in questions.enumerate() {
            let question = Question {
                kind: subject.kind.clone(),
                conditions: subject.conditions.clone(),
                start,
                end,
                aggregation,
            };
            let truth = answer(Store::Prometheus3, &all, &question);
            let counts = asked.stores.shards.iter().map(|(count, _)| *count);
            let counts = counts.filter(|count| *count != 2 || is_asked_of_two(index));
            let shards = counts.map(async |count| {
                let client = asked.client(&format!("of-{count}"));
                anyhow::Ok((count, client.ask(&question, None).await?))
            });
            let all = asked.client("all");
            let (whole, shards) = try_join(all.ask(&question, None), try_join_all(shards)).await?;
            for (count, got) in shards {
                if may_be_refused(&subject, aggregation.map(|(method, _)| method), &got) {
                    refused += 1;
                    continue;
                }
                let rounded = if aggregation.is_none() { 0.0 } else { ROUNDED };
                let agreed = compare(&truth, &got, COMPUTED)
                    .and_then(|_| compare(&like(&truth, &whole)?, &got, rounded));
                match agreed {
                    Ok(agreement) => compared += agreement.points,
                    Err(error) => differences.push(format!(
                        "{count} shards, {}, {aggregation:?}: {error:#}",
                        subject.name
                    )),
                }
            }
        }
    }
    ensure!(
        differences.is_empty(),
        "{} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
    println!("{compared} points compared, {refused} quantiles of native histograms refused");
    ensure!(compared > 10_000, "{compared} points");
    Ok(())
}

/// Three shards are asked everything. Two are asked for raw points and for each method at one of
/// the widths, each width in its turn: to ask them everything shows nothing new.
fn is_asked_of_two(question: usize) -> bool {
    let Some(aggregated) = question.checked_sub(1) else {
        return true;
    };
    let (method, width) = (aggregated / WIDTHS.len(), aggregated % WIDTHS.len());
    method % WIDTHS.len() == width
}

/// The truth with the values that one Prometheus answers.
fn like(truth: &Expected, whole: &Answer) -> Result<Expected> {
    let mut truth = truth.clone();
    if let Expected::Points { points, .. } = &mut truth {
        let got = telemetry(whole)?;
        ensure!(
            got.points.len() == points.len(),
            "one Prometheus has other points"
        );
        for (point, (text, ..)) in points.iter_mut().zip(got.points) {
            point.value = text.parse()?;
        }
    }
    Ok(truth)
}

/// Histograms, counters and gauges of some pods, a few of them with awkward buckets.
pub(crate) fn pods() -> Vec<Series> {
    let mut all = Vec::new();
    let mut add = |name: &str, labels: &[(&str, &str)], value: &dyn Fn(i64) -> f64| {
        let mut series = Series::new(name, labels);
        series.samples = (0..240)
            .map(|index| Sample {
                at: START + index * 15_000,
                value: value(index),
            })
            .collect();
        all.push(series);
    };
    for pod in 0..7_i64 {
        let name = format!("pod-{pod}");
        let zone = if pod % 2 == 0 { "even" } else { "odd" };
        let labels = [("pod", name.as_str()), ("zone", zone)];
        add("shop_busy", &labels, &|index| {
            ((index * (pod + 3)) % 17) as f64 / 7.0
        });
        add("shop_limit", &labels, &|_| (pod + 1) as f64);
        add("shop_sold_total", &labels, &|index| {
            (index * (pod + 1)) as f64
        });
        // Not monotonic, on purpose: as buckets look that were scraped at different times.
        for (le, share) in [
            ("-1", 1),
            ("0", 2),
            ("0.5", 7),
            ("1.0", 6),
            ("5", 9),
            ("+Inf", 11),
        ] {
            let labels = [labels[0], labels[1], ("le", le)];
            add("shop_seconds_bucket", &labels, &|index| {
                (index * share * (pod + 1)) as f64
            });
        }
        // Without a bucket up to infinity; with nothing in it.
        for le in ["1", "2"] {
            add("shop_open_bucket", &[labels[0], ("le", le)], &|index| {
                index as f64
            });
        }
        for le in ["1", "+Inf"] {
            add("shop_empty_bucket", &[labels[0], ("le", le)], &|_| 0.0);
        }
    }
    all
}

/// Expressions whose answer is that of one Prometheus, to some rounding.
const ANSWERED: [&str; 33] = [
    "sum(shop_busy)",
    "avg(shop_busy)",
    "avg by (zone) (shop_busy)",
    "min(shop_busy) + max(shop_busy)",
    "count(shop_busy > 1)",
    "group(shop_busy)",
    "sum without (pod) (rate(shop_sold_total[2m]))",
    "sum(rate(shop_sold_total[2m])) / sum(shop_limit)",
    "sum by (zone) (shop_busy) / on (zone) sum by (zone) (shop_limit)",
    "100 * sum(shop_busy / shop_limit) / count(shop_limit)",
    "max(shop_busy / on (pod) shop_limit)",
    "sum(shop_busy and on (pod) (shop_limit > 3))",
    "sum(shop_busy unless shop_limit > 3)",
    "sum(shop_busy > 2 or shop_limit)",
    "sum(shop_nothing) or vector(0)",
    "sum(shop_busy) * time()",
    "sum(shop_busy) > bool 3",
    "sum(shop_busy) % 3 ^ 2 - -sum(shop_limit)",
    "max(sum by (zone) (shop_busy))",
    "avg(sum by (zone) (shop_busy))",
    "sum(max_over_time(shop_busy[2m:30s] offset 1m))",
    "histogram_quantile(0, sum by (le) (rate(shop_seconds_bucket[2m])))",
    "histogram_quantile(0.13, sum by (le) (rate(shop_seconds_bucket[2m])))",
    "histogram_quantile(0.5, sum by (le) (rate(shop_seconds_bucket[2m])))",
    "histogram_quantile(0.7, sum by (le, zone) (rate(shop_seconds_bucket[2m])))",
    "histogram_quantile(0.99, sum by (le) (rate(shop_seconds_bucket[2m])))",
    "histogram_quantile(1, sum by (le) (rate(shop_seconds_bucket[2m])))",
    "histogram_quantile(0.4, sum without (zone) (rate(shop_seconds_bucket[2m])))",
    "max(histogram_quantile(0.9, rate(shop_seconds_bucket[2m])))",
    "histogram_quantile(0.9, sum by (le) (rate(shop_open_bucket[2m])))",
    "histogram_quantile(0.9, sum by (le) (rate(shop_empty_bucket[2m])))",
    "label_replace(sum(shop_busy), \"a\", \"b\", \"\", \"\")",
    "topk(1, shop_busy{pod=\"pod-3\"})",
];

/// Expressions that need all series in one place.
const REFUSED: [&str; 6] = [
    "topk(1, shop_busy)",
    "quantile(0.5, shop_busy)",
    "stddev(shop_busy)",
    "absent(shop_busy)",
    "sum(shop_busy) / scalar(count(shop_limit))",
    "sum(shop_busy * on (zone) group_left () max by (zone) (shop_limit))",
];

async fn ask(client: &Client, promql: &str, aggregation: Option<(&str, i64)>) -> Result<Answer> {
    // Some groups are in the results of a few of them: one of those is asked for.
    let conditions = match promql.contains("(zone)")
        && promql.contains("sum by (zone) (shop_busy) /")
        || promql.starts_with("avg by (zone)")
        || promql.contains("(le, zone)")
        || promql.contains("without (pod)")
    {
        true => json!([equals("~", promql), any_of("zone", &["odd"])]),
        false if promql.contains("without (zone)") => {
            json!([equals("~", promql), equals("pod", "pod-2")])
        }
        false => json!([equals("~", promql)]),
    };
    let (start, end) = (START + 5 * MINUTE, START + 55 * MINUTE);
    client
        .metric(&conditions, start, end, None, aggregation)
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expressions_are_answered_exactly_or_refused() -> Result<()> {
    let asked = Asked::of(&pods(), &[2, 3]).await?;
    let aggregations = [
        None,
        Some(("MEAN", MINUTE)),
        Some(("PERCENTILE_75", 7 * MINUTE)),
    ];
    let mut differences = Vec::new();
    for promql in ANSWERED {
        for aggregation in aggregations {
            let whole = ask(&asked.client("all"), promql, aggregation).await?;
            for (count, _) in &asked.stores.shards {
                let got = ask(&asked.client(&format!("of-{count}")), promql, aggregation).await?;
                if let Err(error) = same(&whole, &got) {
                    differences.push(format!(
                        "{count} shards, {promql}, {aggregation:?}: {error:#}"
                    ));
                }
            }
        }
    }
    for promql in REFUSED {
        for aggregation in aggregations {
            let got = ask(&asked.client("of-3"), promql, aggregation).await?;
            if got.status != 400 || !got.body.contains("in one Prometheus") {
                differences.push(format!(
                    "{promql}, {aggregation:?}: {} {}",
                    got.status, got.body
                ));
            }
        }
    }
    ensure!(
        differences.is_empty(),
        "{} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
    Ok(())
}

/// Whether two answers have the same points, to rounding.
fn same(whole: &Answer, got: &Answer) -> Result<()> {
    let (whole, got) = (telemetry(whole).context("one Prometheus")?, telemetry(got)?);
    ensure!(
        whole.points.len() == got.points.len(),
        "{} points, expected {}",
        got.points.len(),
        whole.points.len()
    );
    for (one, other) in whole.points.iter().zip(&got.points) {
        let (value, found): (f64, f64) = (one.0.parse()?, other.0.parse()?);
        let distance = (value - found).abs();
        ensure!(
            (one.1, one.2) == (other.1, other.2) && distance <= ROUNDED * value.abs().max(1.0),
            "{other:?}, expected {one:?}"
        );
    }
    ensure!(whole.partial == got.partial, "isPartial is {}", got.partial);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shard_that_is_down_is_an_error_unless_answers_may_be_partial() -> Result<()> {
    let mut asked = Asked::of(&pods(), &[3]).await?;
    let fields = |client: Client, field: &'static str| async move {
        let query = json!({"_type": "FieldValuesQuery", "conditions": [], "field": field,
            "startTime": START, "endTime": START + HOUR, "prefix": ""});
        let body = json!({"_type": "FieldValuesRequest", "query": query, "connectionDetails": {}});
        let mut body = body;
        body["connectionDetails"] =
            client.metric_request(&json!([]), 0, 1, None, None)["connectionDetails"].clone();
        client.post("/api/field/value", &body).await
    };
    for field in ["pod", "le", "__gauge__", "__histogram__"] {
        let whole = fields(asked.client("all"), field).await?;
        let got = fields(asked.client("of-3"), field).await?;
        ensure!(
            whole.status == 200 && whole.json() == got.json(),
            "{field}: {} {}",
            whole.body,
            got.body
        );
    }
    let members = &mut asked.stores.shards[0].1;
    let dead = members.remove(1);
    drop(dead);
    let whole = ask(&asked.client("of-3"), "sum(shop_busy)", None).await?;
    ensure!(
        whole.status >= 500 && whole.body.contains("shards[1]"),
        "{} {}",
        whole.status,
        whole.body
    );
    let some = ask(&asked.client("some-of-3"), "sum(shop_busy)", None).await?;
    let some = telemetry(&some)?;
    ensure!(some.partial && !some.points.is_empty(), "{some:?}");
    let mut body = asked.client("some-of-3").metric_request(
        &json!([equals("~", "sum(shop_busy)")]),
        START,
        START + HOUR,
        None,
        Some(("MEAN", MINUTE)),
    );
    body["_type"] = json!("MetricsRequest");
    let explained = asked
        .client("some-of-3")
        .post("/api/explain", &body)
        .await?
        .json();
    let shards = &explained["shards"];
    ensure!(
        shards["asked"][0] == json!({"shard": "shards[0]"}),
        "{explained}"
    );
    ensure!(shards["asked"][1]["leftOut"].is_string(), "{explained}");
    ensure!(
        shards["sent"] == json!([{"promql": "sum(shop_busy)", "together": "added"}]),
        "{explained}"
    );
    Ok(())
}
