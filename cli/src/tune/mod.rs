//! Searching for better settings, and judging them.

pub mod edit;
pub mod patch;
pub mod search;
pub mod slo;
pub mod space;
pub mod trial;
pub mod verdict;
