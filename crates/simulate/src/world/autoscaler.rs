//! The node autoscaler's loop, and what comes of it.

use std::sync::Arc;

use decide::nodes::{Decision, ScaleDown, ScaleDownReason, Snapshot, Surroundings, decide_on};
use decide::scheduling::view::{NodeView, PodView, Taint, TaintEffect};
use units::Timestamp;

use super::World;

const CANDIDATE: &str = "DeletionCandidateOfClusterAutoscaler";
/// `--max-bulk-soft-taint-count`
const CANDIDATES_PER_LOOP: usize = 10;
/// Pods of lower priority are nobody's reason for a node.
const EXPENDABLE: i32 = -10;

/// When the loop runs.
#[derive(Default)]
pub(super) struct Loop {
    pub(super) next: i64,
    /// The last loop that ran; the timed ones follow it at whole intervals.
    last: i64,
    /// Until then, loops are known to repeat the last one, unless the cluster changes from this version on.
    quiet: Option<(i64, u64)>,
    /// The scheduler's next deadline that is planned.
    pub(super) retry: Option<i64>,
}

impl Loop {
    /// Something that cannot wait for the timed loop.
    pub(super) fn wake(&mut self, now: i64) {
        self.next = now;
        self.quiet = None;
    }

    /// Ends the quiet when the cluster has changed: the next timed loop is needed.
    pub(super) fn notice(&mut self, now: i64, version: u64, interval: i64) {
        if self.quiet.is_none_or(|(_, known)| known == version) {
            return;
        }
        self.quiet = None;
        let loops = ((now - self.last + interval - 1) / interval).max(1);
        self.next = self.next.min(self.last + loops * interval);
    }
}

/// A loop that changes something is followed by another at once, a moment later: a node that has been without need since
/// just one scan interval too few may go then. So many are more than pools and nodes can ask for.
const MOMENT: i64 = 2;
const MOST_LOOPS_AT_ONCE: i64 = 1_000;

/// Whether the node autoscaler must see this pod itself, and not only what is left of its node.
pub(super) fn is_watched(pod: &PodView) -> bool {
    pod.node.is_none() || pod.deleting.is_some() || pod.priority.is_some_and(|priority| priority < EXPENDABLE)
}

impl World<'_> {
    pub(super) fn node_loop(&mut self) {
        let interval = self.plan.autoscaler.scan_interval.0;
        self.autoscaler.last = self.now;
        for moment in 0..MOST_LOOPS_AT_ONCE {
            if !self.decide_nodes(Timestamp(self.now + moment * MOMENT)) {
                break;
            }
            self.settle_without_nodes();
        }
        let quiet = self.autoscaler.quiet.filter(|(_, version)| *version == self.version && self.options.skip);
        let until = quiet.map_or(self.now, |(until, _)| until.min(self.end + interval));
        let loops = ((until - self.now + interval - 1) / interval).max(1);
        self.autoscaler.next = self.now + loops * interval;
    }

    fn settle_without_nodes(&mut self) {
        while let Some(workload) = self.dirty.pop_first() {
            self.reconcile(workload);
        }
        self.schedule();
    }

    /// Whether the next loop follows at once.
    fn decide_nodes(&mut self, now: Timestamp) -> bool {
        let snapshot = Snapshot {
            now,
            groups: self.group_views(true),
            nodes: self.node_views().collect(),
            pods: self.watched.iter().filter_map(|id| Some(Arc::clone(&self.pod(*id)?.view))).collect(),
            daemon_sets: self.plan.daemons.clone(),
            budgets: self.plan.budgets.iter().map(|budget| budget.view.clone()).collect(),
            surroundings: Surroundings {
                services: self.plan.services.clone(),
                owners: self.plan.owners.clone(),
                ..Surroundings::default()
            },
        };
        let decision = decide_on(&self.plan.autoscaler, &snapshot, &mut self.memory, &mut self.cluster);
        if self.options.check {
            let everything = Snapshot { pods: self.pod_views().collect(), ..snapshot };
            let findings = decide::check::node_decision(&everything, &decision);
            self.record.findings(self.now, findings.iter().map(|finding| format!("{finding:?}")));
        }
        let marked = decision.unhealthy || self.mark_candidates(&decision);
        let version = self.version;
        self.autoscaler.quiet = decision.quiet_until.filter(|_| marked).map(|until| (until.0, version));
        let again = decision.next <= now;
        self.act(decision);
        again
    }

    fn act(&mut self, decision: Decision) {
        for up in &decision.scale_ups {
            let Some(pool) = self.plan.pools.iter().position(|pool| pool.name == up.group) else { continue };
            match self.grow(pool, up.to) {
                Ok(()) => self.record.grown(self.now, up, &decision.report),
                Err(code) => {
                    let now = self.timestamp();
                    self.memory.scale_up_failed(&up.group, code, now);
                    self.record.refused(self.now, up, code);
                    self.version += 1;
                }
            }
        }
        for down in decision.scale_downs {
            self.record.shrunk(self.now, &down, &decision.report);
            self.start_removal(down);
        }
    }

    fn start_removal(&mut self, down: ScaleDown) {
        let Some(id) = self.names.get(&down.node).copied() else { return };
        if matches!(down.reason, ScaleDownReason::Unregistered | ScaleDownReason::CreationFailed) {
            self.remove_instance(id);
            return;
        }
        self.start_drain(id, down.evict, down.grace_seconds, super::drain::Purpose::ScaleDown);
    }

    /// Nodes without need get a soft taint, as upstream gives them; whether all of them have it.
    fn mark_candidates(&mut self, decision: &Decision) -> bool {
        let unneeded = |name: &str| decision.unneeded.iter().any(|candidate| candidate.node == name);
        let fresh: Vec<String> = decision
            .unneeded
            .iter()
            .map(|candidate| candidate.node.clone())
            .filter(|name| !self.candidates.contains(name))
            .take(CANDIDATES_PER_LOOP)
            .collect();
        let needed: Vec<String> =
            self.candidates.iter().filter(|name| !unneeded(name)).take(CANDIDATES_PER_LOOP).cloned().collect();
        for (name, is_candidate) in
            fresh.into_iter().map(|name| (name, true)).chain(needed.into_iter().map(|name| (name, false)))
        {
            let Some((id, node)) =
                self.names.get(&name).copied().and_then(|id| Some((id, self.instance(id)?.node.clone()?)))
            else {
                self.candidates.remove(&name);
                continue;
            };
            let mut view = NodeView::clone(&node);
            view.taints.retain(|taint| taint.key != CANDIDATE);
            if is_candidate {
                let since = (self.now / 1000).to_string();
                view.taints.push(Taint::new(CANDIDATE, since, TaintEffect::PreferNoSchedule));
                self.candidates.insert(name);
            } else {
                self.candidates.remove(&name);
            }
            self.put_node(id, view);
        }
        decision.unneeded.iter().all(|candidate| self.candidates.contains(&candidate.node))
            && self.candidates.iter().all(|name| unneeded(name))
    }
}
