//! stub
use crate::{Fault, PrometheusMirror};
use serde_json::Value;
/// stub
pub fn validate(_: &Value) -> Vec<Fault> {
    vec![]
}
/// stub
pub fn parse(_: &Value) -> Result<PrometheusMirror, Vec<Fault>> {
    Err(vec![])
}
