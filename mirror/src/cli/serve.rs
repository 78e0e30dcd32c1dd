//! `serve`: start, take over changes, drain, end.

use std::sync::Arc;
use std::time::Duration;

use crds::contract::ServedDocument;
use server::{
    Apart, CurrentTls, Heartbeat, Hooks, Limits, ListenAddress, Server, bind, descriptors,
};

use super::Failure;
use super::linger::{self, Arrivals};
use super::patience::Patience;
use super::signals::Signals;
use crate::api::state::AppState;
use crate::budget::size::ByteSize;
use crate::budget::{Limit, Memory};
use crate::cli::args::ServeArgs;
use crate::http::admin::{self, Admin, Health};
use crate::http::probe::Probe;
use crate::settings::watch::{self, Event, Watcher};
use crate::settings::{self, Settings};
use crate::telemetry;
use crate::telemetry::metrics::{Metrics, Reload};

/// Some browsers' worth.
const CONSOLE_CONNECTIONS: usize = 64;

/// Serves until a signal, then drains.
///
/// # Errors
/// If the configuration has faults or an address cannot be listened on.
pub async fn run(args: ServeArgs) -> Result<(), Failure> {
    let telemetry =
        telemetry::init(args.log.log_format, &args.log.level()).map_err(Failure::from_error)?;
    let served = serve(args).await;
    telemetry.flush().await;
    served
}

async fn serve(args: ServeArgs) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let metrics = Metrics::new();
    let health = Arc::new(Health::default());
    let probe = Arc::new(Probe::default());
    let mut patience = Patience {
        waits: args.wait_for_document,
        signals: &mut signals,
    };
    let heartbeat = Heartbeat::of_this_runtime();
    let listening = patience.until(async || {
        let admin = Admin {
            health: Arc::clone(&health),
            metrics: Arc::clone(&metrics),
            probe: Arc::clone(&probe),
            heartbeat: Arc::clone(&heartbeat),
        };
        listen_for_admin(&args, admin).await
    });
    let Some(admin) = listening.await? else {
        return Ok(());
    };

    let source = args.document.source();
    let loading = patience.until(async || {
        // Made before the files are read: a change in between is then found at the first look.
        let watcher = Watcher::new(&source);
        let settings = settings::load(&source).map_err(Failure::from_error)?;
        Ok((watcher, settings))
    });
    let Some((mut watcher, settings)) = loading.await? else {
        return Ok(());
    };
    let limit = memory_limit(&args, &settings);
    let memory = Memory::within(limit.bytes, remembered(&settings));
    metrics.shows(&memory);
    let state = AppState::within(Arc::clone(&memory), settings, metrics);
    let arrivals = Arrivals::default();
    let listening = patience
        .until(async || listen_for_api(&args, &state, &state.serving().settings, &arrivals).await);
    let Some(mut api) = listening.await? else {
        return Ok(());
    };
    let mut console = None;
    follow_console(&args, &state, &mut console).await;
    probe.starts(Arc::clone(&state));
    announce(&state, &health);
    let (bodies, work) = (memory.bodies.capacity(), memory.work.capacity());
    tracing::info!(limit = %limit.bytes, origin = %limit.origin, %bodies, %work, "memory for requests");
    if let Some(notice) = limit.notice() {
        tracing::warn!("{notice}");
    }
    let scheme = scheme(&state.serving().settings);
    tracing::info!(api = %api.address(), scheme, admin = %admin.address(), "ready");

    loop {
        let event = tokio::select! {
            () = signals.next() => break,
            event = watcher.next(watch::INTERVAL) => event,
        };
        let taken_over = match event {
            Event::Changed(settings) => {
                let taken = take_over(&args, &state, &health, *settings, &mut api, &arrivals).await;
                follow_console(&args, &state, &mut console).await;
                taken
            }
            Event::Refused(faults) => Err(Failure::from_error(faults)),
        };
        if let Err(faults) = taken_over {
            state.metrics.reloaded(Reload::Failure);
            health.refused_newer_document();
            tracing::error!(
                "the changed configuration is refused, the one before keeps being served: {faults}"
            );
        }
    }

    health.drains();
    tracing::info!(delay = ?args.drain_delay, timeout = ?args.drain_timeout, "draining; another signal ends at once");
    let drain = async {
        let lingered = linger::until_noticed(args.drain_delay, &arrivals).await;
        // What the first part takes longer, the second must not: the pod's grace period is for
        // both.
        let longer = lingered.saturating_sub(args.drain_delay);
        tracing::info!(?lingered, "accepting no more connections");
        drop(console);
        let drained = api.drain(args.drain_timeout.saturating_sub(longer)).await;
        if drained.cut > 0 {
            tracing::warn!(
                connections = drained.cut,
                "cut, because their requests took too long"
            );
        }
        // Probes and scrapes are answered to the end, and waited for only shortly.
        admin.drain(Duration::from_millis(200)).await;
    };
    tokio::select! {
        () = drain => tracing::info!("drained"),
        () = signals.next() => tracing::warn!("ended by a second signal"),
    }
    Ok(())
}

/// The memory that the process may use.
fn memory_limit(args: &ServeArgs, settings: &Settings) -> Limit {
    let field = settings.limits.memory.map(|bytes| ByteSize(bytes.0));
    Limit::choose(args.memory_limit, field)
}

/// What of it is wanted for finished buckets.
fn remembered(settings: &Settings) -> ByteSize {
    let size = settings.cache.map(|cache| cache.size.0);
    ByteSize(size.unwrap_or_default())
}

/// Serves `settings` from now on, on their own port if no flag fixes it. Requests under way end as
/// they began.
async fn take_over(
    args: &ServeArgs,
    state: &Arc<AppState>,
    health: &Health,
    settings: Settings,
    api: &mut Server,
    arrivals: &Arrivals,
) -> Result<(), Failure> {
    let before = state.serving();
    let moved = if args.listen.is_none() && settings.port != before.settings.port {
        Some(listen_for_api(args, state, &settings, arrivals).await?)
    } else {
        None
    };
    let changes = Changes::between(&before.settings, &settings);
    state
        .serving()
        .targets
        .memory()
        .resize(memory_limit(args, &settings).bytes, remembered(&settings));
    state.replace(settings);
    announce(state, health);
    state.metrics.reloaded(Reload::Success);
    tracing::info!(added = ?changes.added, removed = ?changes.removed, changed = ?changes.changed, "configuration taken over");
    if let Some(moved) = moved {
        tracing::info!(from = %api.address(), to = %moved.address(), "the API has moved");
        let old = std::mem::replace(api, moved);
        tokio::spawn(old.drain(args.drain_timeout));
    }
    Ok(())
}

fn scheme(settings: &Settings) -> &'static str {
    match settings.server_tls {
        Some(_) => "https",
        None => "http",
    }
}

/// Names of targets that differ between two documents.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    added: Vec<String>,
    removed: Vec<String>,
    changed: Vec<String>,
}

impl Changes {
    fn between(before: &Settings, after: &Settings) -> Self {
        let mut changes = Self::default();
        for target in &after.targets {
            match before.targets.iter().find(|old| old.name == target.name) {
                None => changes.added.push(target.name.to_string()),
                Some(old) if old != target => changes.changed.push(target.name.to_string()),
                Some(_) => {}
            }
        }
        let gone = before
            .targets
            .iter()
            .filter(|old| after.targets.iter().all(|target| target.name != old.name));
        changes.removed.extend(gone.map(|old| old.name.to_string()));
        changes
    }
}

/// Tells metrics and readiness which document is being served.
fn announce(state: &AppState, health: &Health) {
    let serving = state.serving();
    let document = ServedDocument {
        name: serving.settings.name.clone(),
        hash: serving.settings.document_hash.clone(),
    };
    for notice in &serving.settings.notices {
        tracing::warn!("{notice}");
    }
    state.metrics.serves(&document.name, &document.hash);
    health.serves(&document);
}

/// Probes and scrapes of the cluster are plain HTTP, and are answered by a thread that does nothing
/// else.
async fn listen_for_admin(args: &ServeArgs, admin: Admin) -> Result<Apart, Failure> {
    let listener = bind(&args.admin_listen, "--admin-listen")
        .await
        .map_err(Failure::from_error)?;
    Apart::start("admin", listener, admin::admin(admin), Limits::ADMIN).map_err(Failure::from_error)
}

/// Opens or closes the console's port, as the document says. A port that cannot be opened keeps
/// nobody from the API.
async fn follow_console(args: &ServeArgs, state: &Arc<AppState>, console: &mut Option<Server>) {
    match (state.serving().settings.console, &console) {
        (true, None) => match listen_for_console(args, state).await {
            Ok(opened) => {
                tracing::info!(console = %opened.address(), "the console is open");
                *console = Some(opened);
            }
            Err(failure) => tracing::error!("there is no console: {failure}"),
        },
        (false, Some(open)) => {
            tracing::info!(console = %open.address(), "the console is closed");
            *console = None;
        }
        (true, Some(_)) | (false, None) => {}
    }
}

/// Plain HTTP on a loopback address, where `kubectl port-forward` arrives, which is encrypted.
/// Elsewhere the key that people type is as safe as on the API port.
async fn listen_for_console(args: &ServeArgs, state: &Arc<AppState>) -> Result<Server, Failure> {
    let listener = bind(&args.console_listen, "--console-listen")
        .await
        .map_err(Failure::from_error)?;
    let address = listener.local_addr().map_err(Failure::from_error)?;
    let hooks = Hooks {
        tls: (!address.ip().is_loopback()).then(|| current_tls(state)),
        on_connection: None,
        on_malformed: Some(crate::http::unreadable::body),
    };
    let router = crate::http::console::console(Arc::clone(state));
    let limits = Limits::API.at_most(CONSOLE_CONNECTIONS);
    Server::start(listener, router, limits, hooks).map_err(Failure::from_error)
}

/// The API's certificate as of each new connection.
fn current_tls(state: &Arc<AppState>) -> CurrentTls {
    let state = Arc::clone(state);
    Arc::new(move || {
        let tls = &state.serving().settings.server_tls;
        tls.as_ref().map(|tls| Arc::clone(tls.config()))
    })
}

async fn listen_for_api(
    args: &ServeArgs,
    state: &Arc<AppState>,
    settings: &Settings,
    arrivals: &Arrivals,
) -> Result<Server, Failure> {
    let address = args
        .listen
        .clone()
        .unwrap_or_else(|| ListenAddress::any(settings.port));
    let flag = if args.listen.is_some() {
        "--listen"
    } else {
        "--listen or spec.port"
    };
    let router = crate::http::router::app(Arc::clone(state));
    let metrics = Arc::clone(&state.metrics);
    let arrivals = arrivals.clone();
    let hooks = Hooks {
        tls: Some(current_tls(state)),
        on_connection: Some(Arc::new(move || {
            arrivals.send_replace(());
            Box::new(metrics.connection_open())
        })),
        on_malformed: Some(crate::http::unreadable::body),
    };
    let limits = Limits::API.at_most(descriptors::connections());
    let listener = bind(&address, flag).await.map_err(Failure::from_error)?;
    Server::start(listener, router, limits, hooks).map_err(Failure::from_error)
}
