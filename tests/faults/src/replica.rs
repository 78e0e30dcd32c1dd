//! The operator as a process, under a name of its own.

use std::fs::{File, OpenOptions};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, bail};
use tokio::process::{Child, Command};

/// One replica. It is started as often as it is killed.
pub struct Replica {
    /// Its name in the lease.
    pub identity: String,
    /// Its number, as in the record.
    pub number: usize,
    settings: Settings,
    state: Mutex<State>,
}

/// What the process is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The binary.
    pub program: PathBuf,
    /// That of the next version. None: the same program with the one thing that each version
    /// brings, another default image.
    pub next: Option<PathBuf>,
    /// Where its kubeconfig and log are.
    pub directory: PathBuf,
    /// The namespace it watches, with its lease in it.
    pub namespace: String,
}

#[derive(Default)]
struct State {
    process: Option<Child>,
    upgraded: bool,
    api: Option<SocketAddr>,
}

impl Replica {
    /// Starts nothing yet.
    #[must_use]
    pub fn new(number: usize, settings: Settings) -> Self {
        Self {
            identity: format!("operator-{number}"),
            number,
            settings,
            state: Mutex::default(),
        }
    }

    /// Starts the process, which finds its API server at `api`.
    ///
    /// # Errors
    /// If a file cannot be written or the program does not start.
    pub fn start(&self, api: SocketAddr) -> Result<()> {
        let mut state = self.lock();
        state.api = Some(api);
        state.process = Some(self.spawn(state.upgraded, api)?);
        Ok(())
    }

    /// Kills the process, with no chance to tidy up, and starts it again.
    ///
    /// # Errors
    /// If it does not start again.
    pub async fn restart(&self) -> Result<()> {
        self.kill().await?;
        let api = self.lock().api.context("was never started")?;
        self.start(api)
    }

    /// From the next start on, this is the next version.
    pub fn upgrade(&self) {
        self.lock().upgraded = true;
    }

    /// Kills the process.
    ///
    /// # Errors
    /// If it had ended by itself.
    pub async fn kill(&self) -> Result<()> {
        let process = self.lock().process.take();
        let Some(mut process) = process else {
            return Ok(());
        };
        if let Some(status) = process.try_wait()? {
            bail!("{} ended by itself: {status}", self.identity);
        }
        process.kill().await?;
        Ok(())
    }

    /// Sends a signal, such as `STOP`.
    ///
    /// # Errors
    /// If there is no process to send it to.
    pub async fn signal(&self, name: &str) -> Result<()> {
        let pid = self.lock().process.as_ref().and_then(Child::id);
        let pid = pid.with_context(|| format!("{} does not run", self.identity))?;
        let sent = Command::new("kill")
            .args([format!("-{name}"), pid.to_string()])
            .status()
            .await?;
        if !sent.success() {
            bail!("cannot send {name} to {}", self.identity);
        }
        Ok(())
    }

    /// What is wrong with it that should never be: an end of its own, or a panic.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let ended = self.lock().process.as_mut().map(Child::try_wait);
        if let Some(Ok(Some(status))) = ended {
            return Some(format!("{} ended by itself: {status}", self.identity));
        }
        let log = self.log();
        let panic = log.lines().find(|line| line.contains("panicked at"));
        panic.map(|line| format!("{} panicked: {line}", self.identity))
    }

    /// Everything it has written since it was started first.
    #[must_use]
    pub fn log(&self) -> String {
        let log = std::fs::read(self.log_file()).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    fn log_file(&self) -> PathBuf {
        self.settings
            .directory
            .join(format!("{}.log", self.identity))
    }

    fn spawn(&self, upgraded: bool, api: SocketAddr) -> Result<Child> {
        let Settings { program, next, .. } = &self.settings;
        let (program, image) = match next {
            Some(next) if upgraded => (next, None),
            None if upgraded => (program, Some("prometheus-mirror:next")),
            _ => (program, None),
        };
        let kubeconfig = self
            .settings
            .directory
            .join(format!("{}.kubeconfig", self.identity));
        std::fs::write(&kubeconfig, self.kubeconfig(api))?;
        let log: File = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.log_file())?;
        Command::new(program)
            .arg("run")
            .args(["--watch-namespaces", &self.settings.namespace])
            .args(["--namespace", &self.settings.namespace])
            .args(["--identity", &self.identity])
            .args(["--admin-listen", "127.0.0.1:0"])
            .args(["--log-level", "info,operator=debug"])
            .env("KUBECONFIG", kubeconfig)
            .envs(image.map(|image| ("PROMETHEUS_MIRROR_OPERATOR_IMAGE", image)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} cannot be started", program.display()))
    }

    fn kubeconfig(&self, api: SocketAddr) -> String {
        serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": format!("http://{api}")}}],
            "users": [{"name": "operator", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "operator"}}],
        })
        .to_string()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
