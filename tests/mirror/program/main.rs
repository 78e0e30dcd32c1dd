//! The mirror's program as it is started and asked, without a real store.

mod addresses;
mod api_tls;
mod crowds;
mod memory;
mod serve;
