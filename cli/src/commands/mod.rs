//! The verbs that are not about applying stacks.

pub mod check;
pub mod cost;
pub mod decide;
pub mod explain;
pub mod export;
pub mod gate;
pub mod image;
pub mod load;
pub mod local;
pub mod price;
pub mod secret;
pub mod simulate;
pub mod status;
pub mod tune;
pub mod verify;
pub mod version;
