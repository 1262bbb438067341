//! What the filters say of each node, kept per kind of pod until the node changes.
//!
//! Filters that look at nothing but the pod's spec and the node ([`super::super::filters::Filter::is_local`]) say the same of
//! an unchanged node to every pod of a workload. Most nodes do not change from one attempt to the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Cluster, Mark};
use crate::scheduling::filters::Filters;
use crate::scheduling::view::{OwnerView, PodView};

/// Pods that the filters cannot tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ShapeId(u32);

/// The verdict on one node: that it passes, or which filter rejects it and whether pods that leave could change that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code(u8);

impl Code {
    pub(crate) const FITS: Code = Code(0);
    const RESOLVABLE: u8 = 1 << 7;

    pub(crate) fn rejected(filter: usize, resolvable: bool) -> Code {
        Code(filter as u8 + 1 + if resolvable { Code::RESOLVABLE } else { 0 })
    }

    /// The index of the filter that rejects.
    pub(crate) fn filter(self) -> Option<usize> {
        usize::from(self.0 & !Code::RESOLVABLE).checked_sub(1)
    }

    pub(crate) fn is_resolvable(self) -> bool {
        self.0 & Code::RESOLVABLE != 0
    }
}

#[derive(Clone, Debug)]
struct Shape {
    example: Arc<PodView>,
    /// By slot: the version of the node, and what was said of it.
    said: Vec<(u64, Code)>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Verdicts {
    /// From this id on.
    shapes: Vec<Shape>,
    first: u32,
    by_owner: BTreeMap<OwnerView, Vec<ShapeId>>,
}

impl Verdicts {
    /// With more kinds of pods than this, the oldest knowledge is of little use.
    const MOST: usize = 2000;

    /// `None` for a pod without a controller: it is probably the only one of its kind.
    pub(crate) fn shape(&mut self, pod: &Arc<PodView>) -> Option<ShapeId> {
        let owner = pod.owner.as_ref()?;
        let known = self.by_owner.get(owner).into_iter().flatten();
        let is_alike = |id: &&ShapeId| self.find(**id).is_some_and(|shape| shape.example.is_filtered_like(pod));
        if let Some(id) = known.into_iter().find(is_alike) {
            return Some(*id);
        }
        if self.shapes.len() >= Verdicts::MOST {
            // No id is ever used for another shape: pods on nodes keep theirs.
            *self = Verdicts { first: self.first + self.shapes.len() as u32, ..Verdicts::default() };
        }
        let id = ShapeId(self.first + self.shapes.len() as u32);
        self.shapes.push(Shape { example: Arc::clone(pod), said: Vec::new() });
        self.by_owner.entry(owner.clone()).or_default().push(id);
        Some(id)
    }

    fn find(&self, id: ShapeId) -> Option<&Shape> {
        self.shapes.get(id.0.checked_sub(self.first)? as usize)
    }

    fn get(&self, shape: ShapeId, mark: Mark) -> Option<Code> {
        let (version, code) = self.find(shape)?.said.get(mark.slot as usize)?;
        (*version == mark.version).then_some(*code)
    }

    fn set(&mut self, shape: ShapeId, mark: Mark, code: Code) {
        let place = shape.0.checked_sub(self.first).and_then(|place| self.shapes.get_mut(place as usize));
        let Some(shape) = place else { return };
        let slot = mark.slot as usize;
        if shape.said.len() <= slot {
            // Versions start at 1.
            shape.said.resize(slot + 1 + slot / 4, (0, Code::FITS));
        }
        shape.said[slot] = (mark.version, code);
    }
}

impl Cluster {
    /// What the filters, which must be local, say of the node at this place.
    pub(crate) fn verdict(&mut self, shape: ShapeId, pod: &PodView, filters: &Filters, index: usize) -> Code {
        let mark = self.marks[index];
        if let Some(code) = self.verdicts.get(shape, mark) {
            return code;
        }
        let code = match filters.check(pod, &self.nodes[index]) {
            Ok(()) => Code::FITS,
            Err(rejection) => Code::rejected(Filters::index(rejection.filter), rejection.resolvable),
        };
        self.verdicts.set(shape, mark, code);
        code
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn forgotten_kinds_give_their_numbers_to_nobody() {
        let mut verdicts = Verdicts::default();
        let pod = |number: usize| {
            let uid = number.to_string();
            let owner = OwnerView { api_version: "apps/v1".into(), kind: "ReplicaSet".into(), name: "web".into(), uid };
            Arc::new(PodView { owner: Some(owner), ..PodView::default() })
        };
        let count = 2 * Verdicts::MOST + 1;
        let ids: Vec<ShapeId> = (0..count).filter_map(|number| verdicts.shape(&pod(number))).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), count);
        assert!(verdicts.shapes.len() < Verdicts::MOST, "old ones are forgotten");
        let mark = Mark { slot: 3, version: 1 };
        let (old, last) = (ids[0], ids[count - 1]);
        for shape in [old, last] {
            verdicts.set(shape, mark, Code::rejected(2, true));
        }
        assert_eq!((verdicts.get(old, mark), verdicts.get(last, mark)), (None, Some(Code::rejected(2, true))));
        assert_eq!(verdicts.shape(&pod(count - 1)), Some(last));
    }
}
