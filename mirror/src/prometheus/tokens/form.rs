//! The form that asks for a token. Pure.

use url::form_urlencoded;

use crate::settings::{OAuth2, Proof, Secret};

/// RFC 8693, 2.1.
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// RFC 7523, 2.2.
const JWT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The fields with which a token proves who asks, or is what is exchanged.
pub(super) fn with_token<'a>(settings: &'a OAuth2, token: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut fields = Vec::new();
    if let Some(id) = &settings.client_id {
        fields.push(("client_id", Secret::expose(id)));
    }
    match &settings.proof {
        Proof::Secret(_) => {}
        Proof::Assertion(_) => fields.push(("client_assertion", token)),
        Proof::Exchange(_) => fields.push(("subject_token", token)),
    }
    fields
}

/// The whole form. `more` are the credentials; of the other fields, `endpointParams` may replace
/// each: authorization servers differ.
pub(super) fn of(settings: &OAuth2, more: &[(&str, &str)]) -> String {
    let params = &settings.endpoint_params;
    let mut form = form_urlencoded::Serializer::new(String::new());
    let mut add = |name: &str, value: &str| {
        if !params.contains_key(name) {
            form.append_pair(name, value);
        }
    };
    match &settings.proof {
        Proof::Secret(_) => add("grant_type", "client_credentials"),
        Proof::Assertion(_) => {
            add("grant_type", "client_credentials");
            add("client_assertion_type", JWT_ASSERTION);
        }
        Proof::Exchange(_) => {
            add("grant_type", TOKEN_EXCHANGE);
            add("subject_token_type", JWT);
            add("requested_token_type", ACCESS_TOKEN);
        }
    }
    if !settings.scopes.is_empty() {
        add("scope", &settings.scopes.join(" "));
    }
    form.extend_pairs(params);
    form.extend_pairs(more);
    form.finish()
}
