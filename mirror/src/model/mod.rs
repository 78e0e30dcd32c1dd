//! The ground floor: values that every room of the mirror speaks of. It imports nothing of the
//! others.

pub mod capabilities;
pub mod metric_type;
pub mod series;
pub mod time;
