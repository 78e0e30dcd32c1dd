//! `logs`: what the pods of a mirror log.

use futures::stream::{self, StreamExt as _};
use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use kube::api::LogParams;
use mirror::cli::print;

use crate::args::LogsArgs;
use crate::cluster::Cluster;
use crate::pods::Place;
use crate::problem::{LOGS, Problem};

/// Prints them, each line with its pod if there are several.
///
/// # Errors
/// If there is no pod, or the user may not read its log.
pub async fn run(cluster: &Cluster, args: &LogsArgs) -> Result<(), Problem> {
    let mirror = cluster.mirror(&args.name).await?;
    let place = Place::of(&mirror);
    let pods = match &args.pod {
        Some(pod) => vec![pod.clone()],
        None => {
            let pods = place.pods(cluster).await?;
            pods.into_iter().map(|pod| pod.name).collect()
        }
    };
    if pods.is_empty() {
        return Err(Problem::NoPod {
            mirror: place.name,
            pods: "there is none; kubectl pmirror status says why".to_owned(),
        });
    }
    let params = params(args, place.container);
    let several = pods.len() > 1;
    let refused = |error: &kube::Error| Problem::of(error, LOGS, &cluster.namespace);
    let mut logs = Vec::new();
    for pod in pods {
        let log = cluster.pods().log_stream(&pod, &params).await;
        let lines = log.map_err(|error| refused(&error))?.lines();
        logs.push(lines.map_ok(move |line| match several {
            true => format!("[{pod}] {line}\n"),
            false => format!("{line}\n"),
        }));
    }
    // Followed logs come as they are written, others one after the other.
    let mut lines = match args.follow {
        true => stream::select_all(logs.into_iter().map(|log| log.boxed())).boxed(),
        false => stream::iter(logs).flatten().boxed(),
    };
    while let Some(line) = lines.next().await {
        let line = line.map_err(|error| Problem::Other(format!("the log breaks off: {error}")))?;
        print(&line)?;
    }
    Ok(())
}

fn params(args: &LogsArgs, container: &str) -> LogParams {
    LogParams {
        container: Some(container.to_owned()),
        follow: args.follow,
        previous: args.previous,
        tail_lines: args.tail.map(i64::from),
        since_seconds: args
            .since
            .map(|since| i64::try_from(since.as_secs().max(1)).unwrap_or(i64::MAX)),
        ..LogParams::default()
    }
}
