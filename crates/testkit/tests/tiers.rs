//! The architecture's rules that a compiler does not check: who may depend on whom, and how large a file may grow.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const TIERS: [&[&str]; 4] = [
    &["units", "strict-json", "arm-model", "backend-api", "platform"],
    &["decide", "kube-store", "price", "arm-engine", "lint", "simulate"],
    &[
        "arm-client",
        "stack",
        "arm-server",
        "kube-server",
        "kube-controllers",
        "kubelet",
        "network",
        "edge",
        "oci",
        "fidelity",
        "local-cloud",
        "testkit",
    ],
    &["infrastructure-k8s-base", "infrastructure-k8s-db", "infrastructure-k8s-deploy", "marea-backend", "marea"],
];

/// What the vocabulary and the pure crates may use: data and algorithms, nothing that reaches the world.
const PURE_LIBRARIES: &[&str] = &[
    "base64",
    "flate2",
    "granit-parser",
    "indexmap",
    "jiff",
    "k8s-openapi",
    "libm",
    "regex",
    "schemars",
    "serde",
    "serde_json",
    "sha2",
    "smallvec",
    "thiserror",
    "utoipa",
];

/// Lines above which a source file is refused, tests aside; from 500 on it should be split.
const MAX_LINES: usize = 800;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn tiers() -> BTreeMap<&'static str, usize> {
    TIERS.iter().enumerate().flat_map(|(tier, names)| names.iter().map(move |name| (*name, tier))).collect()
}

fn dependencies(package: &Value) -> impl Iterator<Item = &str> {
    let shipped = package["dependencies"].as_array().unwrap().iter().filter(|dependency| dependency["kind"].is_null());
    shipped.map(|dependency| dependency["name"].as_str().unwrap())
}

#[test]
fn every_crate_has_a_tier_and_depends_on_its_own_or_a_lower_number() {
    let tiers = tiers();
    let mut findings = Vec::new();
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        let Some(&tier) = tiers.get(name) else {
            findings.push(format!("{name} stands in no tier: add it to this test and to ARCHITECTURE.md"));
            continue;
        };
        for dependency in dependencies(&package) {
            if let Some(&other) = tiers.get(dependency)
                && other > tier
            {
                findings.push(format!("{name} (tier {tier}) depends on {dependency} (tier {other})"));
            }
        }
        if dependencies(&package).any(|dependency| dependency == "testkit") {
            findings.push(format!("{name} ships testkit: make it a dev-dependency"));
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn the_vocabulary_and_the_pure_crates_use_pure_libraries_only() {
    let tiers = tiers();
    let mut findings = Vec::new();
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        if tiers.get(name).is_none_or(|tier| *tier > 1) {
            continue;
        }
        for dependency in dependencies(&package) {
            if !tiers.contains_key(dependency) && !PURE_LIBRARIES.contains(&dependency) {
                findings.push(format!("{name} is pure and may not use {dependency}"));
            }
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn no_source_file_outgrows_its_reader() {
    let mut findings = Vec::new();
    for folder in [
        "crates",
        "backend/src",
        "cli/src",
        "infrastructure-k8s-base",
        "infrastructure-k8s-db",
        "infrastructure-k8s-deploy",
        "frontend/src",
    ] {
        visit(&root().join(folder), &mut findings);
    }
    assert!(findings.is_empty(), "split these by noun:\n{}", findings.join("\n"));
}

fn visit(path: &Path, findings: &mut Vec<String>) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() {
            if !["tests", "target", "node_modules", "generated", "dist"].contains(&name.as_str()) {
                visit(&path, findings);
            }
        } else if [".rs", ".ts", ".tsx"].iter().any(|ending| name.ends_with(ending)) && name != "tests.rs" {
            let text = fs::read_to_string(&path).unwrap();
            // What a generator writes, nobody reads from top to bottom.
            if text.chars().take(200).collect::<String>().contains("auto-generated") {
                continue;
            }
            let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
            let lines = shipped.lines().count();
            if lines > MAX_LINES {
                findings.push(format!("{}: {lines} lines", path.display()));
            }
        }
    }
}
