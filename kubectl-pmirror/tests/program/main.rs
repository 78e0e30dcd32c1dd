//! The program, as kubectl runs it: against an API server in memory that forwards ports to a mirror
//! at work.

mod api_server;

use std::process::Output;

use anyhow::{Result, ensure};
use harness::samples::START;
use harness::servers::{Mirror, MirrorConfig, Reply, Upstream};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use self::api_server::{ApiServer, World};

/// A mirror at work, as the pod `production-mirror-1` of the resource `production`.
struct Scene {
    api: ApiServer,
    _mirror: Mirror,
    _store: Upstream,
    folder: TempDir,
}

impl Scene {
    async fn start(world: World) -> Result<Self> {
        let store = Upstream::always(Reply::samples(&[(START / 1000, "7")])).await?;
        let mut config = MirrorConfig::for_targets(&[("cluster", store.url())]);
        config.keys = vec![("apiKey".to_owned(), "the-key".to_owned())];
        config = config.with("server", world.server.clone());
        let mirror = Mirror::start(&config).await?;
        let admin = mirror.admin().0;
        let admin_port = admin.rsplit(':').next().unwrap_or_default().parse()?;
        let api = ApiServer::start(world, mirror.port(), admin_port).await?;
        let folder = TempDir::new()?;
        std::fs::write(folder.path().join("config"), api.kubeconfig())?;
        Ok(Self {
            api,
            _mirror: mirror,
            _store: store,
            folder,
        })
    }

    async fn run(&self, line: &str) -> Result<Said> {
        let output = Command::new(env!("CARGO_BIN_EXE_kubectl-pmirror"))
            .args(line.split(' '))
            .env("KUBECONFIG", self.folder.path().join("config"))
            .env_remove("PROMETHEUS_MIRROR_API_KEY")
            .output()
            .await?;
        Ok(output.into())
    }
}

/// What the program printed, and its exit code.
#[derive(Debug)]
struct Said {
    out: String,
    err: String,
    code: Option<i32>,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            out: text(&output.stdout),
            err: text(&output.stderr),
            code: output.status.code(),
        }
    }
}

/// A query that has a point.
fn query(name: &str) -> String {
    format!(
        "query {name} --gauge scripted --from {START} --to {}",
        START + 1_000
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_answered_through_a_pod_as_stackstate_would_be() -> Result<()> {
    let scene = Scene::start(World::default()).await?;
    let said = scene.run(&query("production")).await?;
    ensure!(said.code == Some(0), "{said:?}");
    ensure!(said.out.contains('7'), "{said:?}");
    let said = scene
        .run(&format!("{} -o json", query("production")))
        .await?;
    ensure!(said.out.contains("\"points\":[[7,"), "{said:?}");
    let question = query("production").replacen("query", "explain", 1);
    let said = scene.run(&question).await?;
    ensure!(said.out.contains("promql: scripted["), "{said:?}");
    let question = query("production").replacen("query", "why", 1);
    let said = scene.run(&question).await?;
    ensure!(
        said.code == Some(0) && said.out.contains("point"),
        "{said:?}"
    );
    ensure!(!scene.api.was_asked("/secrets/"), "no key is needed");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_key_comes_from_the_secret_or_from_a_file_and_is_never_printed() -> Result<()> {
    let wants_key = World {
        server: json!({"requireApiKey": true}),
        ..World::default()
    };
    let scene = Scene::start(wants_key.clone()).await?;
    let said = scene.run(&query("production")).await?;
    ensure!(
        said.code == Some(0) && scene.api.was_asked("/secrets/mirror-key"),
        "{said:?}"
    );
    let unreadable = World {
        forbidden: vec!["/secrets/"],
        ..wants_key
    };
    let scene = Scene::start(unreadable).await?;
    let said = scene.run(&query("production")).await?;
    let expected = "kubectl pmirror: this mirror wants its API key, and you may not read the Secret mirror-key that has it: give the key in a file with --key-file, or in PROMETHEUS_MIRROR_API_KEY\n";
    assert_eq!((said.err.as_str(), said.code), (expected, Some(1)));
    let file = scene.folder.path().join("key");
    std::fs::write(&file, "the-key\n")?;
    let question = format!("{} --key-file {}", query("production"), file.display());
    let said = scene.run(&question).await?;
    ensure!(said.code == Some(0), "{said:?}");
    std::fs::write(&file, "wrong\n")?;
    let said = scene.run(&question).await?;
    ensure!(
        said.code == Some(1) && said.err.contains("API key is missing or wrong"),
        "{said:?}"
    );
    ensure!(
        !said.err.contains("the-key") && !said.err.contains("wrong\n\n"),
        "{said:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_is_listed_and_shown() -> Result<()> {
    let scene = Scene::start(World::default()).await?;
    let said = scene.run("list -A -o name").await?;
    assert_eq!(
        said.out,
        "prometheusmirror.prometheus-mirror.io/production\n"
    );
    let said = scene.run("get").await?;
    ensure!(
        said.out.lines().count() == 2 && said.out.contains("True"),
        "{said:?}"
    );
    let said = scene.run("list -o yaml").await?;
    ensure!(said.out.contains("later: kept"), "{said:?}");
    let said = scene.run("status production").await?;
    for expected in [
        "Ready",
        "production-mirror-1",
        "http://production.shop.svc:9900",
    ] {
        ensure!(said.out.contains(expected), "{expected}: {said:?}");
    }
    ensure!(!said.out.contains('\u{1b}'), "colours in a file");
    let said = scene.run("check production").await?;
    ensure!(said.code == Some(0), "{said:?}");
    ensure!(
        said.out
            .contains("production-mirror-1, target cluster: reachable"),
        "{said:?}"
    );
    let said = scene.run("logs production").await?;
    assert_eq!(said.out, "a line\nanother\n");
    let said = scene.run("conform production --streams 0").await?;
    ensure!(said.out.contains("connection"), "{said:?}");
    let said = scene.run("open production").await?;
    ensure!(
        said.code == Some(1) && said.err.contains("spec.console.enabled"),
        "{said:?}"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_says_what_the_user_can_do() -> Result<()> {
    let scene = Scene::start(World::default()).await?;
    let said = scene.run("status other").await?;
    let expected = "kubectl pmirror: there is no PrometheusMirror other in namespace shop; there are: production\n";
    assert_eq!((said.err.as_str(), said.code), (expected, Some(1)));
    let table = [
        (
            "/portforward",
            query("production"),
            "kubectl pmirror: you may not do that in namespace shop: it needs the right to get and create pods/portforward there\n",
        ),
        (
            "/prometheusmirrors",
            "list".to_owned(),
            "kubectl pmirror: you may not do that in namespace shop: it needs the right to list prometheusmirrors.prometheus-mirror.io there\n",
        ),
        (
            "/log?",
            "logs production".to_owned(),
            "kubectl pmirror: you may not do that in namespace shop: it needs the right to get pods/log there\n",
        ),
    ];
    for (path, line, expected) in table {
        let forbidden = World {
            forbidden: vec![path],
            ..World::default()
        };
        let scene = Scene::start(forbidden).await?;
        let said = scene.run(&line).await?;
        assert_eq!(
            (said.err.as_str(), said.code),
            (expected, Some(1)),
            "{path}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_nobody_listens_on_is_named() -> Result<()> {
    let refuses = World {
        refuses_connections: true,
        ..World::default()
    };
    let scene = Scene::start(refuses).await?;
    let said = scene.run(&query("production")).await?;
    let expected = "port 9900 of pod production-mirror-1 cannot be reached: connection refused";
    ensure!(
        said.code == Some(1) && said.err.contains(expected),
        "{said:?}"
    );
    Ok(())
}

#[tokio::test]
async fn completion_knows_the_subcommands() -> Result<()> {
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(env!("CARGO_BIN_EXE_kubectl-pmirror"))
            .args(["completion", shell])
            .output()
            .await?;
        let said = Said::from(output);
        ensure!(
            said.code == Some(0) && said.out.contains("explain"),
            "{shell}"
        );
    }
    Ok(())
}
