//! Prometheus, the 2.x of Debian and a 3.x built from its Go module.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Result, bail};
use serde_json::json;
use tempfile::TempDir;

use super::{Process, eventually, free_port, program, replace, wait_until_ready};
use crate::certificates::Certificate;

/// A running Prometheus that takes samples by remote write.
#[derive(Debug)]
pub struct Prometheus {
    process: Process,
    port: u16,
    scheme: &'static str,
}

/// Whom a secured Prometheus lets in: its `--web.config.file`, read again for each connection.
#[derive(Clone, Debug, Default)]
pub struct Web {
    /// Its certificate; without one it speaks plain HTTP.
    pub certificate: Option<Certificate>,
    /// Clients must present a certificate of this authority (PEM).
    pub client_authority: Option<String>,
    /// Names and bcrypt hashes of passwords.
    pub users: Vec<(String, String)>,
    /// It speaks TLS 1.2 at most.
    pub only_tls12: bool,
}

impl Web {
    fn write(&self, folder: &Path) -> Result<()> {
        // Files under new names, then the one that names them: no half of a pair is ever read with
        // the half of another.
        static VERSIONS: AtomicUsize = AtomicUsize::new(0);
        let version = VERSIONS.fetch_add(1, Ordering::SeqCst);
        let add = |name: &str, content: &str| {
            let name = format!("{version}-{name}");
            replace(&folder.join(&name), content).map(|()| name)
        };
        let mut config = json!({});
        if let Some(Certificate { certificate, key }) = &self.certificate {
            config["tls_server_config"] = json!({
                "cert_file": add("server.crt", certificate)?,
                "key_file": add("server.key", key)?,
            });
        }
        if let Some(authority) = &self.client_authority {
            config["tls_server_config"]["client_ca_file"] = json!(add("clients.crt", authority)?);
            config["tls_server_config"]["client_auth_type"] = json!("RequireAndVerifyClientCert");
        }
        if self.only_tls12 {
            config["tls_server_config"]["max_version"] = json!("TLS12");
        }
        if !self.users.is_empty() {
            let users: BTreeMap<_, _> = self.users.iter().cloned().collect();
            config["basic_auth_users"] = json!(users);
        }
        replace(&folder.join("web.yml"), &config.to_string())
    }
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

    /// The same with these flags, scraping itself as the job `self` each second.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub async fn start_2_scraping_itself(flags: &[&str]) -> Result<Self> {
        let (directory, port) = (tempfile::tempdir()?, free_port()?);
        let config = super::scraping_itself(port).to_string();
        std::fs::write(directory.path().join("prometheus.yml"), config)?;
        let binary = program("prometheus", "prometheus")?;
        let server = Self::launch_on(port, "Prometheus 2", &binary, flags, directory)?;
        wait_until_ready(&server.process, &format!("{}/-/ready", server.url())).await?;
        Ok(server)
    }

    /// Starts Prometheus 3; builds it first where no test has done so before.
    ///
    /// # Errors
    /// If it cannot be built or does not start.
    pub async fn start_3() -> Result<Self> {
        Self::start(
            "Prometheus 3",
            &super::tool::tool("prometheus3")?.join("prometheus"),
            &["--enable-feature=native-histograms"],
        )
        .await
    }

    /// Starts Prometheus 3 on a port that is free again, with nothing stored.
    ///
    /// # Errors
    /// If it cannot be built or does not start.
    pub async fn start_3_on(port: u16) -> Result<Self> {
        let binary = super::tool::tool("prometheus3")?.join("prometheus");
        let (name, directory) = ("Prometheus 3 again", tempfile::tempdir()?);
        let server = Self::launch_on(port, name, &binary, &[], directory)?;
        wait_until_ready(&server.process, &format!("{}/-/ready", server.url())).await?;
        Ok(server)
    }

    /// Starts Prometheus 3, which takes samples that come up to an hour late, and deletes what it
    /// is asked to.
    ///
    /// # Errors
    /// If it cannot be built or does not start.
    pub async fn start_3_taking_late() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let config = json!({
            "global": {"scrape_interval": "15s"},
            "storage": {"tsdb": {"out_of_order_time_window": "1h"}},
        });
        replace(
            &directory.path().join("prometheus.yml"),
            &config.to_string(),
        )?;
        Self::taking_late(free_port()?, directory).await
    }

    async fn taking_late(port: u16, directory: TempDir) -> Result<Self> {
        let binary = super::tool::tool("prometheus3")?.join("prometheus");
        let (name, flags) = ("a patient Prometheus 3", ["--web.enable-admin-api"]);
        let server = Self::launch_on(port, name, &binary, &flags, directory)?;
        wait_until_ready(&server.process, &format!("{}/-/ready", server.url())).await?;
        Ok(server)
    }

    /// Ends one that [takes what comes late](Self::start_3_taking_late), and starts it again with
    /// all that it has stored, on the same port.
    ///
    /// # Errors
    /// If it does not end, or not start again.
    pub async fn restarted(self) -> Result<Self> {
        self.process.signal("TERM")?;
        eventually("Prometheus' end", || async { Ok(self.process.exit_code()) }).await?;
        let directory = tempfile::tempdir()?;
        let copied = std::process::Command::new("cp")
            .args(["-r", "prometheus.yml", "data"])
            .arg(directory.path())
            .current_dir(self.process.directory())
            .status()?;
        if !copied.success() {
            bail!("what Prometheus stored cannot be copied");
        }
        let port = self.port;
        drop(self);
        Self::taking_late(port, directory).await
    }

    /// Deletes what matches a selector and lies between two instants, in milliseconds.
    ///
    /// # Errors
    /// If it refuses.
    pub async fn delete(&self, selector: &str, from: i64, to: i64) -> Result<()> {
        let seconds = |at: i64| format!("{}.{:03}", at / 1_000, at % 1_000);
        let url = format!("{}/api/v1/admin/tsdb/delete_series", self.url());
        let (from, to) = (seconds(from), seconds(to));
        let parameters = [("match[]", selector), ("start", &from), ("end", &to)];
        let request = super::http_client().post(url).form(&parameters);
        request.send().await?.error_for_status()?;
        Ok(())
    }

    /// Starts Prometheus 2.53, the last of its major version whose infos are among its warnings.
    ///
    /// # Errors
    /// If it cannot be built or does not start.
    pub async fn start_2_53() -> Result<Self> {
        let binary = super::tool::tool("prometheus2.53")?.join("prometheus");
        Self::start("Prometheus 2.53", &binary, &[]).await
    }

    /// Starts Prometheus 3 with these features and scrape configurations, given as YAML or JSON.
    ///
    /// # Errors
    /// If it cannot be built or does not start.
    pub async fn start_3_scraping(
        features: &str,
        scrape_configs: &serde_json::Value,
    ) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let config = json!({"global": {"scrape_interval": "1s"}, "scrape_configs": scrape_configs});
        std::fs::write(directory.path().join("prometheus.yml"), config.to_string())?;
        let features = format!("--enable-feature={features}");
        let server = Self::launch(
            "a scraping Prometheus 3",
            &super::tool::tool("prometheus3")?.join("prometheus"),
            &[&features],
            directory,
        )?;
        wait_until_ready(&server.process, &format!("{}/-/ready", server.url())).await?;
        Ok(server)
    }

    /// Starts Prometheus 3 as one of several replicas: `replica` is an external label, as Thanos
    /// wants it.
    ///
    /// # Errors
    /// If it cannot be built or does not start.
    pub async fn start_replica(replica: &str) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let config =
            json!({"global": {"scrape_interval": "15s", "external_labels": {"replica": replica}}});
        replace(
            &directory.path().join("prometheus.yml"),
            &config.to_string(),
        )?;
        let binary = super::tool::tool("prometheus3")?.join("prometheus");
        let flags = ["--enable-feature=native-histograms"];
        Self::start_in("a replica of Prometheus", &binary, &flags, directory).await
    }

    /// Starts Debian's Prometheus and lets in whom `web` says. It is not known to be ready, only to
    /// accept connections.
    ///
    /// # Errors
    /// If it is not installed or does not start.
    pub async fn start_secured(web: &Web) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        web.write(directory.path())?;
        let binary = program("prometheus", "prometheus")?;
        let flags = ["--web.config.file=web.yml"];
        let mut server = Self::launch("a secured Prometheus", &binary, &flags, directory)?;
        if web.certificate.is_some() {
            server.scheme = "https";
        }
        eventually("Prometheus' port", || async {
            if !server.process.is_running() {
                bail!("Prometheus ended at its start:\n{}", server.process.log());
            }
            let connected = tokio::net::TcpStream::connect(("127.0.0.1", server.port)).await;
            Ok(connected.ok().map(drop))
        })
        .await?;
        Ok(server)
    }

    /// Scrapes these targets from now on: scrape configurations as JSON.
    ///
    /// # Errors
    /// If it cannot be told.
    pub fn scrape(&self, scrape_configs: &serde_json::Value) -> Result<()> {
        let config = json!({ "scrape_configs": scrape_configs }).to_string();
        replace(&self.process.directory().join("prometheus.yml"), &config)?;
        self.process.signal("HUP")
    }

    /// Lets in others from now on.
    ///
    /// # Errors
    /// If its files cannot be written.
    pub fn secure(&self, web: &Web) -> Result<()> {
        web.write(self.process.directory())
    }

    async fn start(name: &str, binary: &Path, flags: &[&str]) -> Result<Self> {
        Self::start_in(name, binary, flags, tempfile::tempdir()?).await
    }

    async fn start_in(
        name: &str,
        binary: &Path,
        flags: &[&str],
        directory: TempDir,
    ) -> Result<Self> {
        let server = Self::launch(name, binary, flags, directory)?;
        wait_until_ready(&server.process, &format!("{}/-/ready", server.url())).await?;
        Ok(server)
    }

    fn launch(name: &str, binary: &Path, flags: &[&str], directory: TempDir) -> Result<Self> {
        Self::launch_on(free_port()?, name, binary, flags, directory)
    }

    fn launch_on(
        port: u16,
        name: &str,
        binary: &Path,
        flags: &[&str],
        directory: TempDir,
    ) -> Result<Self> {
        let config = directory.path().join("prometheus.yml");
        if !config.exists() {
            // Nothing is scraped: every sample comes from the test.
            std::fs::write(config, "global: {scrape_interval: 15s}\n")?;
        }
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
        Ok(Self {
            process,
            port,
            scheme: "http",
        })
    }

    /// Base URL without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
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
