//! A program that runs as long as the test wants it, and no longer.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

/// Starts `"$@"`, writes its pid and, once it has ended, its exit code; waits until standard input
/// closes, ends it and removes its folder.
const GUARD: &str = r#"
directory=$1; shift
put() { echo "$2" >"$directory/$1.new" && mv "$directory/$1.new" "$directory/$1"; }
( "$@" >"$directory/log" 2>&1 & put pid "$!"; wait "$!"; put code "$?" ) & runner=$!
read -r _
pid=$(cat "$directory/pid")
kill -TERM "$pid" 2>/dev/null
( sleep 10; kill -KILL "$pid" 2>/dev/null ) & killer=$!
wait "$runner"
kill "$killer" 2>/dev/null
rm -rf "$directory"
"#;

/// A running program with a folder of its own.
#[derive(Debug)]
pub struct Process {
    name: String,
    guard: Child,
    directory: PathBuf,
    pid: u32,
}

impl Process {
    /// Starts `program` in `directory`, which is removed when the process ends.
    ///
    /// # Errors
    /// If the program cannot be started.
    pub fn start<A: AsRef<OsStr>>(
        name: &str,
        program: &Path,
        arguments: impl IntoIterator<Item = A>,
        directory: TempDir,
    ) -> Result<Self> {
        let directory = directory.keep();
        let guard = Command::new("sh")
            .args(["-c", GUARD, "guard"])
            .arg(&directory)
            .arg(program)
            .args(arguments)
            .current_dir(&directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("{name} cannot be started"))?;
        let pid_file = directory.join("pid");
        let deadline = Instant::now() + Duration::from_secs(10);
        let pid = loop {
            if let Ok(text) = fs::read_to_string(&pid_file) {
                break text.trim().parse().context("the guard wrote no pid")?;
            }
            if Instant::now() > deadline {
                bail!("{name}: the shell that guards it does not start");
            }
            std::thread::sleep(Duration::from_millis(1));
        };
        Ok(Self {
            name: name.to_owned(),
            guard,
            directory,
            pid,
        })
    }

    /// What the program is called in messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The program's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// The folder it runs in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether it still runs. A zombie does not.
    #[must_use]
    pub fn is_running(&self) -> bool {
        fs::read_to_string(format!("/proc/{}/stat", self.pid)).is_ok_and(|stat| {
            !stat
                .rsplit(')')
                .next()
                .unwrap_or_default()
                .trim_start()
                .starts_with('Z')
        })
    }

    /// Its exit code, once it has ended by itself.
    #[must_use]
    pub fn exit_code(&self) -> Option<i32> {
        let code = fs::read_to_string(self.directory.join("code")).ok()?;
        code.trim().parse().ok()
    }

    /// The end of what it wrote, for messages.
    #[must_use]
    pub fn log(&self) -> String {
        let log = fs::read(self.directory.join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Everything it wrote.
    #[must_use]
    pub fn whole_log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.directory.join("log")).unwrap_or_default())
            .into_owned()
    }

    /// Sends a signal, for example `TERM` or `STOP`.
    ///
    /// # Errors
    /// If the process is gone.
    pub fn signal(&self, signal: &str) -> Result<()> {
        let status = Command::new("kill")
            .args(["-s", signal, &self.pid.to_string()])
            .status()?;
        if !status.success() {
            bail!("{} (pid {}) cannot be sent {signal}", self.name, self.pid);
        }
        Ok(())
    }

    /// Itself and its children (nginx and its workers).
    fn pids(&self) -> Vec<u32> {
        let mut pids = vec![self.pid];
        let children = fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid))
            .unwrap_or_default();
        pids.extend(
            children
                .split_whitespace()
                .filter_map(|pid| pid.parse::<u32>().ok()),
        );
        pids
    }

    /// Resident memory in bytes, children included.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        let pids = self.pids().into_iter();
        pids.map(|pid| field_of_status(pid, "VmRSS:")).sum()
    }

    /// The time that processors have spent on it so far, children included.
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        self.pids().into_iter().map(cpu_time).sum()
    }

    /// The largest resident memory it ever had, in bytes.
    #[must_use]
    pub fn peak_resident_bytes(&self) -> u64 {
        field_of_status(self.pid, "VmHWM:")
    }
}

/// To a hundredth of a second, which is the kernel's unit here on every platform.
fn cpu_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name before may have spaces and parentheses itself. `utime` and `stime` are the twelfth
    // and the thirteenth behind it.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks = ticks.filter_map(|ticks| ticks.parse::<u64>().ok());
    Duration::from_millis(10 * ticks.sum::<u64>())
}

fn field_of_status(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kibibytes = status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

impl Drop for Process {
    fn drop(&mut self) {
        // A line makes the guard go on, as closing the pipe does; a stopped process has to be woken
        // to end.
        if self.is_running() {
            let _ = self.signal("CONT");
        }
        if let Some(mut stdin) = self.guard.stdin.take() {
            let _ = stdin.write_all(b"\n");
        }
        let _ = self.guard.wait();
    }
}

/// Writes a file, and the folders above it, so that a reader sees the old or the new one, never
/// half.
///
/// # Errors
/// If it cannot be written.
pub fn replace(file: &Path, text: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(".new");
    fs::write(&temporary, text)?;
    fs::rename(&temporary, file)?;
    Ok(())
}

/// A loopback port that was free a moment ago, each time another one. It is below those that the
/// system gives to outgoing connections, of which one would be gone before its server listens, now
/// and then.
///
/// # Errors
/// If the machine has none left.
pub fn free_port() -> Result<u16> {
    const PORTS: std::ops::Range<u32> = 10_000..32_000;
    const LENGTH: u32 = PORTS.end - PORTS.start;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    // Test programs that run side by side begin far from each other.
    let first = std::process::id().wrapping_mul(97) % LENGTH;
    for _ in PORTS {
        let next = first + TAKEN.fetch_add(1, Ordering::Relaxed) % LENGTH;
        let port = u16::try_from(PORTS.start + next % LENGTH)?;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port is free on loopback")
}

/// Where `name` is on the `PATH` (or in `/usr/sbin`).
///
/// # Errors
/// If it is nowhere, naming the Debian `package` that has it.
pub fn program(name: &str, package: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
        .with_context(|| {
            format!("`{name}` is not on the PATH. This test needs it: apt-get install {package}")
        })
}
