//! How much memory the process may use, and what of it requests may.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Budget;
use super::size::ByteSize;

/// The limit where nothing sets one.
const DEFAULT: ByteSize = ByteSize::mib(512);

/// The budgets of the process.
#[derive(Debug)]
pub struct Memory {
    /// For the bodies of requests and what parsing makes of them. Apart, so that bodies that never
    /// end leave the rest alone.
    pub bodies: Arc<Budget>,
    /// For all that happens afterwards.
    pub work: Arc<Budget>,
    /// For finished buckets, which are kept: nobody waits for it.
    remembered: AtomicU64,
}

/// A memory limit and who sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The process may use so much.
    pub bytes: ByteSize,
    /// Who says so.
    pub origin: Origin,
}

/// Who sets the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `--memory-limit`
    Flag,
    /// `spec.limits.memory`
    Field,
    /// The cgroup of the process or one around it.
    Container,
    /// Nobody.
    Default,
}

impl Limit {
    /// What is wrong with it, in words: it is more than the container may use, or too little to be
    /// useful.
    #[must_use]
    pub fn notice(&self) -> Option<String> {
        let most = container().filter(|_| self.origin != Origin::Container);
        crds::memory::problem(self.bytes, most).map(|problem| format!("{}: {problem}", self.origin))
    }

    /// The first of the flag, the field and the container's limit that is set.
    #[must_use]
    pub fn choose(flag: Option<ByteSize>, field: Option<ByteSize>) -> Self {
        let set = |bytes, origin| Self { bytes, origin };
        flag.map(|bytes| set(bytes, Origin::Flag))
            .or_else(|| field.map(|bytes| set(bytes, Origin::Field)))
            .or_else(|| container().map(|bytes| set(bytes, Origin::Container)))
            .unwrap_or(set(DEFAULT, Origin::Default))
    }
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Flag => "--memory-limit",
            Self::Field => "spec.limits.memory",
            Self::Container => "the container's limit",
            Self::Default => "the default, because no limit is set",
        })
    }
}

impl Memory {
    /// The budgets within a limit, `remembered` of which is wanted for finished buckets.
    #[must_use]
    pub fn within(limit: ByteSize, remembered: ByteSize) -> Arc<Self> {
        let shares = Shares::of(limit, remembered);
        Arc::new(Self {
            bodies: Budget::new(shares.bodies),
            work: Budget::new(shares.work),
            remembered: AtomicU64::new(shares.remembered.0),
        })
    }

    /// Changes the limit.
    pub fn resize(&self, limit: ByteSize, remembered: ByteSize) {
        let shares = Shares::of(limit, remembered);
        self.bodies.resize(shares.bodies);
        self.work.resize(shares.work);
        self.remembered
            .store(shares.remembered.0, Ordering::Relaxed);
    }

    /// How much of it is for finished buckets.
    #[must_use]
    pub fn remembered(&self) -> ByteSize {
        ByteSize(self.remembered.load(Ordering::Relaxed))
    }
}

/// What of a limit is for what.
#[derive(Debug, PartialEq, Eq)]
struct Shares {
    bodies: ByteSize,
    work: ByteSize,
    remembered: ByteSize,
}

impl Shares {
    /// Requests keep half of what there is for them, however much is to be remembered.
    fn of(ByteSize(limit): ByteSize, ByteSize(wanted): ByteSize) -> Self {
        let all = crds::memory::for_requests(limit).max(crds::memory::LEAST_FOR_REQUESTS);
        let remembered = wanted.min(all / 2);
        let requests = all - remembered;
        let bodies = requests / 4;
        Self {
            bodies: ByteSize(bodies),
            work: ByteSize(requests - bodies),
            remembered: ByteSize(remembered),
        }
    }
}

impl Default for Memory {
    /// More than there is: for commands that answer one request, and for tests.
    fn default() -> Self {
        let most = ByteSize(1 << 50);
        Self {
            bodies: Budget::new(most),
            work: Budget::new(most),
            remembered: AtomicU64::new(most.0),
        }
    }
}

/// The limit of the container that the process runs in.
fn container() -> Option<ByteSize> {
    of_container(Path::new("/proc/self"), Path::new("/"))
}

/// The smallest memory limit of the cgroups that hold the process. `process` is its folder in
/// `/proc`.
fn of_container(process: &Path, root: &Path) -> Option<ByteSize> {
    let read = |name: &str| std::fs::read_to_string(process.join(name)).unwrap_or_default();
    files(&read("cgroup"), &read("mountinfo"))
        .into_iter()
        .filter_map(|file| {
            let file = root.join(file.strip_prefix("/").ok()?);
            limit(&std::fs::read_to_string(file).ok()?)
        })
        .min()
}

/// The files that may hold a limit: of the process' own cgroup, and of all around it that can be
/// seen.
///
/// `cgroups` is `/proc/self/cgroup`: `0::/path` for version 2, `4:memory:/path` for version 1.
/// `mounts` is `/proc/self/mountinfo`. A container often sees only its own part of the hierarchy:
/// the mount's root then is the path of the container, and what is below it is what both have in
/// common.
fn files(cgroups: &str, mounts: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in cgroups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let is_v2 = controllers.is_empty();
        let name = match is_v2 {
            true => "memory.max",
            false if controllers.split(',').any(|name| name == "memory") => "memory.limit_in_bytes",
            false => continue,
        };
        for (root, mount_point) in mounts.lines().filter_map(|line| mount(line, is_v2)) {
            let below = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
            files.extend(
                below
                    .ancestors()
                    .map(|folder| Path::new(mount_point).join(folder).join(name)),
            );
        }
    }
    files
}

/// The root and the mount point of a line of `mountinfo`, if cgroups with memory limits are mounted
/// there.
fn mount(line: &str, is_v2: bool) -> Option<(&str, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let (kind, options) = (after.next()?, after.nth(1)?);
    let fits = match is_v2 {
        true => kind == "cgroup2",
        false => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
    };
    let mut fields = before.split(' ').skip(3);
    fits.then_some((fields.next()?, fields.next()?))
}

/// A limit as the kernel writes it. `max` and numbers near the largest are none.
fn limit(text: &str) -> Option<ByteSize> {
    let bytes: u64 = text.trim().parse().ok()?;
    (bytes < 1 << 60).then_some(ByteSize(bytes))
}

#[cfg(test)]
mod tests;
