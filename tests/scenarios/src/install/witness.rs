//! A mirror that must not notice what happens to its operator.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::mirror_api::connects;
use crate::operator_pods;
use crate::scene::Scene;
use crate::wait::eventually;

const NAME: &str = "shop";

/// A mirror that was ready, and the pods that it had.
pub(super) struct Witness<'a> {
    scene: &'a Scene,
    url: String,
    pods: Vec<String>,
}

fn spec() -> Value {
    json!({
        "apiKeySecretRef": {"name": "mirror-key"},
        "targets": [{"name": "cluster", "url": "http://prometheus.monitoring.svc:9090"}],
    })
}

/// Creates a mirror and does not wait for it.
pub(super) async fn create_mirror(scene: &Scene) -> Result<()> {
    scene.mirror(NAME, &spec()).await
}

/// Fails if an operator looked at the mirror.
pub(super) async fn was_not_looked_at(scene: &Scene) -> Result<()> {
    let mirror = scene.object("PrometheusMirror", NAME).await?;
    let observed = &mirror["status"]["observedGeneration"];
    let namespace = &scene.namespace;
    ensure!(
        observed == -1,
        "the operator looked into {namespace}: {mirror}"
    );
    Ok(())
}

impl<'a> Witness<'a> {
    /// Creates it, with an operator that makes it ready.
    pub(super) async fn create(scene: &'a Scene, by: &str) -> Result<Self> {
        create_mirror(scene).await?;
        scene.ready(NAME).await?;
        let url = scene.address(NAME).await?;
        eventually("the mirror answers", async || connects(&url).await).await?;
        let pods = scene.pods(NAME).await?;
        ensure!(!pods.is_empty(), "a ready mirror without pods");
        scene.claim(format!("{by}: a resource is Ready, and its mirror answers"));
        Ok(Self { scene, url, pods })
    }

    /// It goes on, with or without operator.
    pub(super) async fn serves_on(&self, by: &str) -> Result<()> {
        let there = self.scene.exists("PrometheusMirror", NAME).await?;
        ensure!(there, "{by}: the resource is gone");
        let pods = self.scene.pods(NAME).await?;
        let before = &self.pods;
        ensure!(pods == *before, "{by}: pods {pods:?} instead of {before:?}");
        let answers = async || connects(&self.url).await;
        eventually("the mirror answers", answers)
            .await
            .with_context(|| by.to_owned())
    }

    /// An operator leads and has looked at everything. Since the audit log ended there, no operator
    /// wrote anything.
    pub(super) async fn is_untouched(&self, by: &str, since: usize) -> Result<()> {
        operator_pods::all_run().await?;
        operator_pods::has_reconciled(1).await?;
        operator_pods::rest().await;
        self.scene.ready(NAME).await?;
        let writes = self.scene.common.audit.writes_since(since, None)?;
        ensure!(writes.is_empty(), "{by}: the operator wrote {writes:?}");
        self.serves_on(by).await?;
        self.scene.claim(format!(
            "{by}: the same pods, no write by the operator, and the mirror answers"
        ));
        Ok(())
    }
}
