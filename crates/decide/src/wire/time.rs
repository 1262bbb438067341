//! Instants.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use units::Timestamp;

pub(super) fn instant(time: &Time) -> Timestamp {
    Timestamp(time.0.as_millisecond())
}
