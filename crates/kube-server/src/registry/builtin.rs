//! The rows of the built-in resources, one per served version.

use k8s_openapi::api::{
    admissionregistration::v1 as admission, apps::v1 as apps, autoscaling::v1 as autoscaling_v1,
    autoscaling::v2 as autoscaling, batch::v1 as batch, coordination::v1 as coordination, core::v1 as core,
    discovery::v1 as discovery, events::v1 as events, networking::v1 as networking, node::v1 as node,
    policy::v1 as policy, rbac::v1 as rbac, scheduling::v1 as scheduling, storage::v1 as storage,
};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1 as apiextensions;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1 as apiregistration;
use k8s_openapi::serde::Serialize;
use k8s_openapi::serde::de::DeserializeOwned;
use k8s_openapi::{ListableResource, Resource};

use super::definition::{Origin, ResourceDef, ScalePaths, View, normalize};
use crate::strategies::{self, Strategy, views};
use crate::tables::columns;

struct Row(ResourceDef);

fn row<K: Resource + ListableResource + Serialize + DeserializeOwned>(
    singular: &str,
    strategy: &'static dyn Strategy,
) -> Row {
    let plural = K::URL_PATH_SEGMENT;
    let resource = if K::GROUP.is_empty() { plural.to_owned() } else { format!("{plural}.{}", K::GROUP) };
    Row(ResourceDef {
        resource: resource.into(),
        group: K::GROUP.to_owned(),
        version: K::VERSION.to_owned(),
        plural: plural.to_owned(),
        singular: singular.to_owned(),
        kind: K::KIND.to_owned(),
        list_kind: K::LIST_KIND.to_owned(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: true,
        served: true,
        storage: true,
        status: false,
        scale: None,
        subresources: Vec::new(),
        view: None,
        origin: Origin::BuiltIn {
            normalize: normalize::<K>,
            strategy,
            columns: columns::of(&format!("{plural}.{}", K::GROUP)),
        },
    })
}

impl Row {
    fn short(mut self, names: &[&str]) -> Row {
        self.0.short_names = names.iter().map(|n| (*n).to_owned()).collect();
        self
    }

    fn all(mut self) -> Row {
        self.0.categories = vec!["all".to_owned()];
        self
    }

    fn category(mut self, name: &str) -> Row {
        self.0.categories.push(name.to_owned());
        self
    }

    fn cluster(mut self) -> Row {
        self.0.namespaced = false;
        self
    }

    fn status(mut self) -> Row {
        self.0.status = true;
        self
    }

    fn scale(mut self) -> Row {
        self.0.scale = Some(ScalePaths {
            replicas: "/spec/replicas".to_owned(),
            status_replicas: "/status/replicas".to_owned(),
            selector: Some("/spec/selector".to_owned()),
        });
        self
    }

    fn sub(mut self, name: &'static str, kind: &'static str, verbs: &'static [&'static str]) -> Row {
        self.0.subresources.push((name, kind, verbs));
        self
    }

    fn view(mut self, view: View) -> Row {
        self.0.resource = view.of.into();
        self.0.view = Some(view);
        self
    }
}

pub fn definitions() -> Vec<ResourceDef> {
    let mut rows = core_rows();
    rows.extend(workload_rows());
    rows.extend(policy_rows());
    rows.into_iter().map(|row| row.0).collect()
}

fn core_rows() -> Vec<Row> {
    use strategies::{PLAIN, config, limits, namespace, node as nodes, pod, secret, service, volume};
    vec![
        row::<core::Namespace>("namespace", &namespace::NAMESPACE).short(&["ns"]).cluster().status().sub(
            "finalize",
            "Namespace",
            &["update"],
        ),
        row::<core::Pod>("pod", &pod::POD)
            .short(&["po"])
            .all()
            .status()
            .sub("binding", "Binding", &["create"])
            .sub("eviction", "Eviction", &["create"])
            .sub("exec", "PodExecOptions", &["create", "get"])
            .sub("log", "Pod", &["get"])
            .sub("portforward", "PodPortForwardOptions", &["create", "get"]),
        row::<core::Service>("service", &service::SERVICE).short(&["svc"]).all().status(),
        row::<core::Endpoints>("endpoints", &PLAIN).short(&["ep"]),
        row::<core::ConfigMap>("configmap", &config::CONFIG_MAP).short(&["cm"]),
        row::<core::Secret>("secret", &secret::SECRET),
        row::<core::ServiceAccount>("serviceaccount", &PLAIN).short(&["sa"]).sub("token", "TokenRequest", &["create"]),
        row::<core::Node>("node", &nodes::NODE).short(&["no"]).cluster().status().sub(
            "proxy",
            "NodeProxyOptions",
            &["get"],
        ),
        row::<core::Event>("event", &PLAIN).short(&["ev"]),
        row::<core::PersistentVolume>("persistentvolume", &volume::PERSISTENT_VOLUME).short(&["pv"]).cluster().status(),
        row::<core::PersistentVolumeClaim>("persistentvolumeclaim", &volume::CLAIM).short(&["pvc"]).status(),
        row::<core::ResourceQuota>("resourcequota", &limits::RESOURCE_QUOTA).short(&["quota"]).status(),
        row::<core::LimitRange>("limitrange", &limits::LIMIT_RANGE).short(&["limits"]),
        row::<core::ReplicationController>("replicationcontroller", &strategies::replicas::REPLICATION_CONTROLLER)
            .short(&["rc"])
            .all()
            .status()
            .scale(),
        row::<core::PodTemplate>("podtemplate", &PLAIN),
        row::<events::Event>("event", &PLAIN).short(&["ev"]).view(views::EVENTS),
    ]
}

fn workload_rows() -> Vec<Row> {
    use strategies::{PLAIN, autoscaler, batch as jobs, daemonset, deployment, replicas, statefulset};
    vec![
        row::<apps::Deployment>("deployment", &deployment::DEPLOYMENT).short(&["deploy"]).all().status().scale(),
        row::<apps::ReplicaSet>("replicaset", &replicas::REPLICA_SET).short(&["rs"]).all().status().scale(),
        row::<apps::StatefulSet>("statefulset", &statefulset::STATEFUL_SET).short(&["sts"]).all().status().scale(),
        row::<apps::DaemonSet>("daemonset", &daemonset::DAEMON_SET).short(&["ds"]).all().status(),
        row::<apps::ControllerRevision>("controllerrevision", &PLAIN),
        row::<batch::Job>("job", &jobs::JOB).all().status(),
        row::<batch::CronJob>("cronjob", &jobs::CRON_JOB).short(&["cj"]).all().status(),
        row::<autoscaling::HorizontalPodAutoscaler>("horizontalpodautoscaler", &autoscaler::AUTOSCALER)
            .short(&["hpa"])
            .all()
            .status(),
        row::<autoscaling_v1::HorizontalPodAutoscaler>("horizontalpodautoscaler", &autoscaler::AUTOSCALER)
            .short(&["hpa"])
            .all()
            .status()
            .view(views::AUTOSCALER_V1),
    ]
}

fn policy_rows() -> Vec<Row> {
    use strategies::{PLAIN, SPEC, crd, disruption, ingress, roles, webhooks};
    vec![
        row::<policy::PodDisruptionBudget>("poddisruptionbudget", &disruption::BUDGET).short(&["pdb"]).status(),
        row::<networking::Ingress>("ingress", &ingress::INGRESS).short(&["ing"]).status(),
        row::<networking::IngressClass>("ingressclass", &SPEC).cluster(),
        row::<networking::NetworkPolicy>("networkpolicy", &ingress::NETWORK_POLICY).short(&["netpol"]),
        row::<discovery::EndpointSlice>("endpointslice", &PLAIN),
        row::<rbac::Role>("role", &roles::ROLE),
        row::<rbac::RoleBinding>("rolebinding", &roles::ROLE_BINDING),
        row::<rbac::ClusterRole>("clusterrole", &roles::CLUSTER_ROLE).cluster(),
        row::<rbac::ClusterRoleBinding>("clusterrolebinding", &roles::CLUSTER_ROLE_BINDING).cluster(),
        row::<coordination::Lease>("lease", &PLAIN),
        row::<scheduling::PriorityClass>("priorityclass", &strategies::priority::PRIORITY_CLASS)
            .short(&["pc"])
            .cluster(),
        row::<storage::StorageClass>("storageclass", &strategies::volume::STORAGE_CLASS).short(&["sc"]).cluster(),
        row::<storage::CSINode>("csinode", &PLAIN).cluster(),
        row::<storage::CSIDriver>("csidriver", &PLAIN).cluster(),
        row::<storage::VolumeAttachment>("volumeattachment", &PLAIN).cluster().status(),
        row::<storage::CSIStorageCapacity>("csistoragecapacity", &PLAIN),
        row::<node::RuntimeClass>("runtimeclass", &PLAIN).cluster(),
        row::<admission::MutatingWebhookConfiguration>("mutatingwebhookconfiguration", &webhooks::REFUSED)
            .cluster()
            .category("api-extensions"),
        row::<admission::ValidatingWebhookConfiguration>("validatingwebhookconfiguration", &webhooks::REFUSED)
            .cluster()
            .category("api-extensions"),
        row::<admission::ValidatingAdmissionPolicy>("validatingadmissionpolicy", &webhooks::REFUSED)
            .cluster()
            .status()
            .category("api-extensions"),
        row::<admission::ValidatingAdmissionPolicyBinding>("validatingadmissionpolicybinding", &webhooks::REFUSED)
            .cluster()
            .category("api-extensions"),
        row::<apiextensions::CustomResourceDefinition>("customresourcedefinition", &crd::DEFINITION)
            .short(&["crd", "crds"])
            .cluster()
            .status()
            .category("api-extensions"),
        row::<apiregistration::APIService>("apiservice", &webhooks::REFUSED)
            .cluster()
            .status()
            .category("api-extensions"),
    ]
}
