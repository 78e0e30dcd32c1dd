//! Changes of a release, while clients ask without a pause.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::{RELEASE, TARGET, chart, install, pods, upgrade};
use crate::helm_program::Helm;
use crate::mirror_api::{Clients, answers_with_key};
use crate::programs::signal;
use crate::scene::Scene;
use crate::wait::eventually;

pub(super) async fn a_new_key_with_helm_4_loses_no_request(scene: &Scene) -> Result<()> {
    new_key(scene, &Helm::new(scene, 4).await?).await
}

pub(super) async fn a_new_key_with_helm_3_loses_no_request(scene: &Scene) -> Result<()> {
    new_key(scene, &Helm::new(scene, 3).await?).await
}

/// A release that answers through its Service.
async fn installed(scene: &Scene, helm: &Helm<'_>) -> Result<String> {
    install(scene, helm, &["--set", "global.apiKey=first-key"]).await?;
    let url = scene.address(RELEASE).await?;
    let answers = async || answers_with_key(&url, "first-key").await;
    eventually("the Service answers", answers).await?;
    Ok(url)
}

async fn new_key(scene: &Scene, helm: &Helm<'_>) -> Result<()> {
    let url = installed(scene, helm).await?;
    let before = pods(scene).await?;
    let clients = Clients::start(&[&url], &["first-key", "second-key"]).await?;
    upgrade(scene, helm, &["--set", "global.apiKey=second-key"]).await?;
    let answers = async || answers_with_key(&url, "second-key").await;
    eventually("the second key is served", answers).await?;
    // The pod before goes on for a moment, in which nothing may go wrong either.
    let after = scene.has_pods(RELEASE, 1).await?;
    ensure!(after != before, "no pod was replaced");
    let answered = clients
        .lose_nothing()
        .await
        .context("during helm upgrade with a new key")?;
    let by = &helm.name;
    scene.claim(format!(
        "{by}: {answered} requests during an upgrade with a new key, none lost"
    ));
    Ok(())
}

/// How late the node's proxy is: later than the mirror's own delay of 5 s, as it is on a busy node.
const LATE: Duration = Duration::from_secs(8);

/// The Service gives out the address of a pod that was told to end until the proxy has noticed.
pub(super) async fn a_proxy_that_is_late_loses_no_request(scene: &Scene) -> Result<()> {
    let helm = Helm::new(scene, 4).await?;
    let url = installed(scene, &helm).await?;
    let clients = Clients::start(&[&url], &["first-key", "second-key"]).await?;
    let proxy = scene.place().pid_of("kube-proxy")?;
    signal("STOP", &proxy).await?;
    let upgraded = async {
        upgrade(scene, &helm, &["--set", "global.apiKey=second-key"]).await?;
        eventually("the old pod was told to end", async || {
            let pods = scene
                .objects("pods", &crate::scene::pods_of(RELEASE))
                .await?;
            let ends = pods
                .iter()
                .any(|pod| !pod["metadata"]["deletionTimestamp"].is_null());
            ensure!(ends, "no pod ends");
            Ok(())
        })
        .await?;
        tokio::time::sleep(LATE).await;
        anyhow::Ok(())
    };
    let upgraded = upgraded.await;
    signal("CONT", &proxy).await?;
    upgraded?;
    scene.has_pods(RELEASE, 1).await?;
    let answered = clients
        .lose_nothing()
        .await
        .context("while the proxy was late")?;
    scene.claim(format!(
        "{answered} requests with a proxy {LATE:?} late, none lost"
    ));
    Ok(())
}

pub(super) async fn an_upgrade_without_a_change_replaces_no_pod(scene: &Scene) -> Result<()> {
    let helm = Helm::new(scene, 4).await?;
    installed(scene, &helm).await?;
    let before = pods(scene).await?;
    upgrade(scene, &helm, &[]).await?;
    let after = pods(scene).await?;
    ensure!(
        after == before,
        "{} instead of {}",
        after.join(" "),
        before.join(" ")
    );
    scene.claim("an upgrade that changes nothing replaces no pod");
    Ok(())
}

pub(super) async fn a_refused_upgrade_and_its_rollback_lose_no_request(
    scene: &Scene,
) -> Result<()> {
    let helm = Helm::new(scene, 4).await?;
    let url = installed(scene, &helm).await?;
    let clients = Clients::start(&[&url], &["first-key"]).await?;
    // A name that no HTTP client may send: the schema allows it, the mirror does not.
    let (chart, header) = (chart(scene), ["--set", "targets[0].headers.Host=a"]);
    let refused = [
        "upgrade",
        RELEASE,
        &chart,
        "--reuse-values",
        "--wait",
        "--timeout",
        "20s",
    ];
    let said = helm
        .fails(&[&refused, &TARGET[..], &header].concat())
        .await?;
    let labels = crate::scene::pods_of(RELEASE);
    let logs = scene.kubectl(&["logs", "-l", &labels, "--tail=5"]).await?;
    ensure!(
        logs.contains("Host"),
        "the pod does not say why: {said}: {logs}"
    );
    helm.run(&["rollback", RELEASE, "--wait", "--timeout", "3m"])
        .await?;
    scene.has_pods(RELEASE, 1).await?;
    let what = "an upgrade that the mirror refuses, and its rollback";
    let answered = clients
        .lose_nothing()
        .await
        .with_context(|| format!("during {what}"))?;
    scene.claim(format!("{answered} requests during {what}, none lost"));
    Ok(())
}

pub(super) async fn a_changed_secret_is_served_by_the_same_pods(scene: &Scene) -> Result<()> {
    let helm = Helm::new(scene, 4).await?;
    scene.secret("mine", &[("token", "mine-1")]).await?;
    let own = [
        "--set",
        "apiKeySecretRef.name=mine,apiKeySecretRef.key=token,replicas=2",
    ];
    install(scene, &helm, &own).await?;
    let before = pods(scene).await?;
    ensure!(before.len() == 2, "pods: {}", before.join(" "));
    let url = scene.address(RELEASE).await?;
    // Each of the two pods answers sooner or later.
    let answers = async |key: &str| {
        for _ in 0..6 {
            answers_with_key(&url, key).await?;
        }
        anyhow::Ok(())
    };
    eventually("the first key is served", async || answers("mine-1").await).await?;
    scene.secret("mine", &[("token", "mine-2")]).await?;
    eventually("the second key is served", async || answers("mine-2").await).await?;
    let after = pods(scene).await?;
    ensure!(after == before, "pods were replaced: {}", after.join(" "));
    scene.claim("a changed Secret of the user's is in force in the same pods");
    Ok(())
}
