//! The API server, and the resources in it.

use crds::PrometheusMirror;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, TypeMeta};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config, ResourceExt as _};

use crate::args::ClusterArgs;
use crate::problem::{GET, LIST, Problem, innermost, status_of};

/// The cluster that is asked, and the namespace that is meant.
#[derive(Clone)]
pub struct Cluster {
    client: Client,
    /// The namespace.
    pub namespace: String,
}

impl Cluster {
    /// The cluster that the arguments, or else the environment, name.
    ///
    /// # Errors
    /// If they name none.
    pub async fn connect(args: &ClusterArgs) -> Result<Self, Problem> {
        let mut config = config(args).await?;
        // A log that is followed may say nothing for hours.
        config.read_timeout = None;
        let namespace = &args.namespace;
        let namespace = namespace
            .clone()
            .unwrap_or(config.default_namespace.clone());
        let client =
            Client::try_from(config).map_err(|error| Problem::NoCluster(innermost(&error)))?;
        Ok(Self::new(client, namespace))
    }

    /// With this client.
    #[must_use]
    pub fn new(client: Client, namespace: String) -> Self {
        Self { client, namespace }
    }

    /// The mirrors of the namespace, or of all of them, by their names.
    ///
    /// # Errors
    /// If the user may not list them.
    pub async fn mirrors(&self, all_namespaces: bool) -> Result<Vec<DynamicObject>, Problem> {
        let resource = resource();
        let api: Api<DynamicObject> = match all_namespaces {
            true => Api::all_with(self.client.clone(), &resource),
            false => Api::namespaced_with(self.client.clone(), &self.namespace, &resource),
        };
        let listed = api.list(&ListParams::default()).await;
        let listed = listed.map_err(|error| Problem::of(&error, LIST, &self.namespace))?;
        let mut mirrors = listed.items;
        // Items of a list come without.
        mirrors
            .iter_mut()
            .for_each(|mirror| mirror.types = Some(types()));
        mirrors.sort_by_key(|mirror| (mirror.namespace(), mirror.name_any()));
        Ok(mirrors)
    }

    /// One mirror.
    ///
    /// # Errors
    /// If there is none of this name, or the user may not read it.
    pub async fn mirror(&self, name: &str) -> Result<DynamicObject, Problem> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace, &resource());
        match api.get(name).await {
            Ok(mirror) => Ok(mirror),
            Err(error) if status_of(&error) == Some(404) => {
                let others = self.mirrors(false).await?;
                Err(Problem::NoSuchMirror {
                    name: name.to_owned(),
                    namespace: self.namespace.clone(),
                    others: others.iter().map(|mirror| mirror.name_any()).collect(),
                })
            }
            Err(error) => Err(Problem::of(&error, GET, &self.namespace)),
        }
    }

    /// The pods of the namespace.
    #[must_use]
    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client.clone()
    }
}

async fn config(args: &ClusterArgs) -> Result<Config, Problem> {
    let wrong = |error: kube::config::KubeconfigError| Problem::NoCluster(innermost(&error));
    let named = KubeConfigOptions {
        context: args.context.clone(),
        ..KubeConfigOptions::default()
    };
    if let Some(file) = &args.kubeconfig {
        let kubeconfig = Kubeconfig::read_from(file).map_err(wrong)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &named).await;
        return config.map_err(wrong);
    }
    match Config::from_kubeconfig(&named).await {
        Ok(config) => Ok(config),
        // In a pod there is none.
        Err(error) => Config::incluster().map_err(|_| wrong(error)),
    }
}

/// The resource without its type: fields that a newer version has stay as they are.
fn resource() -> ApiResource {
    ApiResource::erase::<PrometheusMirror>(&())
}

fn types() -> TypeMeta {
    TypeMeta {
        api_version: crds::API_VERSION.to_owned(),
        kind: crds::KIND.to_owned(),
    }
}
