//! The platform in virtual time.

pub mod load;
pub mod scenario;
