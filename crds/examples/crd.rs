//! Prints the `CustomResourceDefinition`: `cargo run -p prometheus-mirror-crds --example crd >
//! crds/prometheusmirrors.yaml`.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    print!("{}", crds::crd_yaml()?);
    Ok(())
}
