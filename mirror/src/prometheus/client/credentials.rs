//! What a request proves with who sends it.

use std::sync::Arc;
use std::time::Instant;

use http::{StatusCode, header};
use reqwest::RequestBuilder;

use super::Client;
use super::methods::Way;
use crate::prometheus::StoreError;
use crate::prometheus::request::Request;
use crate::prometheus::tokens::Tokens;
use crate::settings::{Auth, Authorization, Secret, TargetSettings};

/// What a request proves with who sends it. Redirects are not followed, so it goes to the target's
/// host and no other.
#[derive(Debug)]
pub(super) enum Credentials {
    None,
    Basic { username: Secret, password: Secret },
    Bearer(Authorization),
    Tokens(Arc<Tokens>),
}

impl Credentials {
    pub(super) fn new(settings: &TargetSettings) -> Self {
        match settings.auth.clone() {
            None => Self::None,
            Some(Auth::Basic { username, password }) => Self::Basic { username, password },
            Some(Auth::Bearer(token)) => Self::Bearer(token),
            Some(Auth::OAuth2(oauth2)) => Self::Tokens(Arc::new(Tokens::new(settings, &oauth2))),
        }
    }
}

/// An answer's head, and the token that it was sent with if it was obtained for it.
pub(super) struct Response {
    pub(super) http: reqwest::Response,
    pub(super) token: Option<Authorization>,
}

impl Client {
    /// Sends a request with the target's credentials.
    pub(super) async fn send(
        &self,
        request: &Request,
        way: Way,
        began: Instant,
    ) -> Result<Response, StoreError> {
        let http = match &self.credentials {
            Credentials::None => self.send_once(request, way, |request| request).await?,
            Credentials::Basic { username, password } => {
                let authenticate = |request: RequestBuilder| {
                    request.basic_auth(username.expose(), Some(password.expose()))
                };
                self.send_once(request, way, authenticate).await?
            }
            Credentials::Bearer(token) => self.send_with(request, way, token).await?,
            Credentials::Tokens(tokens) => {
                return self.send_with_one_of(request, way, tokens, began).await;
            }
        };
        Ok(Response { http, token: None })
    }

    async fn send_with_one_of(
        &self,
        request: &Request,
        way: Way,
        tokens: &Arc<Tokens>,
        began: Instant,
    ) -> Result<Response, StoreError> {
        let mut token = self.obtained(tokens, began).await?;
        let mut http = self.send_with(request, way, &token).await?;
        if http.status() == StatusCode::UNAUTHORIZED {
            // It may have been revoked, or the server has new keys.
            tokens.forget(&token).await;
            token = self.obtained(tokens, began).await?;
            http = self.send_with(request, way, &token).await?;
        }
        Ok(Response {
            http,
            token: Some(token),
        })
    }

    /// A token. A token endpoint that asks to slow down slows the target's calls down: none of them
    /// goes without one.
    async fn obtained(
        &self,
        tokens: &Arc<Tokens>,
        began: Instant,
    ) -> Result<Authorization, StoreError> {
        match tokens.authorization().await {
            Err(StoreError::Throttled {
                message,
                retry_after,
            }) => {
                let asked = (!retry_after.is_zero()).then_some(retry_after);
                Err(StoreError::Throttled {
                    message,
                    retry_after: self.pace.slow_down(began, asked),
                })
            }
            obtained => obtained,
        }
    }

    async fn send_with(
        &self,
        request: &Request,
        way: Way,
        token: &Authorization,
    ) -> Result<reqwest::Response, StoreError> {
        let value = token.header_value();
        self.send_once(request, way, |request| {
            request.header(header::AUTHORIZATION, value.clone())
        })
        .await
    }
}
