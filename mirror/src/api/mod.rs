//! The Mirror API: what a request says ([`decode`]), what an answer looks like ([`encode`]), and one thin handler per method
//! ([`handlers`]). The contract is `docs/mirror-api.md`.

pub mod decode;
pub mod encode;
pub mod handlers;

pub use handlers::{Api, answer};
