//! Names that more than one file must agree on: labels, annotations, ports, paths.

use crds::PrometheusMirror;
use kube::core::ApiResource;

/// Field manager, reporter of events, value of `app.kubernetes.io/managed-by`.
pub const OPERATOR: &str = "prometheus-mirror-operator";

/// Says which program a child belongs to.
pub const NAME_LABEL: &str = "app.kubernetes.io/name";
/// The value of [`NAME_LABEL`].
pub const NAME: &str = "prometheus-mirror";
/// Says which resource a child belongs to.
pub const INSTANCE_LABEL: &str = "app.kubernetes.io/instance";
/// Says who made a child; the watches of children select by it.
pub const MANAGED_BY_LABEL: &str = "app.kubernetes.io/managed-by";
/// Says which part a child is, where two children of a kind must be told apart.
pub const COMPONENT_LABEL: &str = "app.kubernetes.io/component";

/// On children: SHA-256 of what was applied last. Server-side apply of the same again would change
/// nothing.
pub const APPLIED_ANNOTATION: &str = "prometheus-mirror.io/applied";
/// On pods: what they should be serving. Changing it makes the kubelet look at the pod's volumes at
/// once.
pub const CONFIGURATION_ANNOTATION: &str = "prometheus-mirror.io/configuration";

/// The name of the mirror's container.
pub const CONTAINER: &str = "mirror";
/// The name of the port where the Mirror API answers.
pub const API_PORT: &str = "api";
/// The name of the port where health checks and metrics answer.
pub const ADMIN_PORT: &str = "admin";
/// That port. `crds` keeps `spec.port` away from it.
pub const ADMIN_PORT_NUMBER: u16 = 9901;

/// Where the document, the Secrets and the ConfigMaps are mounted.
pub const CONFIGURATION_DIR: &str = "/etc/prometheus-mirror";
/// The document's key in the ConfigMap and its file name in the pod.
pub const DOCUMENT: &str = "mirror.yaml";
/// The folder of Secrets within [`CONFIGURATION_DIR`].
pub const SECRETS: &str = "secrets";
/// The folder of ConfigMaps within [`CONFIGURATION_DIR`]: where the mirror looks for it unless told
/// otherwise.
pub const CONFIG_MAPS: &str = "configmaps";

/// The kind of the resource, for watches that take it as it is, valid or not.
#[must_use]
pub fn mirror_resource() -> ApiResource {
    ApiResource::erase::<PrometheusMirror>(&())
}
