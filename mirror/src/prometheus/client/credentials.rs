//! What a request proves with who sends it.

use std::sync::Arc;
use std::time::Instant;

use ::http::{HeaderValue, StatusCode, header};

use super::Client;
use super::methods::Way;
use crate::prometheus::StoreError;
use crate::prometheus::aws::{Keys, Signer};
use crate::prometheus::http::{self, Secrets, authorization_of};
use crate::prometheus::renewal::Renewal;
use crate::prometheus::request::Request;
use crate::prometheus::service_account::ServiceAccount;
use crate::prometheus::tokens::TokenEndpoint;
use crate::settings::{Auth, Authorization, TargetSettings};

/// What a request proves with who sends it. Redirects are not followed, so it goes to the target's
/// host and no other. All clients of a target share them, and so the tokens that were obtained.
#[derive(Debug)]
pub(in crate::prometheus) enum Credentials {
    None,
    /// As its header.
    Basic(Option<HeaderValue>),
    Bearer(Authorization),
    Renewed(Renewed),
    Signed(Arc<Signer>),
}

/// Tokens that end, and are replaced before that.
#[derive(Debug)]
pub(in crate::prometheus) enum Renewed {
    ServiceAccount(ServiceAccount),
    Tokens(Arc<Renewal<TokenEndpoint>>),
}

impl Credentials {
    pub(in crate::prometheus) fn new(settings: &Arc<TargetSettings>) -> Self {
        match settings.auth.clone() {
            None => Self::None,
            Some(Auth::Basic(login)) => Self::Basic(authorization_of(&login)),
            Some(Auth::Bearer(token)) => Self::Bearer(token),
            Some(Auth::ServiceAccount(file)) => {
                Self::Renewed(Renewed::ServiceAccount(ServiceAccount::new(settings, file)))
            }
            Some(Auth::OAuth2(oauth2)) => {
                let endpoint = TokenEndpoint::new(settings, &oauth2);
                Self::Renewed(Renewed::Tokens(Arc::new(Renewal::new(endpoint))))
            }
            Some(Auth::SigV4(sig_v4)) => Self::Signed(Arc::new(Signer::new(settings, &sig_v4))),
        }
    }
}

impl Renewed {
    async fn authorization(&self) -> Result<Authorization, StoreError> {
        match self {
            Self::ServiceAccount(account) => account.authorization().await,
            Self::Tokens(tokens) => tokens.good().await,
        }
    }

    /// A token that was refused is not used again, if there is another. False: another would help
    /// no more.
    async fn forget(&self, refused: &Authorization) -> bool {
        match self {
            Self::ServiceAccount(account) => {
                account.forget().await;
                true
            }
            Self::Tokens(tokens) => tokens.forget(|held| held == refused),
        }
    }

    /// The token that replaced one that was refused was refused, too.
    fn is_in_vain(&self) {
        match self {
            // Its file is all that is read.
            Self::ServiceAccount(_) => {}
            Self::Tokens(tokens) => tokens.is_in_vain(),
        }
    }
}

/// An answer's head, and what its request was sent with.
pub(super) struct Response {
    pub(super) http: http::Response,
    pub(super) sent: Sent,
}

/// What was obtained for a request and sent with it.
pub(super) enum Sent {
    Nothing,
    Token(Authorization),
    Keys(Arc<Keys>),
}

impl Sent {
    /// What must not be shown, beside what is known.
    pub(super) fn secrets(&self, known: &Secrets) -> Secrets {
        match self {
            Self::Nothing => known.clone(),
            Self::Token(token) => known.and(&token.header_value()),
            Self::Keys(keys) => known.and_all(keys.secrets()),
        }
    }
}

impl Client {
    /// Sends a request with the target's credentials.
    pub(super) async fn send(
        &self,
        request: &Request<'_>,
        way: Way,
        began: Instant,
    ) -> Result<Response, StoreError> {
        let http = match &*self.credentials {
            Credentials::None | Credentials::Basic(None) => {
                self.send_once(request, way, &[]).await?
            }
            Credentials::Basic(Some(value)) => {
                let added = [(header::AUTHORIZATION, value.clone())];
                self.send_once(request, way, &added).await?
            }
            Credentials::Bearer(token) => self.send_with(request, way, token).await?,
            Credentials::Renewed(tokens) => {
                return self.send_with_one_of(request, way, tokens, began).await;
            }
            Credentials::Signed(signer) => {
                return self.send_signed(request, way, signer, began).await;
            }
        };
        let sent = Sent::Nothing;
        Ok(Response { http, sent })
    }

    async fn send_with_one_of(
        &self,
        request: &Request<'_>,
        way: Way,
        tokens: &Renewed,
        began: Instant,
    ) -> Result<Response, StoreError> {
        let mut token = self.obtained(tokens.authorization().await, began)?;
        let mut http = self.send_with(request, way, &token).await?;
        // It may have been revoked, or the server has new keys.
        if http.status() == StatusCode::UNAUTHORIZED && tokens.forget(&token).await {
            let another = self.obtained(tokens.authorization().await, began)?;
            if another != token {
                token = another;
                http = self.send_with(request, way, &token).await?;
            }
            if http.status() == StatusCode::UNAUTHORIZED {
                tokens.is_in_vain();
            }
        }
        Ok(Response {
            http,
            sent: Sent::Token(token),
        })
    }

    /// What was obtained for a request. A server of tokens or keys that asks to slow down slows the
    /// target's calls down: none of them goes without.
    pub(super) fn obtained<T>(
        &self,
        obtained: Result<T, StoreError>,
        began: Instant,
    ) -> Result<T, StoreError> {
        match obtained {
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
        request: &Request<'_>,
        way: Way,
        token: &Authorization,
    ) -> Result<http::Response, StoreError> {
        let added = [(header::AUTHORIZATION, token.header_value())];
        self.send_once(request, way, &added).await
    }
}
