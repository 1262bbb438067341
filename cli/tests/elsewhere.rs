//! `--target kube:CONTEXT` against a Kubernetes API that the test starts: a cluster that none of the stacks made.

#[path = "../../crates/kube-server/tests/api/support/cluster.rs"]
mod cluster;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::io::AsyncWriteExt;

use cluster::Cluster;

const SETTINGS: &str = "
  certificateAuthorityFile: azure-postgresql-roots.pem
  database: {host: postgres.example, name: shop, user: shopkeeper, userConnections: 90}
";

struct Place {
    folder: tempfile::TempDir,
    kubeconfig: PathBuf,
}

impl Place {
    /// A repository with an environment `elsewhere`.
    fn new(cluster: &Cluster) -> Place {
        let folder = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        for name in ["infrastructure-k8s-base", "infrastructure-k8s-db", "infrastructure-k8s-deploy", "k8s"] {
            copy(&source.join(name), &folder.path().join(name));
        }
        let stack = folder.path().join("infrastructure-k8s-deploy");
        let local = std::fs::read_to_string(stack.join("stack.local.yaml")).unwrap();
        std::fs::write(stack.join("stack.elsewhere.yaml"), local.trim_end().to_owned() + SETTINGS).unwrap();
        Place { folder, kubeconfig: cluster.kubeconfig() }
    }

    async fn check(&self, line: &str, input: &str, exit: i32, expected: &[&str]) -> String {
        let mut child = tokio::process::Command::new(env!("CARGO_BIN_EXE_marea"))
            .args(line.split(' '))
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("MAREA_ENV", "elsewhere")
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdin.take().unwrap();
        // A program that refuses its arguments does not read its input.
        let _ = pipe.write_all(input.as_bytes()).await;
        drop(pipe);
        let output = child.wait_with_output().await.unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(exit), "{line}: {text}");
        for words in expected {
            assert!(text.contains(words), "{line} lacks `{words}`: {text}");
        }
        text
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

async fn client(cluster: &Cluster) -> kube::Client {
    let text = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
    let parsed = kube::config::Kubeconfig::from_yaml(&text).unwrap();
    let config = kube::Config::from_custom_kubeconfig(parsed, &Default::default()).await.unwrap();
    kube::Client::try_from(config).unwrap()
}

/// Says of every Deployment that it is rolled out, and lets namespaces go, as the controllers of a cluster with nodes would.
async fn play_controllers(client: kube::Client) {
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    loop {
        beat.tick().await;
        finalize_namespaces(&client).await;
        let Ok(found) = Api::<Deployment>::all(client.clone()).list(&ListParams::default()).await else { continue };
        for one in found {
            let replicas = one.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
            let observed = one.status.as_ref().and_then(|status| status.observed_generation);
            if observed == one.metadata.generation {
                continue;
            }
            let status = json!({"status": {
                "observedGeneration": one.metadata.generation, "replicas": replicas, "updatedReplicas": replicas,
                "readyReplicas": replicas, "availableReplicas": replicas,
            }});
            let deployments: Api<Deployment> = Api::namespaced(client.clone(), &one.namespace().unwrap());
            // It may have changed or gone meanwhile; the next beat sees that.
            let _ = deployments.patch_status(&one.name_any(), &PatchParams::default(), &Patch::Merge(&status)).await;
        }
    }
}

/// What was in them is deleted by the time that their turn comes.
async fn finalize_namespaces(client: &kube::Client) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let Ok(found) = namespaces.list(&ListParams::default()).await else { return };
    for mut one in found.into_iter().filter(|one| one.metadata.deletion_timestamp.is_some()) {
        one.spec.get_or_insert_default().finalizers = Some(Vec::new());
        // Another beat tries again.
        let _ = namespaces.replace_subresource("finalize", &one.name_any(), &PostParams::default(), &one).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_deploy_stack_lives_in_a_cluster_of_the_kubeconfig() {
    let cluster = Cluster::start().await;
    let place = Place::new(&cluster);
    let client = client(&cluster).await;
    let controllers = tokio::spawn(play_controllers(client.clone()));

    place.check("preview --target kube:test", "", 2, &["has no secret `databasePassword`", "--stack deploy"]).await;
    place.check("secret set databasePassword --stack deploy", "opensesame", 0, &[]).await;

    let text =
        place.check("preview --target kube:test", "", 3, &["deploy:", "created", "marea.dev/pool=backend"]).await;
    assert!(!text.contains("opensesame"), "{text}");
    place.check("up --target kube:test", "", 5, &["nothing was changed"]).await;
    place.check("up --target kube:test --yes", "", 0, &["release 1 of test"]).await;
    let settings: Api<ConfigMap> = Api::namespaced(client.clone(), "platform");
    let applied = settings.get("backend-config").await.unwrap().data.unwrap();
    assert_eq!((applied["PGHOST"].as_str(), applied["PGUSER"].as_str()), ("postgres.example", "shopkeeper"));
    assert_eq!(applied["DATABASE_POOL_SIZE"], "7", "(90 - 5) / (10 replicas + 1)");

    place.check("preview --target kube:test", "", 0, &["deploy: unchanged"]).await;
    place.check("drift deploy --target kube:test", "", 0, &["deploy: as declared"]).await;
    let patch = json!({"data": {"PGHOST": "elsewhere.example"}});
    settings.patch("backend-config", &PatchParams::default(), &Patch::Merge(&patch)).await.unwrap();
    place.check("drift --target kube:test", "", 3, &["deploy: differs: 1 changed", "PGHOST"]).await;
    place.check("up --target kube:test --yes --json", "", 0, &["\"changed\":true"]).await;
    assert_eq!(settings.get("backend-config").await.unwrap().data.unwrap()["PGHOST"], "postgres.example");

    place.check("destroy --target kube:test", "", 5, &["nothing was deleted"]).await;
    place.check("destroy --target kube:test --yes --json", "", 0, &["\"deleted\":[\"deploy\"]"]).await;
    let left = Api::<Deployment>::all(client).list(&ListParams::default()).await.unwrap();
    assert!(left.items.is_empty(), "{:?}", left.items.iter().map(ResourceExt::name_any).collect::<Vec<_>>());
    controllers.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_cluster_is_refused() {
    let cluster = Cluster::start().await;
    let place = Place::new(&cluster);
    place.check("preview --target kube:nowhere", "", 2, &["no context `nowhere`; it has test", "KUBECONFIG"]).await;
    place.check("preview --target azure", "", 2, &["kube:CONTEXT"]).await;
    place.check("up base --target kube:test", "", 2, &["the stack `base` is made by Azure Resource Manager"]).await;
    place.check("preview --publish --target kube:test", "", 2, &["cannot be used with"]).await;
    place.check("destroy --delete-data --target kube:test", "", 2, &["cannot be used with"]).await;
}
