//! Requests that are signed.

use std::time::Instant;

use http::{StatusCode, header};
use jiff::Timestamp;

use super::credentials::{Response, Sent};
use super::http_client::FORM;
use super::methods::Way;
use super::{Client, MAX_ERROR_BYTES, PATIENCE};
use crate::prometheus::StoreError;
use crate::prometheus::aws::{Keys, Remedy, Signer, Unsigned, host_header};
use crate::prometheus::http::{Body, Incoming};
use crate::prometheus::request::Request;

impl Client {
    /// Sends a request signed; once more if the signature or its keys were not good and others may
    /// be.
    pub(super) async fn send_signed(
        &self,
        request: &Request<'_>,
        way: Way,
        signer: &Signer,
        began: Instant,
    ) -> Result<Response, StoreError> {
        let mut keys = self.obtained(signer.keys().await, began)?;
        let at = signer.now();
        let mut http = self
            .send_signed_with(request, way, signer, &keys, at)
            .await?;
        if may_be_the_signature(http.status()) {
            let refusal = whole(http).await;
            let remedy = signer.remedy(&keys, at, refusal.headers(), refusal.body());
            http = refusal.map(|body| Incoming::from(reqwest::Body::from(body)));
            if remedy == Remedy::SignAgain {
                keys = self.obtained(signer.keys().await, began)?;
                let at = signer.now();
                http = self
                    .send_signed_with(request, way, signer, &keys, at)
                    .await?;
                if may_be_the_signature(http.status()) {
                    let refusal = whole(http).await;
                    signer.refused_again(refusal.headers(), refusal.body());
                    http = refusal.map(|body| Incoming::from(reqwest::Body::from(body)));
                }
            }
        }
        let sent = Sent::Keys(keys);
        Ok(Response { http, sent })
    }

    async fn send_signed_with(
        &self,
        request: &Request<'_>,
        way: Way,
        signer: &Signer,
        keys: &Keys,
        at: Timestamp,
    ) -> Result<http::Response<Incoming>, StoreError> {
        let (method, url, body) = match way {
            Way::Get => ("GET", request.url_of_get(), None),
            Way::Post => {
                let (url, form) = request.form();
                ("POST", url, Some(form))
            }
        };
        let host = self.host.clone().unwrap_or_else(|| host_header(&url));
        // AWS wants all of its own headers signed.
        let own = self.settings.headers.iter().filter_map(|(name, value)| {
            let name = name.as_str();
            Some((name, value.to_str().ok()?)).filter(|_| name.starts_with("x-amz-"))
        });
        let form = body.as_ref().map(|_| (header::CONTENT_TYPE.as_str(), FORM));
        let added = signer.signed(
            &Unsigned {
                method,
                host: &host,
                path: url.path(),
                query: url.query().unwrap_or_default(),
                headers: own.chain(form).collect(),
                body: body.as_deref().unwrap_or_default(),
            },
            keys,
            at,
        );
        let added = added.into_iter().filter_map(|(name, value)| {
            // What is signed can be sent.
            Some((name.parse().ok()?, value.try_into().ok()?))
        });
        let added: Vec<_> = added.collect();
        self.send_once(request, way, &added).await
    }
}

fn may_be_the_signature(status: StatusCode) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
}

/// A refusal with as much of its body as is looked at.
async fn whole(response: http::Response<Incoming>) -> http::Response<Vec<u8>> {
    let mut head = http::Response::new(());
    *head.status_mut() = response.status();
    *head.headers_mut() = response.headers().clone();
    let body = match Body::new(response, usize::MAX) {
        Ok(mut body) => {
            let body = body.beginning(&[], MAX_ERROR_BYTES, PATIENCE).await;
            for gone in [
                header::CONTENT_ENCODING,
                header::CONTENT_LENGTH,
                header::TRANSFER_ENCODING,
            ] {
                head.headers_mut().remove(gone);
            }
            body
        }
        // Whoever reads the message finds the encoding in its head.
        Err(_) => Vec::new(),
    };
    head.map(|()| body)
}
