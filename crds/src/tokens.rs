//! Tokens of the pod's service account: which fields of a spec ask for one, and where the file is.
//! The operator and the chart mount by it, and the mirror reads by it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::contract::sha256;
use crate::{ServiceAccountToken, duration, references};

/// The name of the field, wherever it is in the schema.
const FIELD: &str = "serviceAccountToken";

/// The folder of tokens in a pod, below [`crate::contract::CONFIGURATION_DIR`].
pub const TOKENS: &str = "tokens";

/// So much of a hash names a token's folder.
const HASH_LENGTH: usize = 16;

/// A token as the kubelet is asked for it. Equal ones share a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProjectedToken {
    /// Whom it is for. None: the API server.
    pub audience: Option<String>,
    /// How long it is good for.
    pub expiration_seconds: u64,
}

impl ProjectedToken {
    /// Its file below the folder of tokens: `<hash>/token`.
    #[must_use]
    pub fn file(&self) -> String {
        let audience = self.audience.as_deref().unwrap_or_default();
        let hash = sha256(format!("{audience}\n{}", self.expiration_seconds));
        format!("{}/token", &hash[..HASH_LENGTH])
    }

    fn of(value: &Value) -> Option<Self> {
        let declared: ServiceAccountToken = serde_json::from_value(value.clone()).ok()?;
        let expiration = duration::parse(declared.expiration.as_str()).ok()?;
        Some(Self {
            audience: declared.audience,
            expiration_seconds: expiration.as_secs(),
        })
    }
}

/// Every token that a spec asks for, by the path of the field, such as
/// `spec.targets[0].auth.bearer.serviceAccountToken`. A field that is not sound is left out.
#[must_use]
pub fn tokens(spec: &Value) -> BTreeMap<String, ProjectedToken> {
    let mut found = BTreeMap::new();
    references::each_field(spec, &mut |path, name, value| {
        let is_it = name == FIELD;
        if is_it && let Some(token) = ProjectedToken::of(value) {
            found.insert(path.to_owned(), token);
        }
        is_it
    });
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_token_is_found_with_the_field_that_asks_for_it() {
        let spec = json!({"targets": [
            {"name": "a", "auth": {"bearer": {"serviceAccountToken": {}}}},
            {"name": "b", "auth": {"oauth2": {"clientAssertion": {"serviceAccountToken": {"audience": "b", "expiration": "10m"}}}}},
            {"name": "c", "auth": {"oauth2": {"tokenExchange": {"serviceAccountToken": {"audience": "b", "expiration": "600s"}}}}},
            {"name": "d", "auth": {"bearer": {"serviceAccountToken": {"expiration": "soon"}}}},
            {"name": "e", "auth": {"bearer": {"serviceAccountToken": null}}, "headers": {"serviceAccountToken": "x"}},
        ]});
        let token = |audience: Option<&str>, expiration_seconds| ProjectedToken {
            audience: audience.map(str::to_owned),
            expiration_seconds,
        };
        let at = |index: usize, rest: &str| {
            format!("spec.targets[{index}].auth.{rest}.serviceAccountToken")
        };
        let expected = [
            (at(0, "bearer"), token(None, 3600)),
            (at(1, "oauth2.clientAssertion"), token(Some("b"), 600)),
            (at(2, "oauth2.tokenExchange"), token(Some("b"), 600)),
        ];
        assert_eq!(tokens(&spec), expected.into());
    }

    /// The drop-in chart computes the same name.
    #[test]
    fn equal_tokens_share_a_file_and_others_do_not() {
        let file = |audience: Option<&str>, expiration_seconds| {
            let audience = audience.map(str::to_owned);
            let token = ProjectedToken {
                audience,
                expiration_seconds,
            };
            token.file()
        };
        assert_eq!(file(Some("a"), 600), file(Some("a"), 600));
        let all = [
            file(None, 3600),
            file(None, 600),
            file(Some("a"), 3600),
            file(Some("b"), 3600),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(file(None, 3600), "db75beeb18c111e1/token");
    }
}
