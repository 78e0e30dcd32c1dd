//! The memory that requests share, as metrics; see [`crate::budget`].

use std::sync::{Arc, OnceLock};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use crate::budget::{Budget, Memory};

/// Reads the budgets while it is scraped, once they exist.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryCollector(pub(super) Arc<OnceLock<Arc<Memory>>>);

/// A family: its name, its help, and its value for a budget.
type Described = (&'static str, &'static str, fn(&Budget) -> u64);

const FAMILIES: [Described; 3] = [
    (
        "prometheus_mirror_memory_limit_bytes",
        "Memory that requests may use together, for their bodies and for the work on them",
        |budget| budget.capacity().0,
    ),
    (
        "prometheus_mirror_memory_used_bytes",
        "Memory that requests use or have reserved",
        |budget| budget.used().0,
    ),
    (
        "prometheus_mirror_memory_waiters",
        "Requests and calls that wait for memory",
        |budget| budget.waiting() as u64,
    ),
];

impl Collector for MemoryCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let Some(memory) = self.0.get() else {
            return Ok(());
        };
        for (name, help, value) in FAMILIES {
            let family = Family::<[(&str, &str); 1], Gauge>::default();
            for (purpose, budget) in [("bodies", &memory.bodies), ("work", &memory.work)] {
                let value = i64::try_from(value(budget)).unwrap_or(i64::MAX);
                family.get_or_create(&[("purpose", purpose)]).set(value);
            }
            family.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::size::ByteSize;
    use crate::telemetry::exposition::Format;
    use crate::telemetry::metrics::Metrics;

    #[tokio::test]
    async fn the_memory_of_requests_is_exposed_once_there_is_some() {
        let metrics = Metrics::new();
        let exposed = || {
            let text = metrics.render(Format::Prometheus);
            let memory = text
                .lines()
                .filter(|line| line.starts_with("prometheus_mirror_memory_"));
            memory.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(exposed(), [""; 0]);
        let memory = Memory::within(ByteSize::mib(512), ByteSize(0));
        metrics.shows(&memory);
        let held = memory.work.reserve(ByteSize(1000), None).await;
        let mut lines = exposed();
        lines.sort();
        assert_eq!(
            lines,
            [
                "prometheus_mirror_memory_limit_bytes{purpose=\"bodies\"} 88080384",
                "prometheus_mirror_memory_limit_bytes{purpose=\"work\"} 264241152",
                "prometheus_mirror_memory_used_bytes{purpose=\"bodies\"} 0",
                "prometheus_mirror_memory_used_bytes{purpose=\"work\"} 1000",
                "prometheus_mirror_memory_waiters{purpose=\"bodies\"} 0",
                "prometheus_mirror_memory_waiters{purpose=\"work\"} 0",
            ]
        );
        drop(held);
    }
}
