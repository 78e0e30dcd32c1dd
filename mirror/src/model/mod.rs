//! The ground floor: values that every room of the mirror speaks of. It imports no other room.

pub mod api_method;
pub mod cache_control;
pub mod capabilities;
pub mod enforced;
pub mod metric_type;
pub mod notes;
pub mod series;
pub mod time;
