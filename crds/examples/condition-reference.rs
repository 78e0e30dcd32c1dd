//! Prints the table of conditions and reasons in `docs/operator.md`.

fn main() {
    print!("{}", crds::conditions::condition_reference());
}
