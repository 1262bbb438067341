//! Stock kubectl, where there is one.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Names that distributions and cloud tool kits install it under.
const NAMES: &[&str] = &["kubectl", "kubectl.1.33"];

pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Ran {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ran { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

/// Where `conformance/programs/build` puts it, newest version first.
fn built() -> Vec<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let caches = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let Some(programs) = set("MAREA_PROGRAMS").or_else(|| Some(caches?.join("marea/programs"))) else {
        return Vec::new();
    };
    let versions = std::fs::read_dir(programs).into_iter().flatten().filter_map(Result::ok);
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("kubectl")).collect();
    found.sort();
    found.reverse();
    found
}

/// Every kubectl on this machine; says so when there is none.
#[allow(clippy::print_stdout, reason = "a skipped test says so")]
pub fn installed() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push("/usr/lib/google-cloud-sdk/bin".into());
    let named = NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let stated = std::env::var_os("KUBECTL").map(PathBuf::from);
    let mut found: Vec<PathBuf> = Vec::new();
    for program in stated.into_iter().chain(built()).chain(named) {
        let Ok(program) = program.canonicalize() else { continue };
        if !found.contains(&program) {
            found.push(program);
        }
    }
    if found.is_empty() {
        println!("skipped: there is no kubectl; conformance/programs/build kubectl builds one");
    }
    found
}

impl Kubectl {
    pub fn new(program: &Path, kubeconfig: &Path) -> Kubectl {
        let cache = kubeconfig.with_extension("cache");
        Kubectl { program: program.to_owned(), kubeconfig: kubeconfig.to_owned(), cache }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--kubeconfig").arg(&self.kubeconfig).arg("--cache-dir").arg(&self.cache).args(arguments);
        command.env_remove("KUBECONFIG").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs with `input` as standard input.
    pub fn with_input(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = self.command(arguments).spawn().expect("kubectl starts");
        let mut stdin = child.stdin.take().expect("standard input");
        // A command that ends without reading leaves a broken pipe, which is its good right.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().expect("kubectl ends").into()
    }

    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.with_input(arguments, "")
    }

    /// The standard output of what must succeed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        self.ok_with(arguments, "")
    }

    pub fn ok_with(&self, arguments: &[&str], input: &str) -> String {
        let ran = self.with_input(arguments, input);
        assert_eq!(ran.code, Some(0), "kubectl {arguments:?}\n{}\n{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// Forwards a free local port while `check` runs with its address.
    pub fn forwarding(&self, pod: &str, port: u16, check: impl FnOnce(&str)) {
        let mut child = self
            .command(&["port-forward", pod, &format!(":{port}"), "--address=127.0.0.1"])
            .spawn()
            .expect("kubectl starts");
        let mut line = String::new();
        // Kept open: kubectl goes on to announce every connection there.
        let mut stdout = BufReader::new(child.stdout.take().expect("standard output"));
        stdout.read_line(&mut line).expect("a line");
        let address =
            line.strip_prefix("Forwarding from ").and_then(|rest| rest.split_whitespace().next()).map(str::to_owned);
        if let Some(address) = &address {
            check(address);
        }
        child.kill().expect("kubectl is still there");
        let ran: Ran = child.wait_with_output().expect("kubectl ends").into();
        assert!(address.is_some(), "no address in {line:?}: {}", ran.stderr);
    }

    /// The standard error of what must fail.
    pub fn fails(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_ne!(ran.code, Some(0), "kubectl {arguments:?} succeeds\n{}", ran.stdout);
        ran.stderr
    }
}
