//! Native and classic histograms of one name in one fleet, and increases over whole windows:
//! counters that grow evenly, so that every expected number is a product of a rate and a time.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use harness::client::{Answer, Client, any_of, equals, telemetry};
use harness::remote_write;
use harness::samples::{MINUTE, NativeHistogram, START, Sample, Series};
use harness::servers::{Mirror, MirrorConfig, Prometheus, Reply, Upstream};
use serde_json::{Value, json};

/// Scrapes are 7 s after each multiple of 15 s, for an hour and a half.
const PHASE: i64 = 7_000;
const END: i64 = START + 90 * MINUTE;
/// In the middle of a bucket of a minute: two scrapes before it, two after it.
const CHANGE: i64 = START + 45 * MINUTE + 30_000;

/// The observations that a pod had at an instant: ten a second, and many already when it was first
/// scraped.
fn observed(at: i64) -> f64 {
    1e6 + (at - START) as f64 / 100.0
}

/// A pod's series: each observation has this size. The form is told for each scrape: native,
/// classic.
fn pod(name: &str, size: f64, form: impl Fn(i64) -> (bool, bool)) -> Vec<Series> {
    let labels = [("instance", name)];
    let mut native = Series::new("h", &labels);
    let mut sum = Series::new("h_sum", &labels);
    let mut count = Series::new("h_count", &labels);
    let mut buckets: Vec<Series> = ["0.5", "5", "+Inf"]
        .iter()
        .map(|le| Series::new("h_bucket", &[("instance", name), ("le", le)]))
        .collect();
    for at in (START + PHASE..END).step_by(15_000) {
        let value = observed(at);
        let (is_native, is_classic) = form(at);
        if is_native {
            let index = (size.log2() * 4.0).ceil() as i32;
            native.histograms.push((
                at,
                NativeHistogram {
                    schema: 2,
                    zero_threshold: 1e-3,
                    zero_count: 0,
                    positive: BTreeMap::from([(index, value as u64)]),
                    negative: BTreeMap::new(),
                    sum: value * size,
                },
            ));
        }
        if is_classic {
            sum.samples.push(Sample {
                at,
                value: value * size,
            });
            count.samples.push(Sample { at, value });
            for (series, bound) in buckets.iter_mut().zip([0.5, 5.0, f64::INFINITY]) {
                let value = if size <= bound { value } else { 0.0 };
                series.samples.push(Sample { at, value });
            }
        }
    }
    let mut all = vec![native, sum, count];
    all.append(&mut buckets);
    all.retain(|series| series.instants().next().is_some());
    all
}

/// Name of each pod, and the size of its observations.
const SIZES: [(&str, f64); 6] = [
    ("native", 0.125),
    ("classic", 10.0),
    ("both", 1.0),
    ("migrates", 2.0),
    ("adds native", 4.0),
    ("goes back", 0.25),
];

fn fleet() -> Vec<Series> {
    let form = |name: &str, at: i64| match name {
        "native" => (true, false),
        "classic" => (false, true),
        "both" => (true, true),
        "migrates" => (at >= CHANGE, at < CHANGE),
        "adds native" => (at >= CHANGE, true),
        _ => (at < CHANGE, at >= CHANGE),
    };
    SIZES
        .iter()
        .flat_map(|&(name, size)| pod(name, size, |at| form(name, at)))
        .collect()
}

async fn stores() -> Result<[(&'static str, Prometheus); 2]> {
    Ok([
        ("Prometheus 2", Prometheus::start_2().await?),
        ("Prometheus 3", Prometheus::start_3().await?),
    ])
}

async fn ask(
    client: &Client,
    pods: &[&str],
    method: Option<(&str, i64)>,
    (start, end): (i64, i64),
) -> Result<Answer> {
    let mut conditions = json!([equals("__histogram__", "h")]);
    if let (false, Some(all)) = (pods.is_empty(), conditions.as_array_mut()) {
        all.push(any_of("instance", pods));
    }
    client.metric(&conditions, start, end, None, method).await
}

/// That there are `buckets` points and each is `value`.
fn each_is(answer: &Answer, buckets: usize, value: f64) -> Result<()> {
    let telemetry = telemetry(answer).with_context(|| answer.body.clone())?;
    ensure!(
        telemetry.points.len() == buckets,
        "{} points",
        telemetry.points.len()
    );
    ensure!(!telemetry.partial, "partial");
    for (text, start, _) in &telemetry.points {
        let got: f64 = text.parse()?;
        ensure!(
            ((got - value) / value).abs() < 1e-9,
            "{got} at {start} where {value} is due"
        );
    }
    Ok(())
}

#[tokio::test]
async fn the_observations_of_a_fleet_in_migration_are_added_and_none_is_counted_twice() -> Result<()>
{
    for (store, server) in stores().await? {
        remote_write::load(&server.url(), &fleet()).await?;
        let mirror = Mirror::start(&MirrorConfig::for_targets(&[("p", &server.url())])).await?;
        let client = Client::new(&mirror.url());
        let names: Vec<&str> = SIZES.iter().map(|(name, _)| *name).collect();
        let mut choices: Vec<Vec<&str>> = names.iter().map(|name| vec![*name]).collect();
        choices.extend([
            vec!["native", "classic"],
            vec!["both", "native"],
            Vec::new(),
            names,
        ]);
        for pods in choices {
            let sizes: Vec<f64> = SIZES
                .iter()
                .filter(|(name, _)| pods.is_empty() || pods.contains(name))
                .map(|(_, size)| *size)
                .collect();
            let (count, size) = (sizes.len() as f64, sizes.iter().sum::<f64>());
            // From the second bucket on to the last whole one, the minute of the change among them.
            let range = (START + 5 * MINUTE, END - 5 * MINUTE);
            for width in [MINUTE, 5 * MINUTE] {
                let seconds = width as f64 / 1000.0;
                let buckets = usize::try_from((range.1 - range.0) / width)?;
                for (method, value) in [
                    ("EVENT_COUNT", 10.0 * count * seconds),
                    ("SUM", 10.0 * size * seconds),
                    ("MEAN", size / count),
                ] {
                    let answer = ask(&client, &pods, Some((method, width)), range).await?;
                    each_is(&answer, buckets, value)
                        .with_context(|| format!("{store}: {method} of {pods:?}, {width} ms"))?;
                }
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_percentile_is_of_one_form_or_an_error_that_says_that_there_are_two() -> Result<()> {
    for (store, server) in stores().await? {
        remote_write::load(&server.url(), &fleet()).await?;
        let mirror = Mirror::start(&MirrorConfig::for_targets(&[("p", &server.url())])).await?;
        let client = Client::new(&mirror.url());
        let (before, after) = (
            (START + 5 * MINUTE, START + 20 * MINUTE),
            (START + 60 * MINUTE, START + 75 * MINUTE),
        );
        let percentile = Some(("PERCENTILE_50", MINUTE));
        for (pods, range) in [
            (&["native"][..], before),
            (&["classic"], before),
            (&["both"], before),
            (&["both", "native"], before),
            (&["classic", "migrates"], before),
            (&["native", "both", "migrates", "adds native"], after),
        ] {
            let answer = ask(&client, pods, percentile, range).await?;
            let points = telemetry(&answer).map(|telemetry| telemetry.points.len());
            ensure!(
                points.as_ref().is_ok_and(|points| *points == 15),
                "{store}, {pods:?}: {}",
                answer.body
            );
        }
        for (pods, range) in [
            (&["native", "classic"][..], before),
            (&["both", "classic"], before),
            (&["migrates"], (CHANGE - 5 * MINUTE, CHANGE + 5 * MINUTE)),
        ] {
            let answer = ask(&client, pods, percentile, range).await?;
            let body = answer.json();
            ensure!(
                answer.status == 400
                    && body["_type"] == "RemoteMirrorError"
                    && body["summary"] == "native and classic histograms",
                "{store}, {pods:?}: {}",
                answer.body
            );
        }
    }
    Ok(())
}

#[tokio::test]
async fn raw_points_are_of_one_pod_in_whatever_form_it_is_stored() -> Result<()> {
    for (store, server) in stores().await? {
        remote_write::load(&server.url(), &fleet()).await?;
        let mirror = Mirror::start(&MirrorConfig::for_targets(&[("p", &server.url())])).await?;
        let client = Client::new(&mirror.url());
        let range = (CHANGE - 5 * MINUTE, CHANGE + 5 * MINUTE);
        for (name, size) in SIZES {
            let answer = ask(&client, &[name], None, range).await?;
            each_is(&answer, 40, size).with_context(|| format!("{store}: {name}"))?;
        }
        let answer = ask(&client, &["native", "classic"], None, range).await?;
        let expected = json!({
            "_type": "RemoteMirrorError", "summary": "too many series",
            "details": "2 series match and one is needed; they differ in: instance (\"classic\", \"native\")",
        });
        ensure!(answer.json() == expected, "{store}: {}", answer.body);
    }
    Ok(())
}

#[tokio::test]
async fn one_call_answers_a_fleet_of_which_no_pod_changes_its_form() -> Result<()> {
    let server = Prometheus::start_2().await?;
    remote_write::load(&server.url(), &fleet()).await?;
    let url = server.url();
    let upstream = Upstream::start(move |_| Reply::PassOn(url.clone())).await?;
    let mirror = Mirror::start(&MirrorConfig::for_targets(&[("p", upstream.url())])).await?;
    let client = Client::new(&mirror.url());
    let range = (START + 5 * MINUTE, START + 20 * MINUTE);
    let calls = || {
        let requests = upstream.requests();
        requests
            .iter()
            .filter(|request| request.contains("h_count"))
            .count()
    };
    for (done, method) in ["EVENT_COUNT", "SUM", "MEAN", "PERCENTILE_90"]
        .iter()
        .enumerate()
    {
        let answer = ask(&client, &["both", "native"], Some((method, MINUTE)), range).await?;
        ensure!(answer.status == 200, "{}", answer.body);
        ensure!(calls() == done + 1, "{} calls after {method}", calls());
    }
    Ok(())
}

/// A counter of four a second with a scrape at each of these instants.
fn counter(name: &str, instants: impl Iterator<Item = i64>) -> Series {
    let mut series = Series::new(name, &[]);
    series.samples = instants
        .map(|at| Sample {
            at,
            value: 1e5 + (at - START) as f64 / 250.0,
        })
        .collect();
    series
}

#[tokio::test]
async fn a_counters_sum_is_its_increase_over_the_whole_bucket_on_stores_of_either_kind()
-> Result<()> {
    // Scrapes on the last millisecond of each bucket and on the first, which are the two sides of
    // an edge, and in between.
    let all: Vec<Series> = [("before", -1), ("on", 0), ("between", 7_000)]
        .iter()
        .map(|(name, phase)| counter(name, (START + phase..END).step_by(15_000)))
        .collect();
    // Late beginnings and ends: extrapolation goes no further than half an interval, or to where
    // the counter was zero.
    let mut late: Vec<Series> = [-1_i64, 0, 7_000]
        .iter()
        .map(|phase| {
            let instants =
                (START + 20 * MINUTE + phase + 30_000..START + 40 * MINUTE).step_by(15_000);
            counter(&format!("late_{}", phase + 1), instants)
        })
        .collect();
    for (index, series) in late.iter_mut().enumerate() {
        series
            .samples
            .retain(|sample| index == 2 || sample.at % 7 != 0 || sample.at % MINUTE > MINUTE - 2);
    }
    let mut answers: BTreeMap<String, Vec<(String, Vec<f64>)>> = BTreeMap::new();
    for (store, server) in stores().await? {
        remote_write::load(&server.url(), &[all.clone(), late.clone()].concat()).await?;
        let mirror = Mirror::start(&MirrorConfig::for_targets(&[("p", &server.url())])).await?;
        let client = Client::new(&mirror.url());
        let range = (START + 5 * MINUTE, START + 60 * MINUTE);
        for width in [7_000, MINUTE, 5 * MINUTE] {
            let sum = |name: &str| {
                let conditions: Value = json!([equals("__counter__", name)]);
                let client = client.clone();
                async move {
                    client
                        .metric(&conditions, range.0, range.1, None, Some(("SUM", width)))
                        .await
                }
            };
            for series in &all {
                let buckets = range.1.div_euclid(width) - range.0.div_euclid(width);
                let expected = 4.0 * width as f64 / 1000.0;
                each_is(
                    &sum(series.name()).await?,
                    usize::try_from(buckets)?,
                    expected,
                )
                .with_context(|| format!("{store}: {}, {width} ms", series.name()))?;
            }
            for series in &late {
                let points = telemetry(&sum(series.name()).await?)?.points;
                let values: Result<Vec<f64>, _> =
                    points.iter().map(|(text, ..)| text.parse()).collect();
                let question = format!("{}, {width} ms", series.name());
                answers
                    .entry(question)
                    .or_default()
                    .push((store.to_owned(), values?));
            }
        }
    }
    for (question, of_stores) in answers {
        let [(_, two), (_, three)] = &of_stores[..] else {
            anyhow::bail!("{question}: {of_stores:?}")
        };
        ensure!(
            two.len() == three.len() && two.len() > 3,
            "{question}: {of_stores:?}"
        );
        for (two, three) in two.iter().zip(three) {
            ensure!(
                (two - three).abs() <= 1e-9 * three,
                "{question}: {two} and {three}"
            );
        }
    }
    Ok(())
}
