//! InterPodAffinity: preferred affinity in both directions, and required affinity of pods that are there already.

use super::{MAX, Score};
use crate::scheduling::cluster::{Cluster, NodeState, PodClass, Symbol};
use crate::scheduling::filters::term_matches;
use crate::scheduling::view::{AffinityTerm, PodView};

/// `hardPodAffinityWeight`: what a required affinity of an existing pod counts.
const HARD_WEIGHT: i64 = 1;

/// Weight per domain of one topology key.
struct Domains {
    key: Symbol,
    weights: Vec<i64>,
}

struct State(Vec<Domains>);

pub(super) fn prepare<'a>(cluster: &'a Cluster, pod: &'a PodView, _: &[&'a NodeState]) -> Option<Box<dyn Score + 'a>> {
    let prefers = !pod.preferred_affinity.is_empty() || !pod.preferred_anti_affinity.is_empty();
    if !prefers && !cluster.classes.any_scored_terms() {
        return None;
    }
    let mut by_class: Vec<Option<Vec<(Symbol, i64)>>> = Vec::new();
    let mut domains: Vec<Domains> = Vec::new();
    let mut touched = false;
    for node in &cluster.nodes {
        for count in &node.classes {
            let id = count.class.0 as usize;
            if by_class.len() <= id {
                by_class.resize(id + 1, None);
            }
            let weights = by_class[id].get_or_insert_with(|| weights(cluster, pod, cluster.classes.get(count.class)));
            for (key, weight) in weights.iter() {
                let Some(Symbol(domain)) = node.label(*key) else { continue };
                touched = true;
                let at = domains.iter().position(|d| d.key == *key).unwrap_or_else(|| {
                    domains.push(Domains { key: *key, weights: vec![0; cluster.symbols.len()] });
                    domains.len() - 1
                });
                domains[at].weights[domain as usize] += weight * i64::from(count.all);
            }
        }
    }
    touched.then(|| Box::new(State(domains)) as Box<dyn Score>)
}

/// What one pod of the class adds to the domains it is in, by topology key.
fn weights(cluster: &Cluster, pod: &PodView, class: &PodClass) -> Vec<(Symbol, i64)> {
    let context = &cluster.context;
    let mut found = Vec::new();
    let mut note = |term: &AffinityTerm, weight: i64| {
        if let Some(key) = cluster.symbols.find(&term.topology_key) {
            found.push((key, weight));
        }
    };
    let selects_class = |term: &AffinityTerm| term_matches(context, term, &class.namespace, &class.labels);
    let selects_pod = |term: &AffinityTerm| term_matches(context, term, &pod.namespace, &pod.labels);
    for weighted in pod.preferred_affinity.iter().filter(|w| selects_class(&w.term)) {
        note(&weighted.term, i64::from(weighted.weight));
    }
    for weighted in pod.preferred_anti_affinity.iter().filter(|w| selects_class(&w.term)) {
        note(&weighted.term, -i64::from(weighted.weight));
    }
    for term in class.affinity.iter().filter(|term| selects_pod(term)) {
        note(term, HARD_WEIGHT);
    }
    for weighted in class.preferred_affinity.iter().filter(|w| selects_pod(&w.term)) {
        note(&weighted.term, i64::from(weighted.weight));
    }
    for weighted in class.preferred_anti_affinity.iter().filter(|w| selects_pod(&w.term)) {
        note(&weighted.term, -i64::from(weighted.weight));
    }
    found
}

impl Score for State {
    fn score(&self, node: &NodeState) -> i64 {
        self.0.iter().filter_map(|d| Some(d.weights[node.label(d.key)?.0 as usize])).sum()
    }

    fn normalize(&self, _: &[&NodeState], scores: &mut [i64]) {
        let (Some(lowest), Some(highest)) = (scores.iter().copied().min(), scores.iter().copied().max()) else {
            return;
        };
        let spread = highest - lowest;
        for score in scores {
            let fraction = if spread > 0 { (*score - lowest) as f64 / spread as f64 } else { 0.0 };
            *score = (MAX as f64 * fraction) as i64;
        }
    }
}
