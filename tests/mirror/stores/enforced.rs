//! A target with enforced matchers: no request reads series outside them, whatever it asks.

use anyhow::{Result, ensure};
use harness::client::{Client, equals, telemetry};
use harness::remote_write;
use harness::samples::{START, Sample, Series};
use harness::servers::{Mirror, MirrorConfig, Prometheus};
use serde_json::{Value, json};

use crate::generated::{Generator, KNOWN};

/// Series of two teams; what only the second has is called `secret`.
fn stored() -> Vec<Series> {
    let series = |name: &str, labels: &[(&str, &str)], value: f64| {
        let mut series = Series::new(name, labels);
        series.samples = vec![Sample { at: START, value }];
        series
    };
    vec![
        series("load", &[("team", "a"), ("place", "hall")], 1.0),
        series("load", &[("team", "b"), ("place", "secret")], 2.0),
        series("secret", &[("team", "b"), ("secret", "yes")], 3.0),
        series("latency_count", &[("team", "a")], 1.0),
        series("latency_bucket", &[("team", "a"), ("le", "+Inf")], 1.0),
        series("latency_sum", &[("team", "a")], 1.0),
    ]
}

async fn start() -> Result<(Prometheus, Mirror, Client)> {
    let store = Prometheus::start_2().await?;
    remote_write::load(&store.url(), &stored()).await?;
    let config = MirrorConfig::for_targets(&[("store", &store.url())])
        .with_target("enforcedMatchers", json!([{"name": "team", "value": "a"}]));
    let mirror = Mirror::start(&config).await?;
    let client = Client::new(&mirror.url());
    Ok((store, mirror, client))
}

/// The values of a raw query, or the status and the error.
async fn values(client: &Client, conditions: Value) -> Result<Result<Vec<String>, (u16, Value)>> {
    let answer = client
        .metric(&conditions, START, START + 60_000, None, None)
        .await?;
    if answer.status != 200 {
        return Ok(Err((answer.status, answer.json())));
    }
    let points = telemetry(&answer)?.points.into_iter();
    Ok(Ok(points.map(|(value, ..)| value).collect()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_kind_reads_only_what_the_matchers_let_it() -> Result<()> {
    let (_store, _mirror, client) = start().await?;
    let gauge = json!([equals("__gauge__", "load")]);
    assert_eq!(values(&client, gauge).await?, Ok(vec!["1".to_owned()]));
    for conditions in [
        json!([equals("__gauge__", "load"), equals("team", "b")]),
        json!([equals("__gauge__", "secret")]),
        json!([equals("__counter__", "secret")]),
        json!([equals("__histogram__", "secret")]),
        json!([equals("__summary__", "secret")]),
    ] {
        let said = values(&client, conditions.clone()).await?;
        assert!(matches!(said, Err((404, _))), "{conditions}: {said:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_expression_is_narrowed_in_every_selector_or_refused() -> Result<()> {
    let (_store, _mirror, client) = start().await?;
    let ask = async |promql: &str| values(&client, json!([equals("~", promql)])).await;
    for (promql, expected) in [
        ("sum(load)", "1"),
        ("load or load{team=\"b\"} or secret", "1"),
        ("count({__name__=~\".+\"})", "4"),
        ("sum(load) + scalar(count({team=~\"a|b\"}))", "5"),
        ("max_over_time(sum(load)[1m:15s])", "1"),
    ] {
        let values = ask(promql)
            .await?
            .map_err(|error| anyhow::anyhow!("{promql}: {error:?}"))?;
        assert_eq!(
            values.first().map(String::as_str),
            Some(expected),
            "{promql}"
        );
        assert!(
            values.iter().all(|value| value == expected),
            "{promql}: {values:?}"
        );
    }
    let refused = |why: &str| {
        let details = format!(
            "this target enforces label matchers, and the expression cannot be completed with them: {why}"
        );
        (
            400,
            json!({"_type": "RemoteMirrorError", "summary": "expression refused", "details": details}),
        )
    };
    let unreadable = "it is not PromQL that this mirror can read";
    for (promql, why) in [
        (
            "info(load)",
            "it calls info(), which reads series that no selector names",
        ),
        ("load # } or secret", "it has a comment; leave it out"),
        ("load} or secret{", unreadable),
        ("WITH (x = secret) x", unreadable),
    ] {
        assert_eq!(ask(promql).await?, Err(refused(why)), "{promql}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_and_explanations_show_nothing_outside_the_matchers() -> Result<()> {
    let (_store, _mirror, client) = start().await?;
    let request = |kind: &str, more: Value| {
        let mut query = json!({"_type": format!("{kind}Query"), "conditions": [], "startTime": START, "endTime": START + 60_000});
        for (name, value) in more.as_object().into_iter().flatten() {
            query[name] = value.clone();
        }
        json!({"_type": format!("{kind}Request"), "connectionDetails": {}, "query": query})
    };
    let names = client
        .post("/api/field/name", &request("FieldNames", json!({})))
        .await?;
    assert!(names.body.contains("\"place\""), "{}", names.body);
    assert!(!names.body.contains("secret"), "{}", names.body);
    for field in [
        "team",
        "place",
        "secret",
        "__gauge__",
        "__histogram__",
        "__name__",
    ] {
        for prefix in ["", "s"] {
            let more = json!({"field": field, "fieldValuePrefix": prefix, "offset": 0});
            let answer = client
                .post("/api/field/value", &request("FieldValues", more))
                .await?;
            assert_eq!(answer.status, 200, "{}", answer.body);
            let values = answer.json()["values"].to_string();
            assert!(
                !values.contains("secret") && !values.contains("\"b\""),
                "{field}: {values}"
            );
        }
    }
    let explained = client
        .post(
            "/api/explain",
            &client.metric_request(
                &json!([equals("~", "sum(load)")]),
                START,
                START + 60_000,
                None,
                Some(("MEAN", 60_000)),
            ),
        )
        .await?;
    assert!(
        explained.body.contains(r#"sum(load{team=\"a\"})"#),
        "{}",
        explained.body
    );
    let explained = client
        .post("/api/explain", &request("FieldNames", json!({})))
        .await?;
    assert!(
        explained.body.contains(r#"team=\"a\""#),
        "{}",
        explained.body
    );
    Ok(())
}

/// Series of one team under all names that expressions have, five minutes long. Values differ from
/// team to team.
fn of_team(team: &str, offset: f64) -> Vec<Series> {
    let names = [
        "load",
        "secret",
        "up",
        "http:requests:rate5m",
        "_x",
        "latency_count",
        "a1",
        "sum",
        "count",
        "a.b",
    ];
    let places = ["hall", "a", "b"];
    let all = names.iter().flat_map(|name| {
        places.iter().map(move |place| {
            let job = format!("job-{place}");
            let labels = [("team", team), ("place", *place), ("job", job.as_str())];
            let mut series = Series::new(name, &labels);
            let number = (name.len() + place.len()) as f64 + offset;
            series.samples = (0..20)
                .map(|step: i32| Sample {
                    at: START + i64::from(step) * 15_000,
                    value: number + f64::from(step) * number,
                })
                .collect();
            series
        })
    });
    all.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_team_has_makes_no_difference_to_any_answer() -> Result<()> {
    let (shared, alone) = (Prometheus::start_3().await?, Prometheus::start_3().await?);
    let (ours, theirs) = (of_team("a", 0.0), of_team("b", 0.25));
    remote_write::load(&shared.url(), &[ours.as_slice(), &theirs].concat()).await?;
    remote_write::load(&alone.url(), &ours).await?;
    let mut mirrors = Vec::new();
    for store in [&shared, &alone] {
        let config = MirrorConfig::for_targets(&[("store", &store.url())])
            .with_target("enforcedMatchers", json!([{"name": "team", "value": "a"}]));
        mirrors.push(Mirror::start(&config).await?);
    }
    let clients: Vec<_> = mirrors
        .iter()
        .map(|mirror| Client::new(&mirror.url()))
        .collect();
    let mut generator = Generator::new(2_000);
    let made_up = std::iter::repeat_with(|| generator.expression());
    let known = KNOWN.iter().map(|known| (*known).to_owned());
    // Which ones of equal series these take is not fixed.
    let of_ties = |promql: &String| {
        ["topk", "bottomk", "limitk"]
            .iter()
            .any(|f| promql.contains(f))
    };
    let all = known.chain(made_up).filter(|promql| !of_ties(promql));
    let mut with_points = 0;
    for (index, promql) in all.take(2_000).enumerate() {
        // One series at last, so that most have points; the others say which series there are.
        let promql = match index % 4 {
            0 => promql,
            1 => format!("count({promql})"),
            2 => format!("sum({promql})"),
            _ => format!("max({promql})"),
        };
        let conditions = json!([equals("~", &promql)]);
        let aggregation = (index % 2 == 0).then_some(("MEAN", 60_000));
        let ask = async |client: &Client| {
            client
                .metric(&conditions, START, START + 300_000, None, aggregation)
                .await
        };
        let (of_shared, of_alone) = tokio::try_join!(ask(&clients[0]), ask(&clients[1]))?;
        ensure!(
            of_shared.status == of_alone.status && of_shared.body == of_alone.body,
            "{promql}\n{} {}\n{} {}",
            of_shared.status,
            of_shared.body,
            of_alone.status,
            of_alone.body
        );
        with_points += usize::from(of_shared.status == 200);
    }
    // Most refusals are of expressions that give several series.
    ensure!(with_points > 700, "{with_points} of 2000");
    Ok(())
}
