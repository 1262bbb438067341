//! Compiling the backend so that it needs nothing of the machine it runs on.
//!
//! With musl where its Rust target and compiler are installed, else with the static library of this machine's glibc, which a C compiler brings
//! along. Since version 2.34 glibc carries the name services `files` and `dns` itself, so that a static program finds hosts without a file beside it.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stack::Reporter;

use crate::error::{CliError, Result};
use crate::project::Project;

/// The first glibc whose static library looks names up without loading others.
const GLIBC: (u32, u32) = (2, 34);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Library {
    Musl,
    Glibc,
}

impl Library {
    fn target(self) -> String {
        let name = match self {
            Library::Musl => "musl",
            Library::Glibc => "gnu",
        };
        format!("{}-unknown-linux-{name}", std::env::consts::ARCH)
    }
}

/// What this machine has to compile with.
struct Found {
    /// Rust's standard library for musl.
    musl_target: bool,
    musl_gcc: bool,
    /// glibc's static library.
    libc_a: bool,
    glibc: Option<(u32, u32)>,
}

/// The program's path. Says everything that is missing at once.
pub async fn compile(project: &Project, reporter: &dyn Reporter) -> Result<PathBuf> {
    let library = choose(&Found::here(&project.root))?;
    let target = library.target();
    reporter.status(&format!("compiling the backend for {target}"));
    let mut cargo = tokio::process::Command::new("cargo");
    cargo
        // With a target of its own, programs that the build runs are not linked statically.
        .args(["build", "--release", "--locked", "--package", "marea-backend", "--target", &target])
        .current_dir(&project.root)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    if library == Library::Glibc {
        cargo.env(flags_variable(&target), "-C target-feature=+crt-static").env_remove("RUSTFLAGS");
    }
    let status = cargo.status().await.map_err(|error| {
        CliError::failed(format!("cargo could not be started: {error}")).advice("Install Rust: https://rustup.rs")
    })?;
    if !status.success() {
        return Err(CliError::failed("the backend did not compile").advice("What cargo printed above says why."));
    }
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| project.root.join("target"), PathBuf::from);
    Ok(project.root.join(folder).join(target).join("release/marea-backend"))
}

/// `CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS`
fn flags_variable(target: &str) -> String {
    format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_uppercase().replace('-', "_"))
}

impl Found {
    fn here(root: &Path) -> Found {
        let musl = standard_library(root, &Library::Musl.target());
        let search: Vec<PathBuf> =
            std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default();
        Found {
            musl_target: musl.is_some_and(|folder| folder.is_dir()),
            musl_gcc: search.iter().any(|folder| folder.join("musl-gcc").is_file()),
            libc_a: printed(Command::new("cc").arg("-print-file-name=libc.a"))
                .is_some_and(|path| Path::new(&path).is_file()),
            glibc: printed(Command::new("getconf").arg("GNU_LIBC_VERSION")).and_then(|text| version(&text)),
        }
    }
}

/// Where rustc looks for the target's standard library. Asked in the repository, whose rust-toolchain.toml chooses the toolchain.
fn standard_library(root: &Path, target: &str) -> Option<PathBuf> {
    printed(Command::new("rustc").args(["--print", "target-libdir", "--target", target]).current_dir(root))
        .map(PathBuf::from)
}

fn printed(command: &mut Command) -> Option<String> {
    let output = command.stderr(Stdio::null()).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

/// `glibc 2.36`
fn version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.strip_prefix("glibc ")?.split_once('.')?;
    let minor = minor.split('.').next()?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn choose(found: &Found) -> Result<Library> {
    // aws-lc, the TLS library's cryptography, is C. `cc` looks for a compiler of this name.
    if found.musl_target && found.musl_gcc {
        return Ok(Library::Musl);
    }
    if found.libc_a && found.glibc.is_some_and(|version| version >= GLIBC) {
        return Ok(Library::Glibc);
    }
    let musl = Library::Musl.target();
    let mut missing = Vec::new();
    if !found.libc_a {
        missing.push("glibc's static library libc.a (Debian's package libc6-dev)".to_owned());
    } else {
        let has = found.glibc.map_or_else(|| "none".to_owned(), |(major, minor)| format!("{major}.{minor}"));
        missing.push(format!("a glibc of {}.{} or later (this machine has {has})", GLIBC.0, GLIBC.1));
    }
    let mut instead = Vec::new();
    if !found.musl_target {
        instead.push(format!("rustup target add {musl}"));
    }
    if !found.musl_gcc {
        instead.push("sudo apt-get install musl-tools".to_owned());
    }
    Err(CliError::bad_input(format!("this machine cannot compile a static backend; missing: {}", missing.join(", ")))
        .advice(format!(
            "Run `sudo apt-get install libc6-dev`, or, for musl, `{}`, or name a static program with --program.",
            instead.join(" && ")
        )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn musl_is_preferred_and_a_static_glibc_will_do() {
        let check = |musl_target, musl_gcc, libc_a, glibc, expected: Result<Library>| {
            let chosen = choose(&Found { musl_target, musl_gcc, libc_a, glibc });
            match (chosen, expected) {
                (Ok(chosen), Ok(expected)) => assert_eq!(chosen, expected),
                (Err(chosen), Err(expected)) => {
                    let text = chosen.to_string();
                    assert!(text.contains(&expected.message), "{text}");
                }
                (chosen, expected) => panic!("{chosen:?} instead of {expected:?}"),
            }
        };
        let lacks = |words: &str| Err(CliError::bad_input(words));
        check(true, true, true, Some((2, 36)), Ok(Library::Musl));
        check(true, false, true, Some((2, 36)), Ok(Library::Glibc));
        check(false, false, true, Some((2, 34)), Ok(Library::Glibc));
        check(false, false, true, Some((2, 31)), lacks("a glibc of 2.34 or later (this machine has 2.31)"));
        check(false, false, true, None, lacks("this machine has none"));
        check(false, true, false, Some((2, 36)), lacks("libc6-dev"));
        check(false, true, false, None, lacks("rustup target add"));
    }

    #[test]
    fn names_are_read_and_made_as_their_owners_write_them() {
        assert_eq!(version("glibc 2.36"), Some((2, 36)));
        assert_eq!(version("musl"), None);
        assert_eq!(flags_variable("x86_64-unknown-linux-gnu"), "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS");
    }
}
