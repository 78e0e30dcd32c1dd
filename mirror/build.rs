//! Tells the binary which compiler built it, for the `build_info` metric, and turns the description
//! of the API into JSON.

use std::error::Error;
use std::path::Path;
use std::process::Command;

/// What people read and edit.
const DESCRIPTION: &str = "../docs/openapi.yaml";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=RUSTC");
    println!("cargo:rerun-if-env-changed=PROMETHEUS_MIRROR_REVISION");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = Command::new(rustc)
        .arg("--version")
        .output()
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok());
    let version = version
        .as_deref()
        .and_then(|text| text.split_whitespace().nth(1))
        .unwrap_or("unknown");
    println!("cargo:rustc-env=PROMETHEUS_MIRROR_RUSTC={version}");

    // Here and not while serving: a document that is no YAML never becomes a binary.
    println!("cargo:rerun-if-changed={DESCRIPTION}");
    let description = std::fs::read_to_string(DESCRIPTION)
        .map_err(|error| format!("{DESCRIPTION} cannot be read: {error}"))?;
    let description: serde_json::Value = serde_yaml::from_str(&description)
        .map_err(|error| format!("{DESCRIPTION} is not YAML: {error}"))?;
    let folder = std::env::var_os("OUT_DIR").ok_or("cargo names no OUT_DIR")?;
    std::fs::write(
        Path::new(&folder).join("openapi.json"),
        description.to_string(),
    )?;
    Ok(())
}
