//! Why there is no answer, in words.

use super::Client;
use super::{MAX_BODY_BYTES, tls};
use crate::prometheus::http::{BodyError, Failed, root_cause};
use crate::prometheus::request::Request;
use crate::prometheus::{Call, StoreError, proxy};

impl Client {
    pub(super) fn unread(&self, error: BodyError) -> StoreError {
        match error {
            BodyError::TooLarge => self.too_large(),
            BodyError::BrokenOff(error) => StoreError::Unreachable(format!(
                "{} broke its answer off: {}",
                self.name,
                root_cause(&error)
            )),
            BodyError::Decoding(error) => {
                StoreError::Unreachable(format!("{} answered {error}", self.name))
            }
        }
    }

    pub(super) fn too_large(&self) -> StoreError {
        let limit = MAX_BODY_BYTES >> 20;
        StoreError::TooLarge(format!(
            "{} answered more than {limit} MiB; ask for fewer series or a shorter time",
            self.name
        ))
    }

    /// The message for a call that fits into no URL and cannot go in another way.
    pub(super) fn too_long(&self, call: &Call, request: &Request<'_>) -> StoreError {
        let (bytes, at_most) = (request.url_length(), self.methods.longest_url());
        let why = match call {
            Call::LabelValues { .. } | Call::LabelValuesOtherwise { .. } => {
                "takes label values only as GET"
            }
            _ => "only accepts GET",
        };
        StoreError::TooLongForUrl {
            message: format!(
                "{} {why}, and this query is too long for a URL ({bytes} bytes, at most {at_most})",
                self.name
            ),
            bytes,
            at_most,
        }
    }

    pub(super) fn not_sent(&self, error: &Failed) -> StoreError {
        if let Some(failure) = tls::failure(error) {
            let tls = &self.settings.tls;
            let host = self.declared.host_str().unwrap_or_default();
            let mut message = failure.message(tls.server_name.as_deref().unwrap_or(host));
            if let Some(hint) = failure.hint(tls) {
                message = format!("{message} (hint: {hint})");
            }
            let message = format!("{} {message}", self.name);
            return match failure {
                tls::Failure::Ours(_) => StoreError::CredentialsRefused(message),
                _ => StoreError::Unreachable(message),
            };
        }
        if let Some(failed) = proxy::failure(error, &self.settings, &self.name) {
            return failed;
        }
        let what = if error.is_connect() {
            "cannot be reached"
        } else {
            "did not answer as HTTP servers do"
        };
        // With TLS 1.3 a server refuses a client certificate when the connection stands already,
        // and may be gone before it has said so.
        let hint = match &self.settings.tls.identity {
            _ if error.is_connect() || self.base.scheme() != "https" => "",
            None => {
                " (hint: a server that wants a client certificate may end a connection like this: name one in tls.clientCertificateSecretRef)"
            }
            Some(_) => {
                " (hint: a server that does not accept the certificate of tls.clientCertificateSecretRef may end a connection like this)"
            }
        };
        StoreError::Unreachable(format!("{} {what}: {}{hint}", self.name, root_cause(error)))
    }

    pub(super) fn not_prometheus(&self, reason: &str) -> StoreError {
        StoreError::Unreachable(format!(
            "{} answered something that is not Prometheus' JSON: {reason}",
            self.name
        ))
    }

    /// The message for a caller whose time is over.
    pub(in crate::prometheus) fn too_slow(&self) -> StoreError {
        StoreError::Timeout(format!("{} did not answer in time", self.name))
    }

    /// The message for an exchange that panicked.
    pub(in crate::prometheus) fn failed_inside(&self) -> StoreError {
        StoreError::Unreachable(format!(
            "the call of {} failed inside the mirror; its log says more",
            self.name
        ))
    }
}
