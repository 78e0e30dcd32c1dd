//! The endpoint on a container's machine that has keys for it: EKS Pod Identity and ECS.

use http::header;
use url::Url;

use super::environment::Source;
use super::identity::read;
use super::keys::{Keys, of_json};
use super::refusal::{of_keys, refusal};
use crate::prometheus::StoreError;
use crate::prometheus::issuer::Issuer;
use crate::settings::TargetSettings;

#[derive(Debug)]
pub(super) struct Container {
    issuer: Issuer,
    url: Url,
    token: Option<Source>,
}

impl Container {
    pub(super) fn new(settings: &TargetSettings, url: Url, token: Option<Source>) -> Self {
        Self {
            issuer: Issuer::near(
                settings,
                of_keys("the container credentials endpoint"),
                &url,
            ),
            url,
            token,
        }
    }

    pub(super) async fn keys(&self) -> Result<Keys, StoreError> {
        let mut request = self.issuer.http()?.get(self.url.clone());
        let token = match &self.token {
            Some(token) => Some(read(token).await.map_err(|what| {
                let name = self.issuer.name();
                StoreError::CredentialsRefused(format!("{name} cannot be asked: {what}"))
            })?),
            None => None,
        };
        if let Some(token) = &token {
            request = request.header(header::AUTHORIZATION, token.expose());
        }
        let answer = self.issuer.ask(request).await?;
        let keys = answer.status.is_success().then(|| of_json(&answer.body));
        keys.flatten().ok_or_else(|| {
            let sent: Vec<&str> = token.iter().map(|token| token.expose()).collect();
            refusal(&self.issuer, &answer, &sent)
        })
    }
}
