//! Programs that are built from pinned Go modules, and Python packages, see `tests/tools`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// The folder with the programs of a tool; builds them first where no test has done so before.
///
/// # Errors
/// If they cannot be built.
pub(super) fn tool(name: &str) -> Result<PathBuf> {
    run("build", name).with_context(|| {
        format!(
            "{name} cannot be built (`tests/tools/build {name}`, needs Go and the Go module proxy)"
        )
    })
}

/// The folder with the programs of a tool that is made of Python packages; installs them first
/// where no test has done so before.
///
/// # Errors
/// If they cannot be installed.
pub fn python(name: &str) -> Result<PathBuf> {
    run("python", name).with_context(|| {
        format!("{name} cannot be installed (`tests/tools/python {name}`, needs Python 3 and a Python package index)")
    })
}

fn run(script: &str, name: &str) -> Result<PathBuf> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tools")
        .join(script);
    let output = Command::new(&script)
        .arg(name)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("{} cannot be run", script.display()))?;
    ensure!(output.status.success(), "{}", output.status);
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}
