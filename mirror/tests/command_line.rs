//! The mirror's command line has what the operator and the charts rely on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use clap::CommandFactory as _;
use crds::contract::{ADMIN_PORT_NUMBER, CONSOLE_PORT_NUMBER, environment};
use mirror::cli::args::Cli;

fn serve() -> clap::Command {
    let command = Cli::command();
    command.find_subcommand("serve").unwrap().clone()
}

#[test]
fn every_variable_that_the_operator_sets_is_a_flag_of_serve() {
    let serve = serve();
    let known: Vec<_> = serve
        .get_arguments()
        .filter_map(|argument| argument.get_env()?.to_str())
        .collect();
    let mut needed = environment::ALL.iter();
    let unknown = needed.find(|name| !known.contains(name));
    assert_eq!(unknown, None, "{known:?}");
}

#[test]
fn the_admin_port_is_the_one_that_is_probed() {
    let serve = serve();
    let listens = |argument: &&clap::Arg| {
        argument.get_env() == Some(std::ffi::OsStr::new(environment::ADMIN_LISTEN))
    };
    let argument = serve.get_arguments().find(listens).unwrap();
    let expected = format!("[::]:{ADMIN_PORT_NUMBER}");
    assert_eq!(argument.get_default_values(), [expected.as_str()]);
}

/// `kubectl port-forward` reaches it there, and nothing else does.
#[test]
fn the_console_is_on_the_loopback_address() {
    let serve = serve();
    let mut arguments = serve.get_arguments();
    let argument = arguments.find(|argument| argument.get_id() == "console_listen");
    let expected = format!("127.0.0.1:{CONSOLE_PORT_NUMBER}");
    assert_eq!(argument.unwrap().get_default_values(), [expected.as_str()]);
}
