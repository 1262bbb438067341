//! NodeAffinity: the pod's node selector and its required node affinity.

use std::collections::BTreeSet;

use super::{Filter, Prepared, Rejection, Verdict};
use crate::scheduling::cluster::{Cluster, NodeState, Symbol, Symbols};
use crate::scheduling::view::{NodeTerm, Operator, PodView, Requirement};

pub(super) const NAME: &str = "NodeAffinity";

/// A pod's node selector and affinity in terms of the cluster's symbols.
#[derive(Clone, Default)]
pub(crate) struct NodeMatcher {
    selector: Vec<Test>,
    /// `None`: no required affinity.
    terms: Option<Vec<Vec<Test>>>,
}

#[derive(Clone)]
enum Test {
    /// Neither key nor value needs a look at the node.
    Constant(bool),
    In {
        key: Symbol,
        values: Vec<Symbol>,
    },
    NotIn {
        key: Symbol,
        values: Vec<Symbol>,
    },
    Exists(Symbol),
    Absent(Symbol),
    /// On the node's name, or a comparison of integers, which needs the label's text.
    Text(Requirement),
}

impl NodeMatcher {
    pub(crate) fn new(symbols: &Symbols, pod: &PodView) -> NodeMatcher {
        let selector =
            pod.node_selector.iter().map(|(key, value)| compile(symbols, &Requirement::equals(key, value))).collect();
        let terms = pod.node_affinity.as_ref().map(|terms| terms.iter().map(|t| compile_term(symbols, t)).collect());
        NodeMatcher { selector, terms }
    }

    /// One term alone, as preferences are scored.
    pub(crate) fn of_term(symbols: &Symbols, term: &NodeTerm) -> NodeMatcher {
        NodeMatcher { selector: compile_term(symbols, term), terms: None }
    }

    pub(crate) fn is_trivial(&self) -> bool {
        self.selector.is_empty() && self.terms.is_none()
    }

    pub(crate) fn matches(&self, node: &NodeState) -> bool {
        self.selector.iter().all(|test| test.holds(node))
            && self.terms.as_ref().is_none_or(|terms| terms.iter().any(|t| t.iter().all(|test| test.holds(node))))
    }
}

fn compile_term(symbols: &Symbols, term: &NodeTerm) -> Vec<Test> {
    if term.is_empty() {
        return vec![Test::Constant(false)];
    }
    let fields = term.fields.iter().map(|requirement| match requirement.key.as_str() {
        "metadata.name" => Test::Text(requirement.clone()),
        _ => Test::Constant(requirement.holds(None)),
    });
    term.labels.iter().map(|requirement| compile(symbols, requirement)).chain(fields).collect()
}

fn compile(symbols: &Symbols, requirement: &Requirement) -> Test {
    let Some(key) = symbols.find(&requirement.key) else {
        return Test::Constant(requirement.holds(None));
    };
    let values = || requirement.values.iter().filter_map(|value| symbols.find(value)).collect();
    match requirement.operator {
        Operator::In => Test::In { key, values: values() },
        Operator::NotIn => Test::NotIn { key, values: values() },
        Operator::Exists => Test::Exists(key),
        Operator::DoesNotExist => Test::Absent(key),
        Operator::Gt | Operator::Lt => Test::Text(requirement.clone()),
        Operator::Unknown => Test::Constant(false),
    }
}

impl Test {
    fn holds(&self, node: &NodeState) -> bool {
        match self {
            Test::Constant(holds) => *holds,
            Test::In { key, values } => node.label(*key).is_some_and(|value| values.contains(&value)),
            Test::NotIn { key, values } => node.label(*key).is_none_or(|value| !values.contains(&value)),
            Test::Exists(key) => node.label(*key).is_some(),
            Test::Absent(key) => node.label(*key).is_none(),
            Test::Text(requirement) if requirement.key == "metadata.name" => requirement.holds(Some(node.name())),
            Test::Text(requirement) => requirement.holds(node.view.labels.get(&requirement.key).map(String::as_str)),
        }
    }
}

#[derive(Clone)]
struct State(NodeMatcher);

pub(super) fn prepare(cluster: &Cluster, pod: &PodView) -> Prepared {
    let matcher = NodeMatcher::new(&cluster.symbols, pod);
    if matcher.is_trivial() {
        return Prepared::Skip;
    }
    let state = Box::new(State(matcher));
    match named_nodes(pod) {
        Some(names) if names.is_empty() => Prepared::Reject(Rejection::final_(NAME, "pod affinity terms conflict")),
        Some(names) => Prepared::Only(names, state),
        None => Prepared::Ready(state),
    }
}

/// The nodes that the terms name by `metadata.name`, where every term does.
fn named_nodes(pod: &PodView) -> Option<BTreeSet<String>> {
    let terms = pod.node_affinity.as_ref().filter(|terms| !terms.is_empty())?;
    let mut all = BTreeSet::new();
    for term in terms {
        let mut of_term: Option<BTreeSet<String>> = None;
        for field in term.fields.iter().filter(|f| f.key == "metadata.name" && f.operator == Operator::In) {
            let names: BTreeSet<String> = field.values.iter().cloned().collect();
            of_term = Some(match of_term {
                Some(known) => known.intersection(&names).cloned().collect(),
                None => names,
            });
        }
        all.extend(of_term?);
    }
    Some(all)
}

impl Filter for State {
    fn check(&self, _: &PodView, node: &NodeState) -> Verdict {
        if self.0.matches(node) {
            return Ok(());
        }
        Err(Rejection::final_(NAME, "node(s) didn't match Pod's node affinity/selector"))
    }

    fn is_local(&self) -> bool {
        true
    }

    fn clone_box(&self) -> Box<dyn Filter> {
        Box::new(self.clone())
    }
}
