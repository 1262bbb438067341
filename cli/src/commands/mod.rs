//! The verbs that are not about applying stacks.

pub mod decide;
pub mod explain;
pub mod export;
pub mod load;
pub mod local;
pub mod secret;
pub mod status;
pub mod version;
