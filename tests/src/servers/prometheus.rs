//! Prometheus, the 2.x of Debian and a 3.x built from its Go module.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::{Process, free_port, program, wait_until_ready};

/// A running Prometheus that takes samples by remote write.
#[derive(Debug)]
pub struct Prometheus {
    process: Process,
    port: u16,
}

impl Prometheus {
    /// Starts Debian's Prometheus (2.42 in Debian 12).
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub async fn start_2() -> Result<Self> {
        Self::start(
            "Prometheus 2",
            &program("prometheus", "prometheus")?,
            &["--enable-feature=native-histograms"],
        )
        .await
    }

    /// Starts Prometheus 3; builds it first where no test has done so before.
    ///
    /// # Errors
    /// If it cannot be built or does not start.
    pub async fn start_3() -> Result<Self> {
        Self::start(
            "Prometheus 3",
            &prometheus_3()?,
            &["--enable-feature=native-histograms"],
        )
        .await
    }

    async fn start(name: &str, binary: &Path, flags: &[&str]) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        // Nothing is scraped: every sample comes from the test.
        std::fs::write(
            directory.path().join("prometheus.yml"),
            "global: {scrape_interval: 15s}\n",
        )?;
        let port = free_port()?;
        let fixed = [
            "--config.file=prometheus.yml".to_owned(),
            "--storage.tsdb.path=data".to_owned(),
            "--storage.tsdb.retention.time=100y".to_owned(),
            format!("--web.listen-address=127.0.0.1:{port}"),
            "--web.enable-remote-write-receiver".to_owned(),
            "--log.level=warn".to_owned(),
        ];
        let arguments = fixed
            .into_iter()
            .chain(flags.iter().map(|flag| (*flag).to_owned()));
        let process = Process::start(name, binary, arguments, directory)?;
        let server = Self { process, port };
        wait_until_ready(&server.process, &format!("{}/-/ready", server.url())).await?;
        Ok(server)
    }

    /// Base URL without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The process, for signals and memory.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// The binary that `tests/tools/build prometheus3` makes.
fn prometheus_3() -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/build");
    let output = Command::new(&script)
        .arg("prometheus3")
        .stderr(std::process::Stdio::inherit())
        .output()
        .with_context(|| format!("{} cannot be run", script.display()))?;
    if !output.status.success() {
        bail!(
            "Prometheus 3 cannot be built (`tests/tools/build prometheus3`, needs Go and the Go module proxy)"
        );
    }
    let folder = String::from_utf8(output.stdout)?;
    Ok(Path::new(folder.trim()).join("prometheus"))
}
