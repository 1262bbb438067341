use std::os::unix::fs::PermissionsExt;

use super::*;

const DEADLINE: Duration = Duration::from_secs(10);

/// A program in the cloud's place: says that it was started, and stays until its data directory is gone.
fn program(folder: &Path) -> PathBuf {
    let path = folder.join("program");
    let script = "#!/bin/sh\necho >\"$MAREA_DATA_DIR/spawned\"\nwhile [ -d \"$MAREA_DATA_DIR\" ]; do sleep 0.1; done\n";
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    path
}

fn connection() -> Connection {
    Connection {
        pid: 0,
        arm_endpoint: "https://127.0.0.1:4443".into(),
        authority_host: "https://127.0.0.1:4443/".into(),
        tenant_id: String::new(),
        subscription_id: String::new(),
        client_id: String::new(),
        client_secret: String::new(),
        ca_file: PathBuf::new(),
        kubeconfig: PathBuf::new(),
        console_url: String::new(),
        isolation: "none".into(),
    }
}

async fn wait_for(path: &Path) {
    let there = async {
        while !path.exists() {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(DEADLINE, there).await.unwrap_or_else(|_| panic!("{} is not there", path.display()));
}

/// Answers calls in the cloud's place.
fn answer(folder: &Folder) {
    let mut calls = control::listen(&folder.control_socket()).unwrap();
    tokio::spawn(async move {
        while let Some(call) = calls.recv().await {
            call.answer.send(serde_json::json!({})).unwrap();
        }
    });
}

#[tokio::test]
async fn a_killed_cloud_whose_last_thread_still_holds_the_directory_is_followed_by_a_new_one() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = Folder::new(temporary.path().join("data"));
    let last_thread = folder.lock().unwrap().unwrap();
    connection().save(&folder).unwrap();
    let program = program(temporary.path());
    let started = tokio::spawn({
        let folder = folder.clone();
        async move { start(&folder, &program, &[]).await }
    });
    for _ in 0..3 {
        tokio::time::sleep(POLL).await;
    }
    let spawned = folder.root().join("spawned");
    assert!(!spawned.exists() && !started.is_finished());
    drop(last_thread);
    wait_for(&spawned).await;
    answer(&folder);
    let reached = tokio::time::timeout(DEADLINE, started).await.unwrap().unwrap().unwrap();
    assert_eq!(reached.0.arm_endpoint, connection().arm_endpoint);
}

#[tokio::test]
async fn a_start_that_another_one_outruns_waits_for_the_other_cloud() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = Folder::new(temporary.path().join("data"));
    let started = tokio::spawn({
        let folder = folder.clone();
        // It ends once the other one holds the directory, as a cloud does.
        let loser = r#"echo >"$MAREA_DATA_DIR/spawned"
            while [ -d "$MAREA_DATA_DIR" ] && [ ! -e "$MAREA_DATA_DIR/taken" ]; do sleep 0.01; done; exit 1"#;
        async move { start(&folder, Path::new("/bin/sh"), &["-c", loser]).await }
    });
    wait_for(&folder.root().join("spawned")).await;
    let _winner = folder.lock().unwrap().unwrap();
    std::fs::write(folder.root().join("taken"), "").unwrap();
    connection().save(&folder).unwrap();
    answer(&folder);
    assert!(tokio::time::timeout(DEADLINE, started).await.unwrap().unwrap().is_ok());
}

#[tokio::test]
async fn a_program_that_ends_is_reported_with_the_end_of_its_log() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = Folder::new(temporary.path().join("data"));
    let error = start(&folder, Path::new("/bin/sh"), &["-c", "echo cannot listen >&2; exit 1"]).await.err().unwrap();
    assert!(error.to_string().contains("cannot listen"), "{error}");
}
