//! The standard `process_*` metrics, read from `/proc` at each scrape. Where there is no `/proc`
//! they are absent.

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Clock ticks a second in `/proc`: Linux reports 100 to user space on every architecture.
const TICKS_PER_SECOND: f64 = 100.0;

/// `/proc/self/status` counts memory in units of 1,024 bytes.
const KIB: f64 = 1024.0;

/// Exposes what the operating system knows of this process.
#[derive(Debug)]
pub struct ProcessCollector;

/// What is read at a scrape. Units: seconds and bytes.
#[derive(Debug, Default, PartialEq)]
struct Process {
    cpu_seconds: Option<f64>,
    start_time: Option<f64>,
    resident_bytes: Option<f64>,
    virtual_bytes: Option<f64>,
    threads: Option<f64>,
    open_fds: Option<f64>,
    max_fds: Option<f64>,
}

impl Process {
    fn read() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let mut process = Self::parse(
            &read("/proc/self/stat"),
            &read("/proc/self/status"),
            &read("/proc/self/limits"),
            &read("/proc/stat"),
        );
        // The directory being read is an open file itself.
        process.open_fds = std::fs::read_dir("/proc/self/fd")
            .ok()
            .map(|fds| fds.count().saturating_sub(1) as f64);
        process
    }

    fn parse(stat: &str, status: &str, limits: &str, system: &str) -> Self {
        // The second field, the program's name in brackets, may hold blanks; the third is the first
        // after the last bracket.
        let fields: Vec<&str> = stat
            .rsplit_once(')')
            .map_or("", |(_, rest)| rest)
            .split_whitespace()
            .collect();
        let ticks = |number: usize| {
            fields
                .get(number - 3)
                .and_then(|text| text.parse::<f64>().ok())
                .map(|ticks| ticks / TICKS_PER_SECOND)
        };
        let word_after = |text: &str, key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        Self {
            cpu_seconds: ticks(14).zip(ticks(15)).map(|(user, system)| user + system),
            start_time: ticks(22)
                .zip(word_after(system, "btime "))
                .map(|(since_boot, boot)| boot + since_boot),
            resident_bytes: word_after(status, "VmRSS:").map(|kib| kib * KIB),
            virtual_bytes: word_after(status, "VmSize:").map(|kib| kib * KIB),
            threads: word_after(status, "Threads:"),
            open_fds: None,
            max_fds: word_after(limits, "Max open files "),
        }
    }
}

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let process = Process::read();
        if let Some(seconds) = process.cpu_seconds {
            let counter = ConstCounter::new(seconds);
            let descriptor = encoder.encode_descriptor(
                "process_cpu_seconds",
                "CPU time used, user and system",
                None,
                counter.metric_type(),
            )?;
            counter.encode(descriptor)?;
        }
        for (name, help, value) in [
            (
                "process_start_time_seconds",
                "When the process started, since the Unix epoch",
                process.start_time,
            ),
            (
                "process_resident_memory_bytes",
                "Resident memory",
                process.resident_bytes,
            ),
            (
                "process_virtual_memory_bytes",
                "Virtual memory",
                process.virtual_bytes,
            ),
            ("process_threads", "Threads", process.threads),
            (
                "process_open_fds",
                "Open file descriptors",
                process.open_fds,
            ),
            (
                "process_max_fds",
                "Most file descriptors that may be open",
                process.max_fds,
            ),
        ] {
            if let Some(value) = value {
                let gauge = ConstGauge::new(value);
                gauge.encode(encoder.encode_descriptor(
                    name,
                    help,
                    None,
                    gauge.metric_type(),
                )?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_become_seconds_and_bytes() {
        let stat = "12 (a (b) c) S 1 1 1 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 4 0 1000 0 0";
        let status = "Name:\tx\nVmSize:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t4\n";
        let limits = "Limit                     Soft Limit           Hard Limit           Units\nMax open files            1024                 4096                 files\n";
        let expected = Process {
            cpu_seconds: Some(2.0),
            start_time: Some(1_700_000_010.0),
            resident_bytes: Some(1_048_576.0),
            virtual_bytes: Some(2_097_152.0),
            threads: Some(4.0),
            open_fds: None,
            max_fds: Some(1024.0),
        };
        assert_eq!(
            Process::parse(stat, status, limits, "cpu 1 2\nbtime 1700000000\n"),
            expected
        );
    }

    #[test]
    fn what_cannot_be_read_is_absent() {
        assert_eq!(Process::parse("", "", "", ""), Process::default());
    }
}
