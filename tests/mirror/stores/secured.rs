//! Prometheus servers that ask for TLS, certificates and passwords: who gets in, what the others
//! are told, and that a change of either takes effect without a restart and without a failed
//! request.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::{Result, ensure};
use harness::certificates::{Authority, Certificate};
use harness::client::Client;
use harness::servers::{
    Mirror, MirrorConfig, Prometheus, Reply, Upstream, Web, eventually, mirror_binary,
};
use serde_json::{Value, json};

use super::asking::Asking;

/// Asks the default target as StackState tests a data source.
pub(super) async fn connection(client: &Client) -> Result<Value> {
    let request = json!({"_type": "TestConnectionRequest", "connectionDetails": {}});
    let answer = client.post("/api/connection", &request).await?;
    ensure!(answer.status == 200, "{}: {}", answer.status, answer.body);
    Ok(answer.json())
}

pub(super) fn is_fine(answer: &Value) -> bool {
    answer["status"] == "OK"
}

/// Waits until the target answers: a server that has just started says no for a moment.
pub(super) async fn comes_through(client: &Client) -> Result<()> {
    eventually("an answer", || async {
        Ok(is_fine(&connection(client).await?).then_some(()))
    })
    .await
}

/// What a mirror of `config` says of its target, in `TestConnection` and in `check --probe`.
async fn told(config: &MirrorConfig) -> Result<[String; 2]> {
    let mirror = Mirror::start(config).await?;
    let answer = connection(&Client::new(&mirror.url())).await?;
    ensure!(answer["status"] == "FAILURE", "{answer}");
    ensure!(
        answer["error"]["_type"] == "MetricStoreConnectionError",
        "{answer}"
    );
    let details = answer["error"]["details"].as_str().unwrap_or_default();
    let file = mirror.process().directory().join("mirror.yaml");
    let checked = Command::new(mirror_binary()?)
        .args(["check", "--probe", "-f"])
        .arg(file)
        .output()?;
    ensure!(checked.status.code() == Some(1), "{checked:?}");
    let printed = String::from_utf8(checked.stdout)?;
    let log = mirror.process().whole_log();
    for (path, secret) in &config.files {
        let shows = |text: &str| !path.ends_with(".crt") && text.contains(secret.trim());
        ensure!(
            ![&printed, &log, details].into_iter().any(shows),
            "{path} is shown"
        );
    }
    let probed = printed
        .lines()
        .find_map(|line| line.strip_prefix("store: "));
    Ok([details.to_owned(), probed.unwrap_or_default().to_owned()])
}

/// The same, which must be the same.
pub(super) async fn refusal(config: &MirrorConfig) -> Result<String> {
    let [details, probed] = told(config).await?;
    ensure!(details == probed, "{details}\n{probed}");
    Ok(details)
}

/// Clients that ask without a pause whether the target can be reached.
pub(super) fn asking(client: &Client) -> Asking {
    let client = client.clone();
    Asking::start(3, move |_| {
        let client = client.clone();
        async move {
            let answer = connection(&client).await?;
            ensure!(is_fine(&answer), "{answer}");
            Ok(())
        }
    })
}

/// Waits until the mirror has taken over so many changes.
async fn reloads(mirror: &Mirror, client: &Client, count: usize) -> Result<()> {
    let url = format!("{}/metrics", mirror.admin().0);
    let line = format!("prometheus_mirror_config_reloads_total{{result=\"success\"}} {count}\n");
    eventually("the change to be taken over", || async {
        let text = client.send(client.http().0.get(&url)).await?.body;
        Ok(text.contains(&line).then_some(()))
    })
    .await
}

pub(super) const HERE: &[&str] = &["127.0.0.1", "localhost"];

pub(super) fn secured(certificate: &Certificate) -> Web {
    Web {
        certificate: Some(certificate.clone()),
        ..Web::default()
    }
}

fn config(store: &Prometheus) -> MirrorConfig {
    MirrorConfig::for_targets(&[("store", &store.url())])
}

/// A target that trusts this authority.
fn trusting(store: &Prometheus, authority: &Authority) -> MirrorConfig {
    config(store)
        .with_target(
            "tls",
            json!({"caSecretRef": {"name": "ca", "key": "ca.crt"}}),
        )
        .with_file("secrets/ca/ca.crt", &authority.pem())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_private_authority_is_trusted_from_a_secret_and_from_a_config_map() -> Result<()> {
    let authority = Authority::new("ours")?;
    let store = Prometheus::start_secured(&secured(&authority.issue(HERE)?)).await?;
    let of_config_map = config(&store)
        .with_target(
            "tls",
            json!({"caConfigMapRef": {"name": "ca", "key": "bundle.pem"}}),
        )
        .with_file("configmaps/ca/bundle.pem", &authority.pem());
    for config in [trusting(&store, &authority), of_config_map] {
        let mirror = Mirror::start(&config).await?;
        comes_through(&Client::new(&mirror.url())).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_trusted_is_refused_in_words() -> Result<()> {
    let (authority, other) = (Authority::new("ours")?, Authority::new("theirs")?);
    let store = Prometheus::start_secured(&secured(&authority.issue(HERE)?)).await?;
    assert_eq!(
        refusal(&config(&store)).await?,
        "target store presents a certificate of an authority that is not trusted (hint: name the certificate of its authority in tls.caSecretRef or tls.caConfigMapRef)"
    );
    assert_eq!(
        refusal(&trusting(&store, &other)).await?,
        "target store presents a certificate of an authority that is not trusted (hint: only those that tls names are trusted)"
    );
    store.secure(&secured(&authority.issue_expired(HERE)?))?;
    assert_eq!(
        refusal(&trusting(&store, &authority)).await?,
        "target store presents a certificate that has expired"
    );
    let plain = Prometheus::start_2().await?;
    let url = plain.url().replace("http:", "https:");
    assert_eq!(
        refusal(&MirrorConfig::for_targets(&[("store", &url)])).await?,
        "target store does not speak TLS on this port (hint: is the URL right? http:// instead of https://)"
    );
    Ok(())
}

/// What `openssl req -x509` makes when nothing is said: a certificate that is its own authority.
fn of_openssl(names: &str) -> Result<Certificate> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
        ])
        .args(["-nodes", "-subj", "/CN=own", "-addext", names, "-out"])
        .arg(path("tls.crt"))
        .arg("-keyout")
        .arg(path("tls.key"))
        .output()?;
    ensure!(made.status.success(), "{made:?}");
    Ok(Certificate {
        certificate: std::fs::read_to_string(path("tls.crt"))?,
        key: std::fs::read_to_string(path("tls.key"))?,
    })
}

/// A target that trusts what is in this file.
fn trusting_pem(store: &Prometheus, pem: &str) -> MirrorConfig {
    config(store)
        .with_target(
            "tls",
            json!({"caSecretRef": {"name": "ca", "key": "ca.crt"}}),
        )
        .with_file("secrets/ca/ca.crt", pem)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_its_own_authority_is_accepted_where_exactly_it_is_declared()
-> Result<()> {
    const NAMES: &str = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    let own = of_openssl(NAMES)?;
    let store = Prometheus::start_secured(&secured(&own)).await?;
    let another = Authority::new("another")?.pem();
    for pem in [
        own.certificate.clone(),
        format!("{}{}", another.trim_end(), own.certificate),
    ] {
        let mirror = Mirror::start(&trusting_pem(&store, &pem)).await?;
        comes_through(&Client::new(&mirror.url())).await?;
    }
    // One of the same name and another key is another one.
    let twin = of_openssl(NAMES)?;
    let refused = "target store presents an authority's certificate as its own; make one with CA:FALSE (hint: or name exactly this certificate in tls.caSecretRef or tls.caConfigMapRef)";
    assert_eq!(
        refusal(&trusting_pem(&store, &twin.certificate)).await?,
        refused
    );
    // Its names and its time count as those of any other.
    let elsewhere = of_openssl("subjectAltName=DNS:elsewhere.example")?;
    store.secure(&secured(&elsewhere))?;
    assert_eq!(
        refusal(&trusting_pem(&store, &elsewhere.certificate)).await?,
        "target store presents a certificate that is not valid for 127.0.0.1, only for elsewhere.example (hint: tls.serverName says which name it must be valid for)"
    );
    let expired = Certificate::own_authority_expired(HERE)?;
    store.secure(&secured(&expired))?;
    assert_eq!(
        refusal(&trusting_pem(&store, &expired.certificate)).await?,
        "target store presents a certificate that has expired"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bundle_as_it_comes_is_used_and_what_is_skipped_is_said() -> Result<()> {
    let (a, b) = (Authority::new("a")?, Authority::new("b")?);
    let store = Prometheus::start_secured(&secured(&b.issue(HERE)?)).await?;
    let broken = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let bundle = format!(
        "\u{feff}# ours\r\n{}{broken}  {}",
        a.pem().trim_end(),
        b.pem().replace('\n', "\r\n")
    );
    let mirror = Mirror::start(&trusting_pem(&store, &bundle)).await?;
    let client = Client::new(&mirror.url());
    comes_through(&client).await?;
    let skipped =
        "secrets/ca/ca.crt and skips the 2nd of 3 certificates: its encoding (DER) is damaged";
    let log = mirror.process().whole_log();
    assert_eq!(log.matches(skipped).count(), 1, "{log}");
    let url = format!("{}/targets", mirror.admin().0);
    let told = client.send(client.http().0.get(&url)).await?.json();
    assert_eq!(told["targets"][0]["reachable"], true, "{told}");
    let notice = told["targets"][0]["notices"][0]
        .as_str()
        .unwrap_or_default();
    assert!(notice.ends_with(skipped), "{told}");
    let file = mirror.process().directory().join("mirror.yaml");
    let checked = Command::new(mirror_binary()?)
        .args(["check", "-f"])
        .arg(file)
        .output()?;
    let printed = String::from_utf8(checked.stdout)?;
    assert_eq!(checked.status.code(), Some(0), "{printed}");
    assert_eq!(printed.matches(skipped).count(), 1, "{printed}");
    assert!(printed.contains("    trusts CN=a; CN=b\n"), "{printed}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_finds_the_prefix_under_which_the_store_answers() -> Result<()> {
    let store = Prometheus::start_2().await?;
    let asked = Arc::new(AtomicUsize::new(0));
    let (behind, count) = (store.url(), Arc::clone(&asked));
    let gate = Upstream::start(move |request| {
        count.fetch_add(1, Ordering::SeqCst);
        let answers = request
            .lines()
            .next()
            .is_some_and(|line| line.contains(" /select/0/prometheus/"));
        match answers {
            true => Reply::Json(
                r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#.to_owned(),
            ),
            false => Reply::Status(404, format!("404 page not found at {behind}")),
        }
    })
    .await?;
    for (path, hint) in [
        (
            "",
            " (hint: the path prefix seems to be missing: the server answers under /select/0/prometheus)",
        ),
        (
            "/graph",
            " (hint: the path seems to be wrong: the server answers under /select/0/prometheus)",
        ),
    ] {
        let url = format!("{}{path}", gate.url());
        asked.store(0, Ordering::SeqCst);
        let [_, probed] = told(&MirrorConfig::for_targets(&[("store", &url)])).await?;
        assert!(probed.ends_with(hint), "{probed}");
        let asked = asked.load(Ordering::SeqCst);
        assert!(asked < 24, "{asked} calls");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_servers_name_is_the_one_that_was_declared() -> Result<()> {
    let authority = Authority::new("ours")?;
    let certificate = authority.issue(&["prometheus.example", "other.example"])?;
    let store = Prometheus::start_secured(&secured(&certificate)).await?;
    assert_eq!(
        refusal(&trusting(&store, &authority)).await?,
        "target store presents a certificate that is not valid for 127.0.0.1, only for prometheus.example, other.example (hint: tls.serverName says which name it must be valid for)"
    );
    let named = |name: &str| {
        let mut config = trusting(&store, &authority);
        config.spec["targets"][0]["tls"]["serverName"] = json!(name);
        config
    };
    assert_eq!(
        refusal(&named("wrong.example")).await?,
        "target store presents a certificate that is not valid for wrong.example, only for prometheus.example, other.example (hint: tls.serverName says which name it must be valid for)"
    );
    let mirror = Mirror::start(&named("prometheus.example")).await?;
    comes_through(&Client::new(&mirror.url())).await?;

    let any = config(&store).with_target("tls", json!({"insecureSkipVerify": true}));
    let mirror = Mirror::start(&any).await?;
    comes_through(&Client::new(&mirror.url())).await
}

/// A target that presents this certificate.
fn presenting(config: MirrorConfig, own: &Certificate) -> MirrorConfig {
    let mut config = config
        .with_file("secrets/client/tls.crt", &own.certificate)
        .with_file("secrets/client/tls.key", &own.key);
    config.spec["targets"][0]["tls"]["clientCertificateSecretRef"] = json!({"name": "client"});
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_wants_a_client_certificate_gets_it() -> Result<()> {
    let (authority, clients) = (Authority::new("ours")?, Authority::new("clients")?);
    let web = Web {
        client_authority: Some(clients.pem()),
        ..secured(&authority.issue(HERE)?)
    };
    let store = Prometheus::start_secured(&web).await?;
    let trusting = trusting(&store, &authority);
    // Whether the server is heard before its connection is gone differs from time to time; what to
    // do is told in any case.
    let field = "tls.clientCertificateSecretRef";
    for said in told(&trusting).await? {
        assert!(said.contains(&format!("name one in {field}")), "{said}");
    }
    let stranger = Authority::new("strangers")?.issue(&["client"])?;
    for said in told(&presenting(trusting.clone(), &stranger)).await? {
        assert!(
            said.contains("client certificate") || said.contains("does not accept the certificate"),
            "{said}"
        );
        assert!(said.contains(field), "{said}");
    }
    let known = presenting(trusting, &clients.issue(&["client"])?);
    let mirror = Mirror::start(&known).await?;
    comes_through(&Client::new(&mirror.url())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_certificates_are_replaced() -> Result<()> {
    let (one, two) = (Authority::new("one")?, Authority::new("two")?);
    let clients = [Authority::new("clients")?, Authority::new("new clients")?];
    let both = format!("{}{}", clients[0].pem(), clients[1].pem());
    let mut web = Web {
        client_authority: Some(both),
        ..secured(&one.issue(HERE)?)
    };
    let store = Prometheus::start_secured(&web).await?;
    let mut config = presenting(trusting(&store, &one), &clients[0].issue(&["client"])?);
    let mirror = Mirror::start(&config).await?;
    let client = Client::new(&mirror.url());
    comes_through(&client).await?;
    let asking = asking(&client);
    asking.goes_on().await?;

    // The authority of the server, as one does it: both are trusted, then the certificate is
    // replaced, then the old one is dropped.
    config = config.with_file("secrets/ca/ca.crt", &format!("{}{}", one.pem(), two.pem()));
    mirror.reconfigure(&config)?;
    reloads(&mirror, &client, 1).await?;
    asking.goes_on().await?;
    web.certificate = Some(two.issue(HERE)?);
    store.secure(&web)?;
    asking.goes_on().await?;
    config = config.with_file("secrets/ca/ca.crt", &two.pem());
    mirror.reconfigure(&config)?;
    reloads(&mirror, &client, 2).await?;
    asking.goes_on().await?;

    // The mirror's own certificate: both files at different times, of which the first alone is
    // refused.
    let own = clients[1].issue(&["client"])?;
    config = config.with_file("secrets/client/tls.crt", &own.certificate);
    mirror.reconfigure(&config)?;
    let refused = "spec.targets[0].tls.clientCertificateSecretRef: the file secrets/client/tls.key holds a private key that does not belong";
    eventually("the refusal", || async {
        Ok(mirror.process().whole_log().contains(refused).then_some(()))
    })
    .await?;
    asking.goes_on().await?;
    mirror.reconfigure(&presenting(config, &own))?;
    reloads(&mirror, &client, 3).await?;
    web.client_authority = Some(clients[1].pem());
    store.secure(&web)?;
    asking.goes_on().await?;
    asking.end().await
}

/// Passwords and their bcrypt hashes (cost 4).
const PASSWORDS: [(&str, &str); 2] = [
    (
        "first-password",
        "$2b$04$y.V9Qyl5P/gTlGKkfSkWVeUTHeBNvQHm80SzmWcdtu9WCYC/CM0Pu",
    ),
    (
        "second-password",
        "$2b$04$R5KJ03KoFoIqJ4VcfIsWf.Hnh1Ab4UlsZR8dkwIG9gz8sRPlayvwO",
    ),
];

/// A target that is told this name and password.
fn knowing(config: MirrorConfig, name: &str, password: &str) -> MirrorConfig {
    let auth = json!({"basic": {
        "usernameSecretRef": {"name": "login", "key": "user"},
        "passwordSecretRef": {"name": "login", "key": "password"},
    }});
    config
        .with_target("auth", auth)
        .with_file("secrets/login/user", &format!("{name}\n"))
        .with_file("secrets/login/password", password)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_and_a_password_let_in_and_are_replaced_without_a_failed_request() -> Result<()> {
    let authority = Authority::new("ours")?;
    let user = |index: usize| (format!("user-{index}"), PASSWORDS[index].1.to_owned());
    let mut web = secured(&authority.issue(HERE)?);
    web.users = vec![user(0)];
    let store = Prometheus::start_secured(&web).await?;
    let trusting = trusting(&store, &authority);
    let refused = "target store refused the credentials: it answered 401 Unauthorized";
    assert_eq!(refusal(&trusting).await?, refused);
    let wrong = knowing(trusting.clone(), "user-0", PASSWORDS[1].0);
    assert_eq!(refusal(&wrong).await?, refused);

    let mirror = Mirror::start(&knowing(trusting.clone(), "user-0", PASSWORDS[0].0)).await?;
    let client = Client::new(&mirror.url());
    comes_through(&client).await?;
    let asking = asking(&client);
    asking.goes_on().await?;
    // Another user is let in, the mirror becomes that user, the first one is no longer let in.
    web.users.push(user(1));
    store.secure(&web)?;
    let folder = mirror.process().directory().join("secrets");
    let fresh = knowing(trusting, "user-1", PASSWORDS[1].0);
    // As a kubelet does it: all files of a volume at once.
    std::fs::create_dir_all(folder.join("..new/login"))?;
    for (path, content) in &fresh.files {
        if let Some(key) = path.strip_prefix("secrets/login/") {
            std::fs::write(folder.join("..new/login").join(key), content)?;
        }
    }
    std::fs::rename(folder.join("login"), folder.join("..old"))?;
    std::fs::rename(folder.join("..new/login"), folder.join("login"))?;
    reloads(&mirror, &client, 1).await?;
    // Requests that began before end as they began.
    asking.goes_on().await?;
    web.users.remove(0);
    store.secure(&web)?;
    asking.goes_on().await?;
    asking.end().await
}

/// A gate before a real Prometheus that lets in whoever has one of these tokens.
async fn gate(store: &Prometheus, tokens: &Arc<Mutex<Vec<String>>>) -> Result<Upstream> {
    let (behind, tokens) = (store.url(), Arc::clone(tokens));
    Upstream::start(move |request| {
        let known = tokens.lock().is_ok_and(|tokens| {
            tokens
                .iter()
                .any(|token| request.contains(&format!("authorization: Bearer {token}\r\n")))
        });
        if known {
            Reply::PassOn(behind.clone())
        } else {
            Reply::Status(401, "no".to_owned())
        }
    })
    .await
}

fn tokens(known: &[&str]) -> Arc<Mutex<Vec<String>>> {
    Arc::new(Mutex::new(
        known.iter().map(|&token| token.to_owned()).collect(),
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_lets_in_and_is_replaced_without_a_failed_request() -> Result<()> {
    let store = Prometheus::start_2().await?;
    let known = tokens(&["first-token"]);
    let gate = gate(&store, &known).await?;
    let with_token = |token: &str| {
        let auth = json!({"bearer": {"tokenSecretRef": {"name": "login", "key": "token"}}});
        MirrorConfig::for_targets(&[("store", gate.url())])
            .with_target("auth", auth)
            .with_file("secrets/login/token", token)
    };
    assert_eq!(
        refusal(&with_token("another-token")).await?,
        "target store refused the credentials: it answered 401 Unauthorized: no"
    );
    let mirror = Mirror::start(&with_token("first-token\n")).await?;
    let client = Client::new(&mirror.url());
    comes_through(&client).await?;
    let asking = asking(&client);
    asking.goes_on().await?;
    known
        .lock()
        .expect("nobody panicked")
        .push("second-token".to_owned());
    mirror.reconfigure(&with_token("second-token"))?;
    reloads(&mirror, &client, 1).await?;
    asking.goes_on().await?;
    known.lock().expect("nobody panicked").remove(0);
    asking.goes_on().await?;
    asking.end().await
}

/// A token endpoint that answers the credentials `q7-client` and `client-secret` with what `script`
/// says, by the number of the request.
async fn token_endpoint(
    script: impl Fn(usize) -> Reply + Send + Sync + 'static,
) -> Result<Upstream> {
    let count = AtomicUsize::new(0);
    Upstream::start(move |request| {
        // q7-client:client-secret
        if request.contains("authorization: Basic cTctY2xpZW50OmNsaWVudC1zZWNyZXQ=\r\n") {
            script(count.fetch_add(1, Ordering::SeqCst))
        } else {
            Reply::Status(
                401,
                json!({"error": "invalid_client", "error_description": "wrong-secret is wrong"})
                    .to_string(),
            )
        }
    })
    .await
}

fn token(token: &str, life: u32) -> Reply {
    Reply::Json(
        json!({"access_token": token, "token_type": "bearer", "expires_in": life}).to_string(),
    )
}

fn with_client(gate: &Upstream, endpoint: &str, secret: &str) -> MirrorConfig {
    let auth = json!({"oauth2": {
        "clientIdSecretRef": {"name": "client", "key": "id"},
        "clientSecretSecretRef": {"name": "client", "key": "secret"},
        "tokenUrl": format!("{endpoint}/token"),
        "scopes": ["read", "metrics"],
        "endpointParams": {"audience": "a b"},
    }});
    MirrorConfig::for_targets(&[("store", gate.url())])
        .with_target("auth", auth)
        .with_file("secrets/client/id", "q7-client\n")
        .with_file("secrets/client/secret", secret)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_gets_one_token_for_many_requests_and_another_before_it_ends() -> Result<()> {
    let store = Prometheus::start_2().await?;
    let known = tokens(&["token-0", "token-1"]);
    let gate = gate(&store, &known).await?;
    // Renewed after nine tenths of two seconds.
    let endpoint = token_endpoint(|number| match number {
        0 => token("token-0", 2),
        _ => token("token-1", 3600),
    })
    .await?;
    let mirror = Mirror::start(&with_client(&gate, endpoint.url(), "client-secret")).await?;
    let client = Client::new(&mirror.url());
    let asking = asking(&client);
    asking.goes_on().await?;
    eventually("another token", || async {
        Ok((endpoint.requests().len() == 2).then_some(()))
    })
    .await?;
    asking.goes_on().await?;
    asking.end().await?;
    let requests = endpoint.requests();
    assert_eq!(requests.len(), 2);
    assert!(
        requests[0].starts_with("POST /token HTTP/1.1\r\n"),
        "{}",
        requests[0]
    );
    let form = "\r\n\r\ngrant_type=client_credentials&scope=read+metrics&audience=a+b";
    assert!(requests[0].ends_with(form), "{}", requests[0]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_the_server_refuses_is_replaced_once() -> Result<()> {
    let store = Prometheus::start_2().await?;
    let known = tokens(&["token-0"]);
    let gate = gate(&store, &known).await?;
    let endpoint = token_endpoint(|number| token(&format!("token-{number}"), 3600)).await?;
    let mirror = Mirror::start(&with_client(&gate, endpoint.url(), "client-secret")).await?;
    let client = Client::new(&mirror.url());
    let asking = asking(&client);
    asking.goes_on().await?;
    *known.lock().expect("nobody panicked") = vec!["token-1".to_owned()];
    asking.goes_on().await?;
    asking.end().await?;
    assert_eq!(endpoint.requests().len(), 2);

    // Tokens that no server takes: asked for once more, and then it is told.
    known.lock().expect("nobody panicked").clear();
    let answer = connection(&client).await?;
    let details = "target store refused the credentials: it answered 401 Unauthorized: no";
    assert_eq!(answer["error"]["details"], details);
    assert_eq!(endpoint.requests().len(), 3);
    for _ in 0..5 {
        let answer = connection(&client).await?;
        assert_eq!(answer["error"]["details"], details);
    }
    assert_eq!(endpoint.requests().len(), 3, "a request for each refusal");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_without_an_end_is_asked_for_once() -> Result<()> {
    let store = Prometheus::start_2().await?;
    let gate = gate(&store, &tokens(&["token-0"])).await?;
    for (life, token_type) in [
        (json!(0), "BEARER"),
        (json!("0"), "Bearer"),
        (json!(-1), "bearer"),
        (json!(1e300), "bearer"),
        (json!(null), "bearer"),
        (json!("3600"), "bearer"),
        (json!("soon"), "bearer"),
        (json!([3600]), "bearer"),
    ] {
        let said = json!({"access_token": "token-0", "token_type": token_type, "expires_in": life});
        let endpoint = token_endpoint(move |_| Reply::Json(said.to_string())).await?;
        let mirror = Mirror::start(&with_client(&gate, endpoint.url(), "client-secret")).await?;
        let client = Client::new(&mirror.url());
        for _ in 0..3 {
            comes_through(&client).await?;
        }
        assert_eq!(endpoint.requests().len(), 1, "{life}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_endpoint_harms_nothing_while_a_token_is_good() -> Result<()> {
    let store = Prometheus::start_2().await?;
    let gate = gate(&store, &tokens(&["token-0"])).await?;
    // Renewed after 18 seconds, and good for another one and a half.
    let endpoint = token_endpoint(|number| match number {
        0 => token("token-0", 20),
        _ => Reply::Hang(Vec::new()),
    })
    .await?;
    let mirror = Mirror::start(&with_client(&gate, endpoint.url(), "client-secret")).await?;
    let client = Client::new(&mirror.url());
    let asking = asking(&client);
    eventually("an attempt to renew the token", || async {
        Ok((endpoint.requests().len() == 2).then_some(()))
    })
    .await?;
    asking.goes_on().await?;
    asking.end().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_endpoint_that_gives_no_token_is_named() -> Result<()> {
    let store = Prometheus::start_2().await?;
    let gate = gate(&store, &tokens(&["token-0"])).await?;
    let refusing = token_endpoint(|_| token("token-0", 3600)).await?;
    let wrong = with_client(&gate, refusing.url(), "wrong-secret");
    assert_eq!(
        refusal(&wrong).await?,
        "the token endpoint 127.0.0.1 of target store refused the credentials: it answered 401 Unauthorized: invalid_client: *** is wrong"
    );
    // Once in the header, once in the form, for the mirror and for the check.
    let forms = refusing.requests();
    assert!(
        forms[1].ends_with("&client_id=q7-client&client_secret=wrong-secret"),
        "{}",
        forms[1]
    );

    let down = with_client(&gate, "http://127.0.0.1:1", "client-secret");
    assert_eq!(
        refusal(&down).await?,
        "the token endpoint 127.0.0.1 of target store cannot be reached: Connection refused (os error 111)"
    );
    let table = [
        (
            Reply::Status(503, "later".to_owned()),
            "answered 503 Service Unavailable: later",
        ),
        (
            Reply::Status(404, "<title>Not here</title>".to_owned()),
            "answered 404 Not Found with an HTML page titled \"Not here\", is tokenUrl right?",
        ),
        (
            Reply::Bytes(
                "HTTP/1.1 429 Too Many Requests\r\nretry-after: 9\r\ncontent-length: 0\r\n\r\n"
                    .into(),
            ),
            "asks to slow down: it answered 429 Too Many Requests",
        ),
        (
            Reply::Bytes(
                "HTTP/1.1 200 OK\r\ncontent-length: 29\r\n\r\n<html><title>Sign in</title>\n"
                    .into(),
            ),
            "answered an HTML page titled \"Sign in\", is tokenUrl right?",
        ),
        (
            Reply::Json("{}".to_owned()),
            "answered something that is no token",
        ),
        (
            token("two words", 1),
            "answered with a token that no HTTP header can carry",
        ),
        (
            Reply::Json(json!({"access_token": "a", "token_type": "mac"}).to_string()),
            "answered with a token that is no bearer token",
        ),
        (
            Reply::Bytes(
                "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"
                    .into(),
            ),
            "answered 302 Found, is tokenUrl right?",
        ),
    ];
    for (reply, expected) in table {
        let endpoint = token_endpoint(move |_| reply.clone()).await?;
        let said = refusal(&with_client(&gate, endpoint.url(), "client-secret")).await?;
        assert_eq!(
            said,
            format!("the token endpoint 127.0.0.1 of target store {expected}")
        );
    }
    assert!(
        gate.requests().is_empty(),
        "nothing went out without a token"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_go_to_their_target_and_nowhere_else() -> Result<()> {
    let answer = Reply::samples(&[(1, "1")]);
    let elsewhere = Upstream::always(answer).await?;
    let to = format!(
        "HTTP/1.1 307 Over There\r\nlocation: {}/\r\ncontent-length: 0\r\n\r\n",
        elsewhere.url()
    );
    let redirecting = Upstream::always(Reply::Bytes(to.into())).await?;
    let port: u16 = elsewhere
        .url()
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .parse()?;
    let auth = json!({"bearer": {"tokenSecretRef": {"name": "login", "key": "token"}}});
    let config = MirrorConfig::for_targets(&[("store", redirecting.url())])
        .with_target("auth", auth)
        .with_file("secrets/login/token", "the-token")
        .with(
            "requestTargets",
            json!({"hosts": ["127.0.0.1"], "ports": [port]}),
        );
    let mirror = Mirror::start(&config).await?;
    let client = Client::new(&mirror.url());
    let told = connection(&client).await?;
    assert_eq!(
        told["error"]["details"],
        format!(
            "target store answered with a redirect to {}/, is the URL right?",
            elsewhere.url()
        )
    );
    assert!(redirecting.requests()[0].contains("authorization: Bearer the-token\r\n"));
    assert!(
        elsewhere.requests().is_empty(),
        "the redirect is not followed"
    );

    let undeclared = json!({"_type": "TestConnectionRequest", "connectionDetails": {"host": "127.0.0.1", "port": port}});
    let answer = client.post("/api/connection", &undeclared).await?;
    ensure!(is_fine(&answer.json()), "{}", answer.body);
    assert!(
        !elsewhere.requests()[0].contains("authorization"),
        "{:?}",
        elsewhere.requests()
    );
    Ok(())
}
