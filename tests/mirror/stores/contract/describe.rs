//! What stands behind the names that a field request lists.

use harness::servers::{Reply, Upstream};

use super::*;

fn request(kind: &str, more: Value) -> Value {
    let mut query =
        json!({"_type": format!("{kind}Query"), "startTime": BASE, "endTime": BASE + MINUTE});
    query
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    json!({"_type": format!("{kind}Request"), "connectionDetails": {}, "query": query})
}

fn values(field: &str, prefix: &str, conditions: Value) -> Value {
    let more = json!({"field": field, "fieldValuePrefix": prefix, "conditions": conditions});
    request("FieldValues", more)
}

#[tokio::test]
async fn labels_and_values_have_as_many_series_as_match_the_conditions() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let counted = |series: u64, counts: Value| json!({"target": "live", "series": series, "counts": counts, "isPartial": false});
    let names = |conditions: Value| request("FieldNames", json!({ "conditions": conditions }));
    let table = [
        (
            names(gauge("matched")),
            counted(5, json!({"id": 5, "ver": 5, "flag": 2})),
        ),
        (
            names(json!([gauge("load")[0], equals("place", "loft")])),
            counted(1, json!({"place": 1, "index": 1})),
        ),
        (names(gauge("nosuch")), counted(0, json!({}))),
        (
            values("flag", "", gauge("matched")),
            counted(2, json!({"false": 1, "true": 1})),
        ),
        (
            values("id", "two", gauge("matched")),
            counted(
                3,
                json!({"two": 1, "two point zero": 1, "two point zero zero": 1}),
            ),
        ),
        // A label that no series has.
        (
            values("nosuch", "", gauge("matched")),
            counted(0, json!({})),
        ),
        // That would be all series of the store.
        (
            names(json!([])),
            json!({"target": "live", "series": 0, "counts": {}, "isPartial": true}),
        ),
    ];
    for (request, expected) in table {
        let answer = client.post("/api/describe", &request).await?;
        assert_eq!(outcome(&answer), (200, expected), "{request}");
    }
    let answer = client.post("/api/describe", &metric(gauge("load"))).await?;
    let details = "_type: \"MetricsRequest\" cannot be described; FieldNamesRequest and FieldValuesRequest can";
    assert_eq!(
        outcome(&answer),
        (400, remote("malformed request", details))
    );
    Ok(())
}

/// A store with these names, whose metadata say more of some: more of them than anybody asks for.
async fn scripted(names: &[String]) -> Result<Upstream> {
    let names = json!(names);
    let upstream = Upstream::start(move |head| {
        let of = |kind: &str, help: &str, unit: &str| json!([{"type": kind, "help": help, "unit": unit}]);
        let data = if !head.starts_with("GET /api/v1/metadata") {
            names.clone()
        } else if head.contains("metric=m_speed_total&") {
            json!({})
        } else if head.contains("metric=m_speed&") {
            json!({"m_speed": of("counter", "How fast", "")})
        } else if head.contains("metric=m_much&") {
            json!({"m_much": of("gauge", &"x".repeat(100_000), "")})
        } else if head.contains("metric=m_long&") {
            json!({"m_long": of("info", &"ü".repeat(1_000), "bytes"), "other": of("gauge", "", "")})
        } else {
            json!({})
        };
        Reply::Json(json!({"status": "success", "data": data}).to_string())
    });
    upstream.await
}

#[tokio::test]
async fn the_first_metrics_of_a_list_have_type_help_and_unit_in_the_stores_words() -> Result<()> {
    let named = ["m_long", "m_much", "m_silent"].map(str::to_owned);
    let others = (10..40).map(|index| format!("m_zz_{index}"));
    let names: Vec<String> = named.into_iter().chain(others).collect();
    let upstream = scripted(&names).await?;
    let (_mirror, client) =
        start(&MirrorConfig::for_targets(&[("scripted", upstream.url())])).await?;
    let answer = client
        .post("/api/describe", &values("__gauge__", "m_", json!([])))
        .await?;
    let long = format!("{}…", "ü".repeat(250));
    let expected = json!({
        "target": "scripted", "values": names, "isPartial": false,
        "metrics": {"m_long": {"type": "info", "help": long, "unit": "bytes"}},
    });
    assert_eq!(outcome(&answer), (200, expected));
    let asked = upstream.requests();
    let of_one = asked.iter().filter(|request| {
        request.contains("/api/v1/metadata?metric=")
            && request.contains("&limit=1&limit_per_metric=1&")
    });
    assert_eq!(of_one.count(), 10, "{asked:#?}");
    Ok(())
}

/// OpenMetrics has the metadata of a family under a name that none of its series has.
#[tokio::test]
async fn a_metric_without_metadata_of_its_own_has_those_of_its_family() -> Result<()> {
    let upstream = scripted(&["m_speed_total".to_owned()]).await?;
    let (_mirror, client) =
        start(&MirrorConfig::for_targets(&[("scripted", upstream.url())])).await?;
    let answer = client
        .post(
            "/api/describe",
            &values("__counter__", "m_speed", json!([])),
        )
        .await?;
    let expected = json!({
        "target": "scripted", "values": ["m_speed_total"], "isPartial": false,
        "metrics": {"m_speed_total": {"type": "counter", "help": "How fast", "unit": ""}},
    });
    assert_eq!(outcome(&answer), (200, expected));
    Ok(())
}
