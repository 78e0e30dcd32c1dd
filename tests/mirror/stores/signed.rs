//! A Prometheus that asks for AWS's signatures: botocore verifies them, and keys of every kind
//! come, change, end and fail to come without a failed request.
//!
//! AWS's servers are a program of the tests; that botocore agrees with it is what is known of AWS.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use harness::client::{Client, equals, telemetry};
use harness::remote_write;
use harness::samples::{MINUTE, START, Sample, Series};
use harness::servers::{
    Aws, Launch, Mirror, MirrorConfig, Prometheus, Reply, Upstream, eventually, mirror_binary,
};
use serde_json::{Value, json};

use super::asking::Asking;

const TARGETS_ROLE: &str = "arn:aws:iam::123456789012:role/reader";
const PODS_ROLE: &str = "arn:aws:iam::123456789012:role/pod";

/// A target of this workspace that is signed for with what `auth` says beside the region.
fn workspace(aws: &Aws, path: &str, auth: &Value) -> MirrorConfig {
    let mut sig_v4 = json!({"region": Aws::REGION});
    for (name, value) in auth.as_object().into_iter().flatten() {
        sig_v4[name] = value.clone();
    }
    MirrorConfig::for_targets(&[("amp", &aws.url(&format!("/workspaces/{path}")))])
        .with_target("auth", json!({"sigV4": sig_v4}))
        .with_file("secrets/aws/id", Aws::KEY[0])
        .with_file("secrets/aws/secret", &format!("{}\n", Aws::KEY[1]))
}

/// The user's own keys, and more.
fn keys(more: &Value) -> Value {
    let mut auth = json!({
        "accessKeyIdSecretRef": {"name": "aws", "key": "id"},
        "secretAccessKeySecretRef": {"name": "aws", "key": "secret"},
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        auth[name] = value.clone();
    }
    auth
}

/// A mirror in a pod with these variables. All its keys come from `aws`.
async fn start(aws: &Aws, config: &MirrorConfig, pod: &[(&str, &str)]) -> Result<(Mirror, Client)> {
    let sts = aws.url("/sts");
    let instance = aws.url("");
    let mut variables = vec![
        ("AWS_ENDPOINT_URL_STS", sts.as_str()),
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", instance.as_str()),
    ];
    variables.extend(pod);
    let launch = Launch {
        variables: &variables,
        ..Launch::default()
    };
    let mirror = Mirror::launch(config, &launch).await?;
    let client = Client::new(&mirror.url());
    Ok((mirror, client))
}

async fn connection(client: &Client) -> Result<Value> {
    let request = json!({"_type": "TestConnectionRequest", "connectionDetails": {}});
    Ok(client.post("/api/connection", &request).await?.json())
}

async fn is_let_in(client: &Client) -> Result<()> {
    let answer = connection(client).await?;
    ensure!(answer["status"] == "OK", "{answer}");
    Ok(())
}

async fn details(client: &Client) -> Result<String> {
    let answer = connection(client).await?;
    ensure!(
        answer["error"]["_type"] == "MetricStoreConnectionError",
        "{answer}"
    );
    let details = answer["error"]["details"].as_str();
    Ok(details.unwrap_or_default().to_owned())
}

/// Clients that query without a pause. Each query is another one: equal calls of the store are made
/// once.
fn asking(client: &Client) -> Asking {
    let client = client.clone();
    Asking::start(6, move |number| {
        let client = client.clone();
        async move {
            let conditions = json!([equals("~", &format!("vector({number})"))]);
            let bucket = Some(("MEAN", MINUTE));
            let answer = client
                .metric(&conditions, START, START + MINUTE, None, bucket)
                .await?;
            ensure!(answer.status == 200, "{}: {}", answer.status, answer.body);
            Ok(())
        }
    })
}

/// Waits until `happened` of what AWS counted, or a client failed.
async fn until(
    asking: &Asking,
    aws: &Aws,
    what: &str,
    happened: impl Fn(&Value) -> bool,
) -> Result<()> {
    eventually(what, || async {
        Ok((asking.has_failed() || happened(&aws.counts().await?)).then_some(()))
    })
    .await
}

/// Everything that is awkward in a URL, a form or a query, alone and together.
fn awkward() -> Vec<String> {
    let signs = "\"'{}[]()<> \t\n\\/?#&=;:@!$*,|^`~%+-._";
    let mut values: Vec<String> = signs.chars().map(|sign| format!("a{sign}b")).collect();
    values.extend(
        [
            signs,
            " ",
            "%",
            "%20",
            "%2B+%2b",
            "a=b&c=d",
            "~*",
            "é",
            "ሴ",
            "漢字 🙂",
            "e\u{301}",
        ]
        .map(str::to_owned),
    );
    // Too long for a URL, so a form.
    values.extend([signs.repeat(200), "ሴ é+%".repeat(600)]);
    values
}

/// Labels that Prometheus 3 knows, and a path must carry.
const LABELS: [&str; 4] = ["my.label", "läbel ~*'()!", "a/b+c%20d", "ሴ"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn botocore_agrees_with_every_signature() -> Result<()> {
    let store = Prometheus::start_3().await?;
    let series = |name: &str, labels: &[(&str, &str)], value: usize| {
        let mut series = Series::new(name, labels);
        series.samples = (START..START + 10 * MINUTE)
            .step_by(15_000)
            .map(|at| Sample {
                at,
                value: value as f64,
            })
            .collect();
        series
    };
    let values = awkward();
    let stored: Vec<_> = values
        .iter()
        .enumerate()
        .map(|(index, value)| series("shop", &[("x", value)], index))
        .chain(LABELS.map(|label| series("labels", &[(label, "here")], 1)))
        .collect();
    remote_write::load(&store.url(), &stored).await?;
    let aws = Aws::start(&store.url()).await?;
    let paths = [
        "ws-0123-abcd",
        "ws-1//a",
        "a:b@c!$&'()*+,;=~/d%20e%2Ff%C3%A9/%zz",
        "éሴ",
    ];
    let mut asked = 0;
    for path in paths {
        // AWS's own headers are signed, too, and parameters of the target.
        let config = workspace(&aws, path, &keys(&json!({})))
            .with_target("headers", json!({"X-Amz-Custom": "a  b", "X-Other": "c"}))
            .with_target("parameters", json!({"team": "a ~*+é"}));
        let (_mirror, client) = start(&aws, &config, &[]).await?;
        is_let_in(&client).await?;
        for (index, value) in values.iter().enumerate() {
            let conditions = json!([equals("__gauge__", "shop"), equals("x", value)]);
            let answer = client
                .metric(
                    &conditions,
                    START + MINUTE,
                    START + 2 * MINUTE,
                    None,
                    Some(("MAX", MINUTE)),
                )
                .await?;
            let points = telemetry(&answer)
                .with_context(|| format!("{value:?} {path}: {}", answer.body))?
                .points;
            let expected = (START + MINUTE, START + 2 * MINUTE);
            let found: Vec<_> = points
                .iter()
                .map(|(value, start, end)| (value.parse(), *start, *end))
                .collect();
            assert_eq!(
                found,
                [(Ok(index as f64), expected.0, expected.1)],
                "{value:?}"
            );
            asked += 1;
        }
        for label in LABELS {
            let query = json!({
                "_type": "FieldValuesQuery", "field": label, "conditions": [], "fieldValuePrefix": "",
                "startTime": START, "endTime": START + 10 * MINUTE,
            });
            let request =
                json!({"_type": "FieldValuesRequest", "connectionDetails": {}, "query": query});
            let answer = client.post("/api/field/value", &request).await?;
            ensure!(
                answer.status == 200 && answer.body.contains("here"),
                "{label} {path}: {}",
                answer.body
            );
            asked += 1;
        }
    }
    let counts = aws.counts().await?;
    assert_eq!(counts["refused"], json!({}));
    ensure!(counts["served"].as_u64() >= Some(asked), "{counts}");
    // Forms, too: two values for each path.
    ensure!(counts["posted"].as_u64() >= Some(8), "{counts}");
    assert_eq!(counts["given"], 0);
    Ok(())
}

/// A way to keys: what the target and the pod's variables say, and as whom AWS sees the mirror
/// then.
struct Way {
    auth: Value,
    pod: Vec<(&'static str, String)>,
    identity: String,
    checked: String,
}

fn ways(aws: &Aws) -> Vec<Way> {
    let role = json!({"roleArn": TARGETS_ROLE});
    let variables = |variables: &[(&'static str, &str)]| -> Vec<_> {
        let variables = variables.iter();
        variables
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect()
    };
    let of_secret = "the keys in accessKeyIdSecretRef and secretAccessKeySecretRef";
    let user = variables(&[
        ("AWS_ACCESS_KEY_ID", Aws::KEY[0]),
        ("AWS_SECRET_ACCESS_KEY", Aws::KEY[1]),
    ]);
    let irsa = variables(&[
        ("AWS_ROLE_ARN", PODS_ROLE),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "secrets/pod/token"),
    ]);
    let named = [&irsa[..], &variables(&[("AWS_ROLE_SESSION_NAME", "p7")])].concat();
    let container = variables(&[
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &aws.url("/container")),
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            "secrets/pod/token",
        ),
    ]);
    let session = "prometheus-mirror-amp";
    let assumed = |base: &str| format!("{base} > {TARGETS_ROLE} as {session}");
    let way = |auth: &Value, pod: &[(&'static str, String)], identity: &str, checked: &str| Way {
        auth: auth.clone(),
        pod: pod.to_vec(),
        identity: identity.to_owned(),
        checked: format!("signs for aps in eu-central-1 with {checked}"),
    };
    let then = |base: &str| format!("{base}, which assume {TARGETS_ROLE}");
    let of_web = format!("web > {PODS_ROLE} as {session}");
    let web = format!("the web identity of {PODS_ROLE}");
    let of_pod = "the container credentials of 127.0.0.1";
    vec![
        way(&keys(&json!({})), &irsa, "user", of_secret),
        way(&keys(&role), &[], &assumed("user"), &then(of_secret)),
        way(
            &json!({}),
            &user,
            "user",
            "the keys in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ),
        way(&json!({}), &irsa, &of_web, &web),
        way(&json!({"roleArn": PODS_ROLE}), &irsa, &of_web, &web),
        way(
            &json!({}),
            &named,
            &format!("web > {PODS_ROLE} as p7"),
            &web,
        ),
        way(&role, &irsa, &assumed(&of_web), &then(&web)),
        way(&json!({}), &container, "container", of_pod),
        way(&role, &container, &assumed("container"), &then(of_pod)),
        way(&json!({}), &[], "instance", "the instance profile"),
        way(
            &role,
            &[],
            &assumed("instance"),
            &then("the instance profile"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_identity_of_a_user_and_of_a_pod_lets_in() -> Result<()> {
    let store = Prometheus::start_2().await?;
    let aws = Aws::start(&store.url()).await?;
    aws.set(&json!({"tokens": ["pod-token"]})).await?;
    for way in ways(&aws) {
        let config =
            workspace(&aws, "ws-1", &way.auth).with_file("secrets/pod/token", "pod-token\n");
        let pod: Vec<_> = way
            .pod
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let (mirror, client) = start(&aws, &config, &pod).await?;
        is_let_in(&client).await?;
        assert_eq!(aws.counts().await?["identity"], way.identity);
        let checked = Command::new(mirror_binary()?)
            .args(["check", "-f", "mirror.yaml"])
            .current_dir(mirror.process().directory())
            .envs(pod)
            .output()?;
        let printed = String::from_utf8(checked.stdout)? + &mirror.process().whole_log();
        ensure!(
            printed.contains(&format!("    {}\n", way.checked)),
            "{printed}"
        );
        for secret in [Aws::KEY[0], Aws::KEY[1], "pod-token"] {
            ensure!(!printed.contains(secret), "{secret} is shown: {printed}");
        }
    }
    assert_eq!(aws.counts().await?["refused"], json!({}));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_two_seconds_are_replaced_without_a_failed_request() -> Result<()> {
    let store = Prometheus::start_2().await?;
    let chain = json!({"roleArn": TARGETS_ROLE});
    for (auth, variables, given) in [
        (keys(&chain), vec![], 1),
        (
            chain,
            vec![
                ("AWS_ROLE_ARN", PODS_ROLE),
                ("AWS_WEB_IDENTITY_TOKEN_FILE", "secrets/pod/token"),
            ],
            2,
        ),
        (
            json!({}),
            vec![(
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                "secrets/pod/token",
            )],
            1,
        ),
    ] {
        let aws = Aws::start(&store.url()).await?;
        let container = aws.url("/container");
        let mut variables = variables;
        if auth == json!({}) {
            variables.push(("AWS_CONTAINER_CREDENTIALS_FULL_URI", &container));
        }
        aws.set(&json!({"life": 2, "tokens": ["token-0"]})).await?;
        let config = workspace(&aws, "ws-1", &auth).with_file("secrets/pod/token", "token-0");
        let (mirror, client) = start(&aws, &config, &variables).await?;
        let asking = asking(&client);
        asking.goes_on().await?;
        assert_eq!(aws.counts().await?["given"], given, "once for all who wait");
        // The pod's own token changes meanwhile, as a kubelet changes it: both are good for a
        // while.
        for round in 1..4 {
            let (old, new) = (format!("token-{}", round - 1), format!("token-{round}"));
            aws.set(&json!({"tokens": [old, new]})).await?;
            let file = mirror.process().directory().join("secrets/pod/token");
            harness::servers::replace(&file, &new)?;
            let so_far = aws.counts().await?["given"].as_u64();
            // The second of them was asked for after the change.
            let enough = so_far.map(|so_far| so_far + 2 * given);
            until(&asking, &aws, "fresh keys", |counts| {
                counts["given"].as_u64() >= enough
            })
            .await?;
            aws.set(&json!({"tokens": [new]})).await?;
            asking.goes_on().await?;
        }
        asking.end().await?;
        let counts = aws.counts().await?;
        assert_eq!(counts["at_once"], 1, "{counts}");
        assert_eq!(counts["failed"], 0, "{counts}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_sts_harms_nothing_while_keys_are_good() -> Result<()> {
    let store = Prometheus::start_2().await?;
    let aws = Aws::start(&store.url()).await?;
    aws.set(&json!({"life": 20})).await?;
    let config = workspace(&aws, "ws-1", &keys(&json!({"roleArn": TARGETS_ROLE})));
    let (mirror, client) = start(&aws, &config, &[]).await?;
    let asking = asking(&client);
    asking.goes_on().await?;
    aws.set(&json!({"down": true})).await?;
    until(&asking, &aws, "an attempt", |counts| {
        counts["failed"].as_u64() >= Some(1)
    })
    .await?;
    asking.goes_on().await?;
    aws.set(&json!({"down": false})).await?;
    until(&asking, &aws, "fresh keys", |counts| {
        counts["given"].as_u64() >= Some(2)
    })
    .await?;
    asking.goes_on().await?;
    asking.end().await?;
    let warned = "its AWS keys end soon and could not be replaced: the AWS security token service 127.0.0.1 of target amp answered 503 Service Unavailable: ServiceUnavailable: down on purpose";
    let log = mirror.process().whole_log();
    ensure!(log.contains(warned), "{log}");

    // Without keys that are good it is an error, until there are some.
    aws.set(&json!({"down": true, "revoke": true})).await?;
    assert_eq!(
        details(&client).await?,
        "the AWS security token service 127.0.0.1 of target amp answered 503 Service Unavailable: ServiceUnavailable: down on purpose"
    );
    aws.set(&json!({"down": false})).await?;
    is_let_in(&client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_refused_are_replaced_once_and_the_request_repeated() -> Result<()> {
    let store = Prometheus::start_2().await?;
    let aws = Aws::start(&store.url()).await?;
    let config = workspace(&aws, "ws-1", &keys(&json!({"roleArn": TARGETS_ROLE})));
    let (_mirror, client) = start(&aws, &config, &[]).await?;
    let asking = asking(&client);
    asking.goes_on().await?;
    aws.set(&json!({"revoke": true})).await?;
    asking.goes_on().await?;
    asking.end().await?;
    let counts = aws.counts().await?;
    assert_eq!(counts["given"], 2, "{counts}");
    let kinds: Vec<_> = counts["refused"]
        .as_object()
        .into_iter()
        .flatten()
        .collect();
    ensure!(
        kinds.len() == 1 && kinds[0].0 == "UnrecognizedClientException",
        "{counts}"
    );

    // What other keys do not help against is passed on, and asks for none.
    aws.set(&json!({"denied": true})).await?;
    let identity = format!("user > {TARGETS_ROLE} as prometheus-mirror-amp");
    assert_eq!(
        details(&client).await?,
        format!(
            "target amp refused the credentials: it answered 403 Forbidden: User: {identity} is not authorized to perform: aps:QueryMetrics"
        )
    );
    assert_eq!(aws.counts().await?["given"], 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_is_off_is_set_by_what_aws_says() -> Result<()> {
    let store = Prometheus::start_2().await?;
    for ahead in [3600, -3600] {
        let aws = Aws::start(&store.url()).await?;
        aws.set(&json!({"ahead": ahead})).await?;
        // At the Security Token Service first, and without one at the store.
        for more in [json!({"roleArn": TARGETS_ROLE}), json!({})] {
            let config = workspace(&aws, "ws-1", &keys(&more));
            let (_mirror, client) = start(&aws, &config, &[]).await?;
            let asking = asking(&client);
            asking.goes_on().await?;
            asking.end().await?;
        }
        let counts = aws.counts().await?;
        assert_eq!(
            (&counts["given"], &counts["failed"]),
            (&json!(1), &json!(1))
        );
        ensure!(
            counts["refused"]["InvalidSignatureException"].as_u64() <= Some(6),
            "{counts}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_with_an_identity_is_said_and_shows_no_secret() -> Result<()> {
    let store = Prometheus::start_2().await?;
    let aws = Aws::start(&store.url()).await?;
    aws.set(&json!({"tokens": ["another-token"]})).await?;
    let sts = "the AWS security token service 127.0.0.1 of target amp";
    let hint = "(hint: annotate the pod's ServiceAccount with eks.amazonaws.com/role-arn, or make an EKS Pod Identity association for it, or set accessKeyIdSecretRef and secretAccessKeySecretRef)";
    let file = |name| ("AWS_WEB_IDENTITY_TOKEN_FILE", name);
    let role = ("AWS_ROLE_ARN", PODS_ROLE);
    let forbidden = "arn:aws:iam::123456789012:role/forbidden";
    let pod = json!({});
    let container = aws.url("/container");
    let nowhere = aws.url("/nowhere");
    let container_of = |url| ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
    let its_token = ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-token-0123");
    let table = [
        (
            pod.clone(),
            vec![("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")],
            format!("target amp needs an AWS identity, and the pod has none: the instance metadata service 127.0.0.1 of target amp cannot be reached: Connection refused (os error 111) {hint}"),
        ),
        (
            pod.clone(),
            vec![("AWS_EC2_METADATA_DISABLED", "true")],
            format!("target amp needs an AWS identity: the pod has none, and AWS_EC2_METADATA_DISABLED is set {hint}"),
        ),
        (
            pod.clone(),
            vec![("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")],
            format!("target amp needs an AWS identity: AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not {hint}"),
        ),
        (
            pod.clone(),
            vec![role, file("secrets/pod/absent")],
            format!("{sts} cannot be asked: the file that AWS_WEB_IDENTITY_TOKEN_FILE names does not exist"),
        ),
        (
            pod.clone(),
            vec![role, file("secrets/pod/empty")],
            format!("{sts} cannot be asked: the file that AWS_WEB_IDENTITY_TOKEN_FILE names is empty"),
        ),
        (
            pod.clone(),
            vec![role, file("secrets/pod/token")],
            format!("{sts} refused the credentials: it answered 400 Bad Request: ExpiredTokenException: Token *** is expired"),
        ),
        (
            pod.clone(),
            vec![container_of(container.as_str()), its_token],
            "the container credentials endpoint 127.0.0.1 of target amp refused the credentials: it answered 401 Unauthorized: Unauthorized: token *** is not known".to_owned(),
        ),
        (
            pod.clone(),
            vec![container_of(nowhere.as_str())],
            "the container credentials endpoint 127.0.0.1 of target amp refused the credentials: it answered 401 Unauthorized: Unauthorized: no token".to_owned(),
        ),
        (
            keys(&json!({"roleArn": forbidden})),
            vec![],
            format!("{sts} refused the credentials: it answered 403 Forbidden: AccessDenied: User: user is not authorized to perform: sts:AssumeRole on resource: {forbidden}"),
        ),
        (
            keys(&json!({"roleArn": TARGETS_ROLE})),
            vec![("AWS_ENDPOINT_URL_STS", "http://127.0.0.1:1/")],
            format!("{sts} cannot be reached: Connection refused (os error 111)"),
        ),
        (
            keys(&json!({"service": "execute-api"})),
            vec![],
            "target amp refused the credentials: it answered 403 Forbidden: Credential should be scoped to correct service: 'aps'.".to_owned(),
        ),
    ];
    for (auth, variables, expected) in table {
        let config = workspace(&aws, "ws-1", &auth)
            .with_file("secrets/pod/token", "pod-token-0123")
            .with_file("secrets/pod/empty", "\n");
        let (mirror, client) = start(&aws, &config, &variables).await?;
        assert_eq!(details(&client).await?, expected);
        let log = mirror.process().whole_log();
        for secret in ["pod-token-0123", Aws::KEY[1]] {
            ensure!(!log.contains(secret), "{secret} is shown: {log}");
        }
    }
    // What AWS says of a wrong signature repeats all that was signed, tokens included.
    let config =
        workspace(&aws, "ws-1", &keys(&json!({}))).with_file("secrets/aws/secret", "wrong");
    let (_mirror, client) = start(&aws, &config, &[]).await?;
    let details = details(&client).await?;
    let beginning = "target amp refused the credentials: it answered 403 Forbidden: The request signature we calculated does not match the signature you provided.";
    ensure!(
        details.starts_with(beginning) && !details.contains(Aws::KEY[0]),
        "{details}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_without_an_identity_leaves_the_others_alone() -> Result<()> {
    let store = Prometheus::start_2().await?;
    let aws = Aws::start(&store.url()).await?;
    let mut config = workspace(&aws, "ws-1", &json!({})).with("defaultTarget", json!("plain"));
    let plain = json!({"name": "plain", "url": store.url()});
    config.spec["targets"]
        .as_array_mut()
        .context("targets")?
        .push(plain);
    let variables = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://evil.example/")];
    let (_mirror, client) = start(&aws, &config, &variables).await?;
    is_let_in(&client).await?;
    let request = json!({"_type": "TestConnectionRequest", "connectionDetails": {"target": "amp"}});
    let answer = client.post("/api/connection", &request).await?.json();
    let expected = "target amp needs an AWS identity: AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or an address of this machine (hint: annotate the pod's ServiceAccount with eks.amazonaws.com/role-arn, or make an EKS Pod Identity association for it, or set accessKeyIdSecretRef and secretAccessKeySecretRef)";
    assert_eq!(answer["error"]["details"], expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_targets_proxy_leads_to_sts_and_to_no_endpoint_of_the_machine() -> Result<()> {
    let store = Prometheus::start_2().await?;
    let aws = Aws::start(&store.url()).await?;
    let container = aws.url("/container");
    let container = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", container.as_str())];
    let role = json!({"roleArn": TARGETS_ROLE});
    for (auth, pod, asked, given) in [
        (keys(&role), &[][..], "POST", "/sts"),
        (json!({}), &container, "GET", "/workspaces/ws-1/api/v1/"),
    ]
    .map(|(auth, pod, method, path)| {
        (
            auth,
            pod,
            format!("{method} {}", aws.url(path)),
            path != "/sts",
        )
    }) {
        let proxy = Upstream::always(Reply::Status(502, "not today".to_owned())).await?;
        let config =
            workspace(&aws, "ws-1", &auth).with_target("proxy", json!({"url": proxy.url()}));
        let (_mirror, client) = start(&aws, &config, pod).await?;
        details(&client).await?;
        let requests = proxy.requests();
        ensure!(requests[0].starts_with(&asked), "{asked}: {requests:?}");
        assert_eq!(aws.counts().await?["given"], u8::from(given));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_of_one_target_share_its_keys() -> Result<()> {
    let store = Prometheus::start_2().await?;
    let aws = Aws::start(&store.url()).await?;
    let mut config = workspace(&aws, "ws-1", &keys(&json!({"roleArn": TARGETS_ROLE})));
    let servers = ["ws-1", "ws-2", "ws-3"];
    let servers = servers.map(|name| json!({"url": aws.url(&format!("/workspaces/{name}"))}));
    let target = config.spec["targets"][0]
        .as_object_mut()
        .context("a target")?;
    target.remove("url");
    target.insert("replicas".to_owned(), json!(servers));
    let folder = tempfile::tempdir()?;
    config.write(folder.path())?;
    let checked = Command::new(mirror_binary()?)
        .args(["check", "--probe", "-f", "mirror.yaml"])
        .current_dir(folder.path())
        .env("AWS_ENDPOINT_URL_STS", aws.url("/sts"))
        .output()?;
    ensure!(checked.status.success(), "{checked:?}");
    let counts = aws.counts().await?;
    ensure!(counts["served"].as_u64() >= Some(3), "{counts}");
    assert_eq!(counts["given"], 1);
    Ok(())
}
