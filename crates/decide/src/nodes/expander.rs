//! Which of the groups that could help is grown.

use super::model::{GroupView, Memory};
use super::profile::Expander;
use crate::scheduling::TieBreak;
use crate::scheduling::view::PodView;

use std::sync::Arc;

/// What growing one group would achieve.
pub(super) struct GrowthOption {
    pub(super) group: usize,
    pub(super) nodes: i32,
    pub(super) pods: Vec<Arc<PodView>>,
}

impl GrowthOption {
    /// The share of CPU and of memory that the pods would leave unused, added up; from the capacity of the nodes, as
    /// upstream's `expander/waste` has it.
    pub(super) fn waste(&self, group: &GroupView) -> f64 {
        let nodes = f64::from(self.nodes);
        let unused = |wanted: i64, each: i64| {
            let all = each as f64 * nodes;
            if all > 0.0 { (all - wanted as f64) / all } else { 0.0 }
        };
        let cpu = self.pods.iter().map(|pod| pod.requests.cpu).sum::<units::Millicores>().0;
        let memory = self.pods.iter().map(|pod| pod.requests.memory).sum::<units::Bytes>().0;
        unused(cpu, group.template.capacity.cpu.0) + unused(memory, group.template.capacity.memory.0)
    }
}

/// The index of the chosen option. Where the rule leaves several, one of them is drawn.
pub(super) fn choose(
    expander: Expander,
    options: &[GrowthOption],
    groups: &[GroupView],
    memory: &mut Memory,
) -> Option<usize> {
    let best = match expander {
        Expander::Random => (0..options.len()).collect(),
        Expander::MostPods => best_by(options, |option| option.pods.len() as f64),
        Expander::LeastWaste => best_by(options, |option| -option.waste(&groups[option.group])),
        Expander::Priority => best_by(options, |option| f64::from(groups[option.group].priority)),
    };
    match best.as_slice() {
        [] => None,
        [only] => Some(*only),
        several => {
            let mut chance = TieBreak::new(memory.random);
            let drawn = several[chance.pick(several.len())];
            memory.random = chance.next_u64();
            Some(drawn)
        }
    }
}

fn best_by(options: &[GrowthOption], value: impl Fn(&GrowthOption) -> f64) -> Vec<usize> {
    let highest = options.iter().map(&value).fold(f64::NEG_INFINITY, f64::max);
    (0..options.len()).filter(|index| value(&options[*index]) == highest).collect()
}
