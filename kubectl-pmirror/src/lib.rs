//! `kubectl pmirror`: mirrors as those who use them see them.
//!
//! Everything is done with the user's own rights: what the API server lets them read, and ports of
//! pods through its port-forward. Nothing is written.
//!
//! * [`args`]: the command line.
//! * [`cluster`]: the API server, and the resources in it. [`problem`]: why something cannot be
//!   done, and what the user can do about it.
//! * [`pods`]: the pods of a mirror. [`tunnel`]: a port of one of them, on this machine. [`key`]:
//!   the key that the mirror wants.
//! * [`list`], [`status`], [`ask`], [`check`], [`conform`], [`logs`], [`open`]: the subcommands.
//! * [`table`]: how they draw. [`complete`]: what kubectl completes them with.

pub mod args;
pub mod ask;
pub mod check;
pub mod cluster;
pub mod complete;
pub mod conform;
pub mod key;
pub mod list;
pub mod logs;
pub mod open;
pub mod pods;
pub mod problem;
pub mod status;
pub mod table;
pub mod tunnel;
