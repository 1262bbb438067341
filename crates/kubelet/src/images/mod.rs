//! What is run for an image: a program of the host by the image catalogue, or the image's own files.

mod catalogue;
mod fetch;
mod paths;
mod pattern;
mod source;
mod template;

pub(crate) use catalogue::find_program;
pub use catalogue::{Arguments, Catalogue, CatalogueError, Entry, Requirement};
pub(crate) use fetch::{Fetched, Wanted, fetch, go_duration};
pub use paths::Mounts;
pub(crate) use source::{Source, source};
pub use template::{Context, TemplateError};
pub(crate) use template::{expand, expand_place};
