//! The metadata service of an instance (IMDSv2), which has keys of the instance's role.

use url::Url;

use super::environment::HINT;
use super::keys::{Keys, of_json};
use super::refusal::{is_absent, of_keys, refusal};
use crate::prometheus::StoreError;
use crate::prometheus::http::Whole;
use crate::prometheus::issuer::Issuer;
use crate::settings::TargetSettings;

const ROLES: &str = "latest/meta-data/iam/security-credentials/";

#[derive(Debug)]
pub(super) struct Instance {
    /// What the target is called in messages.
    target: String,
    issuer: Issuer,
    base: Url,
}

impl Instance {
    pub(super) fn new(settings: &TargetSettings, base: Url) -> Self {
        Self {
            target: format!("target {}", settings.name),
            issuer: Issuer::near(settings, of_keys("the instance metadata service"), &base),
            base,
        }
    }

    pub(super) async fn keys(&self) -> Result<Keys, StoreError> {
        // The last that is looked for: most pods without an identity are not even on AWS.
        let token = self
            .token()
            .await
            .map_err(|error| self.nobody(&error.to_string()))?;
        let roles = self.get(ROLES, &token).await?;
        let role = String::from_utf8_lossy(&roles.body);
        let role = role.lines().next().unwrap_or_default().trim();
        if is_absent(roles.status) || roles.status.is_success() && role.is_empty() {
            return Err(self.nobody("the instance has no role"));
        }
        if !roles.status.is_success() {
            return Err(refusal(&self.issuer, &roles, &[&token]));
        }
        let answer = self.get(&format!("{ROLES}{role}"), &token).await?;
        let keys = answer.status.is_success().then(|| of_json(&answer.body));
        keys.flatten()
            .ok_or_else(|| refusal(&self.issuer, &answer, &[&token]))
    }

    async fn token(&self) -> Result<String, StoreError> {
        let request = self
            .issuer
            .http()?
            .put(self.url("latest/api/token"))
            .header("x-aws-ec2-metadata-token-ttl-seconds", "60");
        let answer = self.issuer.ask(request).await?;
        let token = String::from_utf8_lossy(&answer.body);
        let is_one = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        if answer.status.is_success() && is_one {
            return Ok(token.into_owned());
        }
        Err(refusal(&self.issuer, &answer, &[]))
    }

    async fn get(&self, path: &str, token: &str) -> Result<Whole, StoreError> {
        let request = self.issuer.http()?.get(self.url(path));
        let request = request.header("x-aws-ec2-metadata-token", token);
        self.issuer.ask(request).await
    }

    fn url(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!(
            "{}/{path}",
            self.base.path().trim_end_matches('/')
        ));
        url
    }

    fn nobody(&self, why: &str) -> StoreError {
        StoreError::CredentialsRefused(format!(
            "{} needs an AWS identity, and the pod has none: {why} (hint: {HINT})",
            self.target
        ))
    }
}
