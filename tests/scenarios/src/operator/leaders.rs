//! Two operators of which one leads: at rest, restarted, killed, frozen, cut off.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::ready_mirror;
use crate::audit::Request;
use crate::operator_pods::{self, PODS, all_run, another_leads, leader, system};
use crate::programs::{run, signal};
use crate::scene::Scene;
use crate::wait::eventually;

/// How long nothing may be written when nothing happens: longer than the operator's own periods.
const IDLE: Duration = Duration::from_secs(120);

/// The process of an operator's pod, by its environment: pods' processes are this machine's.
fn process_of(pod: &str) -> Result<String> {
    let wanted = format!("POD_NAME={pod}");
    for process in std::fs::read_dir("/proc")? {
        let process = process?.path();
        // Many entries are no processes, and processes end meanwhile.
        let Ok(environment) = std::fs::read(process.join("environ")) else {
            continue;
        };
        if environment
            .split(|&byte| byte == 0)
            .any(|entry| entry == wanted.as_bytes())
        {
            let pid = process.file_name().context("a path without a name")?;
            return Ok(pid.to_string_lossy().into_owned());
        }
    }
    anyhow::bail!("no process of {pod}")
}

/// The leader and its process.
async fn running_leader() -> Result<(String, String)> {
    all_run().await?;
    eventually("the leader runs", async || {
        let leader = leader().await?;
        let process = process_of(&leader)?;
        Ok((leader, process))
    })
    .await
}

/// Waits until the leader has reconciled every mirror of the cluster since it was started.
async fn has_reconciled_all() -> Result<()> {
    let mirrors = run("kubectl", &["get", "pmirror", "-A", "-o", "name"]).await?;
    operator_pods::has_reconciled(mirrors.lines().count()).await
}

/// Fails if the operator wrote anything of this scenario's.
fn wrote_nothing(scene: &Scene, since: usize) -> Result<()> {
    let writes = scene
        .common
        .audit
        .writes_since(since, Some(&scene.namespace))?;
    ensure!(writes.is_empty(), "written: {writes:?}");
    Ok(())
}

/// A mirror for which nothing is left to be written. Returns the end of the audit log then.
async fn rested_mirror(scene: &Scene) -> Result<usize> {
    ready_mirror(scene).await?;
    scene
        .becomes("shop", "TargetsReachable", "True ", &[])
        .await?;
    scene.writes_end(operator_pods::REST).await?;
    scene.common.audit.end()
}

pub(super) async fn nothing_is_written_while_nothing_happens(scene: &Scene) -> Result<()> {
    let since = rested_mirror(scene).await?;
    tokio::time::sleep(IDLE).await;
    wrote_nothing(scene, since)?;
    let requests = scene.common.audit.requests_since(since)?;
    let is_lease = |request: &&Request| request.resource == "coordination.k8s.io/leases";
    let renewed = requests.iter().filter(is_lease).count();
    ensure!(
        renewed > 10,
        "the operator renewed its lease {renewed} times"
    );
    let idle = IDLE.as_secs();
    scene.claim(format!(
        "no write in {idle} idle seconds, while the lease was renewed {renewed} times"
    ));
    Ok(())
}

pub(super) async fn a_restart_of_the_operator_writes_nothing(scene: &Scene) -> Result<()> {
    let since = rested_mirror(scene).await?;
    let before = leader().await?;
    system(&["delete", "pods", "-l", PODS, "--wait=true"]).await?;
    all_run().await?;
    another_leads(&before).await?;
    has_reconciled_all().await?;
    // What pods answer may lead to a second look.
    operator_pods::rest().await;
    wrote_nothing(scene, since)?;
    scene.claim("a restart of both operators writes nothing");
    Ok(())
}

/// Waits until a deleted child is back.
async fn a_deleted_child_comes_back(scene: &Scene) -> Result<Duration> {
    scene.delete("Service", "shop").await?;
    scene.appears("Service", "shop").await
}

pub(super) async fn another_operator_leads_when_the_leader_is_killed(scene: &Scene) -> Result<()> {
    ready_mirror(scene).await?;
    let (_, process) = running_leader().await?;
    signal("KILL", &process).await?;
    // The same pod may lead again: its new process has the old one's name, and knows that the old
    // one is gone.
    let took = a_deleted_child_comes_back(scene).await?;
    scene.claim(format!(
        "a deleted child is back {took:?} after the leader was killed"
    ));
    Ok(())
}

pub(super) async fn another_operator_leads_when_the_leader_ends(scene: &Scene) -> Result<()> {
    ready_mirror(scene).await?;
    let (before, _) = running_leader().await?;
    system(&["delete", "pod", &before, "--wait=false"]).await?;
    let took = another_leads(&before).await?;
    a_deleted_child_comes_back(scene).await?;
    scene.claim(format!(
        "another replica leads {took:?} after the leader was told to end"
    ));
    Ok(())
}

pub(super) async fn another_operator_leads_when_the_leader_is_frozen(scene: &Scene) -> Result<()> {
    ready_mirror(scene).await?;
    let (before, process) = running_leader().await?;
    signal("STOP", &process).await?;
    let led = another_leads(&before).await;
    signal("CONT", &process).await?;
    let took = led?;
    scene.claim(format!(
        "another replica leads {took:?} after the leader was frozen"
    ));
    eventually(
        "the frozen leader knows that it leads no more",
        async || {
            let said = system(&["logs", &before, "--since=180s"]).await?;
            ensure!(said.contains("leads no more"), "{said}");
            Ok(())
        },
    )
    .await?;
    a_deleted_child_comes_back(scene).await?;
    ensure!(
        leader().await? != before,
        "the frozen leader took the lease back"
    );
    scene.claim("and the frozen one, thawed, knows that it leads no more");
    Ok(())
}

/// How often each operator's container was started again.
async fn restarts() -> Result<Value> {
    let pods = operator_pods::pods().await?;
    let restarts = pods.iter().map(|pod| {
        let container = &pod["status"]["containerStatuses"][0];
        json!([pod["metadata"]["name"], container["restartCount"]])
    });
    Ok(restarts.collect())
}

pub(super) async fn operators_outlive_the_api_server(scene: &Scene) -> Result<()> {
    ready_mirror(scene).await?;
    running_leader().await?;
    let before = restarts().await?;
    signal("KILL", &scene.place().pid_of("kube-apiserver")?).await?;
    // Long enough for every client to notice.
    tokio::time::sleep(Duration::from_secs(5)).await;
    scene.place().repair().await?;
    eventually("the lease can be read", leader).await?;
    let took = a_deleted_child_comes_back(scene).await?;
    let after = restarts().await?;
    ensure!(
        after == before,
        "an operator ended: {after} instead of {before}"
    );
    scene.claim(format!(
        "a deleted child is back {took:?} after the API server; no operator ended"
    ));
    Ok(())
}
