//! What the decisions know of pods, nodes and the objects around them: small, serialisable, without the wire types.
//!
//! `wire::*` converts the Kubernetes objects into these once, when they change; the journal stores these.

mod context;
mod node;
mod pod;
mod resources;
mod selector;

pub use context::{
    BudgetView, ClaimView, CsiNodeView, NamespaceView, OwnerSelector, PersistentVolumeView, PriorityClassView,
    ServiceView, StorageClassView, VolumeBindingMode,
};
pub use node::{ImageView, NodeView, Taint, TaintEffect};
pub use pod::{
    AffinityTerm, HostPort, InclusionPolicy, OwnerView, PodKey, PodPhase, PodView, SpreadConstraint, Toleration,
    TolerationOperator, VolumeSource, VolumeView, WeightedAffinityTerm, WeightedNodeTerm,
};
pub use resources::Resources;
pub use selector::{NodeTerm, Operator, Requirement, Selector};

/// Lets default values stay out of the journal.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
