//! A client that follows patterns and pages until nothing is left finds exactly the names there
//! are.

use std::collections::VecDeque;

use anyhow::{Result, ensure};
use harness::servers::{Reply, Upstream};

use super::*;

/// All values of a query kind, found as StackState's query editor finds them: a pattern comes back
/// as the prefix as it was answered, and what is partial is continued with `offset`.
async fn refined(client: &Client, limit: usize) -> Result<(Vec<String>, usize)> {
    let (mut prefixes, mut names, mut requests) = (VecDeque::from([String::new()]), Vec::new(), 0);
    while let Some(prefix) = prefixes.pop_front() {
        let mut offset = 0;
        loop {
            requests += 1;
            ensure!(requests < 1_000, "no end at {prefix:?} and {offset}");
            let query = json!({
                "_type": "FieldValuesQuery",
                "field": {"fieldName": "__gauge__", "fieldType": "STRING", "classified": false, "_type": "FieldDescriptor"},
                "fieldValuePrefix": prefix, "conditions": [], "limit": limit, "offset": offset,
                "startTime": BASE, "endTime": BASE + MINUTE, "latestFirst": true,
            });
            let request =
                json!({"_type": "FieldValuesRequest", "connectionDetails": {}, "query": query});
            let answer = client.post("/api/field/value", &request).await?;
            ensure!(answer.status == 200, "{}", answer.body);
            let body = answer.json();
            let values = body["values"].as_array().unwrap();
            ensure!(values.len() <= limit, "{} values", values.len());
            for value in values {
                let text = value["value"].as_str().unwrap().to_owned();
                if value["_type"] == "FieldValuePattern" {
                    ensure!(text != prefix, "{text} leads to itself");
                    prefixes.push_back(text);
                } else {
                    names.push(text);
                }
            }
            if body["isPartial"] == false {
                break;
            }
            ensure!(!values.is_empty(), "partial, and nothing new");
            offset += values.len();
        }
    }
    names.sort();
    Ok((names, requests))
}

/// Names of every form that makes folding difficult: nested, equal to a prefix of others, with
/// separators beside each other and at the end, many without any, and patterns' own characters.
fn awkward() -> Vec<String> {
    let mut names: Vec<String> = [
        "node", "node_", "node__", "node___a", "node___b", "_", "__", "_a", "up", "a:b_c", "a:b_d",
    ]
    .map(str::to_owned)
    .to_vec();
    for outer in ["cpu", "disk", "net_rx"] {
        names.extend((0..25).map(|index| format!("node_{outer}_{index}")));
    }
    names.extend((0..30).map(|index| format!("flat{index}")));
    names.sort();
    names
}

#[tokio::test]
async fn patterns_lead_to_all_names_of_a_real_store_and_to_no_others() -> Result<()> {
    let prometheus = Prometheus::start_2().await?;
    let names = awkward();
    let series = names.iter().map(|name| {
        let mut series = Series::new(name, &[]);
        series.samples.push(Sample {
            at: BASE,
            value: 1.0,
        });
        series
    });
    remote_write::load(&prometheus.url(), &series.collect::<Vec<_>>()).await?;
    let (_mirror, client) = start(&MirrorConfig::for_targets(&[("a", &prometheus.url())])).await?;
    let all = usize::try_from(i32::MAX)?;
    assert_eq!(refined(&client, all).await?, (names.clone(), 1));
    for limit in [1, 9, 10, 13, 40] {
        let (found, requests) = refined(&client, limit).await?;
        assert_eq!(found, names, "limit {limit}");
        assert!(requests > 1, "limit {limit}");
    }
    Ok(())
}

#[tokio::test]
async fn patterns_lead_through_names_with_dots_stars_and_backslashes() -> Result<()> {
    let mut names: Vec<String> = [
        r"C:\temp_1",
        r"C:\temp_2",
        r"C:\temp*",
        r"\",
        r"\*",
        "*",
        "**",
        "*_a",
        "*_b",
        "größe.東京.x",
        "größe.東京.y",
    ]
    .map(str::to_owned)
    .to_vec();
    for outer in ["server", "client*", "client"] {
        names.extend((0..15).map(|index| format!("http.{outer}.v_{index}")));
    }
    names.sort();
    let stored = names.clone();
    let upstream = Upstream::start(move |head| {
        let data = if head.starts_with("GET /api/v1/metadata") {
            json!({})
        } else {
            json!(stored)
        };
        Reply::Json(json!({"status": "success", "data": data}).to_string())
    })
    .await?;
    let (_mirror, client) = start(&MirrorConfig::for_targets(&[("a", upstream.url())])).await?;
    for limit in [1, 10, 12, 100] {
        assert_eq!(refined(&client, limit).await?.0, names, "limit {limit}");
    }
    Ok(())
}
