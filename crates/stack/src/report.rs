//! How a driver tells what it is doing.

/// Progress of a command. A terminal shows the status in place, a pipe gets lines only.
pub trait Reporter: Send + Sync {
    /// Something that is done and stays on the screen.
    fn line(&self, text: &str);
    /// What is going on right now; the next status replaces it.
    fn status(&self, text: &str);
}

/// Says nothing, for commands whose only output is their result.
pub struct Silent;

impl Reporter for Silent {
    fn line(&self, _text: &str) {}
    fn status(&self, _text: &str) {}
}
