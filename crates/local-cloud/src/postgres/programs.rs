//! Where PostgreSQL's programs are, and how they are run as somebody who is not root.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::{PostgresError, SUPERUSER, files};

/// The uid that PostgreSQL sees for itself in its user namespace when there is no user `postgres`: nobody's.
const NOBODY: u32 = 65_534;

#[derive(Clone, Debug)]
pub struct Programs {
    folder: PathBuf,
    is_root: bool,
}

impl Programs {
    /// The newest PostgreSQL of the machine.
    ///
    /// # Errors
    /// When there is none.
    pub fn find() -> Result<Programs, PostgresError> {
        let versions = std::fs::read_dir("/usr/lib/postgresql").map_err(|_| PostgresError::NotInstalled)?;
        let newest = versions
            .flatten()
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))))
            .filter(|(_, folder)| folder.join("postgres").exists() && folder.join("initdb").exists())
            .max();
        let (_, folder) = newest.ok_or(PostgresError::NotInstalled)?;
        Ok(Programs { folder, is_root: rustix::process::geteuid().is_root() })
    }

    /// The program with its arguments still to come; never as root, with nothing of this process' environment but what
    /// programs need.
    pub(super) fn command(&self, program: &str) -> std::process::Command {
        let path = self.folder.join(program);
        let mut command = if self.is_root {
            let mut command = std::process::Command::new("unshare");
            let id = namespace_id();
            let map = |kind: &str| format!("--map-{kind}={id}");
            command.arg("--user").arg(map("user")).arg(map("group")).arg("--").arg(path);
            command
        } else {
            std::process::Command::new(path)
        };
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        command
    }

    /// Makes the initialised but empty data folder that every new server starts from, once.
    pub(super) async fn make_template(&self, template: &Path) -> Result<(), PostgresError> {
        if template.join("PG_VERSION").exists() {
            return Ok(());
        }
        let parent = template.parent().unwrap_or(Path::new("."));
        files::make_private_folder(parent)?;
        // Several clouds may start at once: each makes its own and the first rename wins.
        let scratch = parent.join(format!("initdb-{}", std::process::id()));
        let mut command = Command::from(self.command("initdb"));
        command.arg("--pgdata").arg(&scratch).args([
            "--username",
            SUPERUSER,
            "--encoding",
            "UTF8",
            "--locale",
            "C.UTF-8",
        ]);
        command.args(["--auth-local", "trust", "--auth-host", "scram-sha-256", "--no-instructions"]);
        let made = run(command, "initdb").await;
        let moved = made.and_then(|()| match std::fs::rename(&scratch, template) {
            Err(_) if template.join("PG_VERSION").exists() => Ok(()),
            Err(source) => Err(PostgresError::file("make", template)(source)),
            Ok(()) => Ok(()),
        });
        if scratch.exists() {
            let _ = std::fs::remove_dir_all(&scratch);
        }
        moved
    }
}

/// initdb wants a uid that the machine's user list knows.
fn namespace_id() -> u32 {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let postgres = users.lines().find_map(|line| line.strip_prefix("postgres:")?.split(':').nth(1)?.parse().ok());
    postgres.unwrap_or(NOBODY)
}

/// Runs a program to its end.
pub(super) async fn run(mut command: Command, program: &str) -> Result<(), PostgresError> {
    command.kill_on_drop(true);
    let output =
        command.output().await.map_err(|source| PostgresError::Spawn { program: program.to_owned(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let mut text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if text.contains("unshare failed") {
        text.push_str("; as root PostgreSQL needs user namespaces: allow them, or run marea as an ordinary user");
    }
    Err(PostgresError::Program { program: program.to_owned(), output: text })
}
