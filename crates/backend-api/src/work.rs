//! The route that load tests drive.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Units of CPU work when a request names none.
pub const DEFAULT_UNITS: u32 = 1;
/// The most units that one request may ask for.
pub const MAX_UNITS: u32 = 1_000;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkQuery {
    /// 0 to [`MAX_UNITS`]; a unit is about a tenth of a millisecond of a core.
    pub units: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Work {
    pub units: u32,
    /// Result of the computation; the same for the same units.
    pub checksum: String,
    /// From PostgreSQL.
    pub visits: u64,
    /// The pod that did it.
    pub pod: String,
}
