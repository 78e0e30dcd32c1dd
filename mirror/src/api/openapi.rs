//! The API for machines.

/// `docs/openapi.yaml` as JSON: an OpenAPI 3.1 document of everything that the API port takes and
/// answers.
pub const DOCUMENT: &str = include_str!(concat!(env!("OUT_DIR"), "/openapi.json"));

#[cfg(test)]
mod tests;
