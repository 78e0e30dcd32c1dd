//! Turns the schema of the committed definition into JSON, which programs validate documents with.
//! To make it of the types when they start takes longer than all else that they do then.

use std::error::Error;
use std::path::Path;

use serde_json::Value;

/// Generated from the types, which a test holds it to.
const DEFINITION: &str = "prometheusmirrors.yaml";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed={DEFINITION}");
    let definition = std::fs::read_to_string(DEFINITION)
        .map_err(|error| format!("{DEFINITION} cannot be read: {error}"))?;
    let definition: Value = serde_yaml::from_str(&definition)
        .map_err(|error| format!("{DEFINITION} is not YAML: {error}"))?;
    let versions = definition["spec"]["versions"].as_array();
    let [version] = versions.map(Vec::as_slice).unwrap_or_default() else {
        return Err(format!("{DEFINITION} has not exactly one version").into());
    };
    let schema = &version["schema"]["openAPIV3Schema"];
    if !schema.is_object() {
        return Err(format!("{DEFINITION} has no schema").into());
    }
    let folder = std::env::var_os("OUT_DIR").ok_or("cargo names no OUT_DIR")?;
    std::fs::write(Path::new(&folder).join("schema.json"), schema.to_string())?;
    Ok(())
}
