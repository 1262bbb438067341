//! Compiling the backend so that it needs nothing of the machine it runs on.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stack::Reporter;

use crate::error::{CliError, Result};
use crate::project::Project;

fn target() -> String {
    format!("{}-unknown-linux-musl", std::env::consts::ARCH)
}

/// The program's path. Says everything that is missing at once.
pub async fn compile(project: &Project, reporter: &dyn Reporter) -> Result<PathBuf> {
    let target = target();
    let missing = missing(&target, standard_library(&project.root, &target).as_deref(), &search_path());
    if !missing.is_empty() {
        let list = missing.iter().map(|(what, _)| format!("\n  {what}")).collect::<String>();
        let steps: Vec<&str> = missing.iter().map(|(_, step)| step.as_str()).collect();
        return Err(CliError::bad_input(format!("this machine cannot compile a static backend; missing:{list}"))
            .advice(format!("Run `{}`, or name a static program with --program.", steps.join(" && "))));
    }
    reporter.status(&format!("compiling the backend for {target}"));
    let status = tokio::process::Command::new("cargo")
        .args(["build", "--release", "--locked", "--package", "marea-backend", "--target", &target])
        .current_dir(&project.root)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .await
        .map_err(|error| {
            CliError::failed(format!("cargo could not be started: {error}")).advice("Install Rust: https://rustup.rs")
        })?;
    if !status.success() {
        return Err(CliError::failed("the backend did not compile").advice("What cargo printed above says why."));
    }
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| project.root.join("target"), PathBuf::from);
    Ok(project.root.join(folder).join(target).join("release/marea-backend"))
}

/// Where rustc looks for the target's standard library. Asked in the repository, whose rust-toolchain.toml chooses the toolchain.
fn standard_library(root: &Path, target: &str) -> Option<PathBuf> {
    let asked = Command::new("rustc").args(["--print", "target-libdir", "--target", target]).current_dir(root).output();
    let output = asked.ok().filter(|output| output.status.success())?;
    Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
}

fn search_path() -> Vec<PathBuf> {
    std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default()
}

/// What is missing, with the command that brings it.
fn missing(target: &str, standard_library: Option<&Path>, search: &[PathBuf]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    if !standard_library.is_some_and(Path::is_dir) {
        found.push((format!("Rust's standard library for {target}"), format!("rustup target add {target}")));
    }
    // aws-lc, the TLS library's cryptography, is C. `cc` looks for a compiler of this name.
    if !search.iter().any(|folder| folder.join("musl-gcc").is_file()) {
        found.push((
            "the C compiler musl-gcc (Debian's package musl-tools)".to_owned(),
            "sudo apt-get install musl-tools".to_owned(),
        ));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_missing_is_named_with_its_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let search = [folder.path().to_owned()];
        let target = "x86_64-unknown-linux-musl";
        let commands = |found: Vec<(String, String)>| found.into_iter().map(|(_, command)| command).collect::<Vec<_>>();
        assert_eq!(
            commands(missing(target, Some(&folder.path().join("lib")), &search)),
            ["rustup target add x86_64-unknown-linux-musl", "sudo apt-get install musl-tools"]
        );
        std::fs::write(folder.path().join("musl-gcc"), "").unwrap();
        assert_eq!(commands(missing(target, None, &search)).len(), 1);
        assert!(missing(target, Some(folder.path()), &search).is_empty());
    }
}
