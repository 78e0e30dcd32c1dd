//! An OpenID provider with a gate that takes its tokens (`tests/tools/oidc-provider`).

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::tool::tool;
use super::{Process, eventually, free_port, http_client};

/// A running provider, the gate before a store, and what writes tokens into files.
#[derive(Debug)]
pub struct OpenIdProvider {
    process: Process,
    port: u16,
    gate: u16,
}

impl OpenIdProvider {
    /// Starts it before the store at this base URL. Its tokens live so many seconds.
    ///
    /// # Errors
    /// If it cannot be installed or does not start.
    pub async fn start(store: &str, seconds: u32) -> Result<Self> {
        let program = tool("oidc-provider")?.join("oidc-provider");
        let (port, gate) = (free_port()?, free_port()?);
        let arguments = [
            port.to_string(),
            gate.to_string(),
            store.to_owned(),
            seconds.to_string(),
        ];
        let folder = tempfile::tempdir()?;
        let process = Process::start("an OpenID provider", &program, arguments, folder)?;
        let provider = Self {
            process,
            port,
            gate,
        };
        eventually("the provider's ports", || async {
            ensure!(provider.process.is_running(), "{}", provider.process.log());
            let connect = |port| tokio::net::TcpStream::connect(("127.0.0.1", port));
            let both = [connect(port).await, connect(gate).await];
            Ok(both.iter().all(Result::is_ok).then_some(()))
        })
        .await?;
        Ok(provider)
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its token endpoint.
    #[must_use]
    pub fn token_url(&self) -> String {
        format!("http://127.0.0.1:{}/token", self.port)
    }

    /// The base URL of the store behind the gate.
    #[must_use]
    pub fn gate(&self) -> String {
        format!("http://127.0.0.1:{}", self.gate)
    }

    /// Keeps a fresh token with these claims in a file from now on.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn keep(&self, file: &Path, claims: &Value) -> Result<()> {
        self.change(&json!({"file": file, "claims": claims})).await
    }

    /// Puts the token endpoint out of order, or in order again.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn outage(&self, is_out: bool) -> Result<()> {
        self.change(&json!({"outage": is_out})).await
    }

    /// What it counted: `issued`, `mostAtOnce`, `admitted`, `refused`, `tokensSeen`.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn count(&self, name: &str) -> Result<u64> {
        let url = format!("http://127.0.0.1:{}/test/counts", self.port);
        let counts = http_client().get(url).send().await?.text().await?;
        let counts: Value = serde_json::from_str(&counts)?;
        Ok(counts[name].as_u64().unwrap_or_default())
    }

    async fn change(&self, change: &Value) -> Result<()> {
        let url = format!("http://127.0.0.1:{}/test/change", self.port);
        let sent = http_client().post(url).body(change.to_string());
        ensure!(sent.send().await?.status().is_success(), "{change}");
        Ok(())
    }
}
