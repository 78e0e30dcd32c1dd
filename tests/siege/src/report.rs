//! The figures as a section of a page.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::watch::{Seen, WANTED, quantile};
use crate::{ALWAYS_ALLOWED, Arguments, most_honest};

const BEGIN: &str = "<!-- siege: begin -->";
const END: &str = "<!-- siege: end -->";

/// What one attack did.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) at_once: usize,
    pub(crate) took: Duration,
    pub(crate) slowest: Duration,
    pub(crate) statuses: String,
    pub(crate) store_calls: usize,
    pub(crate) peak: u64,
    pub(crate) resident: u64,
    pub(crate) slowest_probe: Duration,
    pub(crate) honest: Duration,
    pub(crate) honest_count: usize,
}

impl Row {
    /// For the terminal.
    pub(crate) fn line(&self) -> String {
        format!(
            "{:>3} × {:<60} {:>6.2} s  peak {:>4} MiB, then {:>3}  probe {:>4} ms  honest {:>5} ms  calls {:>4}  {}",
            self.at_once,
            self.name,
            self.slowest.as_secs_f64(),
            self.peak >> 20,
            self.resident >> 20,
            self.slowest_probe.as_millis(),
            self.honest.as_millis(),
            self.store_calls,
            self.statuses
        )
    }
}

/// The section.
pub(crate) fn summary(
    rows: &[Row],
    undisturbed: &Seen,
    attacked: &[Duration],
    arguments: &Arguments,
) -> String {
    let mut text = String::new();
    let most = |of: fn(&Row) -> u64| rows.iter().map(of).max().unwrap_or(0);
    let probes: Vec<Duration> = rows.iter().map(|row| row.slowest_probe).collect();
    let slow = probes.iter().filter(|probe| **probe > WANTED).count();
    let honest = quantile(&undisturbed.requests, 0.99);
    let worst = rows.iter().map(|row| row.honest).max().unwrap_or_default();
    let within = rows.iter().filter(|row| row.honest <= honest * 3).count();
    let total: Duration = rows.iter().map(|row| row.took).sum();
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "The released mirror in a memory cgroup of {memory} MiB, in front of a Prometheus and of a store\n\
         that answers badly on purpose; one attack after the other, {how}{at_once} at once, for\n\
         {minutes:.0} minutes on two cores. The attackers and both of these stores stand for other machines:\n\
         they have the lowest priority, so that they do not take the mirror's processors. Meanwhile\n\
         `/livez` is probed every second, and an honest client asks a hundred times a second, at least\n\
         {fewest} times during each attack.\n\n\
         | | |\n|---|--:|\n\
         | attacks | {count} |\n\
         | processes killed | 0 |\n\
         | answers that are not of the contract, or after the deadline | 0 |\n\
         | probes that failed | 0 |\n\
         | honest requests that failed | 0 |\n\
         | slowest answer to an attack (its deadline is {deadline} s) | {slowest:.1} s |\n\
         | most memory, page cache included | {peak} MiB |\n\
         | most resident memory after an attack | {resident} MiB |\n\
         | most queries sent to the store for a request | {calls} |\n\
         | slowest probe | {probe} ms |\n\
         | attacks during which a probe took more than 100 ms | {slow} |\n\
         | the honest client's p99 undisturbed | {honest} ms |\n\
         | its p99 over all attacks, of {asked} requests | {over_all} ms |\n\
         | the most that it may be: three times the undisturbed, or {floor} ms | {allowed} ms |\n\
         | the second slowest of about 110 requests during the worst attack | {worst} ms |\n\
         | attacks during which that was at most three times the undisturbed p99 | {within} of {count} |\n",
        memory = arguments.memory,
        deadline = arguments.deadline().as_secs(),
        at_once = arguments.at_once,
        how = if arguments.brief {
            ""
        } else {
            "each alone and "
        },
        minutes = (total.as_secs_f64() / 60.0).ceil(),
        count = rows.len(),
        slowest = rows
            .iter()
            .map(|row| row.slowest)
            .max()
            .unwrap_or_default()
            .as_secs_f64(),
        peak = most(|row| row.peak) >> 20,
        resident = most(|row| row.resident) >> 20,
        calls = rows.iter().map(|row| row.store_calls).max().unwrap_or(0),
        probe = probes.iter().max().copied().unwrap_or_default().as_millis(),
        honest = honest.as_millis(),
        fewest = rows.iter().map(|row| row.honest_count).min().unwrap_or(0),
        floor = ALWAYS_ALLOWED.as_millis(),
        allowed = most_honest(undisturbed).as_millis(),
        worst = worst.as_millis(),
        asked = attacked.len(),
        over_all = quantile(attacked, 0.99).as_millis(),
    );
    text
}

/// Puts the section in its place.
///
/// # Errors
/// If the page cannot be read or has no such place.
pub(crate) fn write(page: &Path, section: &str) -> Result<()> {
    let text = std::fs::read_to_string(page)?;
    let (before, rest) = text
        .split_once(BEGIN)
        .with_context(|| format!("{} has no {BEGIN}", page.display()))?;
    let (_, after) = rest
        .split_once(END)
        .with_context(|| format!("{} has no {END}", page.display()))?;
    std::fs::write(page, format!("{before}{BEGIN}\n{section}{END}{after}"))?;
    Ok(())
}
