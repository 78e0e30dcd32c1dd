//! Answers the admin port of every mirror's fake pod of kwok. Run it in the cluster's
//! network: `tests/cluster/cluster exec target/debug/fake-pods`.

use anyhow::Context as _;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    // It can only fail if there is a provider already, and nothing ran before.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = kube::Client::try_default()
        .await
        .context("run this with tests/cluster/cluster exec")?;
    fake_pods::run(client, fake_pods::listen().await?).await
}
