//! A small answer of something other than a store, read to its end.

use http::{HeaderMap, StatusCode, header};
use reqwest::RequestBuilder;

use super::encoding::DecodingError;
use super::{Body, BodyError, Failed, Said, Secrets, answered};

/// Keys, tokens and errors are far smaller.
const MAX_BODY_BYTES: usize = 64 << 10;

/// An answer, of whatever status.
pub(in crate::prometheus) struct Whole {
    pub(in crate::prometheus) status: StatusCode,
    pub(in crate::prometheus) headers: HeaderMap,
    pub(in crate::prometheus) body: Vec<u8>,
}

/// Why there is none.
#[derive(Debug)]
pub(in crate::prometheus) enum NotWhole {
    /// It was not sent, or the answer broke off.
    Failed(Failed),
    /// It has an encoding that was not asked for.
    Encoded {
        /// The answer's status.
        status: StatusCode,
        /// The encoding's name.
        encoding: String,
    },
    /// It is longer than anything that was asked for.
    TooLarge,
    /// Its encoding cannot be taken off.
    Decoding(DecodingError),
}

impl Whole {
    /// Sends a request and reads what is answered. What cannot be read of an error's body is left
    /// out.
    pub(in crate::prometheus) async fn of(request: RequestBuilder) -> Result<Self, NotWhole> {
        let sent = request.send().await;
        let response = answered(sent.map_err(|error| NotWhole::Failed(error.into()))?);
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body =
            Body::new(response, MAX_BODY_BYTES).map_err(|unknown| NotWhole::Encoded {
                status,
                encoding: unknown.0,
            })?;
        let mut whole = Vec::new();
        loop {
            match body.next().await {
                Ok(Some(chunk)) if whole.len() + chunk.len() <= MAX_BODY_BYTES => {
                    whole.extend_from_slice(&chunk);
                }
                Ok(None) => break,
                _ if !status.is_success() => break,
                Ok(Some(_)) | Err(BodyError::TooLarge) => return Err(NotWhole::TooLarge),
                Err(BodyError::BrokenOff(error)) => return Err(NotWhole::Failed(error)),
                Err(BodyError::Decoding(error)) => return Err(NotWhole::Decoding(error)),
            }
        }
        Ok(Self {
            status,
            headers,
            body: whole,
        })
    }

    /// What its body says.
    pub(in crate::prometheus) fn said(&self, secrets: &Secrets) -> Said {
        let content_type = self.headers.get(header::CONTENT_TYPE);
        let content_type = content_type.and_then(|kind| kind.to_str().ok());
        Said::of(content_type, &self.body, secrets)
    }
}
