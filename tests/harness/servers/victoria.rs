//! VictoriaMetrics, Debian's and one built from its Go module.

use std::path::Path;

use anyhow::Result;
use tempfile::TempDir;

use super::{Process, free_port, program, wait_until_ready};

/// The newest samples are to be seen at once.
const AT_ONCE: &str = "-search.latencyOffset=0s";

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
        let binary = program("victoria-metrics", "victoria-metrics")?;
        Self::launch(&binary, tempfile::tempdir()?, free_port()?, &[AT_ONCE]).await
    }

    /// The same, scraping itself as the job `self` each second; what is newer than half a minute
    /// stays hidden.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub async fn start_scraping_itself() -> Result<Self> {
        let (directory, port) = (tempfile::tempdir()?, free_port()?);
        let config = super::scraping_itself(port).to_string();
        std::fs::write(directory.path().join("prometheus.yml"), config)?;
        let binary = program("victoria-metrics", "victoria-metrics")?;
        let flags = ["-promscrape.config=prometheus.yml"];
        Self::launch(&binary, directory, port, &flags).await
    }

    /// Starts VictoriaMetrics 1.151; builds it first where no test has done so before.
    ///
    /// # Errors
    /// If it cannot be built or does not start.
    pub async fn start_recent() -> Result<Self> {
        let binary = super::tool::tool("victoriametrics")?.join("victoria-metrics");
        Self::launch(&binary, tempfile::tempdir()?, free_port()?, &[AT_ONCE]).await
    }

    async fn launch(binary: &Path, directory: TempDir, port: u16, flags: &[&str]) -> Result<Self> {
        let fixed = [
            "-storageDataPath=data".to_owned(),
            "-retentionPeriod=100y".to_owned(),
            format!("-httpListenAddr=127.0.0.1:{port}"),
            "-loggerLevel=WARN".to_owned(),
            "-memory.allowedBytes=512MB".to_owned(),
        ];
        let arguments = fixed
            .into_iter()
            .chain(flags.iter().map(|&flag| flag.to_owned()));
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
