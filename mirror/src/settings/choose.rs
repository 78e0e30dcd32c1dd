//! stub
#![allow(missing_docs)]
use super::*;
pub struct ConnectionDetails;
pub struct Choice {
    pub target: ChosenTarget,
    pub timeout: Duration,
    pub nan: NanInterpretation,
}
pub enum ChosenTarget {
    Declared(usize),
    Undeclared { url: Url },
}
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct ChooseError;
impl ConnectionDetails {
    pub fn parse(_: &serde_json::Map<String, serde_json::Value>) -> Result<Self, ChooseError> {
        Ok(Self)
    }
}
pub fn choose(s: &Settings, _: &ConnectionDetails) -> Result<Choice, ChooseError> {
    Ok(Choice {
        target: ChosenTarget::Declared(s.default_target.unwrap_or(0)),
        timeout: s.targets[0].request_timeout,
        nan: s.targets[0].nan_interpretation,
    })
}
