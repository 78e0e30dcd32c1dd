//! Prints the reference page: `cargo run -p prometheus-mirror-crds --example resource-reference >
//! docs/resource-reference.md`.

fn main() {
    print!("{}", crds::resource_reference());
}
