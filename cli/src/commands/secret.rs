//! `marea secret`.

use std::io::{IsTerminal, Read};

use infrastructure_k8s_db::PASSWORD;
use serde_json::json;
use stack::secrets::{Keyring, Secret as Value, default_key_file};

use crate::args::{Elsewhere, Rotate, Secret, SecretName, StackArgs, StackName, Up};
use crate::error::{CliError, Exit, Result};
use crate::project::Project;
use crate::stacks;
use crate::terminal::{note, print, print_json};
use crate::vault::Vault;

pub async fn run(command: &Secret) -> Result<Exit> {
    match command {
        Secret::Set(name) => set(name).map(|()| Exit::Done),
        Secret::Get(name) => get(name).map(|()| Exit::Done),
        Secret::List(args) => list(args).map(|()| Exit::Done),
        Secret::Rotate(args) => rotate(args).await,
        Secret::Recipient => {
            print(&Keyring::open(&default_key_file())?.recipient());
            Ok(Exit::Done)
        }
    }
}

fn set(args: &SecretName) -> Result<()> {
    if !is_name(&args.name) {
        return Err(CliError::bad_input(format!("`{}` is not a name for a secret", args.name))
            .advice("Use letters, digits, `-` and `_`, and begin with a letter."));
    }
    if std::io::stdin().is_terminal() {
        note(&format!("Value of {} (ends with Ctrl-D on a line of its own):", args.name));
    }
    let mut text = String::new();
    std::io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| CliError::bad_input(format!("standard input cannot be read: {error}")))?;
    let value = text.strip_suffix('\n').unwrap_or(&text);
    if value.is_empty() {
        return Err(CliError::bad_input(format!("{}: the value on standard input is empty", args.name))
            .advice(format!("printf %s VALUE | marea secret set {}", args.name)));
    }
    let project = Project::find()?;
    Vault::open(&project, args.stack, &args.env)?.set(&args.name, &Value::new(value))?;
    note(&format!("{} is encrypted in {}", args.name, project.file(args.stack, &args.env).display()));
    Ok(())
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn get(args: &SecretName) -> Result<()> {
    let project = Project::find()?;
    let mut vault = Vault::open(&project, args.stack, &args.env)?;
    match vault.get(&args.name)? {
        Some(value) => {
            print(value.expose());
            Ok(())
        }
        None => {
            let names: Vec<String> = vault.names().into_iter().map(|(name, _)| name).collect();
            let known: Vec<&str> = names.iter().map(String::as_str).collect();
            let hint = stack::config::suggestion(&args.name, &known);
            Err(CliError::bad_input(format!(
                "the stack `{}` has no secret `{}` in `{}`{hint}",
                args.stack.name(),
                args.name,
                args.env
            ))
            .advice("`marea secret list` shows the names."))
        }
    }
}

fn list(args: &StackArgs) -> Result<()> {
    let project = Project::find()?;
    let mut found = Vec::new();
    for stack in project.selection(args.stack) {
        let vault = Vault::open(&project, stack, &args.env)?;
        for (name, file) in vault.names() {
            found.push(json!({"stack": stack.name(), "name": name, "file": file, "recipients": vault.recipients()}));
        }
    }
    if args.json {
        print_json(&json!(found));
        return Ok(());
    }
    for entry in &found {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        print(&format!("{:<7} {:<20} {}", text("stack"), text("name"), text("file")));
    }
    Ok(())
}

/// A new password, applied to the database and then to the backend, which rolls over to it.
async fn rotate(args: &Rotate) -> Result<Exit> {
    let project = Project::find()?;
    Vault::open(&project, StackName::Db, &args.env)?.generate(PASSWORD)?;
    note("db: a new password is written");
    if args.no_apply {
        return Ok(Exit::Done);
    }
    for stack in [StackName::Db, StackName::Deploy] {
        let stacks = StackArgs { stack: Some(stack), env: args.env.clone(), json: false };
        stacks::up::run(&Up {
            stacks,
            elsewhere: Elsewhere::default(),
            yes: true,
            atomic: false,
            isolation: None,
            allow_unsupported: true,
        })
        .await?;
    }
    Ok(Exit::Done)
}
