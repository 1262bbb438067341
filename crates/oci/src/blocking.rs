//! Work on files beside the runtime's own threads.

use std::panic::resume_unwind;
use std::path::PathBuf;

use crate::error::OciError;

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, OciError> + Send + 'static,
) -> Result<T, OciError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            Err(error) => Err(OciError::File { path: PathBuf::new(), source: std::io::Error::other(error) }),
        },
    }
}
