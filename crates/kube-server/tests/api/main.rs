//! The API as its clients see it: kube-rs, stock kubectl, and parts of the same process.

mod authorisation;
mod canary;
mod kubectl;
mod kubectl_table;
mod objects;
mod support;
