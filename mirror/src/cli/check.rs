//! `check`: is a manifest fine, and do its targets answer?

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Instant;

use url::Url;

use super::{Failure, prefix, print};
use crate::api::state::AppState;
use crate::cli::args::CheckArgs;
use crate::model::capabilities::{Capabilities, RangeBoundary};
use crate::prometheus::{Deadline, Server, Store as _, StoreError, Target, described_signer};
use crate::settings::{self, Replicas, Servers, Settings, Trust};
use crate::telemetry::metrics::Metrics;

/// So many authorities are named.
const MOST_NAMED: usize = 5;

/// Prints every fault, or a summary and, if asked, how each target answers.
///
/// # Errors
/// If there is a fault, or a probed server does not answer.
pub async fn run(args: CheckArgs) -> Result<(), Failure> {
    let settings = settings::load(&args.document.source()).map_err(Failure::from_error)?;
    print(&format!(
        "{}: no faults\n{}",
        args.document.file.display(),
        summary(&settings)
    ))?;
    for notice in &settings.notices {
        print(&format!("note: {notice}\n"))?;
    }
    if !args.probe {
        return Ok(());
    }
    let state = AppState::new(settings, Metrics::new());
    let serving = state.serving();
    let settings = &serving.settings;
    let targets = serving.targets.declared().iter();
    let probes = targets.map(|target| async move {
        let probes = target.servers().map(|server| async move {
            match probe(target, server).await {
                Ok(line) => Ok(line),
                Err(error) => {
                    let hint = match &error {
                        StoreError::Unreachable(_) => {
                            prefix::hint(settings, target.settings(), server.url()).await
                        }
                        _ => None,
                    };
                    let hint = hint.map_or_else(String::new, |hint| format!(" (hint: {hint})"));
                    Err(format!("{}: {error}{hint}", target.settings().name))
                }
            }
        });
        futures::future::join_all(probes).await
    });
    let probes = futures::future::join_all(probes).await;
    let lines: String = probes
        .iter()
        .flatten()
        .map(|(Ok(line) | Err(line))| format!("{line}\n"))
        .collect();
    print(&lines)?;
    // A target may answer all the same, if it has other servers.
    match probes.iter().flatten().filter(|one| one.is_err()).count() {
        0 => Ok(()),
        1 => Err(Failure("1 server does not answer".into())),
        several => Err(Failure(format!("{several} servers do not answer"))),
    }
}

fn summary(settings: &Settings) -> String {
    let mut text = format!(
        "PrometheusMirror {}: port {}, {} workers, targets:\n",
        settings.name, settings.port, settings.workers
    );
    for (index, target) in settings.targets.iter().enumerate() {
        let default = if settings.default_target == Some(index) {
            " (default)"
        } else {
            ""
        };
        // Writing into a String cannot fail.
        let _ = writeln!(
            text,
            "  {}{default}  {}  time-out {}, scraped every {}",
            target.name,
            servers(&target.servers),
            humantime::format_duration(target.request_timeout),
            humantime::format_duration(target.scrape_interval),
        );
        if let Some(signer) = described_signer(target) {
            let _ = writeln!(text, "    {signer}");
        }
        if let Some(parameters) = target.parameters.query() {
            let _ = writeln!(text, "    with {parameters} in every URL");
        }
        if let Some(proxy) = &target.proxy {
            let _ = writeln!(text, "    through the proxy {}", proxy.place());
        }
        if let Trust::Authorities(authorities) = &target.tls.trust {
            let all: BTreeSet<_> = authorities.subjects().collect();
            let more = all.len().saturating_sub(MOST_NAMED);
            let mut named: Vec<_> = all.into_iter().take(MOST_NAMED).collect();
            if more > 0 {
                named.push(format!("and {more} more"));
            }
            let _ = writeln!(text, "    trusts {}", named.join("; "));
        }
    }
    if let Some(allowed) = &settings.request_targets {
        let ports: Vec<String> = allowed.ports.iter().map(u16::to_string).collect();
        let _ = writeln!(
            text,
            "  and what a request names: {} on port {}",
            allowed.hosts.join(", "),
            ports.join(", ")
        );
    }
    text
}

/// The URLs of a target's servers: replicas beside each other, shards by semicolons.
fn servers(servers: &Servers) -> String {
    let replicas = |shard: &Replicas| shard.urls().map(Url::as_str).collect::<Vec<_>>().join(", ");
    let shards: Vec<_> = servers.shards().iter().map(replicas).collect();
    shards.join("; ")
}

async fn probe(target: &Target, server: &Server) -> Result<String, StoreError> {
    let (settings, started) = (target.settings(), Instant::now());
    let deadline = Deadline(started + settings.request_timeout);
    let capabilities = server.capabilities(deadline).await?;
    let which = match target.only() {
        Some(_) => String::new(),
        None => format!(" {}", server.url()),
    };
    Ok(format!(
        "{}:{which} answers in {} ms; {}",
        settings.name,
        started.elapsed().as_millis(),
        describe(capabilities)
    ))
}

fn describe(capabilities: Capabilities) -> String {
    let windows = match capabilities.range_boundary {
        RangeBoundary::LeftOpen => "range windows are left-open",
        RangeBoundary::Closed => "range windows are closed",
    };
    let histograms = if capabilities.native_histograms {
        "knows"
    } else {
        "does not know"
    };
    format!("{windows}, {histograms} native histograms")
}
