//! `docs/openapi.yaml`: every answer that a test of the contract gets is one that it describes.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail, ensure};
use jsonschema::Validator;

use super::*;

/// The document as it is in the repository.
static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_yaml::from_str(include_str!("../../../../docs/openapi.yaml")).unwrap());

/// Follows a reference, if it is one.
fn resolved(value: &'static Value) -> &'static Value {
    match value["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(&reference[1..]).unwrap(),
        None => value,
    }
}

/// What the document says about an answer with this status.
fn described(method: &str, path: &str, status: u16) -> Result<&'static Value> {
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let path = format!("/{}", segments.join("/"));
    let Some(operations) = DOCUMENT["paths"].get(&path) else {
        return match status {
            401 => Ok(&DOCUMENT["components"]["responses"]["Unauthorized"]),
            404 => Ok(&DOCUMENT["components"]["responses"]["NoSuchPath"]),
            _ => bail!("{path} is no path"),
        };
    };
    let operation = match operations.get(method.to_lowercase()) {
        Some(operation) => operation,
        None if status == 405 || status == 401 => {
            operations.as_object().unwrap().values().next().unwrap()
        }
        None => bail!("{path} does not take {method}"),
    };
    operation["responses"]
        .get(status.to_string())
        .map(resolved)
        .context("no such status")
}

/// Whether the document describes this answer: status, headers, type and body.
pub(crate) fn check(method: &str, path: &str, answer: &Answer) -> Result<()> {
    let described = described(method, path, answer.status)?;
    let headers = described["headers"].as_object().unwrap();
    for (name, header) in headers {
        let value = answer
            .header(name)
            .with_context(|| format!("without {name}"))?;
        fits(&resolved(header)["schema"], &json!(value)).with_context(|| name.clone())?;
    }
    ensure!(
        headers.contains_key(KEY) == answer.header(KEY).is_some(),
        "the key is {:?}",
        answer.header(KEY)
    );
    ensure!(answer.header("content-type") == Some("application/json"));
    let body: Value = serde_json::from_str(&answer.body)?;
    fits(&described["content"]["application/json"]["schema"], &body)
}

/// Whether a value fits a schema of the document.
fn fits(schema: &Value, value: &Value) -> Result<()> {
    static VALIDATORS: LazyLock<Mutex<HashMap<String, Validator>>> = LazyLock::new(Mutex::default);
    let mut validators = VALIDATORS.lock().unwrap_or_else(PoisonError::into_inner);
    let validator = validators.entry(schema.to_string()).or_insert_with(|| {
        let root = json!({"allOf": [schema], "components": DOCUMENT["components"]});
        jsonschema::validator_for(&root).unwrap()
    });
    validator
        .validate(value)
        .map_err(|error| anyhow::anyhow!("at {:?}: {error}", error.instance_path().to_string()))
}

#[tokio::test]
async fn the_mirror_serves_the_document_as_json() -> Result<()> {
    let (_mirror, client) = start(&config().await?).await?;
    let (http, base) = client.http();
    for path in ["/openapi.json", "//openapi.json/"] {
        let answer = client.send(http.get(format!("{base}{path}"))).await?;
        assert_eq!(outcome(&answer), (200, DOCUMENT.clone()));
    }
    let answer = client
        .send(http.post(format!("{base}/openapi.json")))
        .await?;
    let expected = remote("wrong HTTP method", "/openapi.json takes GET");
    assert_eq!(outcome(&answer), (405, expected));
    let refused = http
        .get(format!("{base}/openapi.json"))
        .header(KEY, "wrong");
    assert_eq!(client.send(refused).await?.status, 401);
    Ok(())
}

#[test]
fn an_answer_that_the_document_does_not_describe_is_noticed() {
    let answer = |status: u16, body: Value, headers: &[(&'static str, &str)]| Answer {
        status,
        headers: headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect(),
        body: body.to_string(),
    };
    let all = [
        ("content-type", "application/json"),
        ("x-mirror-api-key", "k"),
        ("x-request-id", "1"),
    ];
    let about = json!({"app": "Prometheus Mirror", "version": "1"});
    assert!(check("GET", "/", &answer(200, about.clone(), &all)).is_ok());
    let faults = [
        (
            "GET",
            "/",
            answer(200, json!({"app": "Prometheus Mirror"}), &all),
        ),
        ("GET", "/", answer(200, about.clone(), &all[..2])),
        ("GET", "/", answer(200, about.clone(), &all[1..])),
        ("GET", "/", answer(200, about.clone(), &[all[0], all[2]])),
        ("GET", "/", answer(204, about.clone(), &all)),
        ("PUT", "/", answer(200, about.clone(), &all)),
        ("GET", "/x", answer(200, about, &all)),
        (
            "POST",
            "/api/metric",
            answer(503, remote("too busy", "x"), &all),
        ),
        (
            "POST",
            "/api/metric",
            answer(401, remote("unauthorized", "x"), &all),
        ),
        (
            "POST",
            "/api/metric",
            answer(200, raw(json!([[1.0, 2.5]]), false), &all),
        ),
        (
            "POST",
            "/api/metric",
            answer(200, raw(json!([["1", 2]]), false), &all),
        ),
        (
            "POST",
            "/api/metric",
            answer(400, connection_error("x"), &all),
        ),
    ];
    for (method, path, answer) in faults {
        assert!(
            check(method, path, &answer).is_err(),
            "{method} {path}: {answer:?}"
        );
    }
}
