//! AWS as far as a signed Prometheus needs it: signatures that botocore verifies, and every server
//! that has keys. See `tests/tools/aws/server.py`.

use std::path::Path;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{Process, free_port, http_client, tool, wait_until_ready};

/// The program, before a real Prometheus.
#[derive(Debug)]
pub struct Aws {
    process: Process,
    port: u16,
}

impl Aws {
    /// Its region.
    pub const REGION: &str = "eu-central-1";

    /// The access key of its only user.
    pub const KEY: [&str; 2] = ["AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"];

    /// Starts it before the Prometheus at this base URL.
    ///
    /// # Errors
    /// If botocore cannot be installed, or the program does not start.
    pub async fn start(prometheus: &str) -> Result<Self> {
        let python = tool::python("aws")?.join("python");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/aws/server.py");
        let port = free_port()?;
        let arguments = [
            script.into_os_string(),
            port.to_string().into(),
            prometheus.into(),
        ];
        let process = Process::start("AWS", &python, arguments, tempfile::tempdir()?)?;
        let aws = Self { process, port };
        wait_until_ready(&aws.process, &aws.url("/control")).await?;
        Ok(aws)
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// What happened until now.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn counts(&self) -> Result<Value> {
        let answer = http_client().get(self.url("/control")).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }

    /// Changes how it behaves: `life`, `down`, `denied`, `ahead`, `tokens`, and `revoke`.
    ///
    /// # Errors
    /// If it does not answer.
    pub async fn set(&self, change: &Value) -> Result<()> {
        let request = http_client().put(self.url("/control")).json(change);
        let status = request.send().await?.status();
        ensure!(status.is_success(), "{status}:\n{}", self.process.log());
        Ok(())
    }
}
