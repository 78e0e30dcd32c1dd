//! The API port over TLS: certificates that are replaced while clients ask, clients that must
//! present one, and clients that stall.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::certificates::{Authority, Certificate};
use harness::client::{Client, equals, telemetry};
use harness::samples::START;
use harness::servers::{Mirror, MirrorConfig, Reply, Upstream, eventually};
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

const HERE: &[&str] = &["127.0.0.1", "localhost"];

async fn store() -> Result<Upstream> {
    Upstream::always(Reply::samples(&[(START / 1000, "1")])).await
}

/// A mirror whose API port has this certificate.
fn secured(store: &Upstream, certificate: &Certificate) -> MirrorConfig {
    MirrorConfig::for_targets(&[("store", store.url())])
        .with("server", json!({"tls": {"secretName": "api"}}))
        .with_file("secrets/api/tls.crt", &certificate.certificate)
        .with_file("secrets/api/tls.key", &certificate.key)
}

/// The same, which wants clients to present a certificate of this authority.
fn for_clients_of(config: MirrorConfig, authority: &Authority) -> MirrorConfig {
    let tls = json!({"tls": {"secretName": "api", "clientCaSecretName": "clients"}});
    config
        .with("server", tls)
        .with_file("secrets/clients/ca.crt", &authority.pem())
}

/// A client that trusts these authorities and presents this certificate.
fn client(mirror: &Mirror, trusted: &[&Authority], own: Option<&Certificate>) -> Result<Client> {
    let trusted: Vec<_> = trusted
        .iter()
        .map(|authority| reqwest::Certificate::from_pem(authority.pem().as_bytes()))
        .collect::<Result<_, _>>()?;
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(30))
        .tls_certs_only(trusted);
    if let Some(Certificate { certificate, key }) = own {
        let pem = format!("{certificate}{key}");
        builder = builder.identity(reqwest::Identity::from_pem(pem.as_bytes())?);
    }
    let url = format!("https://127.0.0.1:{}", mirror.port());
    Ok(Client::with_http(&url, builder.build()?))
}

async fn ask(client: &Client) -> Result<()> {
    let conditions = json!([equals("__gauge__", "scripted")]);
    let answer = client
        .metric(&conditions, START, START + 1000, None, None)
        .await?;
    ensure!(telemetry(&answer)?.points.len() == 1, "{}", answer.body);
    ensure!(answer.header("x-mirror-api-key") == Some("test-key"));
    Ok(())
}

/// Waits until a connection that is opened now comes about, or not.
async fn becomes(
    what: &str,
    comes_about: bool,
    connect: impl Fn() -> Result<Client>,
) -> Result<()> {
    eventually(what, || async {
        Ok((ask(&connect()?).await.is_ok() == comes_about).then_some(()))
    })
    .await
}

async fn log_says(mirror: &Mirror, text: &str) -> Result<()> {
    eventually(text, || async {
        Ok(mirror.process().whole_log().contains(text).then_some(()))
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_the_certificate_is_replaced_and_a_bad_one_is_not_taken()
-> Result<()> {
    let (one, two) = (Authority::new("one")?, Authority::new("two")?);
    let store = store().await?;
    let config = secured(&store, &one.issue(HERE)?);
    let mirror = Mirror::start(&config).await?;
    ask(&client(&mirror, &[&one], None)?).await?;
    ensure!(ask(&client(&mirror, &[&two], None)?).await.is_err());
    ensure!(
        ask(&Client::new(&mirror.url())).await.is_err(),
        "plain HTTP"
    );

    let (stop, asked) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
    // One keeps its connection, one opens one for each request.
    let clients = [true, false].map(|keeps| {
        let (stop, asked) = (Arc::clone(&stop), Arc::clone(&asked));
        let kept = client(&mirror, &[&one, &two], None);
        let fresh: Vec<_> = (0..400)
            .map(|_| client(&mirror, &[&one, &two], None))
            .collect();
        tokio::spawn(async move {
            let kept = kept?;
            let mut fresh = fresh.into_iter();
            while !stop.load(Ordering::SeqCst) {
                match fresh.next() {
                    Some(fresh) if !keeps => ask(&fresh?).await?,
                    _ => ask(&kept).await?,
                }
                asked.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            anyhow::Ok(())
        })
    });

    let fresh = two.issue(HERE)?;
    // The certificate without its key: refused, and the pair before goes on.
    mirror.reconfigure(
        &config
            .clone()
            .with_file("secrets/api/tls.crt", &fresh.certificate),
    )?;
    log_says(&mirror, "spec.server.tls.secretName: the file secrets/api/tls.key holds a private key that does not belong").await?;
    ask(&client(&mirror, &[&one], None)?).await?;
    mirror.reconfigure(&secured(&store, &fresh))?;
    becomes("the other certificate", true, || {
        client(&mirror, &[&two], None)
    })
    .await?;
    ensure!(ask(&client(&mirror, &[&one], None)?).await.is_err());
    let so_far = asked.load(Ordering::SeqCst);
    eventually("more requests", || async {
        Ok((asked.load(Ordering::SeqCst) > so_far + 20).then_some(()))
    })
    .await?;
    stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await??;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_must_present_a_certificate_where_that_is_asked_and_the_admin_port_stays_plain()
-> Result<()> {
    let (ours, clients, others) = (
        Authority::new("ours")?,
        Authority::new("clients")?,
        Authority::new("others")?,
    );
    let store = store().await?;
    let all = json!({"requests": {"samplePercent": 100}});
    let open = secured(&store, &ours.issue(HERE)?).with("logging", all);
    let mirror = Mirror::start(&open).await?;
    ask(&client(&mirror, &[&ours], None)?).await?;

    mirror.reconfigure(&for_clients_of(open.clone(), &clients))?;
    becomes("the refusal", false, || client(&mirror, &[&ours], None)).await?;
    let (known, stranger) = (clients.issue(&["a"])?, others.issue(&["b"])?);
    let expired = clients.issue_expired(&["c"])?;
    ask(&client(&mirror, &[&ours], Some(&known))?).await?;
    // rcgen's name for everybody.
    log_says(&mirror, "certificate=\"CN=rcgen self signed cert\"").await?;
    for refused in [&stranger, &expired] {
        ensure!(
            ask(&client(&mirror, &[&ours], Some(refused))?)
                .await
                .is_err()
        );
    }

    // Other clients from now on.
    mirror.reconfigure(&for_clients_of(open, &others))?;
    let stranger = || client(&mirror, &[&ours], Some(&stranger));
    becomes("the other clients", true, stranger).await?;
    ensure!(
        ask(&client(&mirror, &[&ours], Some(&known))?)
            .await
            .is_err()
    );

    let url = format!("{}/readyz", mirror.admin().0);
    let plain = Client::new(&mirror.url());
    assert_eq!(plain.send(plain.http().0.get(url)).await?.status, 200);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_stall_in_the_handshake_hold_up_nobody_and_are_let_go() -> Result<()> {
    let ours = Authority::new("ours")?;
    let store = store().await?;
    let mirror = Mirror::start(&secured(&store, &ours.issue(HERE)?)).await?;
    let began = Instant::now();
    let mut stalled = Vec::new();
    for _ in 0..200 {
        stalled.push(TcpStream::connect(("127.0.0.1", mirror.port())).await?);
    }
    ask(&client(&mirror, &[&ours], None)?).await?;
    ensure!(
        began.elapsed() < Duration::from_secs(5),
        "{:?}",
        began.elapsed()
    );
    for mut stream in stalled {
        let ended = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut [0])).await?;
        ensure!(matches!(ended, Ok(0) | Err(_)));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_under_way_over_tls_at_a_sigterm_are_answered() -> Result<()> {
    let ours = Authority::new("ours")?;
    let Reply::Json(json) = Reply::samples(&[(START / 1000, "1")]) else {
        unreachable!("samples are JSON")
    };
    let slow = Upstream::always(Reply::Late(Duration::from_secs(1), json)).await?;
    let mirror = Mirror::start(&secured(&slow, &ours.issue(HERE)?)).await?;
    // Half-way through a handshake: neither waited for long.
    let _stalled = TcpStream::connect(("127.0.0.1", mirror.port())).await?;
    let client = client(&mirror, &[&ours], None)?;
    let asking = tokio::spawn(async move { ask(&client).await });
    eventually("the request", || async {
        Ok((slow.under_way() > 0).then_some(()))
    })
    .await?;
    let began = Instant::now();
    mirror.process().signal("TERM")?;
    asking.await??;
    eventually("the end", || async {
        Ok((!mirror.process().is_running()).then_some(()))
    })
    .await?;
    ensure!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
    Ok(())
}
