//! What a finding points at.

/// Part of a platform. Pointers are JSON pointers (RFC 6901).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At {
    /// An object by its index in [`platform::Platform::objects`], and a field of it.
    Object(usize, String),
    /// A field of a node pool, by the name that the stack's configuration has for it.
    Pool(String, &'static str),
    /// A field of the cluster, below the base stack's `config`.
    Cluster(&'static str),
    /// A field of the database, below the db stack's `config`.
    Database(&'static str),
}

impl At {
    pub fn object(index: usize, pointer: impl Into<String>) -> At {
        At::Object(index, pointer.into())
    }
}
