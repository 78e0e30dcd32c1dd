//! Mimir in one process, with its API below `/prometheus`.

use anyhow::Result;

use super::{Process, free_port, tool, wait_until_ready};

/// A running Mimir without tenants.
#[derive(Debug)]
pub struct Mimir {
    process: Process,
    port: u16,
}

impl Mimir {
    /// Starts Mimir with all its parts in one process; builds it first where no test has done so
    /// before.
    ///
    /// # Errors
    /// If it cannot be built or does not start.
    pub async fn start() -> Result<Self> {
        let binary = tool::tool("mimir")?.join("mimir");
        let (port, grpc, gossip) = (free_port()?, free_port()?, free_port()?);
        let mut arguments: Vec<String> = [
            "-target=all",
            "-auth.multitenancy-enabled=false",
            "-usage-stats.enabled=false",
            "-log.level=warn",
            "-server.http-listen-address=127.0.0.1",
            "-server.grpc-listen-address=127.0.0.1",
            "-memberlist.bind-addr=127.0.0.1",
            "-ingester.ring.replication-factor=1",
            "-ingester.ring.min-ready-duration=0s",
            // All in folders of this process.
            "-activity-tracker.filepath=",
            "-alertmanager-storage.filesystem.dir=alerts",
            "-alertmanager.storage.path=alertmanager",
            "-blocks-storage.backend=filesystem",
            "-blocks-storage.bucket-store.sync-dir=sync",
            "-blocks-storage.filesystem.dir=blocks",
            "-blocks-storage.tsdb.dir=tsdb",
            "-compactor.data-dir=compactor",
            "-ruler-storage.filesystem.dir=rules",
            "-ruler.rule-path=ruler",
            // Samples of long ago are asked of the ingester that took them, and stay there for the
            // time of a test.
            "-querier.query-ingesters-within=0s",
            "-blocks-storage.tsdb.head-compaction-interval=15m",
            "-distributor.ingestion-rate-limit=1000000",
            "-distributor.ingestion-burst-size=10000000",
            "-validation.name-validation-scheme=utf8",
        ]
        .map(ToOwned::to_owned)
        .into();
        // Rings of one member, found without gossip.
        let rings = [
            "alertmanager.sharding-ring",
            "compactor.ring",
            "distributor.ring",
            "ingester.ring",
            "query-scheduler.ring",
            "ruler.ring",
            "store-gateway.sharding-ring",
        ];
        for ring in rings {
            arguments.push(format!("-{ring}.store=inmemory"));
            arguments.push(format!("-{ring}.instance-addr=127.0.0.1"));
        }
        arguments.push("-query-frontend.instance-addr=127.0.0.1".to_owned());
        arguments.push(format!("-server.http-listen-port={port}"));
        arguments.push(format!("-server.grpc-listen-port={grpc}"));
        arguments.push(format!("-memberlist.bind-port={gossip}"));
        let process = Process::start("Mimir", &binary, arguments, tempfile::tempdir()?)?;
        let ready = format!("http://127.0.0.1:{port}/ready");
        wait_until_ready(&process, &ready).await?;
        Ok(Self { process, port })
    }

    /// Base URL of its Prometheus API, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/prometheus", self.port)
    }

    /// The process, for signals and memory.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }
}
