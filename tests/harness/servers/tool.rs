//! Programs that are built from pinned Go modules, see `tests/tools`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// The folder with the programs of a tool; builds them first where no test has done so before.
///
/// # Errors
/// If they cannot be built.
pub(super) fn tool(name: &str) -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tools/build");
    let output = Command::new(&script)
        .arg(name)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{} cannot be run", script.display()))?;
    ensure!(
        output.status.success(),
        "{name} cannot be built (`tests/tools/build {name}`, needs Go and the Go module proxy)"
    );
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}
