//! What would be deployed for an environment, without asking any cloud: the files are read once, and every plan made of them
//! is pure, so that a search can try thousands of settings.

mod overrides;
mod paths;

use infrastructure_k8s_base::Base;
use infrastructure_k8s_db::Db;
use infrastructure_k8s_deploy::{Database, Inputs as DeployInputs, manifests};
use platform::Platform;
use serde::de::DeserializeOwned;
use serde_json::Value;
use stack::cluster::{Manifest, read_folder};
use stack::secrets::Secret;
use stack::{Stack, StackFile};

pub use overrides::{Override, Place, Setting, Settings};

use crate::args::StackName;
use crate::error::{CliError, Result};
use crate::project::Project;

/// In the place of what only a deployment knows.
const UNKNOWN: &str = "(known after db)";
const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000000";

/// The files of one environment as they are.
pub struct Sources {
    /// `config` of base, db and deploy, with every default written out.
    configs: [Value; 3],
    /// Paths of the stacks' files, for messages.
    pub files: [std::path::PathBuf; 3],
    manifests: Vec<Manifest>,
    settings: Settings,
}

/// Everything that would be made, and the platform's view of it.
pub struct Planned {
    /// As they would be applied; each knows the file it was read from.
    pub manifests: Vec<Manifest>,
    pub platform: Platform,
}

impl Sources {
    /// # Errors
    /// When a file cannot be read or has a key that is unknown, missing or mistyped.
    pub fn read(project: &Project, environment: &str) -> Result<Sources> {
        let base = project.load::<infrastructure_k8s_base::Config>(StackName::Base, environment)?;
        let db = project.load::<infrastructure_k8s_db::Config>(StackName::Db, environment)?;
        let deploy = project.load::<infrastructure_k8s_deploy::Config>(StackName::Deploy, environment)?;
        let folder = project.root.join(StackName::Deploy.folder()).join(&deploy.config.manifests);
        let configs = [written_out(&base)?, written_out(&db)?, written_out(&deploy)?];
        let manifests = read_folder(&folder)?;
        Ok(Sources {
            settings: Settings::new(&configs, &manifests),
            configs,
            files: StackName::ALL.map(|stack| project.file(stack, environment)),
            manifests,
        })
    }

    /// The manifests as they are in their folder, before deploy's configuration.
    pub fn manifests(&self) -> &[Manifest] {
        &self.manifests
    }

    /// What may be overridden, with the values that the files give.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// # Errors
    /// When a path is unknown, a value does not fit, or the configuration is one that `marea up` refuses.
    pub fn plan(&self, changes: &[Override]) -> Result<Planned> {
        let (mut configs, mut source) = (self.configs.clone(), self.manifests.clone());
        for change in changes {
            self.settings.find(&change.path)?.apply(&change.value, &mut configs, &mut source);
        }
        let [base, db, deploy] = configs;
        let base = self.config::<infrastructure_k8s_base::Config>(0, base, changes)?;
        let db = self.config::<infrastructure_k8s_db::Config>(1, db, changes)?;
        let deploy = self.config::<infrastructure_k8s_deploy::Config>(2, deploy, changes)?;
        let problems = base.problems().iter().map(ToString::to_string).chain(db.problems()).collect::<Vec<_>>();
        if !problems.is_empty() {
            return Err(CliError::bad_input(problems.join("\n  ")).advice("Correct the stacks' files."));
        }
        Planned::new(base, db, deploy, source)
    }

    fn config<C: DeserializeOwned>(&self, stack: usize, value: Value, changes: &[Override]) -> Result<C> {
        C::deserialize(value).map_err(|error| {
            let changed =
                changes.iter().map(|change| format!("`{}: {}`", change.path, change.value)).collect::<Vec<_>>();
            CliError::bad_input(format!("{} with {}: {error}", self.files[stack].display(), changed.join(", ")))
        })
    }
}

fn written_out<C: serde::Serialize>(file: &StackFile<C>) -> Result<Value> {
    serde_json::to_value(&file.config)
        .map_err(|error| CliError::failed(format!("the configuration cannot be written as JSON: {error}")))
}

impl Planned {
    /// # Errors
    /// When the deploy stack refuses the configuration.
    pub fn new(
        base: infrastructure_k8s_base::Config,
        db: infrastructure_k8s_db::Config,
        deploy: infrastructure_k8s_deploy::Config,
        source: Vec<Manifest>,
    ) -> Result<Planned> {
        let inputs =
            infrastructure_k8s_base::Inputs { subscription_id: SUBSCRIPTION.to_owned(), cluster_exists: false };
        let base_template = Base::template(&base, &inputs);
        let db_template = Db::template(&db, &db_inputs(&base));
        let manifests = manifests(&deploy, &deploy_inputs(&db), source)?;
        let values: Vec<&Value> = manifests.iter().map(|manifest| &manifest.value).collect();
        let platform = Platform::new(&[&base_template, &db_template], &values);
        Ok(Planned { manifests, platform })
    }
}

fn db_inputs(base: &infrastructure_k8s_base::Config) -> infrastructure_k8s_db::Inputs {
    let group = format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/{}", base.resource_group);
    let backend = base.node_pools.get("backend").map(|pool| &pool.subnet);
    infrastructure_k8s_db::Inputs {
        subscription_id: SUBSCRIPTION.to_owned(),
        cluster_resource_group: base.resource_group.clone(),
        cluster_network_name: "marea".to_owned(),
        cluster_network_id: format!("{group}/providers/Microsoft.Network/virtualNetworks/marea"),
        backend_subnet_prefix: backend.unwrap_or(&base.network.virtual_network).clone(),
        password_revision: "planned".to_owned(),
    }
}

fn deploy_inputs(db: &infrastructure_k8s_db::Config) -> DeployInputs {
    let database = Database {
        host: UNKNOWN.to_owned(),
        port: 5432,
        name: db.database.clone(),
        user: db.administrator.clone(),
        password: Secret::new(UNKNOWN),
        user_connections: db.user_connections().unwrap_or_default(),
    };
    DeployInputs { database, certificate_authority: UNKNOWN.to_owned() }
}

/// Reads and plans at once, for commands that need one plan.
///
/// # Errors
/// As [`Sources::read`] and [`Sources::plan`].
pub fn plan(project: &Project, environment: &str, changes: &[Override]) -> Result<Planned> {
    Sources::read(project, environment)?.plan(changes)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use platform::Scaling;
    use serde_json::json;

    use super::*;

    pub(super) fn sources() -> Sources {
        let project = Project { root: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(".."), here: None };
        Sources::read(&project, "production").unwrap()
    }

    fn planned(changes: &[(&str, Value)]) -> Result<Planned> {
        let changes: Vec<Override> =
            changes.iter().map(|(path, value)| Override { path: (*path).to_owned(), value: value.clone() }).collect();
        sources().plan(&changes)
    }

    fn check_refused(path: &str, value: Value, expected: &str) {
        let error = planned(&[(path, value)]).err().unwrap();
        assert_eq!(error.exit, crate::error::Exit::BadInput);
        assert!(error.message.contains(expected), "{path}: {}", error.message);
    }

    #[test]
    fn the_platform_is_what_would_be_deployed() {
        let platform = planned(&[]).unwrap().platform;
        assert_eq!(platform.pool("backend").unwrap().scaling, Scaling::Between { min: 1, max: 5 });
        assert_eq!(platform.database.as_ref().unwrap().size, "Standard_B1ms");
        let backend = platform.workload("Deployment", "platform", "backend").unwrap();
        assert_eq!(platform.replica_bounds(backend), (2, 10));
        // What only deploy's configuration makes is there too.
        let config = platform.of_kind("ConfigMap").find(|(_, object)| object["metadata"]["name"] == "backend-config");
        assert_eq!(config.unwrap().1["data"]["DATABASE_POOL_SIZE"], "2");
        assert_eq!(platform.network.subnets["backend"], "10.224.2.0/24");
        assert_eq!(platform.cluster.autoscaler.expander.as_deref(), Some("least-waste"));
        assert!(platform.pools.iter().all(|pool| platform.node(pool, "node").is_some()));
    }

    #[test]
    fn settings_have_full_and_short_paths() {
        let platform = planned(&[
            ("base.nodePools.backend.max", json!(4)),
            ("pools.frontend.vmSize", json!("Standard_B2als_v2")),
            ("backend.hpa.cpu", json!(60)),
            ("deploy.backend.replicas.max", json!(9)),
            ("frontend.hpa.memory", json!(75)),
            ("backend.hpa.behavior.scaleDown.stabilizationWindowSeconds", json!(30)),
            ("backend.requests.cpu", json!("250m")),
            ("traefik.limits.memory", json!("1Gi")),
            ("database.size", json!("Standard_B2s")),
            ("db.parameters.work_mem", json!("4096")),
        ])
        .unwrap()
        .platform;
        assert_eq!(platform.pool("backend").unwrap().scaling, Scaling::Between { min: 1, max: 4 });
        assert_eq!(platform.pool("frontend").unwrap().vm_size, "Standard_B2als_v2");
        let hpa = |name: &str| platform.hpas.iter().find(|hpa| hpa.name == name).unwrap();
        assert_eq!(hpa("backend").utilization_percent["cpu"], 60);
        assert_eq!(hpa("backend").max, 9);
        assert_eq!(hpa("frontend").utilization_percent["memory"], 75);
        let behavior = hpa("backend").spec.behavior.as_ref().unwrap();
        assert_eq!(behavior.scale_down.as_ref().unwrap().stabilization_window_seconds, Some(30));
        assert_eq!(platform.workload("Deployment", "platform", "backend").unwrap().cpu.0, 250);
        let database = platform.database.unwrap();
        assert_eq!((database.size.as_str(), database.parameters["work_mem"].as_str()), ("Standard_B2s", "4096"));
    }

    #[test]
    fn unknown_paths_and_values_are_refused_with_what_is_near() {
        check_refused("base.nodePools.backend.mex", json!(4), "did you mean `base.nodePools.backend.max`?");
        check_refused("backend.hpa.cpus", json!(4), "did you mean `deploy.backend.replicas.");
        check_refused("base.nodePools.backned.max", json!(4), "did you mean `base.nodePools.backend.max`?");
        check_refused("base.network.somethingElseEntirely", json!(4), "there are `base.network.");
        check_refused("nonsense", json!(4), "paths begin with");
        check_refused("base.nodePools.backend.max", json!("many"), "`base.nodePools.backend.max: \"many\"`");
        check_refused("backend.hpa.gpu", json!(4), "`backend.hpa.gpu` is not a setting; did you mean");
        check_refused(
            "deploy.backend.replicas.targets.gpu",
            json!(4),
            "did you mean `deploy.backend.replicas.targets.cpu`?",
        );
        check_refused("base.nodePools.backend.max", json!(0), "min 1 and max 0 leave no number of nodes");
        check_refused("backend.hpa.max", json!(100), "leave none of the database's 35 connections");
        check_refused("", json!(4), "`` is not a setting");
    }

    #[test]
    fn an_override_is_read_from_text() {
        let parsed = Override::parse("backend.hpa.cpu=60").unwrap();
        assert_eq!((parsed.path.as_str(), &parsed.value), ("backend.hpa.cpu", &json!(60)));
        assert_eq!(Override::parse("backend.requests.cpu=250m").unwrap().value, json!("250m"));
        assert!(Override::parse("backend.hpa.cpu").is_err());
    }
}
