//! `open`: the page on which queries can be tried, on this machine.

use crds::contract::CONSOLE_PORT_NUMBER;
use mirror::cli::print;

use crate::args::OpenArgs;
use crate::cluster::Cluster;
use crate::pods::Place;
use crate::problem::Problem;
use crate::tunnel::Tunnel;

/// Forwards the page until the user has seen enough.
///
/// # Errors
/// If the mirror has no such page, or no pod can be asked.
pub async fn run(cluster: &Cluster, args: &OpenArgs) -> Result<(), Problem> {
    let mirror = cluster.mirror(&args.name).await?;
    if mirror.data["spec"]["console"]["enabled"] != true {
        return Err(Problem::Other(format!(
            "{} has no such page: spec.console.enabled is not set",
            args.name
        )));
    }
    let place = Place::of(&mirror);
    let pod = place.pod(cluster, args.pod.as_deref()).await?;
    let tunnel = Tunnel::open(cluster, &pod, CONSOLE_PORT_NUMBER, args.port).await?;
    print(&format!("http://{}/ (Ctrl-C ends)\n", tunnel.address))?;
    tokio::signal::ctrl_c()
        .await
        .map_err(|error| Problem::Other(format!("cannot wait for Ctrl-C: {error}")))
}
