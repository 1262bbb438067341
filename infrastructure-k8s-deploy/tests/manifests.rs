//! The manifests that are applied, the schema as committed, and how the manifests fit the pools.

use std::path::{Path, PathBuf};

use infrastructure_k8s_base::Base;
use infrastructure_k8s_db::Db;
use infrastructure_k8s_deploy::{Config, Database, Inputs, manifests};
use serde_json::Value;
use stack::cluster::{Manifest, read_folder};
use stack::secrets::Secret;
use stack::{Stack, StackFile, config};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Compares with a committed file; `MAREA_ACCEPT=1` writes it.
fn check_golden(path: &Path, actual: &str) {
    if std::env::var_os("MAREA_ACCEPT").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(path).unwrap_or_default();
    assert!(expected == actual, "{} differs; MAREA_ACCEPT=1 cargo test writes it anew", path.display());
}

fn load(environment: &str) -> StackFile<Config> {
    config::load(&stack::file::path(folder().parent().unwrap(), infrastructure_k8s_deploy::FOLDER, environment))
        .unwrap()
}

fn inputs() -> Inputs {
    Inputs {
        database: Database {
            host: "marea-db-000000.marea.private.postgres.database.azure.com".into(),
            port: 5432,
            name: "marea".into(),
            user: "marea".into(),
            password: Secret::new("a secret of the test"),
            user_connections: 35,
        },
        certificate_authority: "-----BEGIN CERTIFICATE-----\n".into(),
    }
}

fn source() -> Vec<Manifest> {
    read_folder(&folder().join("../k8s")).unwrap()
}

fn value<'a>(manifests: &'a [Manifest], kind: &str, namespace: &str, name: &str, pointer: &str) -> &'a Value {
    let manifest = manifests.iter().find(|manifest| manifest.is(kind, namespace, name)).unwrap();
    manifest.value.pointer(pointer).unwrap_or(&Value::Null)
}

#[test]
fn the_schema_is_as_committed() {
    check_golden(&folder().join("stack.schema.json"), &stack::schema::<Config>());
}

#[test]
fn configuration_reaches_the_manifests() {
    for environment in ["local", "production"] {
        let applied = manifests(&load(environment).config, &inputs(), source()).unwrap();
        assert_eq!(value(&applied, "ConfigMap", "platform", "backend-config", "/data/DATABASE_POOL_SIZE"), "2");
        assert_eq!(value(&applied, "Deployment", "platform", "backend", "/spec/replicas"), &Value::Null);
        assert_eq!(value(&applied, "HorizontalPodAutoscaler", "platform", "backend", "/spec/maxReplicas"), 10);
        assert_eq!(value(&applied, "HorizontalPodAutoscaler", "platform", "frontend", "/spec/maxReplicas"), 5);
    }
    let local = manifests(&load("local").config, &inputs(), source()).unwrap();
    assert_eq!(
        value(
            &local,
            "HorizontalPodAutoscaler",
            "platform",
            "backend",
            "/spec/behavior/scaleDown/stabilizationWindowSeconds"
        ),
        60
    );
    assert_eq!(value(&local, "Deployment", "monitoring", "grafana", "/spec/replicas"), 0);
}

#[test]
fn a_new_password_is_a_rollout_and_stays_out_of_everything_but_the_secret() {
    let config = load("local").config;
    let digest = "/spec/template/metadata/annotations/marea.dev~1config-digest";
    let before = manifests(&config, &inputs(), source()).unwrap();
    let mut rotated = inputs();
    rotated.database.password = Secret::new("another secret of the test");
    let after = manifests(&config, &rotated, source()).unwrap();
    assert_ne!(
        value(&before, "Deployment", "platform", "backend", digest),
        value(&after, "Deployment", "platform", "backend", digest)
    );
    for manifest in before.iter().filter(|manifest| manifest.kind.kind != "Secret") {
        assert!(!manifest.value.to_string().contains("a secret of the test"), "{}", manifest.key());
    }
}

/// The seed's backend is a Flask program: another image, another port, one health path.
#[test]
fn any_image_with_a_health_path_can_be_the_backend() {
    let mut config = load("local").config;
    config.backend.image = "docker.io/example/flask-backend:2.0".into();
    config.backend.port = 5000;
    config.backend.readiness_path = "/health".into();
    let applied = manifests(&config, &inputs(), source()).unwrap();
    let container = value(&applied, "Deployment", "platform", "backend", "/spec/template/spec/containers/0");
    assert_eq!(container["image"], "docker.io/example/flask-backend:2.0");
    assert_eq!(container["ports"][0]["containerPort"], 5000);
    assert_eq!(container["readinessProbe"]["httpGet"]["path"], "/health");
    let bind = container["env"].as_array().unwrap().iter().find(|variable| variable["name"] == "BIND_ADDRESS").unwrap();
    assert_eq!(bind["value"], "$(POD_IP):5000");
    assert_eq!(config.public_paths(), ["/", "/api/v1/overview"]);
    config.backend.public_path = Some("/api/hello".into());
    assert_eq!(config.public_paths(), ["/", "/api/hello"]);
}

#[test]
fn what_the_configuration_names_must_exist() {
    let check = |change: &dyn Fn(&mut Config), expected: &str| {
        let mut config = load("local").config;
        change(&mut config);
        let error = manifests(&config, &inputs(), source()).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check(&|config| config.backend.replicas.max = 30, "leave none of the database's 35 connections");
    check(&|config| config.backend.replicas.min = 11, "config.backend.replicas: min 11 and max 10");
    check(
        &|config| drop(config.versions.insert("docker.io/library/nginx".into(), "1".into())),
        "no container runs an image of `docker.io/library/nginx`",
    );
}

/// Pools and workloads are declared in different stacks; only together they can be checked.
#[test]
fn the_manifests_fit_the_pools_of_both_environments() {
    for environment in ["local", "production"] {
        let root = folder().join("..");
        let base: StackFile<infrastructure_k8s_base::Config> =
            config::load(&stack::file::path(&root, infrastructure_k8s_base::FOLDER, environment)).unwrap();
        let db: StackFile<infrastructure_k8s_db::Config> =
            config::load(&stack::file::path(&root, infrastructure_k8s_db::FOLDER, environment)).unwrap();
        let base = Base::template(&base.config, &infrastructure_k8s_base::Inputs::default());
        let db = Db::template(
            &db.config,
            &infrastructure_k8s_db::Inputs {
                subscription_id: String::new(),
                cluster_resource_group: "marea-base".into(),
                cluster_network_name: "marea".into(),
                cluster_network_id: "/x".into(),
                backend_subnet_prefix: "10.224.2.0/24".into(),
                password_revision: String::new(),
            },
        );
        let applied = manifests(&load(environment).config, &inputs(), source()).unwrap();
        let values: Vec<&Value> = applied.iter().map(|manifest| &manifest.value).collect();
        let platform = platform::Platform::new(&[&base, &db], &values);
        let findings = lint::check(&platform, &lint::Sources::default());
        let errors: Vec<String> = findings
            .iter()
            .filter(|finding| finding.severity == lint::Severity::Error)
            .map(ToString::to_string)
            .collect();
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(platform.pools.len(), 3);
        assert_eq!(
            platform
                .workloads
                .iter()
                .filter(|workload| workload.required_labels.contains_key(platform::POOL_LABEL))
                .count(),
            platform.workloads.len()
        );
        assert_eq!(platform.database.unwrap().size, "Standard_B1ms");
    }
}
