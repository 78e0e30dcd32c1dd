//! Stores that only a proxy reaches, which demands credentials: a real tinyproxy before a real
//! Prometheus. And the versions of TLS that are spoken.

use anyhow::{Result, ensure};
use harness::certificates::Authority;
use harness::client::Client;
use harness::servers::{Mirror, MirrorConfig, OpenIdProvider, Prometheus, Tinyproxy};
use serde_json::json;

use super::secured::{HERE, comes_through, connection, is_fine, refusal, secured};

fn through(proxy: &Tinyproxy, config: MirrorConfig) -> MirrorConfig {
    through_url(&proxy.url(), config)
}

fn through_url(url: &str, config: MirrorConfig) -> MirrorConfig {
    let reference = |key: &str| json!({"name": "proxy", "key": key});
    let credentials =
        json!({"usernameSecretRef": reference("user"), "passwordSecretRef": reference("password")});
    config
        .with_target("proxy", json!({"url": url, "credentials": credentials}))
        .with_file("secrets/proxy/user", "reader")
        .with_file("secrets/proxy/password", Tinyproxy::PASSWORD)
}

fn wrong(config: MirrorConfig) -> MirrorConfig {
    config.with_file("secrets/proxy/password", "not-the-password")
}

fn without_credentials(config: MirrorConfig) -> MirrorConfig {
    let mut config = config;
    config.spec["targets"][0]["proxy"]
        .as_object_mut()
        .into_iter()
        .for_each(|proxy| drop(proxy.remove("credentials")));
    config
}

async fn answers(config: &MirrorConfig) -> Result<()> {
    let mirror = Mirror::start(config).await?;
    comes_through(&Client::new(&mirror.url())).await
}

/// Whether nobody but the proxy reaches it, in whatever words.
async fn is_out_of_reach(config: &MirrorConfig) -> Result<()> {
    let mirror = Mirror::start(config).await?;
    let answer = connection(&Client::new(&mirror.url())).await?;
    ensure!(!is_fine(&answer), "{answer}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_reached_through_a_proxy_that_demands_credentials() -> Result<()> {
    let store = Prometheus::start_2().await?;
    let port = Tinyproxy::only_behind(store.port()).await?;
    let proxy = Tinyproxy::start(&[443]).await?;
    let direct = MirrorConfig::for_targets(&[("store", &format!("http://127.0.0.1:{port}"))]);
    let config = through(&proxy, direct.clone());
    answers(&config).await?;

    is_out_of_reach(&direct).await?;
    let place = proxy.url().replace("http://", "");
    assert_eq!(
        refusal(&without_credentials(config.clone())).await?,
        format!(
            "the proxy {place} of target store demands credentials (hint: name them in proxy.credentials)"
        )
    );
    // tinyproxy answers 401 where others answer 407.
    assert_eq!(
        refusal(&wrong(config.clone())).await?,
        format!(
            "target store refused the credentials: it answered 401 Unauthorized with an HTML page titled \"401 Unauthorized\": is there a sign-in in front, or is the path prefix missing? (hint: this may be the answer of the proxy {place})"
        )
    );
    assert_eq!(
        refusal(&through_url("http://127.0.0.1:1", direct)).await?,
        "the proxy 127.0.0.1:1 of target store cannot be reached: Connection refused (os error 111)"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_with_tls_is_reached_through_a_tunnel() -> Result<()> {
    let authority = Authority::new("ours")?;
    let store = Prometheus::start_secured(&secured(&authority.issue(HERE)?)).await?;
    let port = Tinyproxy::only_behind(store.port()).await?;
    let proxy = Tinyproxy::start(&[port]).await?;
    let direct = MirrorConfig::for_targets(&[("store", &format!("https://127.0.0.1:{port}"))])
        .with_target(
            "tls",
            json!({"caSecretRef": {"name": "ca", "key": "ca.crt"}}),
        )
        .with_file("secrets/ca/ca.crt", &authority.pem());
    let config = through(&proxy, direct.clone());
    answers(&config).await?;

    is_out_of_reach(&direct).await?;
    let place = proxy.url().replace("http://", "");
    assert_eq!(
        refusal(&without_credentials(config.clone())).await?,
        format!(
            "the proxy {place} of target store demands credentials (hint: name them in proxy.credentials)"
        )
    );
    let refused = |place: &str| {
        format!(
            "the proxy {place} of target store refused to connect to it (hint: does it allow that host and that port, and are proxy.credentials right?)"
        )
    };
    assert_eq!(refusal(&wrong(config.clone())).await?, refused(&place));
    let strict = Tinyproxy::start(&[443]).await?;
    let place = strict.url().replace("http://", "");
    assert_eq!(
        refusal(&through(&strict, direct.clone())).await?,
        refused(&place)
    );
    // What is wrong with the certificate is the server's fault, and not the proxy's.
    let other = Authority::new("theirs")?;
    let untrusted = config.with_file("secrets/ca/ca.crt", &other.pem());
    assert_eq!(
        refusal(&untrusted).await?,
        "target store presents a certificate of an authority that is not trusted (hint: only those that tls names are trusted)"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_obtained_through_the_targets_proxy() -> Result<()> {
    let store = Prometheus::start_2().await?;
    let provider = OpenIdProvider::start(&store.url(), 60).await?;
    let port = Tinyproxy::only_behind(provider.port()).await?;
    let proxy = Tinyproxy::start(&[443]).await?;
    let auth = json!({"oauth2": {
        "clientId": "in-form",
        "clientSecretSecretRef": {"name": "client", "key": "secret"},
        "tokenUrl": format!("http://127.0.0.1:{port}/token"),
    }});
    let direct = MirrorConfig::for_targets(&[("store", &provider.gate())])
        .with_target("auth", auth)
        .with_file("secrets/client/secret", "form-secret");
    let config = through(&proxy, direct.clone());
    answers(&config).await?;

    is_out_of_reach(&direct).await?;
    let place = proxy.url().replace("http://", "");
    assert_eq!(
        refusal(&without_credentials(config)).await?,
        format!(
            "the proxy {place} of the token endpoint 127.0.0.1 of target store demands credentials (hint: name them in proxy.credentials)"
        )
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_speaks_less_than_the_lowest_version_is_refused() -> Result<()> {
    let authority = Authority::new("ours")?;
    let mut web = secured(&authority.issue(HERE)?);
    let store = Prometheus::start_secured(&web).await?;
    let trust = [
        json!({"caSecretRef": {"name": "ca", "key": "ca.crt"}, "minVersion": "TLS13"}),
        json!({"insecureSkipVerify": true, "minVersion": "TLS13"}),
    ];
    let config = |tls: &serde_json::Value| {
        MirrorConfig::for_targets(&[("store", &store.url())])
            .with_target("tls", tls.clone())
            .with_file("secrets/ca/ca.crt", &authority.pem())
    };
    for tls in &trust {
        answers(&config(tls)).await?;
    }
    web.only_tls12 = true;
    store.secure(&web)?;
    for tls in &trust {
        assert_eq!(
            refusal(&config(tls)).await?,
            "target store refused the TLS connection: ProtocolVersion (hint: it may speak TLS 1.2 only, and tls.minVersion demands TLS 1.3)"
        );
    }
    let mut either = config(&trust[0]);
    either.spec["targets"][0]["tls"]["minVersion"] = json!("TLS12");
    answers(&either).await
}
