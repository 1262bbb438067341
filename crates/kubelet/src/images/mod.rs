//! The image catalogue: which program of the host takes the place of an image.

mod catalogue;
mod paths;
mod pattern;
mod template;

pub(crate) use catalogue::find_program;
pub use catalogue::{Arguments, Catalogue, CatalogueError, Entry, Requirement};
pub use paths::Mounts;
pub(crate) use template::expand;
pub use template::{Context, TemplateError};
