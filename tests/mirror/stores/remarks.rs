//! What real servers remark about a query leaves an answer complete: Prometheus 2.53 puts the
//! engine's infos among the warnings, Prometheus 3 has a list of their own for them.

use anyhow::{Context as _, Result, ensure};
use harness::client::{Client, telemetry};
use harness::oracle::{Kind, Question};
use harness::remote_write;
use harness::samples::{MINUTE, SCRAPE, START, Sample, Series};
use harness::servers::{Mirror, MirrorConfig, Prometheus, http_client};
use serde_json::Value;

/// A counter whose name does not say so.
fn counter() -> Series {
    let mut series = Series::new("shop_requests", &[("job", "shop")]);
    series.samples = (START..START + 60 * MINUTE)
        .step_by(usize::try_from(SCRAPE).unwrap_or(1))
        .map(|at| Sample {
            at,
            value: ((at - START) / 1000 * 3) as f64,
        })
        .collect();
    series
}

/// The first remark of the server itself about a rate of that counter.
async fn remark(url: &str, list: &str) -> Result<String> {
    let (start, end) = (START / 1000 + 600, START / 1000 + 1_200);
    let query = format!(
        "{url}/api/v1/query_range?query=avg(rate(shop_requests[5m]))&start={start}&end={end}&step=300"
    );
    let answer: Value = http_client().get(query).send().await?.json().await?;
    let remark = answer[list][0].as_str();
    Ok(remark
        .with_context(|| format!("no {list}: {answer}"))?
        .to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_engine_remarks_about_a_query_leaves_its_answer_complete() -> Result<()> {
    let table = [
        (Prometheus::start_2_53().await?, "warnings"),
        (Prometheus::start_3().await?, "infos"),
    ];
    for (server, list) in table {
        remote_write::load(&server.url(), &[counter()]).await?;
        let said = remark(&server.url(), list).await?;
        ensure!(
            said.starts_with("PromQL info: metric might not be a counter"),
            "{said}"
        );
        let config = MirrorConfig::for_targets(&[("store", &server.url())]);
        let mirror = Mirror::start(&config).await?;
        let question = Question {
            kind: Kind::Counter("shop_requests"),
            conditions: Vec::new(),
            start: START + 10 * MINUTE,
            end: START + 50 * MINUTE,
            aggregation: Some(("MEAN", 5 * MINUTE)),
        };
        let answer = telemetry(&Client::new(&mirror.url()).ask(&question, None).await?)?;
        ensure!(!answer.partial, "{list}: partial");
        ensure!(
            answer.points.len() == 8,
            "{list}: {} points",
            answer.points.len()
        );
    }
    Ok(())
}
