//! A memory cgroup of the siege's own, of version 1 or 2, whichever the machine has.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// Where version 1 keeps the memory controller, and version 2 everything.
const ROOTS: [&str; 2] = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup"];

/// A cgroup with a memory limit. Its processes must have ended before it is dropped.
#[derive(Debug)]
pub(crate) struct Cgroup {
    folder: PathBuf,
    is_v1: bool,
}

impl Cgroup {
    /// Makes a cgroup whose processes together get `limit` bytes.
    ///
    /// # Errors
    /// If this machine has no memory controller or this user no right to it.
    pub(crate) fn new(limit: u64) -> Result<Self> {
        let name = format!("siege-{}", std::process::id());
        for root in ROOTS {
            let root = Path::new(root);
            let is_v1 = root.join("memory.limit_in_bytes").exists();
            let is_v2 = fs::read_to_string(root.join("cgroup.subtree_control"))
                .is_ok_and(|controllers| controllers.contains("memory"));
            if !is_v1 && !is_v2 {
                continue;
            }
            let cgroup = Self {
                folder: root.join(&name),
                is_v1,
            };
            fs::create_dir(&cgroup.folder).context("no cgroup can be made; this needs root")?;
            cgroup.write(
                if is_v1 {
                    "memory.limit_in_bytes"
                } else {
                    "memory.max"
                },
                limit,
            )?;
            // In version 2 it shares processors with the cgroup of the attackers: let it have them
            // first. In version 1 it is in theirs, and priorities do it.
            let _ = cgroup.write("cpu.weight", 10_000);
            return Ok(cgroup);
        }
        bail!("this machine has no memory controller of cgroups")
    }

    /// A script that runs its arguments inside.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(crate) fn wrapper(&self, program: &Path, folder: &Path) -> Result<PathBuf> {
        use std::os::unix::fs::PermissionsExt as _;
        let file = folder.join("in-cgroup");
        let script = format!(
            "#!/bin/sh\necho $$ >{}/cgroup.procs || exit 1\nRUST_BACKTRACE=0 exec {} \"$@\"\n",
            self.folder.display(),
            program.display()
        );
        fs::write(&file, script)?;
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755))?;
        Ok(file)
    }

    /// Forgets the peak so far.
    ///
    /// # Errors
    /// If the kernel has no such counter.
    pub(crate) fn reset_peak(&self) -> Result<()> {
        if self.is_v1 {
            self.write("memory.max_usage_in_bytes", 0)?;
        }
        Ok(())
    }

    /// The most bytes that were charged at once, page cache included.
    pub(crate) fn peak(&self) -> u64 {
        let file = if self.is_v1 {
            "memory.max_usage_in_bytes"
        } else {
            "memory.peak"
        };
        self.read(file).trim().parse().unwrap_or(0)
    }

    /// How many processes the kernel killed for memory.
    pub(crate) fn kills(&self) -> u64 {
        let file = if self.is_v1 {
            "memory.oom_control"
        } else {
            "memory.events"
        };
        let events = self.read(file);
        let kills = events
            .lines()
            .find_map(|line| line.strip_prefix("oom_kill "));
        kills
            .and_then(|count| count.trim().parse().ok())
            .unwrap_or(0)
    }

    fn write(&self, file: &str, number: u64) -> Result<()> {
        let file = self.folder.join(file);
        fs::write(&file, number.to_string()).with_context(|| file.display().to_string())
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.folder.join(file)).unwrap_or_default()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Busy for a moment after its last process has ended.
        for _ in 0..50 {
            if fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}
