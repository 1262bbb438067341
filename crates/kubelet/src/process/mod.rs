//! Programs that outlive the daemon: each is watched by a shim in a session of its own.

pub(crate) mod claim;
mod handle;
mod record;

pub use handle::{Process, ProcessError, Shim};
pub use record::{Exit, Identity, RunSpec, Started};
pub(crate) use record::{read_record, write_record};

pub use crate::procfs::{family, is_stopped, signal_all};
