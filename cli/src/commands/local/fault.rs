//! `marea local fault`: faults on demand.

use kubelet::faults::Condition;
use local_cloud::fault::{self, Action, Described, FaultError, Target};
use serde_json::json;

use crate::args::{Fault, FaultTarget};
use crate::cloud;
use crate::error::{CliError, Exit, Result};
use crate::terminal::{note, print, print_json};

pub async fn run(command: &Fault) -> Result<Exit> {
    match command {
        Fault::List(args) => list(args.json).await,
        Fault::Kill(args) => apply(Action::Kill, args).await,
        Fault::Pause(args) => apply(Action::Pause, args).await,
        Fault::Cut(args) => apply(Action::Cut, args).await,
        Fault::Fill(args) => apply(Action::Fill, args).await,
        Fault::Slow { target, seconds } => apply(Action::Slow(seconds * 1000), target).await,
        Fault::Fail { target, percent } => apply(Action::Fail(*percent), target).await,
        Fault::Heal { target: Some(target), json } => heal(target, json.json).await,
        Fault::Heal { target: None, json } => heal_all(json.json).await,
    }
}

async fn list(as_json: bool) -> Result<Exit> {
    let all = fault::list(&cloud::folder()?).await.map_err(failed)?;
    if as_json {
        let targets: Vec<_> = all
            .iter()
            .map(|described| json!({"target": described.target.to_string(), "state": described.state}))
            .collect();
        print_json(&json!({ "targets": targets }));
        return Ok(Exit::Done);
    }
    let width = all.iter().map(|described| described.target.to_string().len()).max().unwrap_or_default();
    for described in &all {
        print(&format!("{:width$}  {}", described.target.to_string(), described.state));
    }
    if all.iter().any(|described| described.state != Condition::Running) {
        note("`marea local fault heal` ends every fault.");
    }
    Ok(Exit::Done)
}

async fn apply(action: Action, args: &FaultTarget) -> Result<Exit> {
    let done = once(action, &args.target).await?;
    let (verb, next) = match (action, &done) {
        (Action::Kill, Target::Cloud) => {
            ("killed", "`marea local start` brings it back; its pods and databases go on.")
        }
        (Action::Kill, Target::Node(_)) => ("without power", "`marea local fault heal` boots it again."),
        (Action::Kill, Target::Database(_)) => ("killed", "The cloud starts it again."),
        (Action::Kill, Target::Pod { .. }) => ("killed", "Its restart policy decides what follows."),
        (Action::Cut, _) => ("cut off", "`marea local fault heal` connects it again."),
        (Action::Fill, _) => ("full", "`marea local fault heal` makes room."),
        (Action::Slow(_), _) => ("slow", "`marea local fault heal` ends it."),
        (Action::Fail(_), _) => ("failing", "`marea local fault heal` ends it."),
        _ => ("paused", "`marea local fault heal` lets it go on."),
    };
    report(args.json.json, &[done], verb, next);
    Ok(Exit::Done)
}

async fn heal(target: &Target, as_json: bool) -> Result<Exit> {
    let done = once(Action::Heal, target).await?;
    report(as_json, &[done], "healed", "");
    Ok(Exit::Done)
}

async fn heal_all(as_json: bool) -> Result<Exit> {
    let healed = fault::heal_all(&cloud::folder()?).await.map_err(failed)?;
    if healed.is_empty() && !as_json {
        note("Nothing is broken.");
        return Ok(Exit::Done);
    }
    report(as_json, &healed, "healed", "");
    Ok(Exit::Done)
}

async fn once(action: Action, target: &Target) -> Result<Target> {
    let fault = fault::Fault { action, target: target.clone() };
    fault::apply(&cloud::folder()?, fault).await.map_err(failed)
}

fn report(as_json: bool, targets: &[Target], verb: &str, next: &str) {
    if as_json {
        let targets: Vec<_> = targets.iter().map(Target::to_string).collect();
        print_json(&json!({ "done": verb, "targets": targets }));
        return;
    }
    for target in targets {
        note(format!("{target}: {verb}. {next}").trim_end());
    }
}

fn failed(error: FaultError) -> CliError {
    let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    let message = format!("{error}{cause}");
    match error {
        FaultError::Folder(error) => cloud::folder_error(&error),
        FaultError::NotRunning(_) => {
            CliError::failed(message).advice("Start it with `marea local start`, or `marea up` for everything.")
        }
        FaultError::Paused => CliError::failed(message)
            .advice("`marea local fault heal cloud` lets it go on; then run the same command again."),
        FaultError::NoAnswer => {
            CliError::failed(message).advice("`marea local logs` may say why; `marea local status` shows its process.")
        }
        FaultError::Impossible(_) => {
            CliError::bad_input(message).advice("`marea local fault --help` says what can be done to what.")
        }
        FaultError::Unknown { target, known } => CliError::bad_input(message).advice(advice(&target, &known)),
        FaultError::Ambiguous { known } => {
            CliError::bad_input(message).advice(advice(&Target::Database(String::new()), &known))
        }
    }
}

/// What there is of the kind that was asked for.
fn advice(target: &Target, known: &[Described]) -> String {
    let kind = std::mem::discriminant(target);
    let same: Vec<String> = known
        .iter()
        .filter(|described| std::mem::discriminant(&described.target) == kind)
        .map(|described| described.target.to_string())
        .collect();
    if same.is_empty() && matches!(target, Target::Subnet { .. }) {
        return "Subnets can be cut off in the sandbox alone, once a stack has made them.".to_owned();
    }
    if same.is_empty() {
        return "There is none of that kind; `marea local fault list` names what can fail.".to_owned();
    }
    format!("There is: {}", same.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_what_there_is_of_the_same_kind() {
        let node = |name: &str| Described { target: Target::Node(name.to_owned()), state: Condition::Running };
        let known = [Described { target: Target::Cloud, state: Condition::Running }, node("one"), node("two")];
        let check = |target: Target, expected: &str| assert_eq!(advice(&target, &known), expected);
        check(Target::Node("three".to_owned()), "There is: node/one, node/two");
        check(
            Target::Database("x".to_owned()),
            "There is none of that kind; `marea local fault list` names what can fail.",
        );
    }
}
