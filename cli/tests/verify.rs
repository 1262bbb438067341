//! `marea verify azure` against an embedded Azure Resource Manager that stands for Azure.

use std::path::Path;
use std::process::{Output, Stdio};

use arm_client::{ArmClient, Connection, Credential};
use arm_server::alone::{self, Alone};

struct Place {
    folder: tempfile::TempDir,
    azure: Alone,
}

impl Place {
    async fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let azure = alone::start(&folder.path().join("azure"), alone::SUBSCRIPTION).await.unwrap();
        Place { folder, azure }
    }

    async fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = tokio::process::Command::new(env!("CARGO_BIN_EXE_marea"))
            .args(["verify", "azure"])
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .env("HOME", self.folder.path())
            .env("MAREA_ROOT", Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .envs(self.azure.environment())
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        (status.code(), format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)))
    }

    async fn check(&self, arguments: &[&str], exit: i32, expected: &[&str]) -> String {
        let (code, text) = self.run(arguments).await;
        assert_eq!(code, Some(exit), "{arguments:?}: {text}");
        for words in expected {
            assert!(text.contains(words), "{arguments:?} lacks `{words}`: {text}");
        }
        text
    }

    /// Resource groups and recorded deployments that the subscription holds.
    async fn holds(&self) -> Vec<String> {
        let connection = Connection {
            endpoint: self.azure.endpoint.clone(),
            subscription_id: self.azure.subscription_id.clone(),
            authority: Some(self.azure.endpoint.clone()),
            certificate_authority: Some(self.azure.certificate_authority.clone()),
            credential: Credential::ClientSecret {
                tenant_id: alone::TENANT.to_owned(),
                client_id: alone::CLIENT.to_owned(),
                client_secret: alone::SECRET.to_owned(),
            },
        };
        let client = ArmClient::new(&connection).unwrap();
        let mut names = Vec::new();
        for list in ["resourcegroups", "providers/Microsoft.Resources/deploymentStacks"] {
            let path = format!("{}/{list}", client.subscription_path());
            let version = if list == "resourcegroups" { "2025-04-01" } else { "2024-03-01" };
            let found = client.list(&path, version).await.unwrap();
            names.extend(found.iter().filter_map(|one| one["name"].as_str().map(str::to_owned)));
        }
        names
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_cloud_answers_like_itself_and_everything_is_destroyed() {
    let place = Place::new().await;
    let arguments = ["--max-cost", "2", "--allow-unsupported", "--yes", "--json"];
    let text = place.check(&arguments, 0, &["It costs $", "everything is destroyed", "\"differences\":[]"]).await;
    assert_eq!(text.matches(": deployed").count(), 2, "{text}");
    assert_eq!(place.holds().await, Vec::<String>::new());
    let report = std::fs::read_to_string(place.folder.path().join("fidelity-azure.md")).unwrap();
    assert!(report.contains("No answer differed"), "{report}");
    assert!(report.contains("requests to Azure"), "{report}");
    place.check(&["--clean"], 0, &["Nothing is left"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_costs_too_much_or_cannot_be_is_refused_before_anything_is_asked() {
    let place = Place::new().await;
    let unsupported = ["--allow-unsupported", "--yes"];
    place
        .check(
            &[&["--max-cost", "0.10"][..], &unsupported].concat(),
            5,
            &["it may cost $", "--max-cost is $0.10", "Nothing was made"],
        )
        .await;
    place.check(&[&["--max-cost", "2", "--hours", "20"][..], &unsupported].concat(), 5, &["for 20 hours"]).await;
    place.check(&["--max-cost", "2", "--yes"], 5, &["Azure documents as unsupported"]).await;
    place.check(&["--max-cost", "2", "--allow-unsupported"], 5, &["it was not confirmed"]).await;
    place.check(&["--max-cost", "2", "--env", "local"], 2, &["for this machine"]).await;
    place.check(&["--yes"], 2, &["--max-cost"]).await;
    assert_eq!(place.holds().await, Vec::<String>::new());
}
