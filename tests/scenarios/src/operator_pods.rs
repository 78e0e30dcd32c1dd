//! The operator where it runs as pods: its replicas, the one that leads, and what that has done.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use cluster_client::OPERATOR;
use serde_json::Value;

use crate::programs::run;
use crate::wait::{eventually, timed};

pub(crate) use cluster_client::SYSTEM;

/// Its Deployment, as kubectl names it.
pub(crate) const DEPLOYMENT: &str = "deploy/prometheus-mirror-operator";
/// The selector of its pods.
pub(crate) const PODS: &str = "app.kubernetes.io/name=prometheus-mirror-operator";
/// The selector of what it makes.
pub(crate) const MANAGED: &str = "app.kubernetes.io/managed-by=prometheus-mirror-operator";

/// How long a check that pods' answers may lead to can still come.
pub(crate) const REST: Duration = Duration::from_secs(5);

/// kubectl in the operator's namespace.
pub(crate) async fn system(arguments: &[&str]) -> Result<String> {
    run("kubectl", &[&["-n", SYSTEM], arguments].concat()).await
}

/// Waits until every replica runs.
pub(crate) async fn all_run() -> Result<()> {
    system(&["rollout", "status", DEPLOYMENT, "--timeout=180s"]).await?;
    Ok(())
}

/// Starts or stops replicas, and waits until so many run and no others.
pub(crate) async fn scale(replicas: usize) -> Result<()> {
    let number = format!("--replicas={replicas}");
    system(&["scale", DEPLOYMENT, &number]).await?;
    all_run().await?;
    eventually(format!("{replicas} operators run"), async || {
        let found = pods().await?.len();
        ensure!(found == replicas, "there are {found}");
        Ok(())
    })
    .await
}

/// Its pods, whole.
pub(crate) async fn pods() -> Result<Vec<Value>> {
    let list = system(&["get", "pods", "-l", PODS, "-o", "json"]).await?;
    let list: Value = serde_json::from_str(&list)?;
    Ok(list["items"].as_array().cloned().unwrap_or_default())
}

/// The pod that leads.
pub(crate) async fn leader() -> Result<String> {
    let holder = "jsonpath={.spec.holderIdentity}";
    let holder = system(&["get", "lease", OPERATOR, "-o", holder]).await?;
    ensure!(!holder.is_empty(), "nobody leads");
    Ok(holder)
}

/// Waits until another operator than `before` leads.
pub(crate) async fn another_leads(before: &str) -> Result<Duration> {
    timed(
        format!("another operator leads than {before}"),
        async || {
            ensure!(leader().await? != before, "it leads");
            Ok(())
        },
    )
    .await
}

/// Waits until a leader that is to stay has reconciled so many times since it was started.
pub(crate) async fn has_reconciled(times: usize) -> Result<()> {
    eventually("the leader has reconciled", async || {
        let leader = leader().await?;
        let pods = pods().await?;
        let pod = pods.iter().find(|pod| pod["metadata"]["name"] == *leader);
        let pod = pod.with_context(|| format!("{leader}, which leads, is gone"))?;
        let ends = !pod["metadata"]["deletionTimestamp"].is_null();
        ensure!(!ends, "{leader}, which leads, is told to end");
        let ip = pod["status"]["podIP"].as_str().context("no address")?;
        let count = reconciles(ip).await?;
        ensure!(count >= times as f64, "{count} of {times} reconciles");
        Ok(())
    })
    .await
}

async fn reconciles(ip: &str) -> Result<f64> {
    let page = reqwest::get(format!(
        "http://{}:8080/metrics",
        crate::scene::url_host(ip)
    ))
    .await?
    .text()
    .await?;
    let mut values = page
        .lines()
        .filter_map(|line| line.strip_prefix("prometheus_mirror_operator_reconciles_total "));
    Ok(values.next().context("no such metric")?.parse()?)
}

/// Lets time pass in which the operator may still write what it should not.
pub(crate) async fn rest() {
    tokio::time::sleep(REST).await;
}
