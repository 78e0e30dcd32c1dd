//! HTTP around the API.
//!
//! ```text
//! layers ─► router ─► handle ─► api
//! ```
//!
//! * [`router`] has the routes, `layers` what every request passes before: its id and its record,
//!   the check of web pages ([`browser`]) and of the key ([`keys`]).
//! * [`handle`] takes a request's body ([`body`]) to a method of the API and its answer back.
//! * [`console`] is the page for people, on a port of its own.
//! * `request_log` writes a line about a request if the document wants that.
//! * [`unreadable`] is for requests that never get there.
//! * [`admin`] and [`probe`] are the admin port.

pub mod admin;
pub mod body;
pub mod browser;
pub mod console;
pub mod handle;
pub mod keys;
mod layers;
pub mod probe;
pub mod request_id;
mod request_log;
pub mod router;
pub mod unreadable;
