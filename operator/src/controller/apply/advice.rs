//! What to do about an object that the API server refuses, where it does not say so itself. Pure.

use crate::cluster::kind::Kind;
use crate::cluster::written::ObjectName;

/// What the API server says of a field of a Service that stays as it is for the Service's life:
/// the class of its load balancer, and its first address.
const FIXED: &[&str] = &[
    "may not change once set",
    "primary ipFamily can not be changed",
    "primary ipFamily cannot be changed",
];

/// The API server's message about an object, and what to do.
pub(super) fn with_hint(object: &ObjectName, message: String) -> String {
    if object.kind == Kind::Service && FIXED.iter().any(|said| message.contains(said)) {
        let name = &object.name;
        return format!(
            "{message} (hint: delete Service {name}, and it is made again at once, with other addresses; or undo the change of spec.service)"
        );
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_field_of_a_service_says_to_delete_the_service() {
        let said = |kind: Kind, message: &str| {
            let name = "production".to_owned();
            with_hint(&ObjectName { kind, name }, message.to_owned())
        };
        let class = "Service \"production\" is invalid: spec.loadBalancerClass: Invalid value: \"b\": may not change once set";
        let hint = "(hint: delete Service production, and it is made again at once, with other addresses; or undo the change of spec.service)";
        let selector = "spec.selector: Invalid value: may not change once set";
        let port =
            "spec.ports[0].nodePort: Invalid value: 7: provided port is not in the valid range";
        assert_eq!(
            [
                said(Kind::Service, class),
                said(Kind::Service, port),
                said(Kind::Deployment, selector)
            ],
            [
                format!("{class} {hint}"),
                port.to_owned(),
                selector.to_owned()
            ]
        );
    }
}
