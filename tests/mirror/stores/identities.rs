//! Who the mirror is to a store, on real ones: tokens that live two seconds, obtained from a real
//! OpenID provider in each of the ways that there are, and headers and parameters with credentials.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use harness::client::{Client, equals, telemetry};
use harness::remote_write;
use harness::samples::{self, Sample, Series};
use harness::servers::{
    Mirror, MirrorConfig, OpenIdProvider, Prometheus, Reply, Upstream, VictoriaMetrics, eventually,
    http_client,
};
use serde_json::{Value, json};

use super::secured::{asking, comes_through, connection, is_fine, refusal};

/// How long the provider's tokens are good, in seconds.
const LIFETIME: u32 = 2;

/// Some instant, in milliseconds.
const START: i64 = 1_700_000_000_000;

/// A file of a token, as the operator mounts one of this audience.
fn token_file(audience: &str) -> String {
    let token = crds::ProjectedToken {
        audience: Some(audience.to_owned()),
        expiration_seconds: 600,
    };
    format!("tokens/{}", token.file())
}

fn service_account(audience: &str) -> Value {
    json!({"serviceAccountToken": {"audience": audience, "expiration": "600s"}})
}

/// A target behind the provider's gate. `field` is what `oauth2` needs beside what all have.
fn by_oauth2(provider: &OpenIdProvider, fields: Value) -> MirrorConfig {
    let mut oauth2 = json!({"tokenUrl": provider.token_url(), "scopes": ["metrics"]});
    if let (Some(all), Value::Object(fields)) = (oauth2.as_object_mut(), fields) {
        all.extend(fields);
    }
    MirrorConfig::for_targets(&[("store", &provider.gate())])
        .with_target("auth", json!({"oauth2": oauth2}))
}

fn by_secret(provider: &OpenIdProvider, id: &str, secret: &str) -> MirrorConfig {
    let reference = json!({"name": "client", "key": "secret"});
    by_oauth2(
        provider,
        json!({"clientId": id, "clientSecretSecretRef": reference}),
    )
    .with_file("secrets/client/secret", secret)
}

/// Asks without a pause until several tokens have come and gone. Not one request may fail.
async fn outlives_its_tokens(
    provider: &OpenIdProvider,
    config: &MirrorConfig,
    token: Option<(&str, Value)>,
) -> Result<()> {
    let mut config = config.clone();
    if let Some((audience, _)) = &token {
        // Read when the document is loaded, and not used.
        config = config.with_file(&token_file(audience), "nobody-takes-this");
    }
    let mirror = Mirror::start(&config).await?;
    if let Some((audience, claims)) = &token {
        let file = mirror.process().directory().join(token_file(audience));
        provider.keep(&file, claims).await?;
    }
    let client = Client::new(&mirror.url());
    comes_through(&client).await?;
    let asking = asking(&client);
    let so_far = provider.count("tokensSeen").await?;
    eventually("several tokens", || async {
        ensure!(!asking.has_failed(), "a request failed");
        let seen = provider.count("tokensSeen").await?;
        Ok((seen >= so_far + 3).then_some(()))
    })
    .await?;
    asking.end().await?;
    assert!(
        provider.count("mostAtOnce").await? <= 1,
        "several asked for a token at once"
    );
    Ok(())
}

async fn provider() -> Result<(Prometheus, OpenIdProvider)> {
    let store = Prometheus::start_2().await?;
    let provider = OpenIdProvider::start(&store.url(), LIFETIME).await?;
    Ok((store, provider))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_for_a_secret_are_renewed_under_load() -> Result<()> {
    let (_store, provider) = provider().await?;
    for (id, secret) in [("in-header", "sec:ret/+%1 2"), ("in-form", "form-secret")] {
        outlives_its_tokens(&provider, &by_secret(&provider, id, secret), None).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_for_an_assertion_are_renewed_under_load() -> Result<()> {
    let (_store, provider) = provider().await?;
    let fields = json!({"clientId": "asserted", "clientAssertion": service_account("asserted")});
    let claims = json!({"iss": "asserted", "sub": "asserted", "aud": provider.token_url()});
    let token = Some(("asserted", claims));
    outlives_its_tokens(&provider, &by_oauth2(&provider, fields), token).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exchanged_tokens_are_renewed_under_load() -> Result<()> {
    let (_store, provider) = provider().await?;
    let fields = json!({
        "clientId": "exchanged",
        "tokenExchange": service_account("pool"),
        "endpointParams": {"audience": "pool"},
    });
    let claims = json!({"iss": "kubernetes", "sub": "system:serviceaccount:a:b", "aud": "pool"});
    let token = Some(("pool", claims));
    outlives_its_tokens(&provider, &by_oauth2(&provider, fields), token).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_accounts_own_tokens_are_read_again_under_load() -> Result<()> {
    let (_store, provider) = provider().await?;
    let config = MirrorConfig::for_targets(&[("store", &provider.gate())])
        .with_target("auth", json!({"bearer": service_account("store")}));
    let claims = json!({"iss": "kubernetes", "sub": "system:serviceaccount:a:b", "aud": "store"});
    outlives_its_tokens(&provider, &config, Some(("store", claims))).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_provider_is_told_and_ends_by_itself() -> Result<()> {
    let (_store, provider) = provider().await?;
    let mirror = Mirror::start(&by_secret(&provider, "in-form", "form-secret")).await?;
    let client = Client::new(&mirror.url());
    comes_through(&client).await?;
    provider.outage(true).await?;
    let told = eventually("the last token's end", || async {
        let answer = connection(&client).await?;
        Ok((!is_fine(&answer)).then(|| answer["error"]["details"].clone()))
    })
    .await?;
    let expected = "the token endpoint 127.0.0.1 of target store answered 503 Service Unavailable: out of order";
    assert_eq!(told, expected);
    provider.outage(false).await?;
    comes_through(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_refuses_is_told_without_the_token() -> Result<()> {
    let (_store, provider) = provider().await?;
    // Nobody signed it; the provider's gate repeats what it was sent.
    let forged = "eyJhbGciOiJFUzI1NiJ9.eyJhdWQiOiJwb29sIn0.c2lnbmVk";
    let exchanged = by_oauth2(
        &provider,
        json!({"clientId": "exchanged", "tokenExchange": service_account("pool"), "endpointParams": {"audience": "pool"}}),
    )
    .with_file(&token_file("pool"), forged);
    let told = refusal(&exchanged).await?;
    let begins = "the token endpoint 127.0.0.1 of target store refused the credentials: it answered 400 Bad Request: ";
    assert!(told.starts_with(begins), "{told}");
    let own = MirrorConfig::for_targets(&[("store", &provider.gate())])
        .with_target("auth", json!({"bearer": service_account("store")}))
        .with_file(&token_file("store"), forged);
    assert_eq!(
        refusal(&own).await?,
        "target store refused the credentials: it answered 401 Unauthorized: no such token: ***"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_and_parameters_go_with_every_call_and_are_not_told() -> Result<()> {
    const SECRET: &str = "k3y-of-the-service";
    let server = Prometheus::start_2().await?;
    let store = server.url();
    // Forms are not passed on.
    let nothing = json!({"status": "success", "data": {"resultType": "matrix", "result": []}});
    let gate = Upstream::start(move |request| match request.starts_with("POST ") {
        true => Reply::Json(nothing.to_string()),
        false => Reply::PassOn(store.clone()),
    })
    .await?;
    let config = |url: &str| {
        MirrorConfig::for_targets(&[("store", url)])
            .with_target("headers", json!({"X-Scope-OrgID": "team"}))
            .with_target("parameters", json!({"namespace": "a b", "dedup": "true"}))
            .with_target(
                "auth",
                json!({"headers": [{"name": "X-API-Key", "valueSecretRef": {"name": "service", "key": "token"}}]}),
            )
            .with_file("secrets/service/token", SECRET)
    };
    let mirror = Mirror::start(&config(gate.url())).await?;
    let client = Client::new(&mirror.url());
    comes_through(&client).await?;
    // Too long for a URL by choice: it goes as a POST.
    let long = format!("sum(up{{job=~\"{}\"}})", "x".repeat(5000));
    let conditions = json!([equals("~", &long)]);
    let answer = client
        .metric(
            &conditions,
            START,
            START + 600_000,
            None,
            Some(("MEAN", 60_000)),
        )
        .await?;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.body);
    let request = client.metric_request(
        &conditions,
        START,
        START + 600_000,
        None,
        Some(("MEAN", 60_000)),
    );
    let explained = client.post("/api/explain", &request).await?.json();
    assert_eq!(explained["parameters"], "dedup=true&namespace=a+b");
    let requests = gate.requests();
    assert!(
        requests.iter().any(|request| request.starts_with("POST ")),
        "{requests:?}"
    );
    for request in &requests {
        let line = request.lines().next().unwrap_or_default();
        assert!(line.contains("?dedup=true&namespace=a+b"), "{line}");
        for header in [
            "x-api-key: k3y-of-the-service\r\n",
            "x-scope-orgid: team\r\n",
        ] {
            assert!(request.contains(header), "{request}");
        }
    }

    let repeats = Upstream::always(Reply::Status(
        403,
        json!({"message": format!("unknown key {SECRET}")}).to_string(),
    ))
    .await?;
    assert!(
        refusal(&config(repeats.url()))
            .await?
            .ends_with("unknown key ***"),
        "refusal() fails where the value is shown"
    );
    Ok(())
}

/// One that enforces what a parameter says, in a query and in a form.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parameter_limits_every_query_to_victoriametrics() -> Result<()> {
    let store = VictoriaMetrics::start().await?;
    let series = |team: &str, value: f64| {
        let mut series = Series::new("load", &[("team", team)]);
        series.samples = vec![Sample {
            at: samples::START,
            value,
        }];
        series
    };
    remote_write::load(&store.url(), &[series("a", 1.0), series("b", 2.0)]).await?;
    // Otherwise what was written shows within seconds.
    let flush = format!("{}/internal/force_flush", store.url());
    http_client().get(flush).send().await?.error_for_status()?;
    let config = MirrorConfig::for_targets(&[("store", &store.url())])
        .with_target("parameters", json!({"extra_label": "team=b"}));
    let mirror = Mirror::start(&config).await?;
    let client = Client::new(&mirror.url());
    let long = format!("sum(load{{team=~\"a|b|{}\"}})", "x".repeat(5000));
    for conditions in [
        json!([equals("__gauge__", "load")]),
        json!([equals("~", "sum(load)")]),
        json!([equals("~", &long)]),
    ] {
        let (start, end) = (samples::START, samples::START + 60_000);
        let answer = client.metric(&conditions, start, end, None, None).await?;
        ensure!(answer.status == 200, "{}", answer.body);
        let points = telemetry(&answer)?.points;
        let values: BTreeSet<_> = points.into_iter().map(|(value, ..)| value).collect();
        assert_eq!(values, ["2".to_owned()].into(), "{}", answer.body);
    }
    Ok(())
}
