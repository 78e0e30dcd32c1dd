//! A port of a pod on this machine, through the API server's port-forward.

use std::future::pending;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::problem::{FORWARD, Problem};

/// Connections to a loopback address that end in a pod. It ends when it is dropped.
#[derive(Debug)]
pub struct Tunnel {
    /// Where it begins.
    pub address: SocketAddr,
    to: String,
    failure: Failure,
    accepting: JoinHandle<()>,
}

/// Why a connection did not reach the pod, the last time.
type Failure = Arc<Mutex<Option<String>>>;

impl Tunnel {
    /// Opens one to a port of a pod; on this machine at the given port, where 0 is any.
    ///
    /// # Errors
    /// If the user may not forward ports, or the port here is taken.
    pub async fn open(cluster: &Cluster, pod: &str, port: u16, here: u16) -> Result<Self, Problem> {
        let pods = cluster.pods();
        // Only to see whether it is allowed: an answer is better than a connection that breaks.
        let tried = pods.portforward(pod, &[port]).await;
        tried.map_err(|error| Problem::of(&error, FORWARD, &cluster.namespace))?;
        let taken = |error: std::io::Error| {
            Problem::Other(format!(
                "port {here} of this machine cannot be used: {error}; choose another with --port"
            ))
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, here)).await;
        let listener = listener.map_err(taken)?;
        let address = listener.local_addr().map_err(taken)?;
        let failure = Failure::default();
        let accepting = tokio::spawn(accept(
            listener,
            pods,
            pod.to_owned(),
            port,
            Arc::clone(&failure),
        ));
        Ok(Self {
            address,
            to: format!("port {port} of pod {pod}"),
            failure,
            accepting,
        })
    }

    /// The same problem, with the reason if the tunnel has one.
    #[must_use]
    pub fn explained(&self, problem: Problem) -> Problem {
        let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match failure.as_deref() {
            None => problem,
            Some(reason) => Problem::Other(format!(
                "{problem}; {} cannot be reached: {}",
                self.to,
                reason.trim()
            )),
        }
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, pods: Api<Pod>, pod: String, port: u16, failure: Failure) {
    while let Ok((connection, _)) = listener.accept().await {
        let (pods, pod, failure) = (pods.clone(), pod.clone(), Arc::clone(&failure));
        tokio::spawn(async move {
            if let Err(reason) = forward(connection, &pods, &pod, port).await {
                *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
            }
        });
    }
}

/// Carries a connection to its end.
async fn forward(
    mut connection: TcpStream,
    pods: &Api<Pod>,
    pod: &str,
    port: u16,
) -> Result<(), String> {
    let forwarded = pods.portforward(pod, &[port]).await;
    let mut forwarded = forwarded.map_err(|error| error.to_string())?;
    let (Some(mut stream), Some(refused)) =
        (forwarded.take_stream(port), forwarded.take_error(port))
    else {
        return Ok(());
    };
    let refused = async {
        match refused.await {
            Some(reason) => reason,
            // The end of the connection, which the other branch sees.
            None => pending().await,
        }
    };
    let carried = tokio::select! {
        // Whoever ends it, it is over.
        _ = copy_bidirectional(&mut connection, &mut stream) => Ok(()),
        reason = refused => Err(reason),
    };
    forwarded.abort();
    carried
}
