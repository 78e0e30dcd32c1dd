//! `run`: logs, clients, the admin port, leadership, and under it the controllers.

use crds::contract::{LogFormat, OPERATOR};
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, ListParams};
use kube::runtime::events::{Recorder, Reporter};
use kube::{Client, Config};
use server::{BindError, bind};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing_subscriber::EnvFilter;

use crate::args::RunArgs;
use crate::cluster::access;
use crate::cluster::caches::Caches;
use crate::cluster::platform::Openshift;
use crate::cluster::policy::Policy;
use crate::cluster::scope::Scope;
use crate::controller::build::Defaults;
use crate::controller::{self, Context, observe};
use crate::leader::client::{self, Term};
use crate::leader::lease::Leadership;
use crate::telemetry::admin;
use crate::telemetry::metrics::Metrics;

/// How long reconciles under way may take when the operator ends.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is checked that each watched namespace can be read. One that is refused is watched
/// again from within half a minute after the rights are there; this is as often.
const ACCESS_CHECK: Duration = Duration::from_secs(30);

/// Why the operator cannot run. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log filter.
    #[error("--log-level {0} is not a level or a list of directives: {1}")]
    LogLevel(String, tracing_subscriber::filter::ParseError),
    /// No cluster.
    #[error("found no cluster: {0}; run in a pod, or set KUBECONFIG")]
    NoCluster(#[from] kube::config::InferConfigError),
    /// The API client.
    #[error("cannot make a client of the API server: {0}")]
    Client(#[from] kube::Error),
    /// The pods' client.
    #[error("cannot make an HTTP client: {0}")]
    Http(#[from] reqwest::Error),
    /// The selector of namespaces.
    #[error("--namespace-selector {0} is no label selector: {1}")]
    NamespaceSelector(String, String),
    /// The admin port.
    #[error(transparent)]
    Listen(#[from] BindError),
    /// Its thread.
    #[error("cannot start the admin port's thread: {0}")]
    Admin(std::io::Error),
    /// Signals.
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
}

/// Runs until a signal.
///
/// # Errors
/// If it cannot start.
pub async fn run(args: RunArgs) -> Result<(), Error> {
    start_logging(&args)?;
    let shutdown = shutdown_signal()?;
    let config = Config::infer().await?;
    let namespace = args
        .namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    let term = Term::default();
    let client = client::for_leader(config.clone(), &term)?;
    let mut without_retries = config;
    without_retries.default_retry = false;
    let without_retries_for_leader = client::for_leader(without_retries.clone(), &term)?;
    let impatient = Client::try_from(without_retries)?;
    if let Some(selector) = &args.namespace_selector {
        check_selector(&impatient, selector).await?;
    }

    let metrics = Arc::new(Metrics::default());
    let listener = bind(&args.admin_listen, "--admin-listen").await?;
    // Until the end of this function.
    let _admin = admin::serve(listener, Arc::clone(&metrics)).map_err(Error::Admin)?;

    let identity = args.identity.clone().unwrap_or_else(default_identity);
    let mut leadership =
        Leadership::new(impatient, &namespace, &args.lease, identity.clone(), term);
    let clients = (client, without_retries_for_leader);
    let operator = Operator::new(&args, clients, metrics, &namespace, &identity)?;
    tracing::info!(identity, namespace, lease = args.lease, scopes = ?operator.scopes, "waiting to lead");
    operator.lead(&mut leadership, &shutdown).await;
    Ok(())
}

/// What all controllers share.
struct Operator {
    client: Client,
    /// Tries no request again by itself.
    impatient: Client,
    http: reqwest::Client,
    recorder: Recorder,
    /// As far as flags say.
    defaults: Defaults,
    openshift: Openshift,
    policy: Policy,
    /// What this operator is called in statuses, whichever replica leads.
    claimant: String,
    scopes: Vec<Scope>,
    metrics: Arc<Metrics>,
}

impl Operator {
    fn new(
        args: &RunArgs,
        (client, impatient): (Client, Client),
        metrics: Arc<Metrics>,
        namespace: &str,
        identity: &str,
    ) -> Result<Self, Error> {
        let reporter = Reporter {
            controller: OPERATOR.to_owned(),
            instance: Some(identity.to_owned()),
        };
        Ok(Self {
            http: observe::client()?,
            recorder: Recorder::new(client.clone(), reporter),
            defaults: Defaults {
                image: args.image.clone(),
                image_pull_secrets: args.image_pull_secrets.clone(),
                operator_namespace: namespace.to_owned(),
                platform_assigns_users: false,
            },
            openshift: args.openshift,
            policy: args.policy(),
            claimant: format!("{namespace}/{}", args.lease),
            scopes: scopes(args),
            client,
            impatient,
            metrics,
        })
    }

    /// Works whenever this replica leads, until `shutdown`.
    async fn lead(&self, leadership: &mut Leadership, shutdown: &watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = wait(shutdown.clone()) => return,
                () = leadership.acquire() => {}
            }
            tracing::info!("leading");
            self.metrics.leads(true);
            let finished = tokio::select! {
                // Dropping the work ends it at once, in the middle of whatever it does.
                () = leadership.hold() => false,
                () = self.work(shutdown.clone()) => true,
            };
            self.metrics.leads(false);
            if finished {
                leadership.release().await;
                return;
            }
            tracing::warn!(
                "leads no more; another replica does, or the API server could not be reached"
            );
        }
    }

    /// With what only the cluster can say.
    async fn defaults(&self) -> Defaults {
        let assigns_users = self.openshift.is_so(&self.client).await;
        if assigns_users {
            tracing::info!("OpenShift: leaves users and groups of pods to the platform");
        }
        Defaults {
            platform_assigns_users: assigns_users,
            ..self.defaults.clone()
        }
    }

    /// Runs a controller a scope, until `shutdown` and what is under way then has ended.
    async fn work(&self, shutdown: watch::Receiver<bool>) {
        let defaults = tokio::select! {
            () = wait(shutdown.clone()) => return,
            defaults = self.defaults() => defaults,
        };
        let controllers = self.scopes.iter().map(|scope| {
            let (caches, streams) = Caches::new(&self.client, scope.clone());
            let context = Context {
                client: self.client.clone(),
                impatient: self.impatient.clone(),
                caches: Arc::new(caches),
                known_keys: Default::default(),
                http: self.http.clone(),
                defaults: defaults.clone(),
                policy: self.policy.clone(),
                recorder: self.recorder.clone(),
                metrics: Arc::clone(&self.metrics),
                failures: Default::default(),
                contested: Default::default(),
                injection: Default::default(),
                evictions: Default::default(),
                throttle: Default::default(),
                claimant: self.claimant.clone(),
                claims: Default::default(),
                waiting: self.metrics.waiting(),
            };
            controller::triggers::run(Arc::new(context), streams, wait(shutdown.clone()))
        });
        let all = futures::future::join_all(controllers).map(|_| ());
        let late = async {
            wait(shutdown).await;
            tokio::time::sleep(SHUTDOWN_TIMEOUT).await;
            tracing::warn!("reconciles under way are cut off");
        };
        tokio::select! {
            () = all => {}
            () = late => {}
            () = self.check_namespaces() => {}
        }
    }

    /// Reports which of the watched namespaces cannot be read, until it is dropped. The watches
    /// themselves don't show it: one that is open goes on when its rights are gone.
    async fn check_namespaces(&self) {
        let namespaces = self.scopes.iter().filter_map(Scope::namespace);
        futures::future::join_all(namespaces.map(|name| self.check_namespace(name))).await;
        // There are none.
        std::future::pending().await
    }

    async fn check_namespace(&self, namespace: &str) {
        let mut refused = None;
        loop {
            if let Some(answer) = access::check(&self.client, namespace).await {
                self.metrics.namespace_readable(namespace, answer.is_ok());
                let now = answer.err();
                match (&refused, &now) {
                    (None, Some(why)) => tracing::warn!(
                        namespace,
                        why,
                        "cannot read a watched namespace, trying again from time to time; does it \
                         exist, with the operator's Role and RoleBinding?"
                    ),
                    (Some(_), None) => tracing::info!(namespace, "can be read now"),
                    _ => {}
                }
                refused = now;
            }
            tokio::time::sleep(ACCESS_CHECK).await;
        }
    }
}

fn scopes(args: &RunArgs) -> Vec<Scope> {
    if let Some(selector) = &args.namespace_selector {
        return vec![Scope::Selected(selector.clone())];
    }
    let mut names: Vec<_> = args
        .watch_namespaces
        .iter()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        vec![Scope::Cluster]
    } else {
        names.into_iter().map(Scope::Namespace).collect()
    }
}

/// Lets the API server read the selector. Whatever else it answers shows later, and may have passed
/// by then.
async fn check_selector(client: &Client, selector: &str) -> Result<(), Error> {
    let params = ListParams::default().labels(selector).limit(1);
    match Api::<Namespace>::all(client.clone())
        .list_metadata(&params)
        .await
    {
        Err(kube::Error::Api(status)) if status.code == 400 => Err(Error::NamespaceSelector(
            selector.to_owned(),
            status.message.clone(),
        )),
        _ => Ok(()),
    }
}

fn default_identity() -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    format!("{}-{}", host.trim(), std::process::id())
}

/// Becomes true at the first SIGTERM or SIGINT.
fn shutdown_signal() -> Result<watch::Receiver<bool>, Error> {
    let mut terminate = signal(SignalKind::terminate()).map_err(Error::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Error::Signals)?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("ending");
        sender.send_replace(true);
        // Kept: a receiver of a dropped sender could not tell an end from an error.
        std::future::pending::<()>().await;
    });
    Ok(receiver)
}

async fn wait(mut shutdown: watch::Receiver<bool>) {
    // The sender is never dropped.
    let _ = shutdown.wait_for(|ending| *ending).await;
}

fn start_logging(args: &RunArgs) -> Result<(), Error> {
    let filter = EnvFilter::try_new(&args.log_level)
        .map_err(|error| Error::LogLevel(args.log_level.clone(), error))?;
    let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours);
    match args.log_format {
        LogFormat::Text => log.init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
