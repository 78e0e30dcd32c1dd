//! Thanos: Query over the sidecars of two Prometheus replicas, deduplicating.

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{Process, Prometheus, eventually, free_port, http_client, tool, wait_until_ready};
use crate::remote_write;
use crate::samples::{self, MINUTE, START, Series};

/// A running Thanos Query and all that is behind it.
#[derive(Debug)]
pub struct Thanos {
    query: Process,
    port: u16,
    sidecars: [Process; 2],
    replicas: [Prometheus; 2],
}

impl Thanos {
    /// `deduplication` is `penalty`, its default, which follows one replica as long as it has
    /// samples, or `chain`, which takes every instant once.
    ///
    /// Starts two replicas, loads `a` into the first and `b` into the second, and puts sidecars and
    /// a Query in front. Sidecars tell when the oldest sample was only now and then, so the samples
    /// come first.
    ///
    /// # Errors
    /// If something cannot be built, does not start or takes no samples.
    pub async fn start(deduplication: &str, a: &[Series], b: &[Series]) -> Result<Self> {
        let binary = tool::tool("thanos")?.join("thanos");
        let replicas = [
            Prometheus::start_replica("a").await?,
            Prometheus::start_replica("b").await?,
        ];
        remote_write::load(&replicas[0].url(), a).await?;
        remote_write::load(&replicas[1].url(), b).await?;
        let mut endpoints = Vec::new();
        let mut sidecar = |replica: &Prometheus| -> Result<Process> {
            let grpc = format!("127.0.0.1:{}", free_port()?);
            let arguments = [
                "sidecar".to_owned(),
                format!("--prometheus.url={}", replica.url()),
                format!("--grpc-address={grpc}"),
                format!("--http-address=127.0.0.1:{}", free_port()?),
                "--log.level=warn".to_owned(),
            ];
            // Not forgotten when it is gone, or else Query says so only for some seconds.
            endpoints.push(format!("--endpoint-strict={grpc}"));
            Process::start(
                "a sidecar of Thanos",
                &binary,
                arguments,
                tempfile::tempdir()?,
            )
        };
        let sidecars = [sidecar(&replicas[0])?, sidecar(&replicas[1])?];
        let port = free_port()?;
        let arguments = [
            "query".to_owned(),
            format!("--http-address=127.0.0.1:{port}"),
            format!("--grpc-address=127.0.0.1:{}", free_port()?),
            "--query.replica-label=replica".to_owned(),
            format!("--deduplication.func={deduplication}"),
            "--log.level=warn".to_owned(),
        ];
        let arguments = arguments.into_iter().chain(endpoints);
        let query = Process::start("Thanos Query", &binary, arguments, tempfile::tempdir()?)?;
        let server = Self {
            query,
            port,
            sidecars,
            replicas,
        };
        wait_until_ready(&server.query, &format!("{}/-/ready", server.url())).await?;
        eventually("both sidecars behind Thanos Query", || async {
            for process in &server.sidecars {
                ensure!(process.is_running(), "a sidecar ended:\n{}", process.log());
            }
            let url = format!("{}/api/v1/stores", server.url());
            let body: Value = http_client().get(url).send().await?.json().await?;
            let known = body["data"]["sidecar"].as_array().map_or(0, Vec::len);
            Ok((known == 2).then_some(()))
        })
        .await?;
        Ok(server)
    }

    /// Starts it over two replicas that together have all of [`samples::everything`], each instant
    /// counting once. Of gauges each lacks what the other has; counters are whole in both, as
    /// Thanos takes their resets out of each replica by itself, before it deduplicates, and so
    /// misjudges a reset that only one has seen.
    ///
    /// # Errors
    /// If something cannot be built, does not start or takes no samples.
    pub async fn of_everything() -> Result<Self> {
        let gauges = samples::gauges().len();
        let without = |missing: std::ops::Range<i64>| {
            let mut all = samples::everything();
            for gauge in &mut all[..gauges] {
                gauge.samples.retain(|sample| !missing.contains(&sample.at));
            }
            all
        };
        let (from, middle) = (START + 75 * MINUTE, START + 200 * MINUTE);
        let (a, b) = (without(from..middle), without(middle..START + 300 * MINUTE));
        Self::start("chain", &a, &b).await
    }

    /// Base URL without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The sidecars, for signals.
    #[must_use]
    pub fn sidecars(&self) -> &[Process; 2] {
        &self.sidecars
    }

    /// The replicas behind them.
    #[must_use]
    pub fn replicas(&self) -> &[Prometheus; 2] {
        &self.replicas
    }
}
