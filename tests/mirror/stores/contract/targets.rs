//! Section 3: which target a request asks, and on which terms.

use std::time::{Duration, Instant};

use anyhow::Result;
use harness::servers::{MirrorConfig, Reply, Upstream};
use serde_json::{Value, json};

use super::*;

fn attic() -> Value {
    let at = |index: i64| BASE + 15_000 * index;
    raw(
        json!([[0.1, at(0)], [1e22, at(1)], [-3, at(2)], [0.1 + 0.2, at(3)]]),
        false,
    )
}

fn unknown(asked: &str) -> (u16, Value) {
    let details = format!("{asked} is not a target of this mirror; it has: live, dead");
    (502, connection_error(&details))
}

#[tokio::test]
async fn connection_details_choose_a_declared_target_and_reach_no_other() -> Result<()> {
    let port = store().await?.port();
    let (_mirror, client) = start(&config().await?).await?;
    let here = format!("http://127.0.0.1:{port}");
    let table = [
        (json!({}), (200, attic())),
        (json!({"target": "live"}), (200, attic())),
        (json!({"target": "elsewhere"}), unknown("elsewhere")),
        (json!({"host": "127.0.0.1", "port": port}), (200, attic())),
        (
            json!({"host": "127.0.0.1", "port": port.to_string()}),
            (200, attic()),
        ),
        (
            json!({"host": "127.0.0.1", "port": port, "scheme": "http"}),
            (200, attic()),
        ),
        (
            json!({"host": "127.0.0.1", "port": port, "scheme": "https"}),
            unknown(&format!("127.0.0.1:{port}")),
        ),
        (
            json!({"host": "127.0.0.1", "port": port, "path": "/"}),
            (200, attic()),
        ),
        (
            json!({"host": "127.0.0.1", "port": port, "path": "/prefix"}),
            unknown(&format!("127.0.0.1:{port}")),
        ),
        (
            json!({"host": "localhost", "port": port}),
            unknown(&format!("localhost:{port}")),
        ),
        (
            json!({"host": "127.0.0.1", "port": 2}),
            unknown("127.0.0.1:2"),
        ),
        (json!({"url": here}), (200, attic())),
        (json!({"url": format!("{here}/")}), (200, attic())),
        (
            json!({"url": format!("{here}/prefix")}),
            unknown(&format!("{here}/prefix")),
        ),
        (
            json!({"url": "file:///etc/passwd"}),
            (
                400,
                remote(
                    "bad connection details",
                    "connectionDetails.url must be http://HOST[:PORT][/PATH] or https://HOST[:PORT][/PATH], without user name, query and fragment",
                ),
            ),
        ),
        (
            json!({"target": "live", "requestTimeout": 9000, "other": [1]}),
            (200, attic()),
        ),
        (
            json!({"target": "live", "requestTimeout": "soon"}),
            (
                400,
                remote(
                    "bad connection details",
                    "connectionDetails.requestTimeout must be a positive number of milliseconds",
                ),
            ),
        ),
        (
            json!({"host": "127.0.0.1@evil", "port": port}),
            (
                400,
                remote(
                    "bad connection details",
                    "connectionDetails.host must be a host name or address",
                ),
            ),
        ),
    ];
    for (connection, expected) in table {
        let request = to(metric(gauge("temperature")), connection.clone());
        let answer = client.post("/api/metric", &request).await?;
        assert_eq!(outcome(&answer), expected, "{connection}");
    }
    let mut without = metric(gauge("temperature"));
    without.as_object_mut().unwrap().remove("connectionDetails");
    let answer = client.post("/api/metric", &without).await?;
    let expected = remote("malformed request", "connectionDetails: is missing");
    assert_eq!(outcome(&answer), (400, expected));
    Ok(())
}

#[tokio::test]
async fn empty_connection_details_need_a_default_where_there_are_several_targets() -> Result<()> {
    let config = config().await?.with("defaultTarget", Value::Null);
    let (_mirror, client) = start(&config).await?;
    let answer = client
        .post("/api/metric", &metric(gauge("temperature")))
        .await?;
    let details = "the connection details name no target and this mirror has no default; it has: live, dead; write for example {\"target\": \"live\"}";
    assert_eq!(outcome(&answer), (502, connection_error(details)));
    Ok(())
}

#[tokio::test]
async fn an_undeclared_server_is_asked_only_where_the_mirror_allows_it() -> Result<()> {
    let port = store().await?.port();
    let config = MirrorConfig::for_targets(&[("dead", DEAD)]).with(
        "requestTargets",
        json!({"hosts": ["127.0.0.1"], "ports": [port]}),
    );
    let (_mirror, client) = start(&config).await?;
    let refused = |asked: &str| {
        let details = format!("{asked} is not a target of this mirror; it has: dead");
        (502, connection_error(&details))
    };
    let table = [
        (json!({"host": "127.0.0.1", "port": port}), (200, attic())),
        (
            json!({"url": format!("http://127.0.0.1:{port}")}),
            (200, attic()),
        ),
        (
            json!({"host": "127.0.0.1", "port": 2}),
            refused("127.0.0.1:2"),
        ),
        (
            json!({"host": "127.0.0.2", "port": port}),
            refused(&format!("127.0.0.2:{port}")),
        ),
        (
            json!({"host": "localhost", "port": port}),
            refused(&format!("localhost:{port}")),
        ),
    ];
    for (connection, expected) in table {
        let request = to(metric(gauge("temperature")), connection.clone());
        let answer = client.post("/api/metric", &request).await?;
        assert_eq!(outcome(&answer), expected, "{connection}");
    }
    Ok(())
}

/// A mirror of a target that never answers, with this time-out of its own.
async fn silent(timeout: &str) -> Result<(Upstream, MirrorConfig)> {
    let upstream = Upstream::always(Reply::Hang(Vec::new())).await?;
    let mut config = MirrorConfig::for_targets(&[("silent", upstream.url())]);
    config.spec["targets"][0]["requestTimeout"] = json!(timeout);
    Ok((upstream, config))
}

#[tokio::test]
async fn a_request_shortens_its_targets_time_out_and_gets_a_504_by_then() -> Result<()> {
    let (_upstream, config) = silent("30s").await?;
    let (_mirror, client) = start(&config).await?;
    let table = [
        json!({"requestTimeout": 300}),
        json!({"request_timeout_seconds": 0.3}),
        json!({"requestTimeout": 300, "request_timeout_seconds": 20}),
    ];
    for connection in table {
        let asked = Instant::now();
        let request = to(metric(gauge("x")), connection.clone());
        let answer = client.post("/api/metric", &request).await?;
        let details = "target silent did not answer in time";
        assert_eq!(outcome(&answer), (504, connection_error(details)));
        let took = asked.elapsed();
        assert!(
            (Duration::from_millis(300)..Duration::from_secs(10)).contains(&took),
            "{connection}: {took:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_request_never_lengthens_its_targets_time_out() -> Result<()> {
    let (_upstream, config) = silent("1s").await?;
    let (_mirror, client) = start(&config).await?;
    let asked = Instant::now();
    let request = to(metric(gauge("x")), json!({"requestTimeout": 60_000}));
    let answer = client.post("/api/metric", &request).await?;
    assert_eq!(answer.status, 504, "{}", answer.body);
    assert!(asked.elapsed() < Duration::from_secs(30));
    Ok(())
}

#[tokio::test]
async fn nan_is_zero_or_left_out_and_an_infinity_makes_the_answer_partial() -> Result<()> {
    let at = |index: i64| BASE + 15_000 * index;
    let zero = json!([[0.0, at(0)], [1, at(1)], [2, at(4)]]);
    let none = json!([[1, at(1)], [2, at(4)]]);
    for (own, of_request, points) in [
        ("Zero", json!({}), &zero),
        ("Zero", json!({"nan_interpretation": "NONE"}), &none),
        ("Skip", json!({}), &none),
        ("Skip", json!({"nan_interpretation": "ZERO"}), &zero),
    ] {
        let mut config = config().await?;
        config.spec["targets"][0]["nanInterpretation"] = json!(own);
        let (_mirror, client) = start(&config).await?;
        let answer = client
            .post(
                "/api/metric",
                &to(metric(gauge("special")), of_request.clone()),
            )
            .await?;
        assert_eq!(
            outcome(&answer),
            (200, raw(points.clone(), true)),
            "{own}, {of_request}"
        );
    }
    Ok(())
}
