//! Deployments: a template becomes steps, steps become resources.

mod http;
mod layout;
mod parameters;
mod run;
mod whatif;

pub(crate) use http::duration;
pub(crate) use parameters::{resolve_parameters, shown_parameters};
pub(crate) use run::Wanted;
pub(crate) use whatif::{Change, changes_between, comparable};
