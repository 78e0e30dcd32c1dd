//! What an operator needs when there is much.

use anyhow::{Result, ensure};
use cluster_client::MIRROR;
use futures::{StreamExt as _, TryStreamExt as _};
use serde_json::{Value, json};

use super::limited::Operator;
use crate::scene::Scene;
use crate::wait::eventually;

const NUMBER: usize = 80;
/// Of one resource, in bytes.
const SIZE: usize = 1_300_000;
/// The limit of the operator's pod, in MiB.
const LIMIT: u64 = 128;

pub(super) async fn eighty_large_resources_fit_into_the_memory_of_a_pod(
    scene: &Scene,
) -> Result<()> {
    futures::stream::iter(0..NUMBER)
        .map(Ok)
        .try_for_each_concurrent(4, async |number| create(scene, number).await)
        .await?;
    let operator = Operator::start(scene, &[], &[]).await?;
    eventually("all are paused", async || {
        let paused = r#"jsonpath={.items[*].status.conditions[?(@.type=="Paused")].status}"#;
        let said = scene.kubectl(&["get", "pmirror", "-o", paused]).await?;
        let number = said.matches("True").count();
        ensure!(number == NUMBER, "{number} are paused");
        Ok(())
    })
    .await?;
    let peak = operator.peak_memory()?;
    ensure!(peak < LIMIT, "{NUMBER} large resources take {peak} MiB");
    scene.claim(format!(
        "{NUMBER} paused resources of 1.3 MB each take {peak} MiB at most"
    ));
    scene.kubectl(&["delete", "pmirror", "--all"]).await?;
    operator.stop().await?;
    Ok(())
}

async fn create(scene: &Scene, number: usize) -> Result<()> {
    let annotations = json!({"large": noise(number, SIZE)});
    let spec = json!({
        "paused": true, "apiKeySecretRef": {"name": "mirror-key"},
        "targets": [{"name": "a", "url": "http://a"}],
        "podTemplate": {"metadata": {"annotations": annotations}},
    });
    let name = format!("large{number}");
    let manifest = cluster_client::mirror(&scene.namespace, &name, &spec);
    scene.cluster().create(MIRROR, &manifest).await?;
    Ok(())
}

/// Text that cannot be compressed to much less, another for each number.
fn noise(number: usize, size: usize) -> Value {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut state = number as u64 + 1;
    let next = || {
        // Xorshift: as good as any here.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(LETTERS[(state % 64) as usize])
    };
    Value::String(std::iter::repeat_with(next).take(size).collect())
}
