//! What the operator says about itself and its resources: metrics, events, and the admin port.

pub mod admin;
pub mod events;
pub mod metrics;
pub mod waiting;
