//! What is set inside the server: administrator, password, databases. Runs psql as the superuser over its socket.

use std::fmt::Write as _;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::programs::Programs;
use super::{PostgresError, SUPERUSER, Wanted, files};

fn psql(programs: &Programs, wanted: &Wanted) -> Command {
    let mut command = Command::from(programs.command("psql"));
    command.args([
        "--no-psqlrc",
        "--quiet",
        "--no-align",
        "--tuples-only",
        "--username",
        SUPERUSER,
        "--dbname",
        "postgres",
    ]);
    command.arg("--host").arg(files::socket_folder(&wanted.folder)).arg("--port").arg(wanted.port.to_string());
    command.args(["--set", "ON_ERROR_STOP=1"]).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Brings roles and databases to what is wanted. The script goes through standard input: an argument would show the
/// password in the process list.
pub(super) async fn apply(programs: &Programs, wanted: &Wanted) -> Result<(), PostgresError> {
    let spawn_error = |source| PostgresError::Spawn { program: "psql".to_owned(), source };
    let mut command = psql(programs, wanted);
    command.args(["--file", "-"]).stdin(Stdio::piped());
    let mut child = command.spawn().map_err(spawn_error)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(script(wanted).as_bytes()).await.map_err(spawn_error)?;
    }
    let output = child.wait_with_output().await.map_err(spawn_error)?;
    if output.status.success() {
        return Ok(());
    }
    // psql quotes the failing line, and a line may hold the password.
    let text = String::from_utf8_lossy(&output.stderr).replace(&literal(&wanted.administrator_password), "'…'");
    Err(PostgresError::Program { program: "psql".to_owned(), output: text.trim().to_owned() })
}

fn literal(text: &str) -> String {
    // With standard_conforming_strings a backslash is itself.
    format!("'{}'", text.replace('\'', "''"))
}

fn identifier(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

fn script(wanted: &Wanted) -> String {
    let administrator = identifier(&wanted.administrator);
    let name = literal(&wanted.administrator);
    let mut script = String::from("set log_statement = 'none';\nset client_min_messages = 'warning';\n");
    // `\gexec` runs each row of a query as a statement: PostgreSQL has no CREATE ROLE or DATABASE IF NOT EXISTS.
    let _ = writeln!(
        script,
        "select 'create role azure_pg_admin nologin' where not exists (select from pg_roles where rolname = 'azure_pg_admin')\\gexec"
    );
    let _ = writeln!(
        script,
        "select 'create role ' || quote_ident({name}) where not exists (select from pg_roles where rolname = {name})\\gexec"
    );
    let password = literal(&wanted.administrator_password);
    let _ = writeln!(script, "alter role {administrator} login createdb createrole nosuperuser password {password};");
    let _ = writeln!(script, "grant azure_pg_admin, pg_monitor, pg_signal_backend to {administrator};");
    for database in &wanted.databases {
        let name = literal(&database.name);
        let _ = writeln!(
            script,
            "select 'create database ' || quote_ident({name}) || ' owner ' || quote_ident({}) where not exists (select from pg_database where datname = {name})\\gexec",
            literal(&wanted.administrator)
        );
    }
    script
}
