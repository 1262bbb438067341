//! The command line as people use it, without any cloud: arguments in, exit code and words out.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A repository of its own with its own home, so that tests run side by side and touch nothing of the user's.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for name in ["infrastructure-k8s-base", "infrastructure-k8s-db", "infrastructure-k8s-deploy", "k8s"] {
            copy(&source.join(name), &folder.path().join("repository").join(name));
        }
        Place { folder }
    }

    fn repository(&self) -> std::path::PathBuf {
        self.folder.path().join("repository")
    }

    fn edit(&self, file: &str, from: &str, to: &str) {
        let path = self.repository().join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} has no `{from}`");
        std::fs::write(path, text.replace(from, to)).unwrap();
    }

    /// Runs and compares: the exit code, and what each stream must contain.
    fn check(&self, arguments: &[&str], input: &str, exit: i32, expected: &[&str]) -> String {
        let home = self.folder.path().join("home");
        let mut child = Command::new(env!("CARGO_BIN_EXE_marea"))
            .args(arguments)
            .current_dir(self.repository())
            .env_clear()
            .env("HOME", &home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that refuses its arguments does not read its input.
        let _ = std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(exit), "{arguments:?}: {text}");
        for words in expected {
            assert!(text.contains(words), "{arguments:?} lacks `{words}`: {text}");
        }
        String::from_utf8(output.stdout).unwrap()
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn usage_errors_exit_with_two() {
    let place = Place::new();
    place.check(&[], "", 2, &["Usage:"]);
    place.check(&["frobnicate"], "", 2, &["unrecognized subcommand"]);
    place.check(&["explain", "backend"], "", 2, &["`backend` is not hpa/NAME, pod/NAME or pool/NAME"]);
    place.check(
        &["drift", "--env", "staging"],
        "",
        2,
        &["stack.staging.yaml does not exist", "Environments are: local, production."],
    );
    place.check(&["up", "--help"], "", 0, &["marea up --atomic --json"]);
    place.check(&["version", "--json"], "", 0, &["\"kubernetes\":\"1.36\""]);
    place.check(&["completion", "bash"], "", 0, &["complete -F _marea"]);
}

#[test]
fn without_a_cloud_the_way_to_one_is_named() {
    let place = Place::new();
    for arguments in [["status"].as_slice(), &["outputs"], &["local", "kubeconfig"], &["local", "azure-env"]] {
        place.check(arguments, "", 1, &["error: no local cloud runs in ", "`marea local start`"]);
    }
    place.check(&["local", "status", "--json"], "", 0, &["\"running\":false"]);
}

#[test]
fn a_wrong_configuration_is_told_before_anything_is_started() {
    let place = Place::new();
    place.edit("infrastructure-k8s-deploy/stack.local.yaml", "max: 10", "maximum: 10");
    place.check(&["up"], "", 2, &["infrastructure-k8s-deploy/stack.local.yaml:8: unknown key `maximum`"]);
    let place = Place::new();
    place.edit("k8s/backend/deployment.yaml", "values: [backend]", "values: [bakend]");
    place.check(&["up"], "", 2, &["Deployment platform/backend asks for the pool `bakend`, which no template has"]);
    let place = Place::new();
    place.edit("k8s/backend/hpa.yaml", "kind: HorizontalPodAutoscaler", "kind: [");
    place.check(&["preview"], "", 2, &["k8s/backend/hpa.yaml:"]);
    let place = Place::new();
    place.check(
        &["preview", "--env", "production"],
        "",
        5,
        &["Azure documents as unsupported", "Standard_D4als_v6", "--allow-unsupported"],
    );
    place.check(
        &["preview", "--env", "production", "--allow-unsupported"],
        "",
        2,
        &["no Azure subscription is named for `production`", "AZURE_SUBSCRIPTION_ID"],
    );
}

#[test]
fn data_is_not_deleted_by_accident() {
    let place = Place::new();
    place.check(&["destroy", "db"], "", 5, &["--delete-data is not given", "Nothing was deleted."]);
}

#[test]
fn secrets_go_into_the_stack_file_and_come_back() {
    let place = Place::new();
    place.check(
        &["secret", "set", "databasePassword", "--env", "production"],
        "s3cret value\n",
        0,
        &["is encrypted in"],
    );
    let file = std::fs::read_to_string(place.repository().join("infrastructure-k8s-db/stack.production.yaml")).unwrap();
    assert!(file.contains("recipients:") && !file.contains("s3cret"), "{file}");
    assert!(file.contains("# A client that died inside a transaction"), "comments stay: {file}");
    assert_eq!(
        place.check(&["secret", "get", "databasePassword", "--env", "production"], "", 0, &[]),
        "s3cret value\n"
    );
    let listed = place.check(&["secret", "list", "--env", "production"], "", 0, &["databasePassword"]);
    assert!(!listed.contains("s3cret"));
    place.check(
        &["secret", "get", "databasePasword", "--env", "production"],
        "",
        2,
        &["did you mean `databasePassword`?"],
    );
    place.check(&["secret", "set", "empty"], "", 2, &["the value on standard input is empty"]);

    // Somebody else's key does not open it, and says whose would.
    std::fs::remove_file(place.folder.path().join("home/.config/marea/key.txt")).unwrap();
    place.check(
        &["secret", "get", "databasePassword", "--env", "production"],
        "",
        5,
        &["cannot be decrypted with the key", "age1"],
    );
}

#[test]
fn decisions_are_made_from_standard_input() {
    let place = Place::new();
    let document = r#"{"nodes": [{"metadata": {"name": "a"}, "status": {"allocatable": {"cpu": "2", "memory": "4Gi", "pods": "30"}}}], "pod": {"metadata": {"name": "p"}, "spec": {"containers": []}}}"#;
    place.check(&["decide", "schedule"], document, 0, &["\"feasible\":{\"a\":true}"]);
    place.check(
        &["decide", "schedule"],
        "{\"nodes\": [], \"pod\": {}, \"podz\": []}",
        2,
        &["error: line 1: podz: unknown field"],
    );
}

#[test]
fn exports_need_no_cloud() {
    let place = Place::new();
    place.check(&["export", "arm", "base"], "", 0, &["Microsoft.ContainerService/managedClusters"]);
    place.check(&["export", "pulumi", "db"], "", 0, &["azure-native:dbforpostgresql:Server"]);
    let deploy = place.check(&["export", "arm", "deploy"], "", 0, &["kind: HorizontalPodAutoscaler"]);
    assert!(!deploy.contains("kind: Secret\n"));
}

/// The smallest ELF header that says: a 64-bit program for x86-64 with these program headers.
fn elf(segments: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 64 + segments.len() * 56];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    (bytes[18], bytes[32], bytes[54], bytes[56]) = (62, 64, 56, segments.len() as u8);
    for (index, kind) in segments.iter().enumerate() {
        bytes[64 + index * 56] = *kind;
    }
    bytes
}

#[test]
fn images_are_built_from_static_programs_and_pinned_bases_only() {
    let place = Place::new();
    let program = place.repository().join("program");
    std::fs::write(&program, elf(&[1, 3])).unwrap();
    let build = ["image", "build", "backend", "--program", "program"];
    place.check(&build, "", 2, &["linked dynamically", "+crt-static", "without --program"]);
    std::fs::write(&program, elf(&[1])).unwrap();
    let first = place.check(&build, "", 0, &["backend: sha256:", "target/images/backend"]);
    assert_eq!(place.check(&build, "", 0, &[]), first, "the same program gives the same digest");
    // Where nothing is installed that could compile.
    let nothing = Command::new(env!("CARGO_BIN_EXE_marea"))
        .args(["image", "build", "backend"])
        .current_dir(place.repository())
        .env_clear()
        .env("PATH", place.folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&nothing.stderr);
    assert_eq!(nothing.status.code(), Some(2), "{told}");
    for words in ["cannot compile a static backend", "libc6-dev", "musl-tools", "--program"] {
        assert!(told.contains(words), "{told}");
    }
    place.check(
        &["image", "build", "frontend", "--base", "a.example/nginx:1"],
        "",
        2,
        &["no built console", "npm run build"],
    );
    std::fs::create_dir_all(place.repository().join("frontend/dist")).unwrap();
    std::fs::write(place.repository().join("frontend/dist/index.html"), "<html>").unwrap();
    place.check(&["image", "build", "frontend"], "", 2, &["none is named", "--base"]);
    place.check(&["image", "build", "frontend", "--base", "a.example/Nginx:1"], "", 2, &["is not an image reference"]);
    place.check(
        &["image", "push", "frontend", "a.example/f:1"],
        "",
        2,
        &["`oci-layout`", "marea image build frontend"],
    );
    place.check(&["image", "push", "backend", "a.example/backend"], "", 2, &["REGISTRY/REPOSITORY:TAG"]);
    place.check(&["image", "push", "backend", "127.0.0.1:1/backend:1"], "", 1, &["cannot be reached"]);
}
