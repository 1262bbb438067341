//! Pod classes: pods that topology spreading and pod affinity cannot tell apart.
//!
//! The replicas of a workload share one class, so a selector is evaluated once per class and attempt, and a node keeps
//! a count per class, where upstream walks every pod of every node.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::scheduling::view::{AffinityTerm, PodView, WeightedAffinityTerm};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ClassId(pub(crate) u32);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PodClass {
    pub(crate) namespace: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) affinity: Vec<AffinityTerm>,
    pub(crate) anti_affinity: Vec<AffinityTerm>,
    pub(crate) preferred_affinity: Vec<WeightedAffinityTerm>,
    pub(crate) preferred_anti_affinity: Vec<WeightedAffinityTerm>,
}

impl PodClass {
    pub(crate) fn of(pod: &PodView) -> PodClass {
        PodClass {
            namespace: pod.namespace.clone(),
            labels: pod.labels.clone(),
            affinity: pod.affinity.clone(),
            anti_affinity: pod.anti_affinity.clone(),
            preferred_affinity: pod.preferred_affinity.clone(),
            preferred_anti_affinity: pod.preferred_anti_affinity.clone(),
        }
    }

    /// Whether a score of another pod may depend on this one's own terms.
    pub(crate) fn has_scored_terms(&self) -> bool {
        !self.affinity.is_empty() || !self.preferred_affinity.is_empty() || !self.preferred_anti_affinity.is_empty()
    }
}

#[derive(Clone, Debug)]
struct Entry {
    class: Arc<PodClass>,
    pods: u32,
}

/// Classes with at least one pod on a node; freed places are used again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Classes {
    entries: Vec<Option<Entry>>,
    ids: BTreeMap<Arc<PodClass>, ClassId>,
    free: Vec<ClassId>,
    /// Pods on nodes whose required anti-affinity others must respect.
    with_anti_affinity: usize,
    with_scored_terms: usize,
}

impl Classes {
    pub(crate) fn acquire(&mut self, pod: &PodView) -> ClassId {
        let class = PodClass::of(pod);
        self.with_anti_affinity += usize::from(!class.anti_affinity.is_empty());
        self.with_scored_terms += usize::from(class.has_scored_terms());
        if let Some(id) = self.ids.get(&class) {
            self.entries[id.0 as usize].as_mut().expect("ids name taken entries").pods += 1;
            return *id;
        }
        let class = Arc::new(class);
        let entry = Some(Entry { class: Arc::clone(&class), pods: 1 });
        let id = if let Some(id) = self.free.pop() {
            self.entries[id.0 as usize] = entry;
            id
        } else {
            self.entries.push(entry);
            ClassId(u32::try_from(self.entries.len() - 1).expect("fewer than 2³² pod classes"))
        };
        self.ids.insert(class, id);
        id
    }

    pub(crate) fn release(&mut self, id: ClassId) {
        let slot = &mut self.entries[id.0 as usize];
        let entry = slot.as_mut().expect("released classes were acquired");
        entry.pods -= 1;
        self.with_anti_affinity -= usize::from(!entry.class.anti_affinity.is_empty());
        self.with_scored_terms -= usize::from(entry.class.has_scored_terms());
        if entry.pods == 0 {
            self.ids.remove(&entry.class);
            *slot = None;
            self.free.push(id);
        }
    }

    pub(crate) fn get(&self, id: ClassId) -> &PodClass {
        &self.entries[id.0 as usize].as_ref().expect("nodes count taken classes only").class
    }

    /// By class id, whether the predicate holds; freed ids are false.
    pub(crate) fn matching(&self, holds: impl Fn(&PodClass) -> bool) -> Vec<bool> {
        self.entries.iter().map(|entry| entry.as_ref().is_some_and(|entry| holds(&entry.class))).collect()
    }

    pub(crate) fn any_anti_affinity(&self) -> bool {
        self.with_anti_affinity > 0
    }

    pub(crate) fn any_scored_terms(&self) -> bool {
        self.with_scored_terms > 0
    }
}
