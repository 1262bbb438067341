//! InterPodAffinity: required affinity and anti-affinity between pods, in both directions.

use std::rc::Rc;

use super::{Filter, Prepared, Rejection, Verdict};
use crate::scheduling::cluster::{Cluster, Context, NodeState, PodClass, Symbol};
use crate::scheduling::view::{AffinityTerm, PodView, Selector};

pub(super) const NAME: &str = "InterPodAffinity";

/// Whether the term, written by a pod that is not this one, selects a pod of this namespace and these labels.
pub(crate) fn term_matches(
    context: &Context,
    term: &AffinityTerm,
    namespace: &str,
    labels: &std::collections::BTreeMap<String, String>,
) -> bool {
    let in_namespace = term.namespaces.iter().any(|name| name == namespace) || {
        match (&term.namespace_selector, context.namespaces.get(namespace)) {
            (Selector::Nothing, _) => false,
            (selector, Some(known)) => selector.matches(&known.labels),
            (selector, None) => selector.is_empty(),
        }
    };
    in_namespace && term.selector.matches(labels)
}

/// Pod counts per domain of one topology key.
#[derive(Clone)]
struct Domains {
    key: Symbol,
    /// By symbol of the label value.
    counts: Vec<i64>,
}

#[derive(Clone, Default)]
struct Tally {
    keys: Vec<Domains>,
    /// How many domains have a count other than zero.
    occupied: usize,
}

impl Tally {
    fn shift(&mut self, key: Symbol, value: Symbol, delta: i64, symbols: usize) {
        let at = self.keys.iter().position(|domains| domains.key == key).unwrap_or_else(|| {
            self.keys.push(Domains { key, counts: vec![0; symbols] });
            self.keys.len() - 1
        });
        let slot = &mut self.keys[at].counts[value.0 as usize];
        self.occupied -= usize::from(*slot != 0);
        *slot += delta;
        self.occupied += usize::from(*slot != 0);
    }

    fn get(&self, key: Symbol, value: Symbol) -> i64 {
        let domains = self.keys.iter().find(|domains| domains.key == key);
        domains.map_or(0, |domains| domains.counts[value.0 as usize])
    }
}

#[derive(Clone)]
struct Term {
    /// `None`: no node has the label.
    key: Option<Symbol>,
    term: AffinityTerm,
}

/// What stays the same while pods come and go in thought.
struct Fixed {
    pod: PodView,
    /// Only its namespaces are filled.
    context: Context,
    symbols: usize,
}

#[derive(Clone)]
struct State {
    fixed: Rc<Fixed>,
    /// The symbols of the topology keys that pods on nodes use.
    symbol_of: Vec<(String, Symbol)>,
    affinity: Vec<Term>,
    anti_affinity: Vec<Term>,
    /// Pods that every affinity term of the incoming pod selects, by domain.
    attracting: Tally,
    /// Pods that an anti-affinity term of the incoming pod selects.
    repelling: Tally,
    /// Anti-affinity terms of pods on nodes that select the incoming pod.
    repelled_by: Tally,
}

pub(super) fn prepare(cluster: &Cluster, pod: &PodView) -> Prepared {
    let own_terms = !pod.affinity.is_empty() || !pod.anti_affinity.is_empty();
    if !own_terms && !cluster.classes.any_anti_affinity() {
        return Prepared::Skip;
    }
    let context = &cluster.context;
    let selects_incoming = cluster.classes.matching(|class| {
        class.anti_affinity.iter().any(|term| term_matches(context, term, &pod.namespace, &pod.labels))
    });
    if !own_terms && !selects_incoming.iter().any(|selects| *selects) {
        return Prepared::Skip;
    }
    let compile = |terms: &[AffinityTerm]| -> Vec<Term> {
        let key = |term: &AffinityTerm| cluster.symbols.find(&term.topology_key);
        terms.iter().map(|term| Term { key: key(term), term: term.clone() }).collect()
    };
    let mut state = State {
        fixed: Rc::new(Fixed {
            pod: pod.clone(),
            context: Context { namespaces: context.namespaces.clone(), ..Context::default() },
            symbols: cluster.symbols.len(),
        }),
        symbol_of: Vec::new(),
        affinity: compile(&pod.affinity),
        anti_affinity: compile(&pod.anti_affinity),
        attracting: Tally::default(),
        repelling: Tally::default(),
        repelled_by: Tally::default(),
    };
    let mut keys = std::collections::BTreeMap::new();
    let attracts = cluster.classes.matching(|class| state.all_match(class));
    let repels: Vec<Vec<bool>> = state
        .anti_affinity
        .iter()
        .map(|t| cluster.classes.matching(|class| term_matches(context, &t.term, &class.namespace, &class.labels)))
        .collect();
    for node in &cluster.nodes {
        for count in &node.classes {
            let (id, pods) = (count.class.0 as usize, i64::from(count.all));
            if attracts[id] {
                state.attract(node, pods);
            }
            for (term, repels) in repels.iter().enumerate() {
                if repels[id] {
                    state.repel(term, node, pods);
                }
            }
            if selects_incoming[id] {
                let class = cluster.classes.get(count.class);
                for term in &class.anti_affinity {
                    if term_matches(context, term, &pod.namespace, &pod.labels) {
                        let key = *keys
                            .entry(term.topology_key.clone())
                            .or_insert_with(|| cluster.symbols.find(&term.topology_key));
                        let symbols = state.fixed.symbols;
                        shift(&mut state.repelled_by, key, node, pods, symbols);
                    }
                }
            }
        }
    }
    if !own_terms && state.repelled_by.occupied == 0 {
        return Prepared::Skip;
    }
    // Pods that preemption takes off or nomination adds bring terms of their own, whose keys must be known too.
    for term in cluster.nominated.values().flatten().flat_map(|pod| &pod.anti_affinity) {
        keys.entry(term.topology_key.clone()).or_insert_with(|| cluster.symbols.find(&term.topology_key));
    }
    state.symbol_of = keys.into_iter().filter_map(|(text, symbol)| Some((text, symbol?))).collect();
    Prepared::Ready(Box::new(state))
}

fn shift(tally: &mut Tally, key: Option<Symbol>, node: &NodeState, delta: i64, symbols: usize) {
    if let Some((key, value)) = key.and_then(|key| Some((key, node.label(key)?))) {
        tally.shift(key, value, delta, symbols);
    }
}

impl State {
    fn all_match(&self, class: &PodClass) -> bool {
        !self.affinity.is_empty()
            && self.affinity.iter().all(|t| term_matches(&self.fixed.context, &t.term, &class.namespace, &class.labels))
    }

    fn attract(&mut self, node: &NodeState, delta: i64) {
        for term in &self.affinity {
            shift(&mut self.attracting, term.key, node, delta, self.fixed.symbols);
        }
    }

    fn repel(&mut self, term: usize, node: &NodeState, delta: i64) {
        shift(&mut self.repelling, self.anti_affinity[term].key, node, delta, self.fixed.symbols);
    }

    fn change(&mut self, class: &PodClass, node: &NodeState, delta: i64) {
        for term in &class.anti_affinity {
            if term_matches(&self.fixed.context, term, &self.fixed.pod.namespace, &self.fixed.pod.labels) {
                let key = self.symbol_of.iter().find(|(text, _)| *text == term.topology_key).map(|(_, symbol)| *symbol);
                shift(&mut self.repelled_by, key, node, delta, self.fixed.symbols);
            }
        }
        if self.all_match(class) {
            self.attract(node, delta);
        }
        for term in 0..self.anti_affinity.len() {
            if term_matches(&self.fixed.context, &self.anti_affinity[term].term, &class.namespace, &class.labels) {
                self.repel(term, node, delta);
            }
        }
    }

    fn satisfies_affinity(&self, node: &NodeState) -> bool {
        let mut pods_exist = true;
        for term in &self.affinity {
            let Some((key, value)) = term.key.and_then(|key| Some((key, node.label(key)?))) else { return false };
            pods_exist &= self.attracting.get(key, value) > 0;
        }
        // The first pod of a group that wants its own company may start anywhere.
        pods_exist || (self.attracting.occupied == 0 && self.selects_itself())
    }

    fn selects_itself(&self) -> bool {
        let terms = &self.affinity;
        terms
            .iter()
            .all(|t| term_matches(&self.fixed.context, &t.term, &self.fixed.pod.namespace, &self.fixed.pod.labels))
    }

    fn satisfies_anti_affinity(&self, node: &NodeState) -> bool {
        self.repelling.occupied == 0
            || self.anti_affinity.iter().all(|term| {
                let domain = term.key.and_then(|key| Some((key, node.label(key)?)));
                domain.is_none_or(|(key, value)| self.repelling.get(key, value) <= 0)
            })
    }

    fn satisfies_existing(&self, node: &NodeState) -> bool {
        self.repelled_by.occupied == 0
            || self
                .repelled_by
                .keys
                .iter()
                .all(|domains| node.label(domains.key).is_none_or(|value| domains.counts[value.0 as usize] <= 0))
    }
}

impl Filter for State {
    fn check(&self, _: &PodView, node: &NodeState) -> Verdict {
        if !self.satisfies_affinity(node) {
            return Err(Rejection::final_(NAME, "node(s) didn't match pod affinity rules"));
        }
        if !self.satisfies_anti_affinity(node) {
            return Err(Rejection::resolvable(NAME, "node(s) didn't match pod anti-affinity rules"));
        }
        if !self.satisfies_existing(node) {
            return Err(Rejection::resolvable(NAME, "node(s) didn't satisfy existing pods anti-affinity rules"));
        }
        Ok(())
    }

    fn add(&mut self, _: &PodView, class: &PodClass, node: &NodeState) {
        self.change(class, node, 1);
    }

    fn remove(&mut self, _: &PodView, class: &PodClass, node: &NodeState) {
        self.change(class, node, -1);
    }

    fn clone_box(&self) -> Box<dyn Filter> {
        Box::new(self.clone())
    }
}
