//! Notes taken while the world moves.

use std::collections::BTreeMap;

use decide::hpa::Decision;
use decide::nodes::{ScaleDown, ScaleUp};
use decide::report::Report;
use decide::scheduling::{Outcome as Scheduled, PodView};
use decide::wire;
use serde_json::{Value, json};
use units::{Millis, Timestamp};

use super::{Latency, Line, LineKind, Minute, Outcome, Passage, Replicas, cost};
use crate::flow::latency::{Histogram, Tables};
use crate::plan::Plan;
use crate::scenario::{Fault, Objective, Scenario};
use crate::world::Options;

const MINUTE: i64 = 60_000;
/// More findings would only repeat themselves.
const MOST_FINDINGS: usize = 100;

pub(crate) struct Record<'a> {
    scenario: &'a Scenario,
    options: Options,
    requests: f64,
    failed: f64,
    histogram: Histogram,
    minute: MinuteSums,
    missed_minutes: u64,
    node_millis: Vec<u128>,
    /// By workload: wanted at present, since when, and what it was until then.
    counts: Vec<Count>,
    /// Those that are told, in the order of their names.
    shown: Vec<usize>,
    pool_names: Vec<String>,
    nodes: Vec<i32>,
    decisions: u64,
    timeline: Vec<Line>,
    minutes: Vec<Minute>,
    notes: Vec<(i64, String)>,
    findings: Vec<String>,
    cost: cost::Rates,
    pub(crate) checked_version: u64,
}

#[derive(Default)]
struct MinuteSums {
    number: i64,
    requests: f64,
    failed: f64,
    late: [f64; 3],
    p99: f64,
}

struct Count {
    key: String,
    shown: bool,
    now: i32,
    since: i64,
    min: i32,
    max: i32,
    sum: f64,
}

impl Count {
    fn set(&mut self, at: i64, to: i32) {
        self.sum += f64::from(self.now) * (at - self.since) as f64;
        self.now = to;
        self.since = at;
        self.min = self.min.min(to);
        self.max = self.max.max(to);
    }
}

impl<'a> Record<'a> {
    pub(crate) fn new(scenario: &'a Scenario, plan: &Plan, options: Options) -> Record<'a> {
        let names: Vec<&str> = plan.workloads.iter().map(|workload| workload.name.as_str()).collect();
        let count = |workload: &crate::plan::Workload| {
            // The name alone, as the scenario has it, unless two namespaces use it.
            let unique = names.iter().filter(|name| **name == workload.name).count() == 1;
            Count {
                key: if unique { workload.name.clone() } else { format!("{}/{}", workload.namespace, workload.name) },
                shown: workload.hpa.is_some() || scenario.work.contains_key(&workload.name),
                now: workload.replicas,
                since: 0,
                min: workload.replicas,
                max: workload.replicas,
                sum: 0.0,
            }
        };
        let counts: Vec<Count> = plan.workloads.iter().map(count).collect();
        let mut shown: Vec<usize> = (0..counts.len()).filter(|index| counts[*index].shown).collect();
        shown.sort_by(|a, b| counts[*a].key.cmp(&counts[*b].key));
        Record {
            shown,
            scenario,
            options,
            requests: 0.0,
            failed: 0.0,
            histogram: Histogram::new(),
            minute: MinuteSums::default(),
            missed_minutes: 0,
            node_millis: vec![0; plan.pools.len()],
            counts,
            pool_names: plan.pools.iter().map(|pool| pool.name.clone()).collect(),
            nodes: plan.pools.iter().map(|pool| pool.min).collect(),
            decisions: 0,
            timeline: Vec::new(),
            minutes: Vec::new(),
            notes: Vec::new(),
            findings: Vec::new(),
            cost: cost::Rates::new(&scenario.platform),
            checked_version: u64::MAX,
        }
    }

    /// Requests that went one way for so long.
    pub(crate) fn passed(&mut self, tables: &Tables, millis: i64, passage: &Passage) {
        let requests = passage.rate * millis as f64 / 1000.0;
        self.requests += requests;
        self.failed += requests * passage.failed;
        passage.add_to(&mut self.histogram, tables, requests * (1.0 - passage.failed));
    }

    /// When the present minute ends.
    pub(crate) fn minute_end(&self) -> i64 {
        (self.minute.number + 1) * MINUTE
    }

    /// The same for the present minute, which they all fall into.
    pub(crate) fn within_minute(&mut self, millis: i64, passage: &Passage) {
        let requests = passage.rate * millis as f64 / 1000.0;
        self.minute.requests += requests;
        self.minute.failed += requests * passage.failed;
        for (sum, late) in self.minute.late.iter_mut().zip(passage.late) {
            *sum += requests * (1.0 - passage.failed) * late;
        }
        if requests > 0.0 {
            self.minute.p99 = self.minute.p99.max(passage.p99);
        }
    }

    pub(crate) fn end_minute(&mut self) {
        let number = self.minute.number + 1;
        let sums = std::mem::replace(&mut self.minute, MinuteSums { number, ..MinuteSums::default() });
        let missed = is_missed(&sums, &self.scenario.objective);
        self.missed_minutes += u64::from(missed);
        if self.options.series {
            self.minutes.push(Minute {
                requests: sums.requests as f32,
                failed: sums.failed as f32,
                p99: sums.p99 as f32,
                replicas: self.shown.iter().map(|index| self.counts[*index].now).collect(),
                nodes: self.nodes.clone(),
                usd_hour: self.cost.now(&self.nodes) as f32,
                missed,
            });
        }
    }

    pub(crate) fn rescaled(&mut self, at: i64, workload: usize, from: i32, decision: &Decision, ready: usize) {
        let Some(rescale) = &decision.rescale else { return };
        self.decisions += 1;
        self.counts[workload].set(at, rescale.to);
        if self.options.timeline {
            let mut value = wire::hpa_timeline::line(Timestamp(at), from, decision, ready);
            value["hpa"] = json!(self.counts[workload].key);
            self.timeline.push(Line {
                at: Millis(at),
                kind: LineKind::Hpa,
                object: format!("hpa/{}", self.counts[workload].key),
                from,
                to: rescale.to,
                summary: decision.report.summary.clone(),
                value,
            });
        }
    }

    pub(crate) fn grown(&mut self, at: i64, up: &ScaleUp, report: &Report) {
        self.decisions += 1;
        let value = || json!({"t": seconds(at), "group": up.group, "from": up.from, "to": up.to, "for": up.pods, "report": report});
        self.pool_line(at, &up.group, (up.from, up.to), &report.summary, value);
    }

    pub(crate) fn shrunk(&mut self, at: i64, down: &ScaleDown, report: &Report) {
        self.decisions += 1;
        let value = || {
            json!({"t": seconds(at), "group": down.group, "from": down.from, "to": down.to, "node": down.node,
                   "reason": down.reason, "report": report})
        };
        self.pool_line(at, &down.group, (down.from, down.to), &report.summary, value);
    }

    pub(crate) fn refused(&mut self, at: i64, up: &ScaleUp, code: &str) {
        self.note(at, format!("the cloud refused to grow {} from {} to {}: {code}", up.group, up.from, up.to));
    }

    fn pool_line(&mut self, at: i64, pool: &str, (from, to): (i32, i32), summary: &str, value: impl Fn() -> Value) {
        if self.options.timeline {
            let object = format!("pool/{pool}");
            let summary = summary.to_owned();
            self.timeline.push(Line {
                at: Millis(at),
                kind: LineKind::Pool,
                object,
                from,
                to,
                summary,
                value: value(),
            });
        }
    }

    pub(crate) fn placed(&mut self, at: i64, pod: &PodView, outcome: Scheduled) {
        if at == 0 {
            return;
        }
        self.decisions += 1;
        let object = format!("pod/{}", pod.key());
        let summary = outcome.report.summary.clone();
        let mut value = wire::schedule::answer(outcome);
        value["t"] = seconds(at);
        value["pod"] = json!(pod.key());
        self.timeline.push(Line { at: Millis(at), kind: LineKind::Pod, object, from: 0, to: 1, summary, value });
    }

    pub(crate) fn count_placement(&mut self, at: i64) {
        self.decisions += u64::from(at != 0);
    }

    pub(crate) fn fault(&mut self, at: i64, fault: &Fault) {
        if self.options.timeline {
            let object = fault.pool.as_ref().or(fault.workload.as_ref()).cloned().unwrap_or_default();
            let summary = format!("fault: {:?} {object}", fault.kind);
            let value = json!({"t": seconds(at), "fault": format!("{:?}", fault.kind), "of": object});
            self.timeline.push(Line {
                at: Millis(at),
                kind: LineKind::Fault,
                object: "fault".to_owned(),
                from: 0,
                to: 0,
                summary: summary.trim_end().to_owned(),
                value,
            });
        }
    }

    pub(crate) fn note(&mut self, at: i64, text: String) {
        self.notes.push((at, text));
    }

    pub(crate) fn findings(&mut self, at: i64, findings: impl Iterator<Item = String>) {
        let room = MOST_FINDINGS.saturating_sub(self.findings.len());
        self.findings.extend(findings.take(room).map(|finding| format!("{} s: {finding}", at as f64 / 1000.0)));
    }

    pub(crate) fn pools(&mut self, sizes: &[i32]) {
        self.nodes.copy_from_slice(sizes);
    }

    pub(crate) fn node_millis(&mut self, pool: usize, millis: i64) {
        self.node_millis[pool] += u128::try_from(millis).unwrap_or(0);
    }

    pub(crate) fn finish(mut self, plan: &Plan, sizes: &[i32], pending: Vec<String>, end: i64) -> Outcome {
        if end > self.minute.number * MINUTE {
            self.end_minute();
        }
        for count in &mut self.counts {
            count.set(end, count.now);
        }
        let by_pool = |values: &mut dyn Iterator<Item = u128>| -> BTreeMap<String, u128> {
            self.pool_names.iter().cloned().zip(values).collect()
        };
        let node_millis = by_pool(&mut self.node_millis.iter().copied());
        let quantile = |share: f64| self.histogram.quantile(share);
        let latency = match (quantile(0.5), quantile(0.95), quantile(0.99)) {
            (Some(p50), Some(p95), Some(p99)) => Some(Latency { p50, p95, p99 }),
            _ => None,
        };
        let shown = self.counts.iter().filter(|count| count.shown);
        let replicas = shown.map(|count| {
            let mean = count.sum / (end.max(1)) as f64;
            (count.key.clone(), Replicas { min: count.min, mean, max: count.max })
        });
        Outcome {
            seed: self.scenario.seed,
            duration: Millis(end),
            requests: self.requests,
            failed: self.failed,
            latency,
            slo_missed_minutes: self.missed_minutes,
            usd_month: cost::month(self.scenario, &node_millis, self.requests).map_err(|error| error.to_string()),
            sizes: plan.pools.iter().map(|pool| pool.name.clone()).zip(sizes.iter().copied()).collect(),
            node_millis,
            replicas: replicas.collect(),
            decisions: self.decisions,
            timeline: self.timeline,
            minutes: self.minutes,
            notes: self.notes,
            pending,
            findings: self.findings,
            hourly: self.cost.hourly(),
        }
    }
}

fn is_missed(sums: &MinuteSums, objective: &Objective) -> bool {
    if sums.requests <= 0.0 {
        return false;
    }
    let answered = sums.requests - sums.failed;
    let errors = objective.errors.is_some_and(|most| sums.failed > most * sums.requests);
    let late = [(objective.p50, 0.5), (objective.p95, 0.05), (objective.p99, 0.01)];
    let late = late.iter().zip(sums.late).any(|((limit, share), late)| limit.is_some() && late > share * answered);
    errors || late
}

/// Seconds from the start with at most three decimals, whole ones without.
pub(crate) fn seconds(at: i64) -> Value {
    if at % 1000 == 0 { json!(at / 1000) } else { json!(at as f64 / 1000.0) }
}
