//! Whether a namespace that the operator is told to watch can be read: it may be gone, or the
//! operator's Role there.

use kube::Client;
use kube::api::{Api, DynamicObject, ListParams};

use super::kind::mirror_resource;

/// Why the resources of a namespace cannot be listed, if the API server says that the operator may
/// not. Nothing, where it says something else or does not answer: the watches report that.
///
/// # Errors
/// The API server's words.
pub async fn check(client: &Client, namespace: &str) -> Option<Result<(), String>> {
    let resource = mirror_resource();
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), namespace, &resource);
    judged(api.list_metadata(&ListParams::default().limit(1)).await)
}

fn judged<T>(answer: kube::Result<T>) -> Option<Result<(), String>> {
    match answer {
        Ok(_) => Some(Ok(())),
        Err(kube::Error::Api(status)) if [401, 403].contains(&status.code) => {
            Some(Err(status.message.clone()))
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_refusal_says_that_a_namespace_cannot_be_read() {
        let refused = |code: u16| {
            let status = kube::core::Status::failure("no", "x").with_code(code);
            judged(Err::<(), _>(kube::Error::Api(status.boxed())))
        };
        assert_eq!(judged(Ok(())), Some(Ok(())));
        assert_eq!(refused(403), Some(Err("no".to_owned())));
        assert_eq!(refused(401), Some(Err("no".to_owned())));
        // The definition is missing, or the API server is overloaded: no namespace's fault.
        assert_eq!([refused(404), refused(503)], [None, None]);
    }
}
