//! `marea local snapshot` and `marea local restore`.

use std::path::Path;

use local_cloud::snapshot::{self, SnapshotError, Summary};
use serde_json::json;

use crate::cloud;
use crate::error::{CliError, Exit, Result};
use crate::terminal::{confirm, note, print_json};

const MEBIBYTE: u64 = 1 << 20;

pub fn take(file: &Path, as_json: bool) -> Result<Exit> {
    // The cloud stands still meanwhile and must be let go on: what would end this program has to wait.
    let kinds = [tokio::signal::unix::SignalKind::terminate(), tokio::signal::unix::SignalKind::hangup()];
    let _held_back = kinds.map(tokio::signal::unix::signal);
    let taken = snapshot::take(&cloud::folder()?, file).map_err(failed)?;
    let bytes = std::fs::metadata(file).map(|metadata| metadata.len()).unwrap_or_default();
    if as_json {
        print_json(
            &json!({"file": file, "bytes": bytes, "stillMillis": taken.still.as_millis(), "content": taken.summary}),
        );
    } else {
        note(&format!(
            "{}: {} in {} MiB; what runs stood still for {}. It holds the cloud's secrets; only you can read it.",
            file.display(),
            described(&taken.summary),
            bytes.div_ceil(MEBIBYTE),
            crate::terminal::seconds(taken.still)
        ));
    }
    Ok(Exit::Done)
}

pub async fn restore(file: &Path, yes: bool, as_json: bool) -> Result<Exit> {
    let folder = cloud::folder()?;
    let verified = snapshot::verify(&folder, file).map_err(failed)?;
    let replaces = folder.identity().exists();
    let question = || {
        let Summary { created, .. } = &verified.summary;
        format!("Replace the local cloud in {} with its databases by that of {created}?", folder.root().display())
    };
    if replaces && !yes && !confirm(&question()) {
        return Err(CliError::new(Exit::NotAllowed, "nothing was changed: it was not confirmed")
            .advice("--yes goes ahead without asking."));
    }
    let restored = snapshot::restore(&folder, verified).await.map_err(failed)?;
    if as_json {
        print_json(&json!({"dataDir": folder.root(), "content": restored}));
    } else {
        note(&format!(
            "{} is the cloud of {} again: {}. `marea local start` starts it.",
            folder.root().display(),
            restored.created,
            described(&restored)
        ));
    }
    Ok(Exit::Done)
}

fn described(summary: &Summary) -> String {
    format!("{} files, {} MiB", summary.files, summary.bytes.div_ceil(MEBIBYTE))
}

fn failed(error: SnapshotError) -> CliError {
    let cause = std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default();
    let message = format!("{error}{cause}");
    match error {
        SnapshotError::Folder(error) => cloud::folder_error(&error),
        SnapshotError::Nothing(_) => {
            CliError::failed(message).advice("`marea up` makes one; MAREA_DATA_DIR names another place.")
        }
        SnapshotError::Exists(_) => {
            CliError::bad_input(message).advice("Name another file, or remove this one: snapshots are not overwritten.")
        }
        SnapshotError::Inside(_) => CliError::bad_input(message).advice("Name a file elsewhere."),
        SnapshotError::Running(_) => CliError::failed(message)
            .advice("Nothing was changed. `marea local stop` stops it; what it holds is replaced then."),
        SnapshotError::Busy(_) => CliError::failed(message)
            .advice("A cloud that is just starting or stopping cannot be copied: run the same command again."),
        SnapshotError::Io { .. } => CliError::failed(message)
            .advice("Check the path, its permissions and the disk's free space; the cloud is as it was."),
        SnapshotError::Damaged { .. } => CliError::bad_input(message)
            .advice("Nothing was changed. Use another snapshot, or copy this one again from where it came."),
        SnapshotError::Format { .. } => {
            CliError::bad_input(message).advice("Nothing was changed. Use the version of marea that wrote it.")
        }
    }
}
