//! The template as committed, the schema as committed, and what configuration errors look like.

use std::path::{Path, PathBuf};

use infrastructure_k8s_base::{Base, Config, Inputs, unsupported};
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
    config::load(&stack::file::path(folder().parent().unwrap(), infrastructure_k8s_base::FOLDER, environment)).unwrap()
}

fn inputs(cluster_exists: bool) -> Inputs {
    Inputs { subscription_id: "00000000-0000-0000-0000-000000000001".into(), cluster_exists }
}

#[test]
fn the_templates_are_as_committed() {
    for environment in ["local", "production"] {
        let file = load(environment);
        assert_eq!(file.config.problems(), []);
        let template = serde_json::to_string_pretty(&Base::template(&file.config, &inputs(false))).unwrap() + "\n";
        check_golden(&folder().join(format!("tests/golden/template.{environment}.json")), &template);
    }
}

#[test]
fn the_schema_is_as_committed() {
    check_golden(&folder().join("stack.schema.json"), &stack::schema::<Config>());
}

#[test]
fn an_update_leaves_autoscaled_counts_alone() {
    let config = load("local").config;
    let text = |exists| serde_json::to_string(&Base::template(&config, &inputs(exists))).unwrap();
    assert_eq!(text(false).matches("\"count\":").count(), 3);
    assert_eq!(text(true).matches("\"count\":").count(), 1);
}

#[test]
fn the_seeds_sizes_are_named_as_unsupported() {
    let findings: Vec<String> = unsupported(&load("production").config).iter().map(ToString::to_string).collect();
    assert_eq!(findings.len(), 5, "{findings:#?}");
    assert!(
        findings
            .iter()
            .any(|text| text.starts_with("config.nodePools.systempool.vmSize") && text.contains("Standard_D4als_v6"))
    );
}

fn check_problem(yaml: &str, expected: &str) {
    let text = std::fs::read_to_string(folder().join("stack.local.yaml"))
        .unwrap()
        .replace("    backend: {vmSize: Standard_B2s, min: 1, max: 5, subnet: 10.224.2.0/24}", yaml);
    let problems = match config::parse::<StackFile<Config>>(Path::new("stack.local.yaml"), &text) {
        Ok(file) => file.config.problems().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        Err(error) => error.to_string(),
    };
    assert!(problems.contains(expected), "{problems}");
}

#[test]
fn wrong_values_are_named() {
    check_problem(
        "    backend: {vmSize: Standard_B2s, min: 5, max: 1, subnet: 10.224.2.0/24}",
        "config.nodePools.backend: min 5 and max 1 leave no number of nodes",
    );
    check_problem(
        "    backend: {vmSize: Standard_B2s, min: 1, subnet: 10.224.2.0/24}",
        "set either `count`, or both `min` and `max`",
    );
    check_problem("    Back-End: {vmSize: Standard_B2s, count: 1, subnet: 10.224.2.0/24}", "a pool's name is");
    check_problem(
        "    backend: {vmSise: Standard_B2s, min: 1, max: 5, subnet: 10.224.2.0/24}",
        "unknown key `vmSise`; did you mean `vmSize`?",
    );
    check_problem(
        "    backend: {vmSize: Standard_B2s, min: many, max: 5, subnet: 10.224.2.0/24}",
        "stack.local.yaml:10: `min`: invalid u32",
    );
}
