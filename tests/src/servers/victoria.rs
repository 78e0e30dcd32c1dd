//! VictoriaMetrics, Debian's and one built from its Go module.

use std::path::Path;

use anyhow::Result;

use super::{Process, free_port, program, wait_until_ready};

/// A running VictoriaMetrics.
#[derive(Debug)]
pub struct VictoriaMetrics {
    process: Process,
    port: u16,
}

impl VictoriaMetrics {
    /// Starts Debian's VictoriaMetrics (1.79 in Debian 12).
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub async fn start() -> Result<Self> {
        Self::launch(&program("victoria-metrics", "victoria-metrics")?).await
    }

    /// Starts VictoriaMetrics 1.151; builds it first where no test has done so before.
    ///
    /// # Errors
    /// If it cannot be built or does not start.
    #[cfg(feature = "stores")]
    pub async fn start_recent() -> Result<Self> {
        Self::launch(&super::tool::tool("victoriametrics")?.join("victoria-metrics")).await
    }

    async fn launch(binary: &Path) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let port = free_port()?;
        let arguments = [
            "-storageDataPath=data".to_owned(),
            "-retentionPeriod=100y".to_owned(),
            // The newest samples are to be seen at once.
            "-search.latencyOffset=0s".to_owned(),
            format!("-httpListenAddr=127.0.0.1:{port}"),
            "-loggerLevel=WARN".to_owned(),
            "-memory.allowedBytes=512MB".to_owned(),
        ];
        let process = Process::start("VictoriaMetrics", binary, arguments, directory)?;
        let server = Self { process, port };
        wait_until_ready(&server.process, &format!("{}/health", server.url())).await?;
        Ok(server)
    }

    /// Base URL without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The process, for signals and memory.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }
}
