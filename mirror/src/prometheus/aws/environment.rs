//! Who the pod is to AWS, by the variables that AWS's own programs go by. Pure, but for reading the
//! variables.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use url::{Host, Url};

use super::keys::{Keys, Text};

const ID: &str = "AWS_ACCESS_KEY_ID";
const SECRET: &str = "AWS_SECRET_ACCESS_KEY";
const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";
const ROLE: &str = "AWS_ROLE_ARN";
const SESSION_NAME: &str = "AWS_ROLE_SESSION_NAME";
const TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
const CONTAINER_URI: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const CONTAINER_PATH: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const CONTAINER_TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const CONTAINER_TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
const NO_INSTANCE: &str = "AWS_EC2_METADATA_DISABLED";
const INSTANCE_ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
const STS_ENDPOINT: &str = "AWS_ENDPOINT_URL_STS";

const ALL: [&str; 13] = [
    ID,
    SECRET,
    SESSION_TOKEN,
    ROLE,
    SESSION_NAME,
    TOKEN_FILE,
    CONTAINER_URI,
    CONTAINER_PATH,
    CONTAINER_TOKEN,
    CONTAINER_TOKEN_FILE,
    NO_INSTANCE,
    INSTANCE_ENDPOINT,
    STS_ENDPOINT,
];

/// Where a container of ECS asks for keys.
const ECS: &str = "http://169.254.170.2";

/// Where an instance asks for keys.
const INSTANCE: &str = "http://169.254.169.254";

/// The endpoints for containers that may be asked in the clear: they are on the same machine.
const NEAR: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// What to do about a pod that is nobody.
pub(super) const HINT: &str = "annotate the pod's ServiceAccount with eks.amazonaws.com/role-arn, or make an EKS Pod Identity association for it, or set accessKeyIdSecretRef and secretAccessKeySecretRef";

/// The variables that say who the pod is. Some are secrets: its `Debug` prints none.
#[derive(Clone, Default)]
pub(in crate::prometheus) struct Environment(BTreeMap<&'static str, String>);

impl Environment {
    /// This process' own.
    pub(in crate::prometheus) fn of_process() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let set =
            |name: &'static str| Some((name, variable(name).filter(|text| !text.is_empty())?));
        Self(ALL.into_iter().filter_map(set).collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The name of the pod's sessions, if it has one.
    pub(super) fn session_name(&self) -> Option<&str> {
        self.get(SESSION_NAME)
    }

    /// The Security Token Service to ask instead of the region's.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn sts_endpoint(&self) -> Result<Option<Url>, String> {
        self.get(STS_ENDPOINT)
            .map(|text| url(STS_ENDPOINT, text))
            .transpose()
    }

    /// Who the pod is. `role` is the role that the target names.
    ///
    /// # Errors
    /// What is wrong with the variables.
    pub(super) fn identity(&self, role: Option<&str>) -> Result<PodIdentity, String> {
        if let Some(both) = self.both(ID, SECRET)? {
            let [id, secret] = both;
            let keys = Keys::new(id, secret, self.get(SESSION_TOKEN), None);
            return keys.map(PodIdentity::Keys).ok_or_else(|| {
                format!("{ID}, {SECRET} or {SESSION_TOKEN} has characters that no key has")
            });
        }
        if let Some(file) = self.get(TOKEN_FILE) {
            let role = self.get(ROLE).or(role);
            let role = role.ok_or_else(|| format!("{TOKEN_FILE} is set, and {ROLE} is not"))?;
            return Ok(PodIdentity::WebIdentity {
                role: role.to_owned(),
                token: Source::File(TOKEN_FILE, file.into()),
            });
        }
        if let Some(url) = self.container()? {
            let file = self.get(CONTAINER_TOKEN_FILE);
            let token = match (file, self.get(CONTAINER_TOKEN)) {
                (Some(file), _) => Some(Source::File(CONTAINER_TOKEN_FILE, file.into())),
                (None, Some(token)) => {
                    let token = Text::new(token).map(Source::Text);
                    let wrong = || format!("{CONTAINER_TOKEN} cannot be sent in an HTTP header");
                    Some(token.ok_or_else(wrong)?)
                }
                (None, None) => None,
            };
            return Ok(PodIdentity::Container { url, token });
        }
        let is_off = self.get(NO_INSTANCE);
        if is_off.is_some_and(|text| text.eq_ignore_ascii_case("true")) {
            return Err(format!("the pod has none, and {NO_INSTANCE} is set"));
        }
        let endpoint = self.get(INSTANCE_ENDPOINT);
        let endpoint = url(INSTANCE_ENDPOINT, endpoint.unwrap_or(INSTANCE))?;
        Ok(PodIdentity::Instance(endpoint))
    }

    /// Two variables of which neither is of use alone.
    fn both(&self, a: &str, b: &str) -> Result<Option<[&str; 2]>, String> {
        match (self.get(a), self.get(b)) {
            (None, None) => Ok(None),
            (Some(a), Some(b)) => Ok(Some([a, b])),
            (Some(_), None) => Err(format!("{a} is set, and {b} is not")),
            (None, Some(_)) => Err(format!("{b} is set, and {a} is not")),
        }
    }

    fn container(&self) -> Result<Option<Url>, String> {
        if let Some(path) = self.get(CONTAINER_PATH) {
            return url(
                CONTAINER_PATH,
                &format!("{ECS}/{}", path.trim_start_matches('/')),
            )
            .map(Some);
        }
        let Some(text) = self.get(CONTAINER_URI) else {
            return Ok(None);
        };
        let url = url(CONTAINER_URI, text)?;
        if url.scheme() != "https" && !is_near(&url) {
            return Err(format!(
                "{CONTAINER_URI} must be https, or an address of this machine"
            ));
        }
        Ok(Some(url))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn url(variable: &str, text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok();
    url.filter(|url| ["http", "https"].contains(&url.scheme()) && url.host().is_some())
        .ok_or_else(|| format!("{variable} must be a URL, http:// or https:// with a host"))
}

fn is_near(url: &Url) -> bool {
    let address: IpAddr = match url.host() {
        Some(Host::Ipv4(address)) => address.into(),
        Some(Host::Ipv6(address)) => address.into(),
        Some(Host::Domain(name)) => return name == "localhost",
        None => return false,
    };
    address.is_loopback() || NEAR.contains(&address.to_string().as_str())
}

/// Who the pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PodIdentity {
    /// It has keys.
    Keys(Keys),
    /// A token of its ServiceAccount stands for a role (IRSA).
    WebIdentity { role: String, token: Source },
    /// An endpoint on its machine has keys for it (EKS Pod Identity, ECS).
    Container { url: Url, token: Option<Source> },
    /// The machine's own role.
    Instance(Url),
}

impl fmt::Display for PodIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Keys(_) => write!(f, "the keys in {ID} and {SECRET}"),
            Self::WebIdentity { role, .. } => write!(f, "the web identity of {role}"),
            Self::Container { url, .. } => {
                let host = url.host_str().unwrap_or_default();
                write!(f, "the container credentials of {host}")
            }
            Self::Instance(_) => f.write_str("the instance profile"),
        }
    }
}

/// A secret that is read each time it is needed, or stands in a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The variable that names the file, and the file.
    File(&'static str, PathBuf),
    Text(Text),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        Environment::of(|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn identity(variables: &[(&str, &str)]) -> Result<PodIdentity, String> {
        environment(variables).identity(Some("the-targets-role"))
    }

    const IRSA: [(&str, &str); 2] = [(ROLE, "the-pods-role"), (TOKEN_FILE, "/token")];
    const POD_IDENTITY: [(&str, &str); 2] = [
        (CONTAINER_URI, "http://169.254.170.23/v1/credentials"),
        (CONTAINER_TOKEN_FILE, "/pod-token"),
    ];

    #[test]
    fn the_first_identity_that_the_variables_have_counts() {
        let keys = [
            (ID, "AKIAEXAMPLE"),
            (SECRET, "secret"),
            (SESSION_TOKEN, "t"),
        ];
        let all = [&keys[..], &IRSA, &POD_IDENTITY].concat();
        let expected = Keys::for_tests("AKIAEXAMPLE", "secret", Some("t"));
        assert_eq!(identity(&all), Ok(PodIdentity::Keys(expected)));
        let web = |role: &str| PodIdentity::WebIdentity {
            role: role.to_owned(),
            token: Source::File(TOKEN_FILE, "/token".into()),
        };
        let of_pod = [&IRSA[..], &POD_IDENTITY].concat();
        assert_eq!(identity(&of_pod), Ok(web("the-pods-role")));
        assert_eq!(
            identity(&[(TOKEN_FILE, "/token")]),
            Ok(web("the-targets-role"))
        );
        let container = |url: &str, token| PodIdentity::Container {
            url: url.parse().unwrap(),
            token,
        };
        let file = Source::File(CONTAINER_TOKEN_FILE, "/pod-token".into());
        let url = "http://169.254.170.23/v1/credentials";
        assert_eq!(identity(&POD_IDENTITY), Ok(container(url, Some(file))));
        assert_eq!(
            identity(&[(CONTAINER_PATH, "/v2/x"), (CONTAINER_TOKEN, "t")]),
            Ok(container(
                "http://169.254.170.2/v2/x",
                Text::new("t").map(Source::Text)
            ))
        );
        let instance = |url: &str| Ok(PodIdentity::Instance(url.parse().unwrap()));
        // An empty variable is none.
        assert_eq!(identity(&[(ID, ""), (TOKEN_FILE, "")]), instance(INSTANCE));
        assert_eq!(
            identity(&[(INSTANCE_ENDPOINT, "http://[fd00:ec2::254]")]),
            instance("http://[fd00:ec2::254]")
        );
    }

    #[test]
    fn variables_that_are_of_no_use_are_named() {
        let none: [(&str, &str); 0] = [];
        let table = [
            (
                vec![(ID, "AKIA")],
                "AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not",
            ),
            (
                vec![(SECRET, "a")],
                "AWS_SECRET_ACCESS_KEY is set, and AWS_ACCESS_KEY_ID is not",
            ),
            (
                vec![(ID, "AKIA"), (SECRET, "two words")],
                "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or AWS_SESSION_TOKEN has characters that no key has",
            ),
            (
                vec![(CONTAINER_URI, "http://evil.example/")],
                "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or an address of this machine",
            ),
            (
                vec![(CONTAINER_URI, "http://169.254.169.254/")],
                "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or an address of this machine",
            ),
            (
                vec![(CONTAINER_URI, "credentials")],
                "AWS_CONTAINER_CREDENTIALS_FULL_URI must be a URL, http:// or https:// with a host",
            ),
            (
                vec![(CONTAINER_URI, "https://a"), (CONTAINER_TOKEN, "a b")],
                "AWS_CONTAINER_AUTHORIZATION_TOKEN cannot be sent in an HTTP header",
            ),
            (
                vec![(NO_INSTANCE, "TRUE")],
                "the pod has none, and AWS_EC2_METADATA_DISABLED is set",
            ),
        ];
        for (variables, expected) in table {
            assert_eq!(
                identity(&variables),
                Err(expected.to_owned()),
                "{variables:?}"
            );
        }
        let alone = environment(&[(TOKEN_FILE, "/token")]).identity(None);
        let expected = "AWS_WEB_IDENTITY_TOKEN_FILE is set, and AWS_ROLE_ARN is not";
        assert_eq!(alone, Err(expected.to_owned()));
        assert_eq!(environment(&none).sts_endpoint(), Ok(None));
        let wrong = environment(&[(STS_ENDPOINT, "sts.example")]).sts_endpoint();
        let expected = "AWS_ENDPOINT_URL_STS must be a URL, http:// or https:// with a host";
        assert_eq!(wrong, Err(expected.to_owned()));
    }

    #[test]
    fn endpoints_of_this_machine_may_be_asked_in_the_clear() {
        for url in [
            "http://169.254.170.2/x",
            "http://169.254.170.23/v1/credentials",
            "http://[fd00:ec2::23]/v1/credentials",
            "http://127.0.0.1:80/",
            "http://[::1]/",
            "http://localhost:1/",
            "https://credentials.example/",
        ] {
            assert!(identity(&[(CONTAINER_URI, url)]).is_ok(), "{url}");
        }
    }

    #[test]
    fn nothing_prints_what_the_variables_hold() {
        let variables = [
            (ID, "AKIAEXAMPLE"),
            (SECRET, "hidden"),
            (CONTAINER_TOKEN, "hidden"),
        ];
        let environment = environment(&variables);
        let identity = environment.identity(None);
        for printed in [format!("{environment:?}"), format!("{identity:?}")] {
            assert!(
                !printed.contains("hidden") && !printed.contains("EXAMPLE"),
                "{printed}"
            );
        }
    }
}
