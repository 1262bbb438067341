//! One valid platform; each test breaks one thing and expects one finding, and every rule has such a test.

mod faults;
mod odd_input;

use std::collections::BTreeSet;

use arm_model::Template;
use lint::{Document, Finding, Lines, RULES, Sources, StackFile};
use platform::Platform;
use serde_json::Value;

const MANIFESTS: &str = include_str!("clean.yaml");
const TEMPLATE: &str = include_str!("template.json");

/// The valid platform, to be broken.
struct Fixture {
    template: Value,
    manifests: Vec<Value>,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture {
            template: serde_json::from_str(TEMPLATE).unwrap(),
            manifests: serde_saphyr::from_multiple(MANIFESTS).unwrap(),
        }
    }

    fn object(&mut self, kind: &str, name: &str) -> &mut Value {
        let found =
            self.manifests.iter_mut().find(|object| object["kind"] == kind && object["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no {kind} {name}"))
    }

    /// The pod of the Deployment `web`.
    fn pod(&mut self) -> &mut Value {
        &mut self.object("Deployment", "web")["spec"]["template"]["spec"]
    }

    fn container(&mut self) -> &mut Value {
        &mut self.pod()["containers"][0]
    }

    fn hpa(&mut self) -> &mut Value {
        &mut self.object("HorizontalPodAutoscaler", "web")["spec"]
    }

    fn resource(&mut self, kind: &str, name: &str) -> &mut Value {
        let resources = self.template["resources"].as_array_mut().unwrap();
        let found = resources
            .iter_mut()
            .find(|resource| resource["name"] == name && resource["type"].as_str().unwrap().ends_with(kind));
        &mut found.unwrap_or_else(|| panic!("no {kind} {name}"))["properties"]
    }

    fn pool(&mut self, index: usize) -> &mut Value {
        &mut self.resource("managedClusters", "shop")["agentPoolProfiles"][index]
    }

    /// A user pool for which nothing is meant.
    fn add_pool(&mut self, size: &str) {
        let pools = self.resource("managedClusters", "shop")["agentPoolProfiles"].as_array_mut().unwrap();
        let taints = ["marea.dev/pool=other:NoSchedule"];
        pools.push(
            serde_json::json!({"name": "other", "mode": "User", "vmSize": size, "count": 1, "nodeTaints": taints}),
        );
    }

    fn findings(&self) -> Vec<Finding> {
        let template: Template = serde_json::from_value(self.template.clone()).unwrap();
        let manifests: Vec<&Value> = self.manifests.iter().collect();
        let sources = Sources {
            documents: vec![Document { file: "shop.yaml".into(), lines: Lines::default() }],
            objects: vec![Some(0); self.manifests.len()],
            base: Some(StackFile::Template("shop.json".into())),
            database: Some(StackFile::Template("shop.json".into())),
            ruled: Vec::new(),
        };
        lint::check(&Platform::new(&[&template], &manifests), &sources)
    }
}

/// Breaks one thing and expects one finding, whose line contains the text; says what is otherwise.
fn check(rule: &str, break_it: impl FnOnce(&mut Fixture), expected: &str) -> Result<(), String> {
    let mut fixture = Fixture::new();
    break_it(&mut fixture);
    let findings = fixture.findings();
    let lines: Vec<String> = findings.iter().map(|finding| format!("{finding} at {}", finding.place.field)).collect();
    match lines.as_slice() {
        [line] if findings[0].rule == rule && line.contains(expected) => Ok(()),
        lines => Err(format!("{rule}: expected one line with `{expected}`, found {lines:#?}")),
    }
}

#[test]
fn a_valid_platform_has_no_finding() {
    let lines: Vec<String> = Fixture::new().findings().iter().map(ToString::to_string).collect();
    assert_eq!(lines, Vec::<String>::new());
}

#[test]
fn ids_are_unique_and_every_rule_has_a_fault() {
    let ids: BTreeSet<&str> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(ids.len(), RULES.len());
    let tested: BTreeSet<&str> = faults::FAULTS.iter().map(|fault| fault.rule).collect();
    let untested: Vec<&&str> = ids.difference(&tested).collect();
    assert!(untested.is_empty(), "rules without a fault in faults.rs: {untested:?}");
    for rule in RULES {
        for text in [rule.why, rule.example, rule.advice] {
            assert!(!text.is_empty() && !text.contains('\n'), "{}: {text}", rule.id);
        }
    }
}

#[test]
fn each_fault_has_one_finding() {
    let problems: Vec<String> =
        faults::FAULTS.iter().filter_map(|fault| check(fault.rule, fault.break_it, fault.expected).err()).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// `docs/rules.md` is the table; `MAREA_WRITE=1 cargo test -p lint` writes it anew.
#[test]
fn the_documented_table_is_the_list() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/rules.md");
    if std::env::var_os("MAREA_WRITE").is_some() {
        std::fs::write(path, lint::table()).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == lint::table(), "docs/rules.md differs; MAREA_WRITE=1 cargo test -p lint writes it anew");
}
