//! Pod classes: pods that topology spreading and pod affinity cannot tell apart.
//!
//! The replicas of a workload share one class, so a selector is evaluated once per class and attempt, and a node keeps
//! a count per class, where upstream walks every pod of every node.

use std::cmp::Ordering;
use std::collections::BTreeMap;

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
    pub(crate) priority: Option<i32>,
    pub(crate) priority_class: String,
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
            priority: pod.priority,
            priority_class: pod.priority_class.clone(),
        }
    }

    /// Compares with the class of a pod, which need not be made for that.
    fn cmp_pod(&self, pod: &PodView) -> Ordering {
        self.labels
            .cmp(&pod.labels)
            .then_with(|| self.namespace.cmp(&pod.namespace))
            .then_with(|| self.affinity.cmp(&pod.affinity))
            .then_with(|| self.anti_affinity.cmp(&pod.anti_affinity))
            .then_with(|| self.preferred_affinity.cmp(&pod.preferred_affinity))
            .then_with(|| self.preferred_anti_affinity.cmp(&pod.preferred_anti_affinity))
            .then_with(|| self.priority.cmp(&pod.priority))
            .then_with(|| self.priority_class.cmp(&pod.priority_class))
    }

    /// Whether a score of another pod may depend on this one's own terms.
    pub(crate) fn has_scored_terms(&self) -> bool {
        !self.affinity.is_empty() || !self.preferred_affinity.is_empty() || !self.preferred_anti_affinity.is_empty()
    }
}

#[derive(Clone, Debug)]
struct Entry {
    class: PodClass,
    pods: u32,
}

/// Classes with at least one pod on a node; freed places are used again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Classes {
    entries: Vec<Option<Entry>>,
    /// Those that are taken, in the order of [`PodClass::cmp_pod`].
    sorted: Vec<ClassId>,
    free: Vec<ClassId>,
    /// By [`PodView::template`], for those that have one.
    by_template: BTreeMap<u64, ClassId>,
    /// Pods on nodes whose required anti-affinity others must respect.
    with_anti_affinity: usize,
    with_scored_terms: usize,
    /// Goes up when a class whose pods may repel others comes or goes.
    repelling_generation: u64,
}

impl Classes {
    fn find(&self, pod: &PodView) -> Result<usize, usize> {
        self.sorted.binary_search_by(|id| self.get(*id).cmp_pod(pod))
    }

    pub(crate) fn acquire(&mut self, pod: &PodView) -> ClassId {
        let id = self.by_template.get(&pod.template).copied().unwrap_or_else(|| self.find_or_insert(pod));
        let entry = self.entries[id.0 as usize].as_mut().expect("sorted names taken entries");
        entry.pods += 1;
        self.with_anti_affinity += usize::from(!entry.class.anti_affinity.is_empty());
        self.with_scored_terms += usize::from(entry.class.has_scored_terms());
        id
    }

    fn find_or_insert(&mut self, pod: &PodView) -> ClassId {
        let id = match self.find(pod) {
            Ok(at) => self.sorted[at],
            Err(at) => {
                let entry = Some(Entry { class: PodClass::of(pod), pods: 0 });
                self.repelling_generation += u64::from(!pod.anti_affinity.is_empty());
                let id = if let Some(id) = self.free.pop() {
                    self.entries[id.0 as usize] = entry;
                    id
                } else {
                    self.entries.push(entry);
                    ClassId(u32::try_from(self.entries.len() - 1).expect("fewer than 2³² pod classes"))
                };
                self.sorted.insert(at, id);
                id
            }
        };
        if pod.template != 0 {
            self.by_template.insert(pod.template, id);
        }
        id
    }

    pub(crate) fn release(&mut self, id: ClassId, pod: &PodView) {
        let slot = &mut self.entries[id.0 as usize];
        let entry = slot.as_mut().expect("released classes were acquired");
        entry.pods -= 1;
        self.with_anti_affinity -= usize::from(!entry.class.anti_affinity.is_empty());
        self.with_scored_terms -= usize::from(entry.class.has_scored_terms());
        if entry.pods == 0 {
            if let Ok(at) = self.find(pod) {
                self.sorted.remove(at);
            }
            self.repelling_generation += u64::from(!pod.anti_affinity.is_empty());
            self.entries[id.0 as usize] = None;
            self.by_template.retain(|_, known| *known != id);
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

    /// Whether the predicate holds for a class of pods on nodes.
    pub(crate) fn any(&self, holds: impl Fn(&PodClass) -> bool) -> bool {
        self.entries.iter().flatten().any(|entry| holds(&entry.class))
    }

    pub(crate) fn repelling_generation(&self) -> u64 {
        self.repelling_generation
    }

    pub(crate) fn any_anti_affinity(&self) -> bool {
        self.with_anti_affinity > 0
    }

    pub(crate) fn any_scored_terms(&self) -> bool {
        self.with_scored_terms > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(app: &str, template: u64) -> PodView {
        PodView { labels: [("app".to_owned(), app.to_owned())].into(), template, ..PodView::default() }
    }

    #[test]
    fn a_template_names_the_class_of_its_pods_only_while_there_are_some() {
        let mut classes = Classes::default();
        let web = classes.acquire(&pod("web", 1));
        assert_eq!((classes.acquire(&pod("web", 1)), classes.acquire(&pod("web", 0))), (web, web));
        let other = classes.acquire(&pod("other", 2));
        assert_ne!(other, web);
        for _ in 0..3 {
            classes.release(web, &pod("web", 1));
        }
        // The place is used again, and not for the template that had it.
        let third = classes.acquire(&pod("third", 3));
        assert_eq!(third, web);
        let again = classes.acquire(&pod("web", 1));
        assert_ne!(again, third);
        assert_eq!(classes.get(again).labels["app"], "web");
    }
}
