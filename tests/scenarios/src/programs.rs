//! The programs that users run, and where things are.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::wait::eventually;

/// Where things are.
pub(crate) struct Place {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// The image archives.
    pub(crate) images: PathBuf,
    /// The cluster's logs, keys and processes.
    pub(crate) state: PathBuf,
    /// The operator's program, for subjects in which it is no pod.
    pub(crate) operator: PathBuf,
    /// The plugin of kubectl.
    pub(crate) plugin: PathBuf,
}

impl Place {
    /// A file of the checkout.
    pub(crate) fn file(&self, path: &str) -> String {
        self.root.join(path).display().to_string()
    }

    /// Gives the node an image archive.
    pub(crate) async fn load(&self, archive: &Path) -> Result<()> {
        let archive = archive.display().to_string();
        run(&self.file("tests/cluster/cluster"), &["load", &archive]).await?;
        Ok(())
    }

    /// Starts again what of the cluster does not run.
    pub(crate) async fn repair(&self) -> Result<()> {
        run(&self.file("tests/cluster/cluster"), &["up"]).await?;
        Ok(())
    }

    /// Gives the node the images that are tried, and that of a Prometheus.
    pub(crate) async fn load_images(&self) -> Result<()> {
        let prometheus = self.file("tests/cluster/images/build");
        let prometheus = run(&prometheus, &["prometheus"]).await?;
        self.load(Path::new(prometheus.trim())).await?;
        for name in ["prometheus-mirror.tar", "prometheus-mirror-operator.tar"] {
            self.load(&self.images.join(name)).await?;
        }
        Ok(())
    }

    /// Starts a Prometheus to read from.
    pub(crate) async fn start_prometheus(&self) -> Result<()> {
        let manifest = self.file("tests/cluster/manifests/prometheus.yaml");
        run("kubectl", &["apply", "-f", &manifest]).await?;
        let rollout = ["rollout", "status", "deploy/prometheus", "--timeout=180s"];
        run("kubectl", &[&["-n", "monitoring"], &rollout[..]].concat()).await?;
        Ok(())
    }

    /// The pid of a component of the cluster.
    pub(crate) fn pid_of(&self, component: &str) -> Result<String> {
        let file = self.state.join("run").join(format!("{component}.pid"));
        let record = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let pid = record.split_whitespace().next();
        Ok(pid.context("an empty record of a process")?.to_owned())
    }
}

/// What a program prints; it must succeed.
pub(crate) async fn run(program: &str, arguments: &[&str]) -> Result<String> {
    feed(program, arguments, "").await
}

/// The definition, as kubectl names it.
pub(crate) const DEFINITION: &str = "crd/prometheusmirrors.prometheus-mirror.io";

/// Where the API server lists its objects.
const RESOURCES: &str = "/apis/prometheus-mirror.io/v1alpha1/prometheusmirrors";

/// Waits until the API server serves the resource: it calls the definition established a moment
/// earlier. One that is deleted in that moment stays for ever, because its objects cannot be
/// listed. Of a definition without any condition yet, `kubectl wait` says that it is not of the
/// right type.
pub(crate) async fn established() -> Result<()> {
    let wait = [
        "wait",
        "--for=condition=Established",
        DEFINITION,
        "--timeout=30s",
    ];
    let listed = ["get", "--raw", RESOURCES];
    eventually("the resource is served", async || {
        run("kubectl", &wait).await?;
        run("kubectl", &listed).await.map(drop)
    })
    .await
}

/// The same, with something to read.
pub(crate) async fn feed(program: &str, arguments: &[&str], input: &str) -> Result<String> {
    let output = output(program, arguments, input).await?;
    let (said, complained) = (text(&output.stdout), text(&output.stderr));
    ensure!(
        output.status.success(),
        "{program} {}: {}\n{complained}{said}",
        arguments.join(" "),
        output.status
    );
    Ok(said)
}

/// What a program says that must fail.
pub(crate) async fn fails(program: &str, arguments: &[&str]) -> Result<String> {
    let output = output(program, arguments, "").await?;
    let said = text(&output.stdout) + &text(&output.stderr);
    if output.status.success() {
        bail!("{program} {} succeeds: {said}", arguments.join(" "));
    }
    Ok(said)
}

/// Sends a signal to a process.
pub(crate) async fn signal(name: &str, pid: &str) -> Result<()> {
    run("kill", &[&format!("-{name}"), pid]).await?;
    Ok(())
}

/// What was said and how it ended.
pub(crate) async fn output(program: &str, arguments: &[&str], input: &str) -> Result<Output> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("{program} cannot be started"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read says itself why.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    Ok(child.wait_with_output().await?)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
