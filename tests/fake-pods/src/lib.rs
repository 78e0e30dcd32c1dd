//! The mirrors in pods that kwok fakes: one process answers the admin port of all of them.
//!
//! kwok gives a pod an address and says that it is ready, and runs nothing. An operator that asks
//! pods what they serve would wait forever. So this process watches pods, ConfigMaps and Secrets,
//! works out which files each pod would find in its volume, and loads them with the mirror's own
//! code: a pod serves a document, refuses one, or waits for its volume, as it really would. The
//! kubelet is taken to be quick: a change is in the volume as soon as the API server tells of it.
//!
//! Connections come to the pod's own address, which the test cluster makes local
//! (`tests/cluster/lib/fake-nodes.sh`).
//!
//! * [`volume`]: the files in a pod's volume;
//! * [`process`]: what a mirror makes of them;
//! * [`world`]: all pods, kept up to date by watches;
//! * [`admin`]: what they answer.

pub mod admin;
pub mod process;
pub mod volume;
pub mod world;

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::Context as _;
use crds::contract::{ADMIN_PORT_NUMBER, labels};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use tokio::net::TcpListener;

use crate::world::World;

/// The admin port of every address there is.
///
/// # Errors
/// If it is taken.
pub async fn listen() -> anyhow::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::UNSPECIFIED, ADMIN_PORT_NUMBER))
        .await
        .context("the pods' admin port")
}

/// Answers on `listener` for every mirror's pod of the cluster, until it is dropped.
///
/// # Errors
/// If the listener fails.
pub async fn run(client: Client, listener: TcpListener) -> anyhow::Result<()> {
    let world = Arc::new(World::default());
    tokio::select! {
        () = watch(client, &world) => anyhow::bail!("the watches ended"),
        served = admin::serve(listener, Arc::clone(&world)) => served.context("cannot serve"),
    }
}

async fn watch(client: Client, world: &World) {
    let everything = watcher::Config::default;
    let mirrors = everything().labels(&format!("{}={}", labels::NAME, labels::PROGRAM));
    let mut pods = watcher(Api::<Pod>::all(client.clone()), mirrors)
        .default_backoff()
        .boxed();
    let mut config_maps = watcher(Api::<ConfigMap>::all(client.clone()), everything())
        .default_backoff()
        .boxed();
    let mut secrets = watcher(Api::<Secret>::all(client), everything())
        .default_backoff()
        .boxed();
    loop {
        // An error is followed by another try after a pause.
        tokio::select! {
            Some(event) = pods.next() => event.map_or_else(|error| report(&error), |event| world.pod(event)),
            Some(event) = config_maps.next() => event.map_or_else(|error| report(&error), |event| world.config_map(event)),
            Some(event) = secrets.next() => event.map_or_else(|error| report(&error), |event| world.secret(event)),
            else => return,
        }
    }
}

fn report(error: &watcher::Error) {
    eprintln!("fake-pods: a watch failed, trying again: {error}");
}
