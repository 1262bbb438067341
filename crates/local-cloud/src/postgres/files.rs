//! The server's folder: data, configuration, certificate, log.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{PostgresError, Wanted};
use crate::folder::digits_of;

/// Longest path of a Unix socket, less the name that PostgreSQL appends.
const MAX_SOCKET_FOLDER: usize = 107 - "/.s.PGSQL.65535".len();

pub(super) fn log(folder: &Path) -> PathBuf {
    folder.join("postgresql.log")
}

/// Where the superuser's socket lies. A deep data directory would not fit into a socket's address, so it then lies in the
/// runtime directory under a name derived from the folder's.
pub(super) fn socket_folder(folder: &Path) -> PathBuf {
    let own = folder.join("socket");
    if own.as_os_str().len() <= MAX_SOCKET_FOLDER {
        return own;
    }
    std::env::temp_dir().join(format!("marea-postgres-{}", digits_of(folder)))
}

pub(super) fn make_private_folder(path: &Path) -> Result<(), PostgresError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(PostgresError::file("make", path))
}

/// Copies the template next to its place and renames it, so that an interrupted copy is never taken for a database.
pub(super) fn copy_template(template: &Path, data: &Path) -> Result<(), PostgresError> {
    let parent = data.parent().unwrap_or(Path::new("."));
    make_private_folder(parent)?;
    let scratch = parent.join("data.copying");
    if scratch.exists() {
        fs::remove_dir_all(&scratch).map_err(PostgresError::file("remove", &scratch))?;
    }
    copy_folder(template, &scratch)?;
    fs::rename(&scratch, data).map_err(PostgresError::file("make", data))
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), PostgresError> {
    make_private_folder(to)?;
    for entry in fs::read_dir(from).map_err(PostgresError::file("read", from))? {
        let entry = entry.map_err(PostgresError::file("read", from))?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type().map_err(PostgresError::file("read", &source))?.is_dir() {
            copy_folder(&source, &target)?;
        } else {
            fs::copy(&source, &target).map_err(PostgresError::file("write", &target))?;
        }
    }
    Ok(())
}

/// Writes configuration and certificate; true when something differs from what a running server has read.
pub(super) fn write_configuration(wanted: &Wanted) -> Result<bool, PostgresError> {
    make_private_folder(&socket_folder(&wanted.folder))?;
    let data = wanted.folder.join("data");
    let mut changed = false;
    for (name, text) in [
        ("marea.conf", configuration(wanted)?),
        ("pg_hba.conf", access_rules(wanted)),
        ("server.crt", wanted.certificate_pem.clone()),
        ("server.key", wanted.key_pem.clone()),
        ("postgresql.conf", "include 'marea.conf'\n".to_owned()),
    ] {
        changed |= write_if_different(&data.join(name), &text)?;
    }
    Ok(changed)
}

fn configuration(wanted: &Wanted) -> Result<String, PostgresError> {
    let reserved = wanted.max_connections.saturating_sub(wanted.user_connections);
    let mut settings: Vec<(String, String)> = [
        ("listen_addresses", wanted.address.to_string()),
        ("port", wanted.port.to_string()),
        ("unix_socket_directories", socket_folder(&wanted.folder).display().to_string()),
        ("unix_socket_permissions", "0700".to_owned()),
        ("max_connections", wanted.max_connections.to_string()),
        ("superuser_reserved_connections", reserved.to_string()),
        ("password_encryption", "scram-sha-256".to_owned()),
        ("ssl", "on".to_owned()),
        ("ssl_min_protocol_version", "TLSv1.2".to_owned()),
        // A laptop carries this beside everything else; B1ms has 2 GiB of its own.
        ("shared_buffers", "32MB".to_owned()),
        // After a crash everything is synced before recovery begins: in one call rather than in a thousand, five seconds less.
        ("recovery_init_sync_method", "syncfs".to_owned()),
        ("logging_collector", "off".to_owned()),
        ("log_line_prefix", "%m [%p] ".to_owned()),
        ("log_min_error_statement", "panic".to_owned()),
        ("timezone", "UTC".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    for (name, value) in &wanted.parameters {
        // These are Azure's own, not PostgreSQL's: they work through the rules above or not at all.
        if name.starts_with("azure.") || name == "require_secure_transport" {
            continue;
        }
        let is_name =
            !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.".contains(&byte));
        if !is_name || value.contains(['\n', '\0']) {
            let reason = "it is not a PostgreSQL parameter's name and value".to_owned();
            return Err(PostgresError::Parameter { name: name.clone(), reason });
        }
        settings.retain(|(known, _)| known != name);
        settings.push((name.clone(), value.clone()));
    }
    Ok(settings.into_iter().map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''"))).collect())
}

fn access_rules(wanted: &Wanted) -> String {
    let plain_allowed = wanted
        .parameters
        .iter()
        .any(|(name, value)| name == "require_secure_transport" && value.eq_ignore_ascii_case("off"));
    let kind = if plain_allowed { "host" } else { "hostssl" };
    format!("local all {} trust\n{kind} all all 0.0.0.0/0 scram-sha-256\n", super::SUPERUSER)
}

fn write_if_different(path: &Path, text: &str) -> Result<bool, PostgresError> {
    if fs::read_to_string(path).is_ok_and(|current| current == text) {
        return Ok(false);
    }
    let scratch = path.with_extension("writing");
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&scratch)?;
        file.write_all(text.as_bytes())?;
        file.sync_data()?;
        fs::rename(&scratch, path)
    };
    write().map_err(PostgresError::file("write", path))?;
    Ok(true)
}

/// The last lines of a log, for an error message.
pub(super) fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}
