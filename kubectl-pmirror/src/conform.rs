//! `conform`: StackState's side, through a tunnel to one of the mirror's pods.

use mirror::cli::conform::report;
use mirror::conform::{MirrorUrl, Options};

use crate::args::ConformArgs;
use crate::cluster::Cluster;
use crate::key;
use crate::pods::Place;
use crate::problem::Problem;
use crate::tunnel::Tunnel;

/// Checks, and prints the report.
///
/// # Errors
/// If there is a fault, or no pod can be asked.
pub async fn run(cluster: &Cluster, args: &ConformArgs) -> Result<(), Problem> {
    let mirror = cluster.mirror(&args.name).await?;
    let server = &mirror.data["spec"]["server"];
    for field in ["tls", "allowedHosts"] {
        // It would be asked by an address that is not its own, and report that.
        if !server[field].is_null() {
            return Err(Problem::Other(format!(
                "spec.server.{field} is set, so this mirror must be asked by its own name: use prometheus-mirror conform URL in the cluster"
            )));
        }
    }
    let api_key = key::known(cluster, &mirror, &args.through).await?;
    let place = Place::of(&mirror);
    let pod = place.pod(cluster, args.through.pod.as_deref()).await?;
    let tunnel = Tunnel::open(cluster, &pod, place.port, 0).await?;
    let url: Result<MirrorUrl, _> = format!("http://{}", tunnel.address).parse();
    let url = url.map_err(|error| Problem::Other(error.to_string()))?;
    let options = Options {
        api_key,
        streams: usize::from(args.streams),
        interval: args.interval,
        rounds: u32::from(args.rounds),
        ..Options::new(url)
    };
    let reported = report(options, args.output).await;
    reported.map_err(|failure| tunnel.explained(failure.into()))
}
