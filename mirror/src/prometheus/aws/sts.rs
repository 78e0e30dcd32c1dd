//! The Security Token Service: keys of a role, for a while.

use std::sync::Arc;

use http::header;
use url::{Url, form_urlencoded};

use super::clock::Clock;
use super::keys::{Keys, of_xml};
use super::refusal::{of_keys, refusal};
use super::signature::{Scope, Unsigned, signed};
use crate::prometheus::StoreError;
use crate::prometheus::http::Whole;
use crate::prometheus::issuer::Issuer;
use crate::settings::TargetSettings;

const FORM: &str = "application/x-www-form-urlencoded";

/// The longest name that a session can have.
const LONGEST_NAME: usize = 64;

/// How the domain of a region's services ends, by how the region's name begins.
const PARTITIONS: [(&str, &str); 6] = [
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
];

/// The Security Token Service of a region.
#[derive(Debug)]
pub(super) struct Sts {
    issuer: Issuer,
    url: Url,
    scope: Scope,
    session_name: String,
}

impl Sts {
    /// `endpoint` is asked instead of the region's own; `session_name` is what the pod is called.
    pub(super) fn new(
        settings: &Arc<TargetSettings>,
        region: &str,
        endpoint: Option<Url>,
        session_name: Option<&str>,
    ) -> Result<Self, String> {
        let url = match endpoint {
            Some(url) => url,
            None => Url::parse(&format!("https://sts.{region}.{}/", domain(region)))
                .map_err(|error| format!("region {region} makes no host name: {error}"))?,
        };
        let own = format!("prometheus-mirror-{}", settings.name);
        Ok(Self {
            issuer: Issuer::new(settings, of_keys("the AWS security token service"), &url),
            url,
            scope: Scope {
                region: region.to_owned(),
                service: "sts".to_owned(),
            },
            session_name: session_name
                .map_or_else(|| own.chars().take(LONGEST_NAME).collect(), str::to_owned),
        })
    }

    /// Keys of a role, which those of `base` may assume.
    pub(super) async fn assume_role(
        &self,
        role: &str,
        base: &Keys,
        clock: &Clock,
    ) -> Result<Keys, StoreError> {
        let form = self.form("AssumeRole", role, None);
        let mut answer = self.ask(&form, Some((base, clock))).await?;
        if super::is_refusal(answer.status) && clock.set_by(&answer.headers) {
            answer = self.ask(&form, Some((base, clock))).await?;
        }
        let sent: Vec<&str> = base.secrets().collect();
        self.keys(&answer, &sent)
    }

    /// Keys of a role, for a token that it trusts.
    pub(super) async fn assume_role_with_web_identity(
        &self,
        role: &str,
        token: &str,
    ) -> Result<Keys, StoreError> {
        let form = self.form("AssumeRoleWithWebIdentity", role, Some(token));
        let answer = self.ask(&form, None).await?;
        self.keys(&answer, &[token])
    }

    /// What is wrong with a token that the pod has.
    pub(super) fn unusable(&self, what: &str) -> StoreError {
        StoreError::CredentialsRefused(format!("{} cannot be asked: {what}", self.issuer.name()))
    }

    fn form(&self, action: &str, role: &str, token: Option<&str>) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", action)
            .append_pair("Version", "2011-06-15")
            .append_pair("RoleArn", role)
            .append_pair("RoleSessionName", &self.session_name);
        if let Some(token) = token {
            form.append_pair("WebIdentityToken", token);
        }
        form.finish()
    }

    async fn ask(&self, form: &str, with: Option<(&Keys, &Clock)>) -> Result<Whole, StoreError> {
        let mut request = self
            .issuer
            .http()?
            .post(self.url.clone())
            .header(header::CONTENT_TYPE, FORM)
            .body(form.to_owned());
        if let Some((keys, clock)) = with {
            let unsigned = Unsigned {
                method: "POST",
                host: &super::host_header(&self.url),
                path: self.url.path(),
                query: "",
                headers: vec![("content-type", FORM)],
                body: form.as_bytes(),
            };
            for (name, value) in signed(&unsigned, &self.scope, keys, clock.now()) {
                request = request.header(name, value);
            }
        }
        self.issuer.ask(request).await
    }

    fn keys(&self, answer: &Whole, sent: &[&str]) -> Result<Keys, StoreError> {
        let keys = answer.status.is_success().then(|| of_xml(&answer.body));
        keys.flatten()
            .ok_or_else(|| refusal(&self.issuer, answer, sent))
    }
}

fn domain(region: &str) -> &'static str {
    let of_partition = |(beginning, _): &&(&str, &str)| region.starts_with(beginning);
    let found = PARTITIONS.iter().find(of_partition);
    found.map_or("amazonaws.com", |(_, domain)| domain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_its_own_domain() {
        let table = [
            ("eu-central-1", "amazonaws.com"),
            ("us-gov-west-1", "amazonaws.com"),
            ("cn-northwest-1", "amazonaws.com.cn"),
            ("eusc-de-east-1", "amazonaws.eu"),
            ("us-iso-east-1", "c2s.ic.gov"),
            ("us-isob-east-1", "sc2s.sgov.gov"),
            ("us-isof-south-1", "csp.hci.ic.gov"),
            ("eu-isoe-west-1", "cloud.adc-e.uk"),
        ];
        for (region, expected) in table {
            assert_eq!(domain(region), expected, "{region}");
        }
    }
}
