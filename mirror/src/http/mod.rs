//! HTTP around the API: routes and what every request passes on its way to a handler ([`router`],
//! [`browser`]), what those get that cannot be read ([`unreadable`]), and the admin port ([`admin`], [`probe`]).

pub mod admin;
pub mod browser;
pub mod probe;
pub mod router;
pub mod unreadable;
