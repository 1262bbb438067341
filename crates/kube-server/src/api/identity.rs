//! Who makes a request.

use std::collections::BTreeMap;

/// An authenticated caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    pub name: String,
    pub uid: String,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
    /// A part of this process. It is not authorised again, and its writes do not pass quota twice.
    pub in_process: bool,
}

impl Caller {
    pub fn in_process() -> Caller {
        Caller {
            name: "system:marea".to_owned(),
            groups: vec!["system:masters".to_owned(), "system:authenticated".to_owned()],
            in_process: true,
            ..Caller::default()
        }
    }

    pub fn is_master(&self) -> bool {
        self.groups.iter().any(|group| group == "system:masters")
    }
}
