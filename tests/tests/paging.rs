//! A client that follows `isPartial` the way StackState does gets every point once: it asks again from the last point's timestamp,
//! and drops the one point that the seam repeats.

use anyhow::{Result, ensure};
use harness::client::{Client, telemetry};
use harness::oracle::{Expected, Expression, Kind, Question, Store, answer};
use harness::samples::{self, HOUR, MINUTE, START};
use harness::servers::{Mirror, MirrorConfig, Prometheus, load};

/// From where to ask for the next page.
#[derive(Clone, Copy, Debug)]
enum Continue {
    /// From the last point's start (raw: its only timestamp).
    FromStart,
    /// From the last point's end.
    FromEnd,
}

/// All pages together, without the points that seams repeat.
async fn pages(
    client: &Client,
    question: &Question,
    limit: Option<u64>,
    from: Continue,
) -> Result<Vec<(i64, i64)>> {
    let mut all: Vec<(i64, i64)> = Vec::new();
    let mut question = question.clone();
    loop {
        let page = telemetry(&client.ask(&question, limit).await?)?;
        let fresh: Vec<(i64, i64)> = page
            .points
            .iter()
            .map(|(_, start, end)| (*start, *end))
            .filter(|point| all.last() != Some(point))
            .collect();
        ensure!(
            fresh.windows(2).all(|pair| pair[0] < pair[1]),
            "not ascending: {fresh:?}"
        );
        ensure!(
            all.last() < fresh.first() || fresh.is_empty(),
            "the page from {} repeats more than the seam",
            question.start
        );
        ensure!(
            page.points.len() as u64 <= limit.map_or(u64::MAX, |limit| limit.max(2)),
            "{} points, although the limit is {limit:?}",
            page.points.len()
        );
        all.extend(&fresh);
        if !page.partial {
            return Ok(all);
        }
        ensure!(
            !fresh.is_empty(),
            "partial, but nothing new from {} on",
            question.start
        );
        let (start, end) = fresh[fresh.len() - 1];
        question.start = match from {
            Continue::FromStart => start,
            Continue::FromEnd => end,
        };
    }
}

#[tokio::test]
async fn every_point_comes_exactly_once_whatever_the_limit() -> Result<()> {
    let prometheus = Prometheus::start_2().await?;
    load(Store::Prometheus2, &prometheus.url()).await?;
    let mirror = Mirror::start(&MirrorConfig::for_targets(&[("store", &prometheus.url())])).await?;
    let client = Client::new(&mirror.url());
    let all = samples::everything();
    let kinds = [
        Kind::Gauge("room_temperature"),
        Kind::Counter("http_requests_total"),
        Kind::PromQl(Expression::TwiceTheTemperature),
    ];
    for kind in kinds {
        for aggregation in [
            None,
            Some(("MEAN", MINUTE)),
            Some(("PERCENTILE_90", 7_000)),
            Some(("MAX", 1_000)),
        ] {
            let start = START + 2 * HOUR + 4 * MINUTE + 500;
            // Over a gap of 21 minutes.
            let end = if matches!(aggregation, Some((_, ..=7_000))) {
                start + 30 * MINUTE
            } else {
                start + HOUR
            };
            let question = Question {
                kind: kind.clone(),
                conditions: Vec::new(),
                start,
                end,
                aggregation,
            };
            let Expected::Points { points, .. } = answer(Store::Prometheus2, &all, &question)
            else {
                anyhow::bail!("the oracle has no points for {question:?}");
            };
            let expected: Vec<(i64, i64)> = points
                .iter()
                .map(|point| (point.start, point.end))
                .collect();
            ensure!(
                expected.len() > 10,
                "{question:?} has only {} points",
                expected.len()
            );
            for limit in [Some(1), Some(2), Some(100), None] {
                for from in [Continue::FromStart, Continue::FromEnd] {
                    let got = pages(&client, &question, limit, from).await?;
                    ensure!(
                        got == expected,
                        "{question:?}, limit {limit:?}, {from:?}: {} points, expected {}",
                        got.len(),
                        expected.len()
                    );
                }
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_limit_cuts_the_newest_points_and_says_so() -> Result<()> {
    let prometheus = Prometheus::start_2().await?;
    load(Store::Prometheus2, &prometheus.url()).await?;
    let mirror = Mirror::start(&MirrorConfig::for_targets(&[("store", &prometheus.url())])).await?;
    let client = Client::new(&mirror.url());
    let question = Question {
        kind: Kind::Gauge("room_temperature"),
        conditions: Vec::new(),
        start: START + HOUR,
        end: START + HOUR + 10 * MINUTE,
        aggregation: Some(("MEAN", MINUTE)),
    };
    let whole = telemetry(&client.ask(&question, Some(2_147_483_647)).await?)?;
    assert_eq!((whole.points.len(), whole.partial), (10, false));
    let exact = telemetry(&client.ask(&question, Some(10)).await?)?;
    assert_eq!((&exact.points, exact.partial), (&whole.points, false));
    let cut = telemetry(&client.ask(&question, Some(9)).await?)?;
    assert_eq!((&cut.points[..], cut.partial), (&whole.points[..9], true));
    Ok(())
}
