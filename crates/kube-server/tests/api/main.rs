//! The API as its clients see it: kube-rs, stock kubectl, and parts of the same process.

mod kubectl;
mod objects;
mod support;
