//! What `auth.sigV4` says. Who the pod is where it names no keys shows when a request is signed:
//! the other targets are served whatever that is.

use serde_json::Value;

use super::{Auth, AuthReader, Secret};

/// AWS Signature Version 4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigV4 {
    /// The server's region, such as `eu-central-1`.
    pub region: String,
    /// The service that requests are signed for.
    pub service: String,
    /// The role to assume first.
    pub role_arn: Option<String>,
    /// None: the pod's own identity.
    pub access_key: Option<AccessKey>,
}

/// An access key of an IAM user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessKey {
    /// Names it: letters, digits and underscores.
    pub id: Secret,
    /// Proves it: visible ASCII.
    pub secret: Secret,
}

impl AuthReader<'_> {
    pub(super) fn sig_v4(&mut self, declared: &Value) -> Option<Auth> {
        let text = |field: &str| declared[field].as_str().map(str::to_owned);
        let names_keys = ["accessKeyIdSecretRef", "secretAccessKeySecretRef"]
            .iter()
            .any(|field| !declared[field].is_null());
        let access_key = if names_keys {
            Some(self.access_key()?)
        } else {
            None
        };
        Some(Auth::SigV4(SigV4 {
            region: text("region")?,
            service: text("service").unwrap_or_else(|| "aps".to_owned()),
            role_arn: text("roleArn"),
            access_key,
        }))
    }

    fn access_key(&mut self) -> Option<AccessKey> {
        let is_id = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let id = self.read("sigV4.accessKeyIdSecretRef", "the access key id", |text| {
            text.bytes().all(is_id).then(|| Secret(text.to_owned()))
        });
        let what = "the secret access key";
        let secret = self.read("sigV4.secretAccessKeySecretRef", what, |text| {
            let is_visible = text.bytes().all(|byte| byte.is_ascii_graphic());
            is_visible.then(|| Secret(text.to_owned()))
        });
        Some(AccessKey {
            id: id?,
            secret: secret?,
        })
    }
}
