//! The template as committed, the schema as committed, and what configuration errors look like.

use std::path::{Path, PathBuf};

use infrastructure_k8s_db::{Config, Db, Inputs};
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
    config::load(&stack::file::path(folder().parent().unwrap(), infrastructure_k8s_db::FOLDER, environment)).unwrap()
}

fn inputs() -> Inputs {
    let subscription = "00000000-0000-0000-0000-000000000001";
    Inputs {
        subscription_id: subscription.into(),
        cluster_resource_group: "marea-base".into(),
        cluster_network_name: "marea".into(),
        cluster_network_id: format!(
            "/subscriptions/{subscription}/resourceGroups/marea-base/providers/Microsoft.Network/virtualNetworks/marea"
        ),
        backend_subnet_prefix: "10.224.2.0/24".into(),
        password_revision: "0123456789ab".into(),
    }
}

#[test]
fn the_templates_are_as_committed() {
    for environment in ["local", "production"] {
        let file = load(environment);
        assert_eq!(file.config.problems(), Vec::<String>::new());
        let template = serde_json::to_string_pretty(&Db::template(&file.config, &inputs())).unwrap() + "\n";
        check_golden(&folder().join(format!("tests/golden/template.{environment}.json")), &template);
    }
}

#[test]
fn the_schema_is_as_committed() {
    check_golden(&folder().join("stack.schema.json"), &stack::schema::<Config>());
}

#[test]
fn a_rotated_password_changes_the_template_and_is_not_in_it() {
    let config = load("local").config;
    let rotated = Inputs { password_revision: "ba9876543210".into(), ..inputs() };
    assert_ne!(Db::template(&config, &inputs()), Db::template(&config, &rotated));
    let text = serde_json::to_string(&Db::template(&config, &inputs())).unwrap();
    assert!(text.contains("\"administratorLoginPassword\":\"[parameters('administratorPassword')]\""));
}

fn check_problem(from: &str, to: &str, expected: &str) {
    let text = std::fs::read_to_string(folder().join("stack.local.yaml")).unwrap().replace(from, to);
    let problems = match config::parse::<StackFile<Config>>(Path::new("stack.local.yaml"), &text) {
        Ok(file) => file.config.problems().join("\n"),
        Err(error) => error.to_string(),
    };
    assert!(problems.contains(expected), "{problems}");
}

#[test]
fn wrong_values_are_named() {
    check_problem("storageGib: 32", "storageGib: 16", "config.storageGib: 16 is less than Azure's minimum of 32");
    check_problem("size: Standard_B1ms", "size: Standard_Huge", "set `userConnections`");
    check_problem("storageGib", "storageGB", "unknown key `storageGB`; did you mean `storageGib`?");
    check_problem("target: local", "target: locale", "unknown value `locale`; did you mean `local`?");
}
