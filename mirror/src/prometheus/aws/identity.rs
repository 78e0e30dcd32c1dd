//! Who the mirror is to AWS, and how it comes to keys.

use std::sync::Arc;

use super::clock::Clock;
use super::container::Container;
use super::environment::{Environment, HINT, PodIdentity, Source};
use super::instance::Instance;
use super::keys::{Keys, Text};
use super::sts::Sts;
use crate::prometheus::StoreError;
use crate::settings::{SigV4, TargetSettings};

/// Tokens are far shorter.
const MOST_BYTES: usize = 64 << 10;

/// Who the mirror is to a target: at first, and as which role then.
#[derive(Debug)]
pub(super) struct Identity {
    base: Base,
    /// The role to assume, and where.
    role: Option<(String, Arc<Sts>)>,
}

#[derive(Debug)]
enum Base {
    Keys(Arc<Keys>),
    WebIdentity {
        role: String,
        token: Source,
        sts: Arc<Sts>,
    },
    Container(Container),
    Instance(Instance),
    /// Why there is none.
    Nobody(StoreError),
}

/// Who the target says that the mirror is, or else the pod.
fn declared(sig_v4: &SigV4, environment: &Environment) -> Result<PodIdentity, String> {
    let Some(key) = &sig_v4.access_key else {
        return environment.identity(sig_v4.role_arn.as_deref());
    };
    let keys = Keys::new(key.id.expose(), key.secret.expose(), None, None);
    // The document's keys were checked when they were read.
    keys.map(PodIdentity::Keys)
        .ok_or_else(|| "the access key has characters that no key has".to_owned())
}

/// The role that is assumed after that; none if it is what the pod is already.
fn role_to_assume<'a>(sig_v4: &'a SigV4, identity: &PodIdentity) -> Option<&'a str> {
    let role = sig_v4.role_arn.as_deref()?;
    match identity {
        PodIdentity::WebIdentity { role: own, .. } if own == role => None,
        _ => Some(role),
    }
}

/// Who the mirror is, in words without secrets.
pub(super) fn described(sig_v4: &SigV4, environment: &Environment) -> String {
    let identity = match declared(sig_v4, environment) {
        Ok(identity) => identity,
        Err(problem) => return format!("no identity: {problem}"),
    };
    let base = match &sig_v4.access_key {
        Some(_) => "the keys in accessKeyIdSecretRef and secretAccessKeySecretRef".to_owned(),
        None => identity.to_string(),
    };
    match role_to_assume(sig_v4, &identity) {
        Some(role) => format!("{base}, which assume {role}"),
        None => base,
    }
}

impl Identity {
    pub(super) fn new(
        settings: &Arc<TargetSettings>,
        sig_v4: &SigV4,
        environment: &Environment,
    ) -> Self {
        Self::found(settings, sig_v4, environment).unwrap_or_else(|problem| {
            let error = StoreError::CredentialsRefused(format!(
                "target {} needs an AWS identity: {problem} (hint: {HINT})",
                settings.name
            ));
            Self {
                base: Base::Nobody(error),
                role: None,
            }
        })
    }

    fn found(
        settings: &Arc<TargetSettings>,
        sig_v4: &SigV4,
        environment: &Environment,
    ) -> Result<Self, String> {
        let identity = declared(sig_v4, environment)?;
        let sts = || -> Result<Arc<Sts>, String> {
            let (endpoint, name) = (environment.sts_endpoint()?, environment.session_name());
            Sts::new(settings, &sig_v4.region, endpoint, name).map(Arc::new)
        };
        let role = match role_to_assume(sig_v4, &identity) {
            Some(role) => Some((role.to_owned(), sts()?)),
            None => None,
        };
        let base = match identity {
            PodIdentity::Keys(keys) => Base::Keys(Arc::new(keys)),
            PodIdentity::WebIdentity { role: own, token } => Base::WebIdentity {
                role: own,
                token,
                sts: match &role {
                    Some((_, sts)) => Arc::clone(sts),
                    None => sts()?,
                },
            },
            PodIdentity::Container { url, token } => {
                Base::Container(Container::new(settings, url, token))
            }
            PodIdentity::Instance(url) => Base::Instance(Instance::new(settings, url)),
        };
        Ok(Self { base, role })
    }

    /// Keys that never change.
    pub(super) fn lasting(&self) -> Option<&Arc<Keys>> {
        match (&self.base, &self.role) {
            (Base::Keys(keys), None) => Some(keys),
            _ => None,
        }
    }

    /// Fresh keys.
    pub(super) async fn obtain(&self, clock: &Clock) -> Result<Arc<Keys>, StoreError> {
        let base = match &self.base {
            Base::Keys(keys) => Arc::clone(keys),
            Base::WebIdentity { role, token, sts } => {
                let token = read(token).await.map_err(|what| sts.unusable(&what))?;
                let keys = sts.assume_role_with_web_identity(role, token.expose());
                Arc::new(keys.await?)
            }
            Base::Container(container) => Arc::new(container.keys().await?),
            Base::Instance(instance) => Arc::new(instance.keys().await?),
            Base::Nobody(error) => return Err(error.clone()),
        };
        match &self.role {
            Some((role, sts)) => Ok(Arc::new(sts.assume_role(role, &base, clock).await?)),
            None => Ok(base),
        }
    }
}

/// A token, read again each time: what is mounted changes.
pub(super) async fn read(source: &Source) -> Result<Text, String> {
    let (variable, path) = match source {
        Source::Text(text) => return Ok(text.clone()),
        Source::File(variable, path) => (variable, path),
    };
    // Without the path: messages say nothing about this machine.
    let named = |what: &str| format!("the file that {variable} names {what}");
    let bytes = tokio::fs::read(path).await.map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            named("does not exist")
        } else {
            named(&format!("cannot be read: {error}"))
        }
    })?;
    let text = str::from_utf8(&bytes).unwrap_or("\0").trim();
    if text.is_empty() {
        return Err(named("is empty"));
    }
    let token = Text::new(text).filter(|_| bytes.len() <= MOST_BYTES);
    token.ok_or_else(|| named("holds no token"))
}
