//! How like Azure the embedded ARM answers: exchanges of the same requests with both, compared answer by answer.
//!
//! This crate exists so that the comparison knows neither what is deployed nor where; it is handed two recordings.

mod compare;
mod exchange;
mod normal;
mod record;
mod report;

pub use compare::{Difference, Kind, compare};
pub use exchange::Exchange;
pub use record::Recorder;
pub use report::Report;
