//! The subcommands, one file each, and how their results are drawn.

pub mod args;
pub mod check;
pub mod conform;
mod linger;
mod patience;
pub mod plot;
mod prefix;
pub mod query;
pub mod reference;
pub mod serve;
mod signals;
pub mod table;
pub mod when;

use std::io::{self, Write as _};

/// Why a command failed: one or more lines for stderr; the process then exits with 1.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Failure(pub String);

impl Failure {
    /// From anything that explains itself.
    pub fn from_error(error: impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// Prints a command's result. A reader that has seen enough (`| head`) is not a failure.
///
/// # Errors
/// If stdout cannot be written for another reason, a full disk for example.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure(format!("cannot write the result: {error}")))
        }
        _ => Ok(()),
    }
}
