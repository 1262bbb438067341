//! The nearest single change that would have decided otherwise, found by deciding again.

use decide::hpa::view::MetricSpec;
use decide::hpa::{self, Memory, Settings, Snapshot};
use serde::{Deserialize, Serialize};

use super::at::{Again, Recorded};

/// One thing that is different, and what would then have been wanted.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    pub text: String,
    pub replicas: i32,
    /// How far it is from what was, as a share; what is nearest stands first.
    pub distance: f64,
}

/// As many as a person compares.
const SHOWN: usize = 4;
/// Usage is tried from nothing to this many times what it was.
const MOST: f64 = 16.0;
/// Halvings of the interval in which the usage lies: to about a ten-thousandth.
const STEPS: usize = 18;
/// Targets above this are no targets that people set.
const HIGHEST_TARGET_PERCENT: i32 = 1000;

/// Nearest first; none where the record holds nothing to decide again from.
pub fn nearest(recorded: &Recorded) -> Vec<Change> {
    let Some(again) = &recorded.again else { return Vec::new() };
    let Some(case) = Case::read(again) else { return Vec::new() };
    let mut changes = Vec::new();
    for resource in case.resources() {
        changes.extend(case.usage(&resource, false));
        changes.extend(case.usage(&resource, true));
        changes.extend(case.target(&resource, -1));
        changes.extend(case.target(&resource, 1));
    }
    if again.whole {
        changes.extend(case.bound(true));
        changes.extend(case.bound(false));
        changes.extend(case.without_window());
    }
    changes.sort_by(|a, b| a.distance.total_cmp(&b.distance));
    changes.truncate(SHOWN);
    changes
}

/// Replicas that would be wanted from such a record; nothing where it is of another version.
pub fn replicas(again: &Again) -> Option<i32> {
    Case::read(again).map(|case| case.decided)
}

struct Case {
    settings: Settings,
    snapshot: Snapshot,
    memory: Memory,
    decided: i32,
}

impl Case {
    /// Nothing where the record is of another version.
    fn read(again: &Again) -> Option<Case> {
        let mut case = Case {
            settings: Settings::deserialize(&again.settings).ok()?,
            snapshot: Snapshot::deserialize(&again.snapshot).ok()?,
            memory: Memory::deserialize(&again.memory).ok()?,
            decided: 0,
        };
        case.decided = case.wanted(&case.snapshot);
        Some(case)
    }

    /// Replicas after the decision about such a snapshot.
    fn wanted(&self, snapshot: &Snapshot) -> i32 {
        let current = snapshot.scale.as_ref().map_or(0, |scale| scale.spec_replicas);
        let decision = hpa::decide(&self.settings, snapshot, &mut self.memory.clone());
        decision.rescale.map_or(current, |rescale| rescale.to)
    }

    /// The resources whose utilisation is followed.
    fn resources(&self) -> Vec<String> {
        let metrics = self.snapshot.spec.metrics.iter();
        metrics
            .filter_map(|metric| match metric {
                MetricSpec::Resource { resource, target } if target.average_utilization.is_some() => {
                    Some(resource.clone())
                }
                _ => None,
            })
            .collect()
    }

    fn with_usage(&self, resource: &str, factor: f64) -> Snapshot {
        let mut snapshot = self.snapshot.clone();
        let readings = snapshot.metrics.resource.iter_mut().flatten().flatten();
        for usage in readings.flat_map(|pod| &mut pod.containers).filter_map(|one| one.usage_milli.get_mut(resource)) {
            *usage = (*usage as f64 * factor).round() as i64;
        }
        snapshot
    }

    /// Usage in percent of the requests, as the decision saw it.
    fn percent(&self, snapshot: &Snapshot, resource: &str) -> Option<i64> {
        let mut sums = (0_i64, 0_i64);
        let readings = snapshot.metrics.resource.iter().flatten().flatten();
        for reading in readings {
            let Some(pod) = snapshot.pods.iter().find(|pod| pod.name == reading.pod) else { continue };
            sums.0 += reading.containers.iter().filter_map(|one| one.usage_milli.get(resource)).sum::<i64>();
            sums.1 += pod.containers.iter().filter_map(|one| one.requests_milli.get(resource)).sum::<i64>();
        }
        (sums.1 > 0).then(|| sums.0 * 100 / sums.1)
    }

    /// The smallest change of the usage, up or down, with another outcome.
    fn usage(&self, resource: &str, up: bool) -> Option<Change> {
        let differs = |factor: f64| self.wanted(&self.with_usage(resource, factor)) != self.decided;
        let (mut same, mut other) = (1.0, if up { MOST } else { 0.0 });
        if !differs(other) {
            return None;
        }
        for _ in 0..STEPS {
            let middle = f64::midpoint(same, other);
            if differs(middle) { other = middle } else { same = middle }
        }
        let snapshot = self.with_usage(resource, other);
        let (was, would) = (self.percent(&self.snapshot, resource)?, self.percent(&snapshot, resource)?);
        Some(Change {
            text: format!("{resource} at {would} % of the requests instead of {was} %"),
            replicas: self.wanted(&snapshot),
            distance: (other - 1.0).abs(),
        })
    }

    /// The nearest target above or below with another outcome.
    fn target(&self, resource: &str, step: i32) -> Option<Change> {
        let find = |metric: &MetricSpec| match metric {
            MetricSpec::Resource { resource: name, target } if name == resource => target.average_utilization,
            _ => None,
        };
        let was = self.snapshot.spec.metrics.iter().find_map(find)?;
        let mut percent = was + step;
        while (1..=HIGHEST_TARGET_PERCENT).contains(&percent) {
            let mut snapshot = self.snapshot.clone();
            for metric in &mut snapshot.spec.metrics {
                if let MetricSpec::Resource { resource: name, target } = metric
                    && name == resource
                {
                    target.average_utilization = Some(percent);
                }
            }
            let replicas = self.wanted(&snapshot);
            if replicas != self.decided {
                return Some(Change {
                    text: format!("a target of {percent} % {resource} instead of {was} %"),
                    replicas,
                    distance: f64::from((percent - was).abs()) / f64::from(was.max(1)),
                });
            }
            percent += step;
        }
        None
    }

    /// One more or one less replica allowed.
    fn bound(&self, most: bool) -> Option<Change> {
        let was = if most { self.snapshot.spec.max_replicas } else { self.snapshot.spec.min_replicas() };
        let tries = if most { [was + 1, self.decided - 1] } else { [was - 1, self.decided + 1] };
        let tried = tries.into_iter().filter(|bound| *bound >= 1).filter_map(|bound| {
            let mut snapshot = self.snapshot.clone();
            if most {
                snapshot.spec.max_replicas = bound;
            } else {
                snapshot.spec.min_replicas = Some(bound);
            }
            // Bounds that exclude each other are refused by the API.
            let possible = snapshot.spec.min_replicas() <= snapshot.spec.max_replicas;
            let replicas = possible.then(|| self.wanted(&snapshot)).filter(|replicas| *replicas != self.decided)?;
            Some(Change {
                text: format!("a {} of {bound} replicas instead of {was}", if most { "maximum" } else { "minimum" }),
                replicas,
                distance: f64::from((bound - was).abs()) / f64::from(was.max(1)),
            })
        });
        tried.min_by(|a, b| a.distance.total_cmp(&b.distance))
    }

    /// Nothing remembered of earlier recommendations: what the stabilisation windows held back.
    fn without_window(&self) -> Option<Change> {
        let mut snapshot = self.snapshot.clone();
        let mut settings = self.settings.clone();
        settings.downscale_stabilization = units::Millis(0);
        if let Some(behavior) = &mut snapshot.spec.behavior {
            for rules in [&mut behavior.scale_up, &mut behavior.scale_down] {
                rules.stabilization_window = Some(units::Millis(0));
            }
        }
        let decision = hpa::decide(&settings, &snapshot, &mut self.memory.clone());
        let replicas = decision.rescale.map(|rescale| rescale.to).filter(|replicas| *replicas != self.decided)?;
        Some(Change { text: "no stabilisation window".to_owned(), replicas, distance: 1.0 })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::at::Moment;
    use super::*;

    /// Two pods of 500 m that use `usage` millicores each, target 70 %, between 2 and 10.
    fn recorded(usage: i64) -> Recorded {
        let now = "2026-11-26T14:00:00.000000Z";
        let pod = |name: &str| {
            json!({"name": name, "phase": "Running", "deleting": false, "start_time": "2026-11-26T12:00:00.000000Z",
            "ready": {"status": "True", "last_transition": "2026-11-26T12:00:05.000000Z"},
            "containers": [{"name": "web", "requests_milli": {"cpu": 500}}]})
        };
        let reading = |name: &str| json!({"pod": name, "at": now, "window": 15000, "containers": [{"name": "web", "usage_milli": {"cpu": usage}}]});
        let target = json!({"kind": "Utilization", "average_utilization": 70, "average_value": null, "value": null});
        let snapshot = json!({"now": now, "namespace": "platform", "name": "web",
            "spec": {"target": {"api_version": "apps/v1", "kind": "Deployment", "name": "web"}, "min_replicas": 2, "max_replicas": 10,
                     "metrics": [{"Resource": {"resource": "cpu", "target": target}}], "behavior": null},
            "status": {"current_replicas": 2, "desired_replicas": 2, "last_scale_time": null, "current_metrics": [], "conditions": []},
            "scale": {"Ok": {"spec_replicas": 2, "status_replicas": 2, "selector": "app=web"}},
            "pods": [pod("web-1"), pod("web-2")], "selecting_autoscalers": ["platform/web"],
            "metrics": {"resource": {"Ok": [reading("web-1"), reading("web-2")]}, "pods": {}, "object": {}, "external": {}}});
        let memory = json!({"recommendations": [], "scale_up_events": [], "scale_down_events": []});
        Recorded {
            at: Moment::Offset(0.0),
            kind: "hpa".to_owned(),
            namespace: None,
            object: "web".to_owned(),
            summary: String::new(),
            acted: true,
            report: Value::Null,
            again: Some(Again {
                settings: serde_json::to_value(Settings::default()).unwrap(),
                snapshot,
                memory,
                whole: true,
            }),
        }
    }

    fn check(usage: i64, expected: &[(&str, i32)]) {
        let found = nearest(&recorded(usage));
        let told: Vec<(&str, i32)> = found.iter().map(|change| (change.text.as_str(), change.replicas)).collect();
        assert_eq!(told, expected, "{usage}");
    }

    #[test]
    fn the_threshold_of_the_next_step_is_found_on_both_sides() {
        // 84 % of 70 %: 2 × 1.2 rounds up to 3. Up to 77 % the tolerance holds; above 105 % a fourth is needed.
        check(
            420,
            &[
                ("cpu at 77 % of the requests instead of 84 %", 2),
                ("a target of 77 % cpu instead of 70 %", 2),
                ("a target of 55 % cpu instead of 70 %", 4),
                ("cpu at 106 % of the requests instead of 84 %", 4),
            ],
        );
    }

    #[test]
    fn what_the_bounds_hold_back_is_told_by_them() {
        // Idle, also a minute ago, so that no window holds anything back: only the minimum keeps two, and no lower usage changes that.
        let mut idle = recorded(10);
        if let Some(again) = &mut idle.again {
            again.memory["recommendations"] = json!([{"replicas": 1, "at": "2026-11-26T13:59:00.000000Z"}]);
        }
        let found = nearest(&idle);
        let one = found.iter().find(|change| change.text == "a minimum of 1 replicas instead of 2");
        assert_eq!(one.map(|change| change.replicas), Some(1), "{found:?}");
        assert!(found.iter().all(|change| !change.text.contains("cpu at 0 %")), "{found:?}");
    }

    #[test]
    fn a_record_without_a_snapshot_has_no_counterpart() {
        assert_eq!(nearest(&Recorded { again: None, ..recorded(10) }), []);
        let nothing = Again { settings: Value::Null, snapshot: Value::Null, memory: Value::Null, whole: true };
        let strange = Recorded { again: Some(nothing), ..recorded(10) };
        assert_eq!(nearest(&strange), []);
    }
}
