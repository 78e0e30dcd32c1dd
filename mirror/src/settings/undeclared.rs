//! What holds for a server that only a request names.

use std::sync::Arc;
use std::time::Duration;

use url::Url;

use super::{NanInterpretation, Parameters, Servers, TargetName, TargetSettings, TargetTls};
use crate::model::enforced::Enforced;

/// How long a request to it may take.
pub(super) const TIMEOUT: Duration = Duration::from_secs(15);

/// Its settings.
#[must_use]
pub fn settings(url: Url) -> TargetSettings {
    TargetSettings {
        name: TargetName(Arc::from("(undeclared)")),
        servers: Servers::one(url),
        partial_responses: false,
        request_timeout: TIMEOUT,
        scrape_interval: Duration::from_secs(15),
        nan_interpretation: NanInterpretation::Zero,
        headers: http::HeaderMap::new(),
        parameters: Parameters::default(),
        proxy: None,
        tls: TargetTls::default(),
        auth: None,
        enforced: Enforced::default(),
    }
}
