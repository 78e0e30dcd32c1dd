//! A mirror that remembers finished buckets answers as one that remembers nothing, byte for byte:
//! in windows that move, with samples that come late, deletions and restarts in between.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use harness::client::{Client, equals};
use harness::remote_write;
use harness::samples::{HOUR, MINUTE, Random, SCRAPE, Sample, Series};
use harness::servers::{Mirror, MirrorConfig, Prometheus};
use serde_json::{Value, json};

/// So long a bucket may change.
const SETTLE: i64 = 60 * MINUTE;

/// What is polled: a key and its value, the method and the bucket.
const STREAMS: [(&str, &str, &str, i64); 11] = [
    ("__gauge__", "load", "MEAN", MINUTE),
    ("__gauge__", "load", "MAX", MINUTE),
    ("__gauge__", "load", "EVENT_COUNT", 30_000),
    ("__gauge__", "load", "PERCENTILE_95", MINUTE),
    ("__counter__", "requests_total", "MEAN", MINUTE),
    ("__counter__", "requests_total", "SUM", 5 * MINUTE),
    ("__counter__", "requests_total", "MAX", MINUTE),
    ("__histogram__", "seconds", "PERCENTILE_90", MINUTE),
    ("__histogram__", "seconds", "MEAN", MINUTE),
    (
        "~",
        "sum(rate(requests_total[2m])) / count(load)",
        "MEAN",
        MINUTE,
    ),
    ("~", "topk(1, sum(load))", "MAX", MINUTE),
];

fn now() -> Result<i64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(i64::try_from(now.as_millis())?)
}

/// Three instances, scraped from `begin` to `end`. Values are whole numbers, whose sums do not
/// depend on the order of adding.
fn samples(begin: i64, end: i64) -> Vec<Series> {
    let mut random = Random::new(7);
    let mut all = Vec::new();
    for instance in ["a", "b", "c"] {
        let series = |name: &str| Series::new(name, &[("instance", instance)]);
        let bucket =
            |le: &str| Series::new("seconds_bucket", &[("instance", instance), ("le", le)]);
        let mut load = series("load");
        let mut counted = [
            series("requests_total"),
            bucket("1"),
            bucket("+Inf"),
            series("seconds_sum"),
            series("seconds_count"),
        ];
        let mut totals = [0_i64; 5];
        for at in (begin..end).step_by(SCRAPE as usize) {
            if random.chance(0.02) {
                totals = [0; 5];
            }
            let (fast, slow) = (random.between(0, 9), random.between(0, 5));
            let grown = [fast + slow, fast, fast + slow, fast + 2 * slow, fast + slow];
            push(&mut load, at, random.between(0, 100));
            for ((series, total), grown) in counted.iter_mut().zip(&mut totals).zip(grown) {
                *total += grown;
                push(series, at, *total);
            }
        }
        all.push(load);
        all.extend(counted);
    }
    all
}

fn push(series: &mut Series, at: i64, value: i64) {
    #[expect(clippy::cast_precision_loss, reason = "small whole numbers")]
    let value = value as f64;
    series.samples.push(Sample { at, value });
}

/// Both mirrors before one store.
struct Pair {
    remembering: Mirror,
    plain: Mirror,
}

impl Pair {
    async fn start(store: &Prometheus) -> Result<Self> {
        let config = MirrorConfig::for_targets(&[("store", &store.url())]);
        let settle = format!("{}m", SETTLE / MINUTE);
        let cache = json!({"enabled": true, "size": "32Mi", "settle": settle});
        Ok(Self {
            remembering: Mirror::start(&config.clone().with("cache", cache)).await?,
            plain: Mirror::start(&config).await?,
        })
    }

    /// Polls all streams from both.
    async fn poll(&self, start: i64, end: i64, what: &str) -> Result<()> {
        for (key, value, method, bucket) in STREAMS {
            let conditions = json!([equals(key, value)]);
            let mut answers = Vec::new();
            for mirror in [&self.remembering, &self.plain] {
                let client = Client::new(&mirror.url());
                let aggregation = Some((method, bucket));
                let asked = client.metric(&conditions, start, end, None, aggregation);
                answers.push(asked.await?);
            }
            ensure!(
                (answers[0].status, &answers[0].body) == (answers[1].status, &answers[1].body),
                "{what}: {method} of {value} from {start} to {end}: {:?}",
                answers
                    .iter()
                    .map(|answer| &answer.body)
                    .collect::<Vec<_>>(),
            );
            ensure!(
                answers[0].status == 200,
                "{what}: {value}: {}",
                answers[0].body
            );
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_mirror_that_remembers_answers_as_one_that_does_not() -> Result<()> {
    let mut store = Prometheus::start_3_taking_late().await?;
    let begin = now()? / MINUTE * MINUTE - 3 * HOUR;
    // The newest samples come late.
    let present = begin + 3 * HOUR - MINUTE;
    remote_write::load(&store.url(), &samples(begin, present - 10 * MINUTE)).await?;
    let pair = Pair::start(&store).await?;
    let mut random = Random::new(11);
    let late = |instance: &str, at: i64, value: i64| {
        let mut one = Series::new("load", &[("instance", instance)]);
        push(&mut one, at, value);
        one
    };
    for round in 0..12 {
        let moved = (round % 6) * 5 * MINUTE;
        let (start, end) = (begin + moved + 1, present - 25 * MINUTE + moved);
        pair.poll(start, end, &format!("round {round}")).await?;
        // Longer than before, shorter, and of the past.
        pair.poll(begin - HOUR, end, "a long range").await?;
        pair.poll(end - HOUR, end, "an hour").await?;
        pair.poll(begin + HOUR, begin + 2 * HOUR, "the past")
            .await?;
        let from = present - 40 * MINUTE;
        let at = random.between(from, present);
        remote_write::load(&store.url(), &[late("a", at, 1_000 + round)]).await?;
        match round {
            2 | 8 => store = store.restarted().await?,
            6 => {
                let rest = samples(begin, present);
                let is_late = |sample: &Sample| sample.at >= present - 10 * MINUTE;
                let rest = rest.into_iter().map(|mut series| {
                    series.samples.retain(is_late);
                    series
                });
                remote_write::load(&store.url(), &rest.collect::<Vec<_>>()).await?;
            }
            _ => {}
        }
    }
    let (hits, misses) = pair.remembering.remembered_buckets().await?;
    eprintln!("{hits} buckets were remembered, {misses} were not");
    ensure!(
        hits > misses,
        "{hits} buckets were remembered, {misses} were not"
    );
    deleted_as_a_whole(&store, &pair, (begin, present)).await
}

/// Once a series is deleted as a whole, nothing of it is remembered where it counts.
async fn deleted_as_a_whole(
    store: &Prometheus,
    pair: &Pair,
    (begin, present): (i64, i64),
) -> Result<()> {
    let conditions = json!([equals("__gauge__", "load")]);
    let mut counts: Vec<Value> = Vec::new();
    for _ in 0..2 {
        for mirror in [&pair.remembering, &pair.plain] {
            let client = Client::new(&mirror.url());
            let aggregation = Some(("EVENT_COUNT", MINUTE));
            let asked = client.metric(&conditions, begin, present, None, aggregation);
            counts.push(asked.await?.json());
        }
        store
            .delete(r#"load{instance="c"}"#, begin - HOUR, present + HOUR)
            .await?;
    }
    ensure!(counts[0] == counts[1], "before");
    ensure!(counts[2] == counts[3], "after");
    ensure!(counts[0] != counts[2], "the series counts");
    Ok(())
}
