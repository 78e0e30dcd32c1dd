//! Real servers on ephemeral loopback ports, each in a temporary folder of its own.
//!
//! A server ends when its value is dropped, and also when the test process ends in any other way:
//! [`Process`] runs it under a small shell that waits for its standard input, a pipe from the test,
//! to close.

mod aws;
mod browser;
mod far;
mod mimir;
mod mirror;
mod nginx;
mod open_id;
mod process;
mod prometheus;
mod thanos;
mod tinyproxy;
mod tool;
mod upstream;
mod victoria;

pub use aws::Aws;
pub use browser::{Browser, axe, keys};
pub use far::Far;
pub use mimir::Mimir;
pub use mirror::{Admin, Launch, Mirror, MirrorConfig, mirror_binary, release_binary};
pub use nginx::Nginx;
pub use open_id::OpenIdProvider;
pub use process::{Process, free_port, program, replace};
pub use prometheus::{Prometheus, Web};
pub use thanos::Thanos;
pub use tinyproxy::Tinyproxy;
pub use tool::python;
pub use upstream::{Reply, Upstream};
pub use victoria::VictoriaMetrics;

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::oracle::Store;
use crate::{remote_write, samples};

/// An HTTP client for the harness itself. One per test runtime: connections belong to the runtime
/// that made them.
///
/// # Panics
/// Never in practice: the provider and the settings are fixed.
#[must_use]
pub fn http_client() -> reqwest::Client {
    // Fails only if a provider is installed already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    #[expect(
        clippy::expect_used,
        reason = "fixed settings, and a provider is installed"
    )]
    reqwest::Client::builder()
        .no_proxy()
        .timeout(Duration::from_secs(60))
        .build()
        .expect("a plain client can be built")
}

/// Waits until `url` answers 200.
///
/// # Errors
/// If the server ended, or 30 s have passed; both with the end of its log.
pub async fn wait_until_ready(process: &Process, url: &str) -> Result<()> {
    let client = http_client();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Ok(response) = client.get(url).send().await
            && response.status().is_success()
        {
            return Ok(());
        }
        if !process.is_running() {
            bail!("{} ended at its start:\n{}", process.name(), process.log());
        }
        if Instant::now() > deadline {
            bail!(
                "{} is not ready after 30 s:\n{}",
                process.name(),
                process.log()
            );
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A configuration for a server on this port to scrape itself.
fn scraping_itself(port: u16) -> serde_json::Value {
    let targets = [format!("127.0.0.1:{port}")];
    serde_json::json!({"scrape_configs": [{
        "job_name": "self", "scrape_interval": "1s", "static_configs": [{"targets": targets}],
    }]})
}

/// Loads all of [`samples::everything`] that the store can hold and waits until it can be read.
/// VictoriaMetrics 1.151 would take native histograms apart and mix their sums and counts with
/// those of a classic histogram beside them, so it gets none.
///
/// # Errors
/// If the store refuses something.
pub async fn load(store: Store, url: &str) -> Result<()> {
    let mut all = samples::everything();
    all.retain(|series| store != Store::Prometheus2 || series.name().is_ascii());
    if store == Store::RecentVictoriaMetrics {
        all.iter_mut().for_each(|series| series.histograms.clear());
    }
    load_into(store, url, &all).await
}

/// Loads samples into a store, which answers them from then on.
///
/// # Errors
/// If it does not take them.
pub async fn load_into(store: Store, url: &str, series: &[samples::Series]) -> Result<()> {
    match store {
        // Mimir takes samples at its root and answers below a prefix.
        Store::Mimir => {
            let root = url.trim_end_matches("/prometheus");
            remote_write::push(&format!("{root}/api/v1/push"), series).await?;
        }
        _ => remote_write::load(url, series).await?,
    }
    if store.is_victoriametrics() {
        let response = http_client()
            .get(format!("{url}/internal/force_flush"))
            .send()
            .await?;
        ensure!(
            response.status().is_success(),
            "force_flush: {}",
            response.status()
        );
    }
    Ok(())
}

/// Waits until `happened` answers something, 30 s at most.
///
/// # Errors
/// If it does not happen, naming `what`.
pub async fn eventually<T, F: Future<Output = Result<Option<T>>>>(
    what: &str,
    mut happened: impl FnMut() -> F,
) -> Result<T> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(found) = happened().await? {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "{what}: not within 30 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
