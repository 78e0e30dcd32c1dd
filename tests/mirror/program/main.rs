//! The mirror's program as it is started and asked, without a real store.

mod addresses;
mod api_tls;
mod console;
mod crowds;
mod memory;
mod request_log;
mod serve;
