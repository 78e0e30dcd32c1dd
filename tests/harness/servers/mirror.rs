//! The program under test.

use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Process, eventually, free_port, http_client, replace, wait_until_ready};

/// What a mirror is started with.
#[derive(Clone, Debug)]
pub struct MirrorConfig {
    /// The `spec` of the `PrometheusMirror` document; `apiKeySecretRef` is set if it is absent.
    pub spec: Value,
    /// Contents of the Secret `mirror-key`: key and value.
    pub keys: Vec<(String, String)>,
    /// Keys of other Secrets and of ConfigMaps, such as `secrets/ca/ca.crt`, and their values.
    pub files: Vec<(String, String)>,
}

impl MirrorConfig {
    /// A mirror for targets, given as name and URL, with 15 s between scrapes and the API key
    /// `test-key`.
    #[must_use]
    pub fn for_targets(targets: &[(&str, &str)]) -> Self {
        let list: Vec<Value> = targets
            .iter()
            .map(|(name, url)| json!({"name": name, "url": url, "scrapeInterval": "15s", "requestTimeout": "30s"}))
            .collect();
        let mut spec = json!({"targets": list});
        if targets.len() > 1 {
            spec["defaultTarget"] = json!(targets[0].0);
        }
        Self {
            spec,
            keys: vec![("apiKey".to_owned(), "test-key".to_owned())],
            files: Vec::new(),
        }
    }

    /// The same with a field of the spec set.
    #[must_use]
    pub fn with(mut self, field: &str, value: Value) -> Self {
        self.spec[field] = value;
        self
    }

    /// The same with a field of the first target set.
    #[must_use]
    pub fn with_target(mut self, field: &str, value: Value) -> Self {
        self.spec["targets"][0][field] = value;
        self
    }

    /// The same with a file that the document refers to, such as `secrets/ca/ca.crt`.
    #[must_use]
    pub fn with_file(mut self, path: &str, content: &str) -> Self {
        self.files.retain(|(known, _)| known != path);
        self.files.push((path.to_owned(), content.to_owned()));
        self
    }

    /// Writes document and files into a folder, where `prometheus-mirror check -f mirror.yaml`
    /// finds them.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        write_config(folder, self)
    }

    /// The document as the mirror reads it.
    #[must_use]
    pub fn document(&self) -> Value {
        let mut spec = self.spec.clone();
        if spec.get("apiKeySecretRef").is_none() {
            spec["apiKeySecretRef"] = json!({"name": "mirror-key"});
        }
        json!({
            "apiVersion": "prometheus-mirror.io/v1alpha1",
            "kind": "PrometheusMirror",
            "metadata": {"name": "test", "namespace": "default"},
            "spec": spec,
        })
    }
}

/// How a mirror is started, where that matters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Launch<'a> {
    /// Instead of what cargo builds.
    pub binary: Option<&'a Path>,
    /// More arguments for `serve`.
    pub arguments: &'a [&'a str],
    /// Variables of its environment.
    pub variables: &'a [(&'a str, &'a str)],
    /// The folder of a cgroup to start it in.
    pub cgroup: Option<&'a Path>,
}

/// A running mirror.
#[derive(Debug)]
pub struct Mirror {
    process: Process,
    port: u16,
    admin_port: u16,
    /// From `exec` to the first 200 of `/readyz`, for the bench.
    pub time_to_ready: Duration,
}

/// Base URL of the admin port.
#[derive(Clone, Debug)]
pub struct Admin(pub String);

impl Mirror {
    /// Starts the mirror that cargo built and waits until it is ready.
    ///
    /// # Errors
    /// If it cannot be built or ends at its start.
    pub async fn start(config: &MirrorConfig) -> Result<Self> {
        Self::launch(config, &Launch::default()).await
    }

    /// The same with a given binary: benches take the release build.
    ///
    /// # Errors
    /// If it ends at its start.
    pub async fn start_binary(binary: &Path, config: &MirrorConfig) -> Result<Self> {
        Self::start_with(binary, config, &[]).await
    }

    /// The same with more arguments for `serve`.
    ///
    /// # Errors
    /// If it ends at its start.
    pub async fn start_with(
        binary: &Path,
        config: &MirrorConfig,
        arguments: &[&str],
    ) -> Result<Self> {
        let launch = Launch {
            binary: Some(binary),
            arguments,
            ..Launch::default()
        };
        Self::launch(config, &launch).await
    }

    /// Starts a mirror in a way of the test's own, and waits until it is ready.
    ///
    /// # Errors
    /// If it cannot be built or ends at its start.
    pub async fn launch(config: &MirrorConfig, launch: &Launch<'_>) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        write_config(directory.path(), config)?;
        let (mut mirror, started) = Self::begin(directory, launch)?;
        // Finer than the wait below, and without its client: this is a number of the bench.
        while !mirror.says_that_it_is_ready() && mirror.process.is_running() {
            if started.elapsed().as_secs() >= 30 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        mirror.time_to_ready = started.elapsed();
        // And says why, if it is not.
        mirror.is_ready().await?;
        Ok(mirror)
    }

    /// Starts a mirror that has no document yet, and waits until its admin port is open.
    ///
    /// # Errors
    /// If it cannot be built or ends at its start.
    pub fn without_document(launch: &Launch<'_>) -> Result<Self> {
        Ok(Self::begin(tempfile::tempdir()?, launch)?.0)
    }

    /// The mirror, and when it was started.
    fn begin(directory: TempDir, launch: &Launch<'_>) -> Result<(Self, Instant)> {
        let (port, admin_port) = (free_port()?, free_port()?);
        let (listen, admin) = (
            format!("127.0.0.1:{port}"),
            format!("127.0.0.1:{admin_port}"),
        );
        let serve = ["serve", "-f", "mirror.yaml", "--secrets-dir", "secrets"];
        let serve = serve.into_iter().chain([
            "--listen",
            listen.as_str(),
            "--admin-listen",
            admin.as_str(),
        ]);
        let mut command = launch.command()?;
        command.extend(
            serve
                .chain(launch.arguments.iter().copied())
                .map(OsString::from),
        );
        let started = Instant::now();
        let program = PathBuf::from(command.remove(0));
        let process = Process::start("the mirror", &program, command, directory)?;
        let mirror = Self {
            process,
            port,
            admin_port,
            time_to_ready: Duration::ZERO,
        };
        while TcpStream::connect(("127.0.0.1", admin_port)).is_err() && mirror.process.is_running()
        {
            std::thread::sleep(Duration::from_millis(1));
            ensure!(
                started.elapsed().as_secs() < 30,
                "the mirror opens no admin port:\n{}",
                mirror.process.log()
            );
        }
        Ok((mirror, started))
    }

    /// Whether `/readyz` answers 200 now.
    fn says_that_it_is_ready(&self) -> bool {
        const QUESTION: &[u8] =
            b"GET /readyz HTTP/1.1\r\nHost: mirror\r\nConnection: close\r\n\r\n";
        const GOOD: &[u8] = b"HTTP/1.1 200 ";
        let mut status = [0; GOOD.len()];
        let mut ask = || {
            let mut connection = TcpStream::connect(("127.0.0.1", self.admin_port))?;
            connection.set_read_timeout(Some(Duration::from_secs(1)))?;
            connection.write_all(QUESTION)?;
            connection.read_exact(&mut status)
        };
        ask().is_ok() && status == GOOD
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// If it ends before.
    pub async fn is_ready(&self) -> Result<()> {
        wait_until_ready(&self.process, &format!("{}/readyz", self.admin().0)).await
    }

    /// Base URL of the API without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The API's port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The admin port.
    #[must_use]
    pub fn admin(&self) -> Admin {
        Admin(format!("http://127.0.0.1:{}", self.admin_port))
    }

    /// How many buckets were remembered, and how many asked for.
    ///
    /// # Errors
    /// If the metrics don't say.
    pub async fn remembered_buckets(&self) -> Result<(f64, f64)> {
        let url = format!("{}/metrics", self.admin().0);
        let text = http_client().get(url).send().await?.text().await?;
        let of = |result: &str| {
            let name =
                format!("prometheus_mirror_remembered_buckets_total{{result=\"{result}\"}} ");
            let line = text.lines().find_map(|line| line.strip_prefix(&name));
            line.and_then(|value| value.parse().ok()).context(name)
        };
        Ok((of("hit")?, of("miss")?))
    }

    /// Waits for a line of its log in JSON (`--log-format json`) whose message begins so.
    ///
    /// # Errors
    /// If it does not come.
    pub async fn logs(&self, message: &str) -> Result<Value> {
        eventually(&format!("a line `{message}`"), || async {
            let log = self.process.whole_log();
            let mut lines = log
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok());
            Ok(lines.find(|line| {
                let found = line["message"].as_str();
                found.is_some_and(|found| found.starts_with(message))
            }))
        })
        .await
    }

    /// Waits until it has ended by itself, and tells its exit code.
    ///
    /// # Errors
    /// If it does not end.
    pub async fn ends(&self) -> Result<i32> {
        eventually("the mirror's end", || async {
            Ok(self.process.exit_code())
        })
        .await
    }

    /// The process, for signals and memory.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Replaces document and Secret on disk, as a kubelet or an editor would.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn reconfigure(&self, config: &MirrorConfig) -> Result<()> {
        write_config(self.process.directory(), config)
    }

    /// Replaces the document by arbitrary text.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_document(&self, text: &str) -> Result<()> {
        replace(&self.process.directory().join("mirror.yaml"), text)
    }
}

impl Launch<'_> {
    /// The program and its first arguments. Its process is the one that is started.
    fn command(&self) -> Result<Vec<OsString>> {
        let mut command: Vec<OsString> = Vec::new();
        if !self.variables.is_empty() {
            let variables = self.variables.iter();
            command.push("env".into());
            command.extend(variables.map(|(name, value)| format!("{name}={value}").into()));
        }
        if let Some(cgroup) = self.cgroup {
            let enter = format!(
                "echo $$ > '{}/cgroup.procs' && exec \"$@\"",
                cgroup.display()
            );
            command.extend(["sh", "-c", &enter, "sh"].map(OsString::from));
        }
        command.push(match self.binary {
            Some(binary) => binary.into(),
            None => mirror_binary()?.into(),
        });
        Ok(command)
    }
}

fn write_config(directory: &Path, config: &MirrorConfig) -> Result<()> {
    let secret = directory.join("secrets/mirror-key");
    fs::create_dir_all(&secret)?;
    for (key, value) in &config.keys {
        replace(&secret.join(key), value)?;
    }
    for entry in fs::read_dir(&secret)? {
        let entry = entry?;
        if !config
            .keys
            .iter()
            .any(|(key, _)| entry.file_name().to_str() == Some(key))
        {
            fs::remove_file(entry.path())?;
        }
    }
    for (path, content) in &config.files {
        replace(&directory.join(path), content)?;
    }
    replace(
        &directory.join("mirror.yaml"),
        &serde_yaml::to_string(&config.document())?,
    )
}

/// The mirror's binary: `PROMETHEUS_MIRROR_BIN`, or what `cargo build` makes of the present
/// sources.
///
/// # Errors
/// If cargo cannot build it.
pub fn mirror_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("PROMETHEUS_MIRROR_BIN") {
        return Ok(path.into());
    }
    static BUILT: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    // As `cargo test --workspace` builds it, which leaves nothing to do: the features of shared
    // dependencies follow from what is selected, and a test of the mirror brings its binary along.
    BUILT
        .get_or_init(|| {
            build(&["--workspace", "--all-features", "--test", "field_answers"])
                .map_err(|error| format!("{error:#}"))
        })
        .clone()
        .map_err(anyhow::Error::msg)
}

/// The release build, which is what users run: for benches. `PROMETHEUS_MIRROR_BIN` names another,
/// such as one with the flags of the images.
///
/// # Errors
/// If cargo cannot build it.
pub fn release_binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("PROMETHEUS_MIRROR_BIN") {
        return Ok(path.into());
    }
    build(&[
        "--release",
        "-p",
        "prometheus-mirror",
        "--bin",
        "prometheus-mirror",
    ])
}

/// Builds the binary with these arguments for cargo, and says where it is.
fn build(arguments: &[&str]) -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--message-format=json"])
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .context("cargo cannot be run")?;
    ensure!(
        output.status.success(),
        "the mirror cannot be built:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)?
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|message| {
            let named = message["target"]["name"] == "prometheus-mirror";
            message["executable"]
                .as_str()
                .filter(|_| named)
                .map(PathBuf::from)
        })
        .context("cargo built no prometheus-mirror")
}
