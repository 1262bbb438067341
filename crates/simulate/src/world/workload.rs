//! Deployments: how many pods there should be, and which go first.

use std::cmp::Reverse;

use decide::hpa;

use super::pod::{Pod, State};
use super::{InstanceId, PodId, World};
use crate::plan;
use crate::scenario::Scenario;

/// A workload at present.
pub(super) struct Running {
    pub(super) desired: i32,
    /// Pods that are not being deleted, oldest first.
    pub(super) members: Vec<PodId>,
    pub(super) serving: Vec<PodId>,
    /// Members that the autoscaler must look at one by one, and the number of the others.
    pub(super) young: Vec<PodId>,
    pub(super) steady: i64,
    pub(super) ready: i64,
    pub(super) numbers: u32,
    pub(super) revision: u32,
    pub(super) rolling: bool,
    pub(super) memory: hpa::Memory,
    pub(super) streak: hpa::quick::Streak,
    pub(super) status: hpa::status::Status,
    /// CPU seconds that one serving pod of the first group has used so far, and at the last sample.
    pub(super) counter: f64,
    pub(super) sampled_counter: f64,
    /// The last sample of a steady pod.
    pub(super) sample: Option<super::pod::Sample>,
    /// Pods of one sample differ.
    pub(super) mixed: bool,
    pub(super) startup_cpu: f64,
    /// Steady pods' usage together, in thousandths.
    pub(super) steady_cpu_milli: i64,
}

impl Running {
    pub(super) fn new(scenario: &Scenario, plan: &plan::Workload) -> Running {
        Running {
            desired: plan.replicas,
            members: Vec::new(),
            serving: Vec::new(),
            young: Vec::new(),
            steady: 0,
            ready: 0,
            numbers: 0,
            revision: 0,
            rolling: false,
            memory: hpa::Memory::default(),
            streak: hpa::quick::Streak::default(),
            status: hpa::status::Status::default(),
            counter: 0.0,
            sampled_counter: 0.0,
            sample: None,
            mixed: false,
            startup_cpu: scenario.work.get(&plan.name).map_or(0.0, |work| work.startup_cpu.0 as f64 / 1000.0),
            steady_cpu_milli: 0,
        }
    }

    pub(super) fn is_rolling(&self) -> bool {
        self.rolling
    }

    pub(super) fn forget(&mut self, id: PodId) {
        self.members.retain(|known| *known != id);
        self.young.retain(|known| *known != id);
    }
}

impl World<'_> {
    /// What deployment controller and replica set do.
    pub(super) fn reconcile(&mut self, index: usize) {
        if self.workloads[index].rolling {
            self.roll(index);
            return;
        }
        let (have, want) = (self.workloads[index].members.len() as i32, self.workloads[index].desired);
        for _ in have..want {
            self.create_pod(index, self.now);
        }
        if have > want {
            self.shrink(index, (have - want) as usize, |_| true);
        }
    }

    /// As `getPodsToDelete`: first those that are of least use.
    fn shrink(&mut self, index: usize, count: usize, which: impl Fn(&Pod) -> bool) {
        let members = self.workloads[index].members.iter().filter_map(|id| Some((*id, self.pod(*id)?)));
        let mut homes: Vec<Option<InstanceId>> = members.clone().map(|(_, pod)| pod.node).collect();
        homes.sort_unstable();
        let crowd = |node: Option<InstanceId>| {
            homes.partition_point(|home| *home <= node) - homes.partition_point(|home| *home < node)
        };
        let now = self.now;
        let rank = |pod: &Pod| {
            let phase = u8::from(!matches!(pod.state, State::Waiting | State::Bound));
            let ready = pod.state == State::Ready;
            (pod.node.is_some(), phase, ready, Reverse(crowd(pod.node)), age_rank(pod.changed, now))
        };
        let mut ranked: Vec<_> =
            members.filter(|(_, pod)| which(pod)).map(|(id, pod)| (rank(pod), pod.view.uid.as_str(), id)).collect();
        if count < ranked.len() {
            ranked.select_nth_unstable(count);
            ranked.truncate(count);
        }
        ranked.sort_unstable();
        let gone: Vec<PodId> = ranked.into_iter().map(|(.., id)| id).collect();
        for id in gone {
            self.delete_pod(id);
        }
    }

    /// One step of a rolling update.
    fn roll(&mut self, index: usize) {
        let plan = &self.plan.workloads[index];
        let running = &self.workloads[index];
        let (desired, revision) = (running.desired, running.revision);
        let (surge, mut unavailable) = (plan.surge.up(desired), plan.unavailable.down(desired));
        if surge == 0 && unavailable == 0 {
            unavailable = 1;
        }
        let members: Vec<&Pod> = running.members.iter().filter_map(|id| self.pod(*id)).collect();
        let fresh = members.iter().filter(|pod| pod.revision == revision).count() as i32;
        let total = members.len() as i32;
        let ready = members.iter().filter(|pod| pod.state == State::Ready).count() as i32;
        let idle = members.iter().filter(|pod| pod.revision != revision && pod.state != State::Ready).count() as i32;
        if total == fresh {
            self.workloads[index].rolling = false;
            self.reconcile(index);
            return;
        }
        let more = (desired + surge - total).min(desired - fresh);
        for _ in 0..more.max(0) {
            self.create_pod(index, self.now);
        }
        let spare = (ready - (desired - unavailable)).max(0);
        let gone = (idle + spare).min(total - fresh);
        if gone > 0 {
            self.shrink(index, gone as usize, |pod| pod.revision != revision);
        }
    }
}

/// Ages within the same power of two count as equal (`LogarithmicScaleDown`).
fn age_rank(since: i64, now: i64) -> i64 {
    match u64::try_from(now - since) {
        // In nanoseconds, as upstream counts.
        Ok(millis) if millis > 0 => i64::from((u128::from(millis) * 1_000_000).ilog2()),
        _ => -1,
    }
}
