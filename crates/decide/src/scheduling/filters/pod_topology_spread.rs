//! PodTopologySpread: the hard constraints on how evenly pods spread over domains.

use super::node_affinity::NodeMatcher;
use super::{Filter, Prepared, Rejection, Verdict};
use crate::scheduling::cluster::{ClassId, Cluster, NodeState, PodClass, Symbol};
use crate::scheduling::view::{InclusionPolicy, PodView, Selector, SpreadConstraint, TaintEffect};

pub(super) const NAME: &str = "PodTopologySpread";

const NO_MATCH: &str = "node(s) didn't match pod topology spread constraints";
const NO_LABEL: &str = "node(s) didn't match pod topology spread constraints (missing required label)";

/// One constraint with what it needs to know of nodes and pods, for filter and score.
#[derive(Clone)]
pub(crate) struct Constraint {
    pub(crate) max_skew: i32,
    min_domains: i32,
    /// `None`: no node has the label.
    pub(crate) key: Option<Symbol>,
    selector: Selector,
    /// By class: in the pod's namespace and selected.
    matching: Vec<bool>,
    honors_affinity: bool,
    honors_taints: bool,
}

impl Constraint {
    pub(crate) fn new(cluster: &Cluster, pod: &PodView, constraint: &SpreadConstraint) -> Constraint {
        // Upstream counts nothing for a selector without requirements.
        let counts = !constraint.selector.is_empty();
        let key = cluster.symbols.find(&constraint.topology_key);
        let is_counted =
            |class: &PodClass| class.namespace == pod.namespace && constraint.selector.matches(&class.labels);
        // Without the label there is no domain, and nobody counts.
        let matching = if counts && key.is_some() { cluster.classes.matching(is_counted) } else { Vec::new() };
        Constraint {
            max_skew: constraint.max_skew,
            min_domains: constraint.min_domains,
            key,
            selector: constraint.selector.clone(),
            matching,
            honors_affinity: constraint.node_affinity_policy == InclusionPolicy::Honor,
            honors_taints: constraint.node_taints_policy == InclusionPolicy::Honor,
        }
    }

    pub(crate) fn domain(&self, node: &NodeState) -> Option<Symbol> {
        node.label(self.key?)
    }

    /// The pods on the node that the constraint counts.
    pub(crate) fn count(&self, node: &NodeState) -> i64 {
        node.classes.iter().filter(|c| self.is_matching(c.class)).map(|c| i64::from(c.live)).sum()
    }

    /// The classes that the constraint counts.
    pub(crate) fn classes(&self) -> impl Iterator<Item = usize> {
        (0..self.matching.len()).filter(|class| self.matching[*class])
    }

    fn is_matching(&self, class: ClassId) -> bool {
        self.matching.get(class.0 as usize).copied().unwrap_or(false)
    }

    /// Whether the node takes part in counting for this pod.
    pub(crate) fn includes(&self, node: &NodeState, places: &Places) -> bool {
        (!self.honors_affinity || places.matcher.matches(node))
            && (!self.honors_taints || places.tolerated[node.taints.0 as usize])
    }
}

/// Where the pod could go as far as affinity and taints say.
#[derive(Clone)]
pub(crate) struct Places {
    matcher: NodeMatcher,
    tolerated: Vec<bool>,
}

impl Places {
    pub(crate) fn new(cluster: &Cluster, pod: &PodView) -> Places {
        let tolerates = |taints: &Vec<crate::scheduling::view::Taint>| {
            taints.iter().all(|taint| taint.effect == TaintEffect::PreferNoSchedule || pod.tolerates(taint))
        };
        Places {
            matcher: NodeMatcher::new(&cluster.symbols, pod),
            tolerated: cluster.taint_lists.iter().map(tolerates).collect(),
        }
    }
}

#[derive(Clone)]
struct Counted {
    constraint: Constraint,
    self_match: i64,
    /// By symbol of the domain's label value; `ABSENT` where no included node has it.
    counts: Vec<i32>,
    domains: Vec<Symbol>,
    /// The smallest count over all domains, as it stands; 0 below `min_domains`.
    minimum: i64,
}

const ABSENT: i32 = i32::MIN;

impl Counted {
    fn refresh_minimum(&mut self) {
        let least = self.domains.iter().map(|domain| self.counts[domain.0 as usize]).min();
        let enough = i32::try_from(self.domains.len()).unwrap_or(i32::MAX) >= self.constraint.min_domains;
        // Without any domain, upstream's minimum is the largest integer, so every node passes.
        self.minimum = if enough { least.map_or(i64::from(i32::MAX), i64::from) } else { 0 };
    }
}

#[derive(Clone)]
struct State {
    counted: Vec<Counted>,
    places: Places,
    namespace: String,
}

pub(super) fn prepare(cluster: &Cluster, pod: &PodView) -> Prepared {
    let hard: Vec<_> = pod.spread.iter().filter(|constraint| constraint.hard).collect();
    if hard.is_empty() {
        return Prepared::Skip;
    }
    let counted = hard
        .iter()
        .map(|constraint| Counted {
            self_match: i64::from(constraint.selector.matches(&pod.labels)),
            constraint: Constraint::new(cluster, pod, constraint),
            counts: vec![ABSENT; cluster.symbols.len()],
            domains: Vec::new(),
            minimum: 0,
        })
        .collect();
    let mut state = State { counted, places: Places::new(cluster, pod), namespace: pod.namespace.clone() };
    for node in &cluster.nodes {
        state.count_node(node);
    }
    state.counted.iter_mut().for_each(Counted::refresh_minimum);
    Prepared::Ready(Box::new(state))
}

impl State {
    fn has_all_keys(&self, node: &NodeState) -> bool {
        self.counted.iter().all(|counted| counted.constraint.domain(node).is_some())
    }

    fn count_node(&mut self, node: &NodeState) {
        if !self.has_all_keys(node) {
            return;
        }
        for counted in &mut self.counted {
            let Some(domain) = counted.constraint.domain(node) else { continue };
            if !counted.constraint.includes(node, &self.places) {
                continue;
            }
            let count = i32::try_from(counted.constraint.count(node)).unwrap_or(i32::MAX);
            let slot = &mut counted.counts[domain.0 as usize];
            if *slot == ABSENT {
                *slot = 0;
                counted.domains.push(domain);
            }
            *slot += count;
        }
    }

    fn shift(&mut self, pod: &PodView, node: &NodeState, delta: i32) {
        if pod.namespace != self.namespace || !self.has_all_keys(node) {
            return;
        }
        for counted in &mut self.counted {
            let Some(domain) = counted.constraint.domain(node) else { continue };
            if !counted.constraint.selector.matches(&pod.labels) || !counted.constraint.includes(node, &self.places) {
                continue;
            }
            let slot = &mut counted.counts[domain.0 as usize];
            *slot = if *slot == ABSENT { delta } else { *slot + delta };
            counted.refresh_minimum();
        }
    }
}

impl Filter for State {
    fn check(&self, _: &PodView, node: &NodeState) -> Verdict {
        for counted in &self.counted {
            let Some(domain) = counted.constraint.domain(node) else {
                return Err(Rejection::final_(NAME, NO_LABEL));
            };
            let here = match counted.counts[domain.0 as usize] {
                ABSENT => 0,
                // Below zero where preemption takes off pods that were not counted: terminating ones, and those of a
                // selector without requirements.
                count => i64::from(count),
            };
            if here + counted.self_match - counted.minimum > i64::from(counted.constraint.max_skew) {
                return Err(Rejection::resolvable(NAME, NO_MATCH));
            }
        }
        Ok(())
    }

    fn add(&mut self, pod: &PodView, _: &PodClass, node: &NodeState) {
        self.shift(pod, node, 1);
    }

    fn remove(&mut self, pod: &PodView, _: &PodClass, node: &NodeState) {
        self.shift(pod, node, -1);
    }

    fn clone_box(&self) -> Box<dyn Filter> {
        Box::new(self.clone())
    }
}
