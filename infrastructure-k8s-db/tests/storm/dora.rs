//! The DORA metrics over a history that the embedded ARM recorded and a repository that git made, against figures worked out by hand.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use stack::arm::Driver;
use stack::dora::{Window, measure};
use stack::history::{self, Outcome, Record};
use stack::{dora, git};

use crate::world::{Faults, SUBSCRIPTION, World};

const HOUR: Duration = Duration::from_secs(3600);

fn git(folder: &Path, date: &str, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"])
        .args(arguments)
        .env("GIT_AUTHOR_DATE", date)
        .env("GIT_COMMITTER_DATE", date)
        .output()
        .expect("git is installed");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// One commit after the other, `c1` the first.
fn repository(folder: &Path, dates: &[&str]) -> BTreeMap<String, String> {
    git(folder, dates[0], &["init", "--quiet"]);
    let ids = dates.iter().enumerate().map(|(index, date)| {
        git(folder, date, &["commit", "--quiet", "--allow-empty", "-m", "a change"]);
        (format!("c{}", index + 1), git(folder, date, &["rev-parse", "HEAD"]))
    });
    ids.collect()
}

/// What `marea up` leaves behind in ARM at a time.
async fn deploy(world: &Arc<World>, at: &str, commit: &str, stacks: &[(&str, Outcome)]) {
    world.pass_until(units::Timestamp::parse(at).expect("a time"));
    let client = world.client();
    for (stack, outcome) in stacks {
        let record = Record {
            stack,
            environment: "production",
            commit: Some(commit),
            run: at,
            duration: HOUR / 60,
            summary: "1 changed",
            outcome: *outcome,
        };
        let name = format!("marea-{stack}-{}", at.replace(':', ""));
        let scope = client.subscription_path();
        Driver { client: &client }.record(&scope, &name, Some("eastus"), record.tags()).await.expect("it is recorded");
    }
}

async fn recorded_metrics() -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let c = repository(
        folder.path(),
        &[
            "2026-11-08T09:00:00Z",
            "2026-11-10T09:00:00Z",
            "2026-11-10T15:00:00Z",
            "2026-11-12T08:00:00Z",
            "2026-11-13T10:00:00Z",
            "2026-11-15T12:00:00Z",
        ],
    );
    let world = World::new(0, Faults::None);
    let (ok, failed) = (Outcome::Succeeded, Outcome::Failed);
    let back = Outcome::RolledBack { restored: Duration::from_secs(20) };
    // Before the window: it only says that c1 is there already.
    deploy(&world, "2026-11-09T10:00:00Z", &c["c1"], &[("base", ok), ("db", ok), ("deploy", ok)]).await;
    deploy(&world, "2026-11-11T09:00:00Z", &c["c3"], &[("deploy", ok)]).await;
    deploy(&world, "2026-11-12T10:00:00Z", &c["c4"], &[("base", ok), ("db", failed)]).await;
    deploy(&world, "2026-11-12T11:30:00Z", &c["c4"], &[("db", ok), ("deploy", ok)]).await;
    deploy(&world, "2026-11-13T12:00:00Z", &c["c5"], &[("deploy", ok)]).await;
    deploy(&world, "2026-11-13T12:45:00Z", &c["c4"], &[("deploy", ok)]).await;
    deploy(&world, "2026-11-15T13:00:00Z", &c["c6"], &[("deploy", back)]).await;
    deploy(&world, "2026-11-15T18:00:00Z", &c["c6"], &[("deploy", ok)]).await;
    deploy(&world, "2026-11-19T07:00:00Z", &c["c6"], &[("base", failed)]).await;
    // After the window.
    deploy(&world, "2026-11-21T07:00:00Z", &c["c6"], &[("base", ok)]).await;

    let client = world.client();
    let mut entries = Vec::new();
    for stack in ["base", "db", "deploy"] {
        entries.extend(history::list(&client, &format!("/subscriptions/{SUBSCRIPTION}"), stack).await.expect("a list"));
    }
    let window = Window { until: "2026-11-20T00:00:00Z".parse().expect("a time"), days: 10 };
    let metrics: dora::Metrics =
        measure(&entries, window, |before, now| git::commits_between(folder.path(), before, now));
    let mut value = serde_json::to_value(metrics).expect("JSON");
    round(&mut value);
    value
}

/// To whole seconds: each request takes the embedded ARM's clock some milliseconds on.
fn round(value: &mut Value) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if let (true, Some(seconds)) = (name.ends_with("Seconds"), member.as_f64()) {
                    *member = json!(seconds.round());
                } else if name == "openSince" {
                    *member = json!(member.as_str().map(|text| text[..16].to_owned()));
                } else {
                    round(member);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(round),
        _ => {}
    }
}

#[test]
fn metrics_agree_with_a_hand_computation() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let found = runtime.expect("a runtime").block_on(recorded_metrics());
    let expected = json!({
        // 11th, 12th 11:30, 13th twice, 15th 18:00: five in ten days.
        "deploymentFrequency": {"deployments": 5, "perDay": 0.5},
        // c2 24 h, c3 18 h, c4 3.5 h, c5 2 h, c6 6 h; c5 is not counted again with c6. The third of five in order is 6 h.
        "leadTime": {"commits": 5, "medianSeconds": 21600.0, "deploymentsWithoutCommits": 0},
        // The db stack's on the 12th, c5 which c4 took back, c6 which rolled back, base's on the 19th; of eight runs.
        "changeFailureRate": {"failed": 4, "deployments": 8, "ratio": 0.5},
        // 10:00 to 11:30, 12:00 to 12:45, 20 s; the second in order is 45 min. The 19th's waits: the 21st is after the window.
        "recoveryTime": {"recovered": 3, "medianSeconds": 2700.0, "openSince": "2026-11-19T07:00"},
    });
    assert_eq!(found, expected);
}
