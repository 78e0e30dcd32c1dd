//! Every element that an expression has over shards, against one server with all series: both asked
//! by the code that the mirror runs, because the Mirror API answers one series at a time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::StreamExt as _;
use harness::oracle::Store;
use harness::samples::{self, HOUR, MINUTE, START, Series};
use mirror::execute::shards::Shards;
use mirror::model::time::{Millis, Timestamp};
use mirror::prometheus::observe::UpstreamMetrics;
use mirror::prometheus::{Call, Caller, Deadline, Store as _, StoreError, Targets};
use mirror::settings::{self, Source};
use prometheus_client::registry::Registry;

use super::shards::{Stores, pods};

/// Sums in another order differ by that much of their largest operands, which are around 1.
const ROUNDED: f64 = 1e-12;

/// Values by labels and instants, as the store writes them.
type Elements = BTreeMap<String, BTreeMap<i64, String>>;

/// Expressions that Prometheus and VictoriaMetrics answer over shards as over one server.
const SAME: &str = r#"
shop_busy
-shop_busy
shop_busy * 2 > 1
3 < bool shop_busy
shop_busy == shop_limit
shop_busy >= bool on (pod) shop_limit
sum(shop_busy) + on () vector(1)
shop_nothing + on (zone) shop_busy{pod="pod-1"}
shop_limit + on (zone) shop_nothing
shop_busy + on (pod, __name__) shop_busy
shop_busy + ignoring (zone) shop_busy
shop_busy and shop_limit > 3
shop_busy or on (zone) shop_limit
(shop_busy > 2) or on (zone) shop_limit
shop_busy unless on (zone) shop_limit > 6
shop_busy or shop_busy offset 10m
(shop_busy or shop_nothing) * 2
{__name__=~"shop_busy|shop_limit"}
({__name__=~"shop_busy|shop_limit"} and on (pod) shop_limit) > 2
count by (__name__) ({__name__=~"shop_.*"})
max without () (shop_busy)
sum without (pod, zone) (shop_busy)
min(special)
max(special) - min(special)
avg by (kind) (special)
sum(special > bool 0)
count(special == -Inf)
sum(extreme)
sum by ("nothing at all", zone) (shop_busy)
shop_busy / ignoring (zone) shop_limit
label_replace(shop_busy, "a", "$1", "pod", "pod-(.*)")
label_replace(sum by (zone) (shop_busy), "a", "b", "", "")
label_join(shop_busy, "a", "-", "pod", "zone")
increase(shop_sold_total[2m])
quantile_over_time(0.9, shop_busy[5m])
last_over_time(shop_busy[5m])
max_over_time(rate(shop_sold_total[2m])[5m:30s])
avg_over_time((shop_busy / shop_busy offset 1m)[5m:30s])
shop_busy - shop_busy @ 1709252000
sum(shop_busy @ end())
timestamp(shop_busy offset 1m)
clamp(round(shop_busy, 0.5), 0.5, 1.5)
sum(shop_busy) ^ 2 % 3 - -sum(shop_limit)
shop_busy ^ shop_limit
sum(shop_busy) / 0
time() - max(timestamp(shop_busy))
time() + scalar(vector(1))
(time() > bool 5) + sum(shop_limit)
hour() + sum(shop_busy)
vector(7) or sum by (zone) (shop_busy)
(sum(shop_busy) > 9) or vector(0)
sum by (zone) (shop_busy > 2) unless sum by (zone) (shop_limit > 6)
(sum by (zone) (shop_busy) or sum by (zone) (shop_limit)) * 2
sum by (zone) (rate(shop_sold_total[2m])) / sum by (zone) (shop_limit) * 100
sum(shop_busy) < bool sum(shop_limit) == 1
sum(shop_busy * on (pod) shop_limit) by (pod)
avg by (zone) (avg by (pod, zone) (shop_busy))
count(count by (zone) (shop_busy))
topk(1, shop_busy{pod="pod-3"}) > 0
absent(shop_busy{pod="pod-3"}) or vector(2)
absent(shop_busy{pod="nothing"})
shop_busy{pod="pod-3"} * on (pod) group_left () shop_limit{pod="pod-3"}
sum(shop_limit) + scalar(shop_limit{pod="pod-4"})
"#;

/// What only Prometheus knows, or knows otherwise.
const SAME_ON_PROMETHEUS: &str = r#"
shop_nothing + on (zone) shop_limit
(shop_busy > 100) + on (zone) shop_limit
shop_busy / sum(shop_limit)
histogram_quantile(0.9, rate(shop_seconds_bucket[2m]))
histogram_quantile(0.9, sum by (le, zone) (rate(shop_seconds_bucket[2m]))) > bool 1
histogram_quantile(-1, sum by (le) (rate(shop_seconds_bucket[2m])))
histogram_quantile(0.5, max by (le) (shop_seconds_bucket))
histogram_quantile(0.5, shop_seconds_bucket and on (pod) shop_limit > 3)
histogram_quantile(0.9, label_replace(rate(shop_seconds_bucket[2m]), "le", "7", "le", "5"))
sum(histogram_quantile(0.9, rate(shop_seconds_bucket[2m])))
histogram_count(sum by (instance) (rate(deviation_seconds[5m])))
histogram_sum(sum(rate(deviation_seconds[5m])))
histogram_quantile(0.5, rate(deviation_seconds{instance="a"}[5m]))
sum(deviation_seconds)
count(deviation_seconds)
max(deviation_seconds)
deviation_seconds or shop_busy
deviation_seconds and on () vector(1)
"#;

/// What only VictoriaMetrics knows, or knows otherwise: a single element without labels is a
/// number.
const SAME_ON_VICTORIAMETRICS: &str = r"
shop_busy / sum(shop_limit)
sum(shop_limit) / sum by (zone) (shop_busy)
sum by (zone) (shop_busy) > sum(shop_limit) / 30
sum(shop_limit) / 30 > sum by (zone) (shop_busy)
sum(shop_limit) / 30 > bool (shop_busy and shop_limit)
";

/// What needs all of its series in one place.
const REFUSED: &str = r#"
count_values("v", shop_limit)
quantile(0.5, shop_busy)
stddev(shop_busy)
sum(topk(2, shop_busy))
topk(2, sum by (pod) (shop_busy))
stdvar(shop_busy)
absent(shop_busy)
absent_over_time(shop_busy[5m])
shop_busy * on (zone) group_left () max by (zone) (shop_limit)
clamp_max(shop_busy, scalar(max(shop_limit)))
label_replace(sum by (pod) (shop_busy), "a", "$1", "pod", "pod-(.*)")
avg_over_time((shop_busy / shop_limit)[5m:30s])
timestamp(sum(shop_busy))
round(sum(shop_busy), 0.5)
sum(shop_busy) atan2 sum(shop_limit)
"#;

/// What needs all of the buckets of native histograms.
const REFUSED_ON_PROMETHEUS: &str = r"
histogram_quantile(0.5, sum(rate(deviation_seconds[5m])))
histogram_quantile(0.5, rate(deviation_seconds[5m]))
max(histogram_quantile(0.5, rate(deviation_seconds[5m])))
avg(deviation_seconds)
sum(deviation_seconds) * 2
";

/// What Prometheus refuses wherever the series are.
const FAILING: &str = r#"
shop_busy + on (zone) shop_limit
shop_limit > on (zone) (shop_limit == 5)
shop_busy + on () vector(1)
rate({__name__=~"shop_busy|shop_limit"}[2m])
({__name__=~"shop_busy|shop_limit"} and on (pod) shop_limit) * 2
-({__name__=~"shop_busy|shop_limit"} and on (pod) shop_limit)
label_replace(shop_busy and shop_limit, "pod", "x", "", "")
histogram_quantile(0.5, {__name__=~"shop_.*_bucket"})
sum(shop_busy) offset 5m
shop_busy[5m]
"#;

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.is_empty())
}

fn targets(stores: &Stores) -> Result<Targets> {
    // Another test of this process may have been first.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folder = tempfile::tempdir()?;
    stores.config().write(folder.path())?;
    let settings = settings::load(&Source {
        file: folder.path().join("mirror.yaml"),
        secrets_dir: folder.path().join("secrets"),
        config_maps_dir: folder.path().join("config-maps"),
        tokens_dir: folder.path().join("tokens"),
    })?;
    let metrics = UpstreamMetrics::register(&mut Registry::default());
    Ok(Targets::new(&settings, &metrics, None))
}

/// What the target of this name answers to an expression.
async fn elements(targets: &Targets, name: &str, promql: &str) -> Result<Elements, StoreError> {
    let mut declared = targets.declared().iter();
    let target = declared.find(|target| target.settings().name.to_string() == name);
    let members = target.map(|target| target.for_request(Caller::Mirror));
    let shards = Shards::new(members.unwrap_or_default(), false);
    let call = Call::Range {
        promql: promql.to_owned(),
        start: Timestamp(START + 5 * MINUTE),
        end: Timestamp(START + HOUR),
        step: Millis(30_000),
    };
    let deadline = Deadline(Instant::now() + Duration::from_secs(30));
    let answer = shards.call(call, deadline).await?;
    let mut elements = Elements::new();
    for (index, one) in answer.series().iter().enumerate() {
        let floats = one.samples.iter().map(|(at, text)| (at.0, text.to_owned()));
        let histograms = one.histograms.iter();
        let histograms = histograms.map(|one| (one.at.0, format!("{} {}", one.count, one.sum)));
        let labels = format!("{:?}", one.labels);
        // An element that is there twice is none of the other server's.
        let labels = match elements.contains_key(&labels) {
            true => format!("{labels}, again: {index}"),
            false => labels,
        };
        elements.insert(labels, floats.chain(histograms).collect());
    }
    Ok(elements)
}

/// The same elements at the same instants with the same values, to rounding.
fn same(whole: &Elements, got: &Elements) -> Result<()> {
    let names = |elements: &Elements| elements.keys().cloned().collect::<Vec<_>>();
    ensure!(
        names(whole) == names(got),
        "the elements are {:?}, expected {:?}",
        names(got),
        names(whole)
    );
    for ((labels, expected), found) in whole.iter().zip(got.values()) {
        ensure!(
            expected.len() == found.len(),
            "{labels}: {} values, expected {}",
            found.len(),
            expected.len()
        );
        for (at, value) in expected {
            let found = found.get(at);
            let found = found.with_context(|| format!("{labels}: no value at {at}"))?;
            ensure!(
                are_alike(value, found),
                "{labels}: {found} at {at}, expected {value}"
            );
        }
    }
    Ok(())
}

fn are_alike(one: &str, other: &str) -> bool {
    let near = |(a, b): (&str, &str)| match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= ROUNDED * a.abs().max(1.0),
        _ => false,
    };
    one == other || one.split(' ').zip(other.split(' ')).all(near)
}

/// How an expression is answered over shards.
#[derive(Clone, Copy, Debug)]
enum Expected {
    Same,
    Refused,
    Failing,
}

async fn check(targets: &Targets, promql: &str, expected: Expected) -> Result<usize> {
    let [whole, got] = ["all", "of-3"].map(|name| elements(targets, name, promql));
    let (whole, got) = futures::join!(whole, got);
    match (expected, &whole, &got) {
        (Expected::Same, Ok(whole), Ok(got)) => {
            same(whole, got)?;
            return Ok(whole.values().map(BTreeMap::len).sum());
        }
        (Expected::Refused, Ok(_), Err(StoreError::AcrossShards(_)))
        | (Expected::Failing, Err(StoreError::Rejected { .. }), Err(StoreError::Rejected { .. })) =>
            {}
        _ => {
            let [whole, got] = [&whole, &got].map(|answer| answer.as_ref().map(Elements::len));
            anyhow::bail!("one server: {whole:?}, shards: {got:?}");
        }
    }
    Ok(0)
}

async fn compare(
    store: Store,
    series: &[Series],
    table: &[(&'static str, Expected)],
) -> Result<()> {
    let stores = Stores::of(store, series, &[3]).await?;
    let targets = targets(&stores)?;
    let expressions = table
        .iter()
        .flat_map(|(text, expected)| lines(text).map(|promql| (promql, *expected)));
    let checked = expressions.map(|(promql, expected)| {
        let checked = check(&targets, promql, expected);
        async move {
            checked
                .await
                .with_context(|| format!("{promql}, {expected:?}"))
        }
    });
    let checked: Vec<_> = futures::stream::iter(checked).buffered(4).collect().await;
    let (compared, failed): (Vec<_>, Vec<_>) = checked.into_iter().partition(Result::is_ok);
    let failed: Vec<String> = failed
        .into_iter()
        .filter_map(Result::err)
        .map(|error| format!("{error:#}"))
        .collect();
    ensure!(
        failed.is_empty(),
        "{} differ:\n{}",
        failed.len(),
        failed.join("\n")
    );
    let compared: usize = compared.into_iter().flatten().sum();
    println!("{compared} values compared");
    ensure!(compared > 10_000, "only {compared} values were compared");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_element_over_shards_is_that_of_one_prometheus() -> Result<()> {
    let mut series = samples::everything();
    let is_needed = |name: &str| ["special", "extreme", "deviation_seconds"].contains(&name);
    series.retain(|one| is_needed(one.name()));
    // Native histograms of enough instances to be in several shards.
    let native = |one: &&Series| one.labels.get("instance").is_some_and(|of| of == "a");
    let native = series.iter().find(native).cloned().context("a histogram")?;
    for instance in ["c", "d", "e", "f", "g", "h"] {
        let mut more = native.clone();
        more.labels
            .insert("instance".to_owned(), instance.to_owned());
        series.push(more);
    }
    series.extend(pods());
    let table = [
        (SAME, Expected::Same),
        (SAME_ON_PROMETHEUS, Expected::Same),
        (REFUSED, Expected::Refused),
        (REFUSED_ON_PROMETHEUS, Expected::Refused),
        (FAILING, Expected::Failing),
    ];
    compare(Store::Prometheus3, &series, &table).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_element_over_shards_is_that_of_one_victoriametrics() -> Result<()> {
    let mut series = samples::gauges();
    series.retain(|one| ["special", "extreme"].contains(&one.name()));
    series.extend(pods());
    let table = [
        (SAME, Expected::Same),
        (SAME_ON_VICTORIAMETRICS, Expected::Same),
        (REFUSED, Expected::Refused),
    ];
    compare(Store::RecentVictoriaMetrics, &series, &table).await
}
