//! Real servers on ephemeral loopback ports, each in a temporary folder of its own.
//!
//! A server ends when its value is dropped, and also when the test process ends in any other way: [`Process`] runs it under a small
//! shell that waits for its standard input, a pipe from the test, to close.

mod mirror;
mod nginx;
mod process;
mod prometheus;
mod victoria;

pub use mirror::{Admin, Mirror, MirrorConfig, mirror_binary};
pub use nginx::Nginx;
pub use process::{Process, free_port, program};
pub use prometheus::Prometheus;
pub use victoria::VictoriaMetrics;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// An HTTP client for the harness itself. One per test runtime: connections belong to the runtime that made them.
///
/// # Panics
/// Never in practice: the provider and the settings are fixed.
#[must_use]
pub fn http_client() -> reqwest::Client {
    // Fails only if a provider is installed already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    #[expect(clippy::expect_used, reason = "fixed settings, and a provider is installed")]
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
            bail!("{} is not ready after 30 s:\n{}", process.name(), process.log());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
