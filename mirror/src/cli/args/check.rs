//! The arguments of `check`.

use clap::Args;

use super::DocumentArgs;

/// `check`
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    /// The configuration.
    #[command(flatten)]
    pub document: DocumentArgs,
    /// Ask each target, too
    #[arg(long)]
    pub probe: bool,
}
