//! The two text formats: OpenMetrics with timestamps for the history, the Prometheus format for the
//! live page.

use std::io::{self, Write};

use crate::shop::{Family, Kind, Sample};

/// Writes the history as OpenMetrics text. Every element holds the samples of one time (seconds
/// since the epoch), in the same order.
pub(crate) fn write_history(
    out: &mut impl Write,
    history: &[(u64, Vec<Sample>)],
) -> io::Result<()> {
    let Some((_, first)) = history.first() else {
        return writeln!(out, "# EOF");
    };
    let mut family = None;
    for (index, sample) in first.iter().enumerate() {
        if family != Some(sample.family) {
            write_header(out, sample.family, sample.family.name)?;
            family = Some(sample.family);
        }
        for (time, samples) in history {
            write_sample(out, &samples[index])?;
            writeln!(out, " {time}")?;
        }
    }
    writeln!(out, "# EOF")
}

/// Writes the page that Prometheus scrapes.
pub(crate) fn write_page(out: &mut impl Write, samples: &[Sample]) -> io::Result<()> {
    let mut family = None;
    for sample in samples {
        if family != Some(sample.family) {
            // OpenMetrics names a counter without `_total`, this format with it.
            let suffix = if sample.family.kind == Kind::Counter {
                "_total"
            } else {
                ""
            };
            write_header(
                out,
                sample.family,
                &format!("{}{suffix}", sample.family.name),
            )?;
            family = Some(sample.family);
        }
        write_sample(out, sample)?;
        writeln!(out)?;
    }
    Ok(())
}

fn write_header(out: &mut impl Write, family: &Family, name: &str) -> io::Result<()> {
    let kind = match family.kind {
        Kind::Gauge => "gauge",
        Kind::Counter => "counter",
        Kind::Histogram => "histogram",
        Kind::Summary => "summary",
    };
    writeln!(out, "# HELP {name} {}", family.help)?;
    writeln!(out, "# TYPE {name} {kind}")
}

fn write_sample(out: &mut impl Write, sample: &Sample) -> io::Result<()> {
    write!(
        out,
        "{}{}{{{}}} {}",
        sample.family.name, sample.suffix, sample.labels, sample.value
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    static REQUESTS: Family = Family {
        name: "requests",
        kind: Kind::Counter,
        help: "Requests.",
    };
    static MEMORY: Family = Family {
        name: "memory",
        kind: Kind::Gauge,
        help: "Memory.",
    };

    fn samples(requests: f64, memory: f64) -> Vec<Sample> {
        let sample = |family, suffix, value| Sample {
            family,
            suffix,
            labels: "job=\"shop\"".to_owned(),
            value,
        };
        vec![
            sample(&REQUESTS, "_total", requests),
            sample(&MEMORY, "", memory),
        ]
    }

    #[test]
    fn a_history_groups_the_times_of_a_series() -> io::Result<()> {
        let mut out = Vec::new();
        write_history(
            &mut out,
            &[(15, samples(1.0, 0.5)), (30, samples(2.0, 0.25))],
        )?;
        let expected = "# HELP requests Requests.\n# TYPE requests counter\n\
            requests_total{job=\"shop\"} 1 15\nrequests_total{job=\"shop\"} 2 30\n\
            # HELP memory Memory.\n# TYPE memory gauge\nmemory{job=\"shop\"} 0.5 15\nmemory{job=\"shop\"} 0.25 30\n# EOF\n";
        assert_eq!(String::from_utf8_lossy(&out), expected);
        Ok(())
    }

    #[test]
    fn a_page_names_counters_as_they_are_sampled() -> io::Result<()> {
        let mut out = Vec::new();
        write_page(&mut out, &samples(1.0, 0.5))?;
        let expected = "# HELP requests_total Requests.\n# TYPE requests_total counter\nrequests_total{job=\"shop\"} 1\n\
            # HELP memory Memory.\n# TYPE memory gauge\nmemory{job=\"shop\"} 0.5\n";
        assert_eq!(String::from_utf8_lossy(&out), expected);
        Ok(())
    }
}
