//! The only reading of the wall clock in this crate.

use k8s_openapi::jiff;
use units::Timestamp;

pub(crate) fn now() -> Timestamp {
    Timestamp::from(jiff::Timestamp::now())
}
