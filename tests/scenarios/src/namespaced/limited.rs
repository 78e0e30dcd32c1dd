//! An operator process with the rights that the chart gives, and no others.

use std::collections::BTreeSet;
use std::fs::File;
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use cluster_client::OPERATOR;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::audit::Request;
use crate::operator_pods::SYSTEM;
use crate::programs::{self, run, signal};
use crate::scene::Scene;

/// The operator, running.
pub(super) struct Operator<'a> {
    scene: &'a Scene,
    process: Child,
    since: usize,
    files: TempDir,
    /// What is taken back at its end.
    rights: Option<String>,
}

impl<'a> Operator<'a> {
    /// Starts it with these flags, and the rights that the chart gives with these values.
    pub(super) async fn start(scene: &'a Scene, values: &[&str], flags: &[&str]) -> Result<Self> {
        let rights = chart_rights(scene, values).await?;
        programs::feed("kubectl", &["apply", "--filename", "-"], &rights).await?;
        Self::spawn(scene, flags, Some(rights)).await
    }

    /// Another one, with the same rights.
    pub(super) async fn beside(&self, flags: &[&str]) -> Result<Self> {
        Self::spawn(self.scene, flags, None).await
    }

    /// Ends, and leaves its rights to another one.
    pub(super) async fn succeeded_by(mut self, flags: &[&str]) -> Result<Self> {
        let (scene, rights) = (self.scene, self.rights.take());
        self.stop().await?;
        Self::spawn(scene, flags, rights).await
    }

    async fn spawn(scene: &'a Scene, flags: &[&str], rights: Option<String>) -> Result<Self> {
        let files = tempfile::tempdir()?;
        let config = files.path().join("operator.conf").display().to_string();
        kubeconfig(scene, &config).await?;
        let log = File::create(files.path().join("log"))?;
        let since = scene.common.audit.end()?;
        let process = command(scene, flags)
            .env("KUBECONFIG", &config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("the operator cannot be started")?;
        Ok(Self {
            scene,
            process,
            since,
            files,
            rights,
        })
    }

    /// Gives it the rights of these values, too, until it ends.
    pub(super) async fn grant(&mut self, values: &[&str]) -> Result<()> {
        let rights = chart_rights(self.scene, values).await?;
        programs::feed("kubectl", &["apply", "--filename", "-"], &rights).await?;
        let all = self.rights.get_or_insert_default();
        all.push_str("\n---\n");
        all.push_str(&rights);
        Ok(())
    }

    /// What it has logged.
    pub(super) fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.files.path().join("log"))?)
    }

    /// A page of its admin port.
    pub(super) async fn metrics(&self) -> Result<String> {
        let client = reqwest::Client::builder().no_proxy().build()?;
        let page = client.get("http://127.0.0.1:8080/metrics").send().await?;
        Ok(page.error_for_status()?.text().await?)
    }

    /// Its requests since it was started.
    pub(super) fn requests(&self) -> Result<Vec<Request>> {
        self.scene.common.audit.requests_since(self.since)
    }

    /// The most memory that it has had, in MiB.
    pub(super) fn peak_memory(&self) -> Result<u64> {
        let pid = self.process.id().context("it has ended")?;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = peak.and_then(|peak| peak.split_whitespace().next());
        Ok(kib.context("no VmHWM")?.parse::<u64>()? / 1024)
    }

    /// Ends it, which it must do well, and takes its rights back. None of its requests may have
    /// been denied.
    pub(super) async fn stop(self) -> Result<usize> {
        self.stop_although_denied(&[]).await
    }

    /// The same, where requests in these namespaces may have been denied.
    pub(super) async fn stop_although_denied(mut self, namespaces: &[&str]) -> Result<usize> {
        let pid = self.process.id().context("it has ended by itself")?;
        signal("TERM", &pid.to_string()).await?;
        let ended = self.process.wait().await?;
        let log = self.log()?;
        ensure!(
            ended.success(),
            "the operator did not end well: {ended}: {log}"
        );
        if let Some(rights) = &self.rights {
            let delete = ["delete", "--ignore-not-found", "--filename", "-"];
            programs::feed("kubectl", &delete, rights).await?;
        }
        let requests = self.requests()?;
        let denied = requests
            .iter()
            .filter(|request| request.denied && !namespaces.contains(&request.namespace.as_str()));
        let denied: BTreeSet<_> = denied
            .map(|denied| {
                format!(
                    "{} {} in {}",
                    denied.verb, denied.resource, denied.namespace
                )
            })
            .collect();
        ensure!(denied.is_empty(), "denied: {denied:?}");
        Ok(requests.len())
    }
}

/// What it says when it does not start, and how it ends.
pub(super) async fn refuses_to_start(scene: &Scene, flags: &[&str]) -> Result<(String, i32)> {
    let output = command(scene, flags).stdout(Stdio::null()).output().await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() {
        bail!("it starts: {said}");
    }
    Ok((said, output.status.code().context("ended by a signal")?))
}

fn command(scene: &Scene, flags: &[&str]) -> Command {
    let mut command = Command::new(&scene.place().operator);
    command
        .arg("run")
        .args(flags)
        .env("PROMETHEUS_MIRROR_OPERATOR_ADMIN_LISTEN", "127.0.0.1:8080")
        .env("POD_NAMESPACE", SYSTEM)
        // As the chart has it.
        .env("MIMALLOC_PURGE_DELAY", "10")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn chart_rights(scene: &Scene, values: &[&str]) -> Result<String> {
    let folder = run(&scene.place().file("tests/tools/build"), &["helm4"]).await?;
    let helm = format!("{}/helm", folder.trim());
    let chart = scene.place().file("charts/prometheus-mirror-operator");
    let template = ["template", OPERATOR, &chart, "--namespace", SYSTEM];
    let only = ["--show-only", "templates/rbac.yaml", "--show-only"];
    let arguments = [
        &template[..],
        &only,
        &["templates/serviceaccount.yaml"],
        values,
    ]
    .concat();
    programs::run(&helm, &arguments).await
}

/// A kubeconfig that has the operator's rights only.
async fn kubeconfig(scene: &Scene, file: &str) -> Result<()> {
    let token = scene.cluster().operator_token().await?;
    std::fs::copy(scene.place().state.join("pki/admin.conf"), file)?;
    let config = ["--kubeconfig", file, "config"];
    let credentials = ["set-credentials", "operator", "--token", &token];
    run("kubectl", &[&config[..], &credentials].concat()).await?;
    let context = ["set-context", "--current", "--user=operator"];
    run("kubectl", &[&config[..], &context].concat()).await?;
    Ok(())
}
