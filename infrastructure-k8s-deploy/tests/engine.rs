//! The stacks' templates against the embedded Resource Manager, in process: they deploy, their outputs are what the next stack
//! reads, and a second comparison finds nothing to do.

use std::path::{Path, PathBuf};

use arm_engine::effect::{Effect, Outcome};
use arm_engine::{Engine, Ids, Method, Principal, Request, Response};
use arm_model::Template;
use infrastructure_k8s_base::{Base, Inputs as BaseInputs, Outputs as BaseOutputs};
use infrastructure_k8s_db::{Db, Inputs as DbInputs, Outputs as DbOutputs, PASSWORD_PARAMETER};
use serde_json::{Value, json};
use stack::{Change, Stack, StackFile, config};
use units::Timestamp;

const SUBSCRIPTION: &str = "00000000-0000-0000-0000-000000000001";

struct Arm {
    engine: Engine,
    ids: Ids,
}

impl Arm {
    fn new() -> Arm {
        Arm { engine: Engine::new("00000000-0000-0000-0000-000000000002", SUBSCRIPTION), ids: Ids::new(1) }
    }

    fn request(&mut self, method: Method, path: &str, body: &Value) -> Response {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut query: Vec<(String, String)> = query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect();
        if !query.iter().any(|(name, _)| name == "api-version") {
            query.push(("api-version".into(), "2025-04-01".into()));
        }
        let request = Request {
            method,
            path: path.replace("https://arm", ""),
            query,
            headers: Vec::new(),
            body: if body.is_null() { Vec::new() } else { body.to_string().into_bytes() },
            principal: Principal::default(),
            base_url: "https://arm".into(),
        };
        self.engine.handle(&request, Timestamp(0), &mut self.ids)
    }

    fn run_effects(&mut self) {
        loop {
            let effects = self.engine.take_effects();
            if effects.is_empty() {
                return;
            }
            for (id, effect) in effects {
                let outcome = match effect {
                    Effect::EnsureCluster { .. } => Outcome::Cluster {
                        fqdn: "marea.hcp.eastus.azmk8s.io".into(),
                        admin_kubeconfig: "admin".into(),
                        user_kubeconfig: "user".into(),
                        oidc_issuer_url: "https://issuer/".into(),
                    },
                    Effect::EnsurePostgres { .. } => {
                        Outcome::Postgres { host_address: "10.225.0.4".into(), state: "Ready".into() }
                    }
                    Effect::StopCluster { .. } | Effect::StopPostgres { .. } => Outcome::Stopped,
                    Effect::DeleteCluster { .. } | Effect::DeletePostgres { .. } => Outcome::Deleted,
                };
                self.engine.complete(id, outcome, Timestamp(0));
            }
        }
    }

    /// Deploys as a deployment stack and gives the outputs.
    fn apply(&mut self, name: &str, template: &Template, parameters: &Value) -> Value {
        let path = format!(
            "/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Resources/deploymentStacks/{name}?api-version=2025-07-01"
        );
        let unmanage = json!({"resources": "delete", "resourceGroups": "delete"});
        let properties = json!({"template": template.to_value(), "parameters": parameters, "actionOnUnmanage": unmanage, "denySettings": {"mode": "none"}});
        let response = self.request(Method::Put, &path, &json!({"location": "eastus", "properties": properties}));
        assert!(response.status < 300, "{:#?}", response.body);
        self.run_effects();
        let stack = self.request(Method::Get, &path, &Value::Null).body.unwrap();
        assert_eq!(stack["properties"]["provisioningState"], "succeeded", "{:#}", stack["properties"]["error"]);
        let outputs = stack["properties"]["outputs"].as_object().unwrap();
        outputs.iter().map(|(name, output)| (name.clone(), output["value"].clone())).collect()
    }

    fn preview(&mut self, name: &str, template: &Template, parameters: &Value) -> Vec<Change> {
        let path = format!("/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Resources/deployments/{name}/whatIf");
        let properties = json!({"mode": "Incremental", "template": template.to_value(), "parameters": parameters});
        let response = self.request(Method::Post, &path, &json!({"location": "eastus", "properties": properties}));
        let location = response.get_header("Location").unwrap_or_else(|| panic!("{:#?}", response.body)).to_owned();
        let result = self.request(Method::Get, &location, &Value::Null).body.unwrap();
        stack::arm::changes(&result).unwrap()
    }
}

fn load<C: serde::de::DeserializeOwned>(folder: &str) -> C {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let file: StackFile<C> = config::load(&stack::file::path(Path::new(&root), folder, "local")).unwrap();
    file.config
}

fn base_inputs(cluster_exists: bool) -> BaseInputs {
    BaseInputs { subscription_id: SUBSCRIPTION.into(), cluster_exists }
}

fn db_inputs(base: &BaseOutputs, password_revision: &str) -> DbInputs {
    DbInputs {
        subscription_id: SUBSCRIPTION.into(),
        cluster_resource_group: base.resource_group.clone(),
        cluster_network_name: base.virtual_network_name.clone(),
        cluster_network_id: base.virtual_network_id.clone(),
        backend_subnet_prefix: base.backend_subnet_prefix.clone(),
        password_revision: password_revision.into(),
    }
}

#[test]
fn the_stacks_deploy_and_then_have_nothing_to_do() {
    let mut arm = Arm::new();
    let base_config = load(infrastructure_k8s_base::FOLDER);
    let db_config = load(infrastructure_k8s_db::FOLDER);
    let outputs = arm.apply("marea-base", &Base::template(&base_config, &base_inputs(false)), &json!({}));
    let base: BaseOutputs = serde_json::from_value(outputs).unwrap();
    assert_eq!(base.backend_subnet_prefix, "10.224.2.0/24");
    assert!(base.virtual_network_id.ends_with("/virtualNetworks/marea"), "{}", base.virtual_network_id);
    let base_template = Base::template(&base_config, &base_inputs(true));
    assert_eq!(arm.preview("marea-base", &base_template, &json!({})), []);

    let password = json!({PASSWORD_PARAMETER: {"value": "Some-Password-0123456789"}});
    let db_template = Db::template(&db_config, &db_inputs(&base, "one"));
    let outputs = arm.apply("marea-db", &db_template, &password);
    let db: DbOutputs = serde_json::from_value(outputs).unwrap();
    assert_eq!((db.port, db.user_connections, db.database.as_str()), (5432, 35, "marea"));
    assert!(db.host.ends_with("postgres.database.azure.com"), "{}", db.host);
    assert_eq!(arm.preview("marea-db", &db_template, &password), []);
    // Deploying db changes the base network (its side of the peering), which is no drift of base.
    assert_eq!(arm.preview("marea-base", &base_template, &json!({})), []);

    let rotated = Db::template(&db_config, &db_inputs(&base, "two"));
    let changes = arm.preview("marea-db", &rotated, &password);
    assert_eq!(changes.len(), 1, "{changes:#?}");
    assert!(changes[0].target.contains("flexibleServers"), "{changes:#?}");
}
