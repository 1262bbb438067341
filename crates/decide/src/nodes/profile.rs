//! The cluster autoscaler's profile with the keys and defaults of AKS (`autoScalerProfile`, kebab-case, values as text).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use units::Millis;

/// How a group is chosen where several could help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expander {
    LeastWaste,
    MostPods,
    Priority,
    Random,
}

/// Every setting of AKS's profile. Durations are whole milliseconds.
///
/// Defaults: articles/aks/cluster-autoscaler.md of azure-aks-docs, 2026-07-30.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    pub scan_interval: Millis,
    pub scale_down_delay_after_add: Millis,
    /// AKS's default is the scan interval.
    pub scale_down_delay_after_delete: Millis,
    pub scale_down_delay_after_failure: Millis,
    pub scale_down_unneeded_time: Millis,
    pub scale_down_unready_time: Millis,
    /// Fraction of allocatable, 0 to 1.
    pub scale_down_utilization_threshold: f64,
    pub max_graceful_termination: Millis,
    pub expander: Expander,
    pub balance_similar_node_groups: bool,
    pub skip_nodes_with_local_storage: bool,
    pub skip_nodes_with_system_pods: bool,
    /// How many nodes may be deleted at once.
    pub max_empty_bulk_delete: usize,
    pub new_pod_scale_up_delay: Millis,
    /// In percent of all nodes, 0 to 100.
    pub max_total_unready_percentage: f64,
    pub max_node_provision_time: Millis,
    pub ok_total_unready_count: usize,
    pub ignore_daemonsets_utilization: bool,
    pub daemonset_eviction_for_empty_nodes: bool,
    pub daemonset_eviction_for_occupied_nodes: bool,
}

impl Default for Profile {
    fn default() -> Profile {
        let minutes = |n: i64| Millis::from_secs(60 * n);
        Profile {
            scan_interval: Millis::from_secs(10),
            scale_down_delay_after_add: minutes(10),
            scale_down_delay_after_delete: Millis::from_secs(10),
            scale_down_delay_after_failure: minutes(3),
            scale_down_unneeded_time: minutes(10),
            scale_down_unready_time: minutes(20),
            scale_down_utilization_threshold: 0.5,
            max_graceful_termination: minutes(10),
            expander: Expander::Random,
            balance_similar_node_groups: false,
            skip_nodes_with_local_storage: false,
            skip_nodes_with_system_pods: true,
            max_empty_bulk_delete: 10,
            new_pod_scale_up_delay: Millis::ZERO,
            max_total_unready_percentage: 45.0,
            max_node_provision_time: minutes(15),
            ok_total_unready_count: 3,
            ignore_daemonsets_utilization: false,
            daemonset_eviction_for_empty_nodes: false,
            daemonset_eviction_for_occupied_nodes: true,
        }
    }
}

/// A key that the profile does not have, or a value that its key does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileError {
    pub key: String,
    pub message: String,
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

impl std::error::Error for ProfileError {}

impl Profile {
    /// Reads AKS's keys; what is not named keeps its default, and `scale-down-delay-after-delete` that of the scan interval.
    ///
    /// # Errors
    /// At an unknown key, a value that does not parse or is out of its range.
    pub fn parse<'a>(entries: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Profile, ProfileError> {
        let mut profile = Profile::default();
        let mut delete_delay = None;
        for (key, text) in entries {
            let at = |message: String| ProfileError { key: key.to_owned(), message };
            match key {
                "scale-down-delay-after-delete" => delete_delay = Some(duration(text).map_err(at)?),
                _ => profile.set(key, text).map_err(at)?,
            }
        }
        profile.scale_down_delay_after_delete = delete_delay.unwrap_or(profile.scan_interval);
        Ok(profile)
    }

    /// The same from JSON values: besides text, as AKS asks for, plain booleans and numbers are understood.
    ///
    /// # Errors
    /// As [`Profile::parse`].
    pub fn from_values(values: &BTreeMap<String, Value>) -> Result<Profile, ProfileError> {
        let mut entries = BTreeMap::new();
        for (key, value) in values {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Bool(flag) => flag.to_string(),
                Value::Number(number) => number.to_string(),
                other => return Err(ProfileError { key: key.clone(), message: format!("{other} is not a text") }),
            };
            entries.insert(key.as_str(), text);
        }
        Profile::parse(entries.iter().map(|(key, text)| (*key, text.as_str())))
    }

    fn set(&mut self, key: &str, text: &str) -> Result<(), String> {
        match key {
            "scan-interval" => self.scan_interval = positive(text)?,
            "scale-down-delay-after-add" => self.scale_down_delay_after_add = duration(text)?,
            "scale-down-delay-after-failure" => self.scale_down_delay_after_failure = duration(text)?,
            "scale-down-unneeded-time" => self.scale_down_unneeded_time = duration(text)?,
            "scale-down-unready-time" => self.scale_down_unready_time = duration(text)?,
            "scale-down-utilization-threshold" => {
                self.scale_down_utilization_threshold = within(text, 0.0, 1.0)?;
            }
            "max-graceful-termination-sec" => {
                self.max_graceful_termination =
                    Millis::from_secs(i64::try_from(count(text)?).map_err(|e| e.to_string())?);
            }
            "expander" => self.expander = expander(text)?,
            "balance-similar-node-groups" => self.balance_similar_node_groups = boolean(text)?,
            "skip-nodes-with-local-storage" => self.skip_nodes_with_local_storage = boolean(text)?,
            "skip-nodes-with-system-pods" => self.skip_nodes_with_system_pods = boolean(text)?,
            "max-empty-bulk-delete" => self.max_empty_bulk_delete = count(text)?,
            "new-pod-scale-up-delay" => self.new_pod_scale_up_delay = duration(text)?,
            "max-total-unready-percentage" => self.max_total_unready_percentage = within(text, 0.0, 100.0)?,
            "max-node-provision-time" => self.max_node_provision_time = duration(text)?,
            "ok-total-unready-count" => self.ok_total_unready_count = count(text)?,
            "ignore-daemonsets-utilization" => self.ignore_daemonsets_utilization = boolean(text)?,
            "daemonset-eviction-for-empty-nodes" => self.daemonset_eviction_for_empty_nodes = boolean(text)?,
            "daemonset-eviction-for-occupied-nodes" => self.daemonset_eviction_for_occupied_nodes = boolean(text)?,
            _ => return Err("unknown setting of the cluster autoscaler's profile".to_owned()),
        }
        Ok(())
    }

    /// AKS's keys with their values, in the order of the documentation.
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        vec![
            ("scan-interval", written(self.scan_interval)),
            ("scale-down-delay-after-add", written(self.scale_down_delay_after_add)),
            ("scale-down-delay-after-delete", written(self.scale_down_delay_after_delete)),
            ("scale-down-delay-after-failure", written(self.scale_down_delay_after_failure)),
            ("scale-down-unneeded-time", written(self.scale_down_unneeded_time)),
            ("scale-down-unready-time", written(self.scale_down_unready_time)),
            ("scale-down-utilization-threshold", self.scale_down_utilization_threshold.to_string()),
            ("max-graceful-termination-sec", (self.max_graceful_termination.0 / 1000).to_string()),
            ("expander", self.expander.name().to_owned()),
            ("balance-similar-node-groups", self.balance_similar_node_groups.to_string()),
            ("skip-nodes-with-local-storage", self.skip_nodes_with_local_storage.to_string()),
            ("skip-nodes-with-system-pods", self.skip_nodes_with_system_pods.to_string()),
            ("max-empty-bulk-delete", self.max_empty_bulk_delete.to_string()),
            ("new-pod-scale-up-delay", written(self.new_pod_scale_up_delay)),
            ("max-total-unready-percentage", self.max_total_unready_percentage.to_string()),
            ("max-node-provision-time", written(self.max_node_provision_time)),
            ("ok-total-unready-count", self.ok_total_unready_count.to_string()),
            ("ignore-daemonsets-utilization", self.ignore_daemonsets_utilization.to_string()),
            ("daemonset-eviction-for-empty-nodes", self.daemonset_eviction_for_empty_nodes.to_string()),
            ("daemonset-eviction-for-occupied-nodes", self.daemonset_eviction_for_occupied_nodes.to_string()),
        ]
    }
}

impl Expander {
    pub fn name(self) -> &'static str {
        match self {
            Expander::LeastWaste => "least-waste",
            Expander::MostPods => "most-pods",
            Expander::Priority => "priority",
            Expander::Random => "random",
        }
    }
}

impl Serialize for Profile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.entries())
    }
}

impl<'de> Deserialize<'de> for Profile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Profile, D::Error> {
        let values = BTreeMap::<String, Value>::deserialize(deserializer)?;
        Profile::from_values(&values).map_err(serde::de::Error::custom)
    }
}

fn expander(text: &str) -> Result<Expander, String> {
    [Expander::LeastWaste, Expander::MostPods, Expander::Priority, Expander::Random]
        .into_iter()
        .find(|expander| expander.name() == text)
        .ok_or_else(|| format!("`{text}` is none of least-waste, most-pods, priority, random"))
}

fn boolean(text: &str) -> Result<bool, String> {
    text.to_ascii_lowercase().parse().map_err(|_| format!("`{text}` is neither true nor false"))
}

fn count(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("`{text}` is not a whole number of 0 or more"))
}

fn within(text: &str, low: f64, high: f64) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if (low..=high).contains(&number) { Ok(number) } else { Err(format!("{text} is not within {low} and {high}")) }
}

fn positive(text: &str) -> Result<Millis, String> {
    let span = duration(text)?;
    if span.0 > 0 { Ok(span) } else { Err(format!("`{text}` must be longer than nothing")) }
}

/// `10s`, `1m30s`, `1.5h`, `500ms`, `0`, as Go writes durations; less than a millisecond is not kept.
pub(super) fn duration(text: &str) -> Result<Millis, String> {
    let bad = || format!("`{text}` is not a duration such as 10s, 1m30s or 2h");
    if text == "0" {
        return Ok(Millis::ZERO);
    }
    let (mut rest, mut total) = (text, 0_i64);
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').count();
        let number: f64 = rest[..digits].parse().map_err(|_| bad())?;
        rest = &rest[digits..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let unit = match &rest[..letters] {
            "ms" => 1.0,
            "s" => 1000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            _ => return Err(bad()),
        };
        rest = &rest[letters..];
        let part = number * unit;
        // A hundred years are enough, and keep every sum within range.
        if part > 3.2e12 {
            return Err(bad());
        }
        total = total.checked_add(part as i64).ok_or_else(bad)?;
    }
    Ok(Millis(total))
}

fn written(span: Millis) -> String {
    match span.0 {
        0 => "0s".to_owned(),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1000 == 0 => format!("{}s", ms / 1000),
        ms => format!("{ms}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: Result<Holds, &str>) {
        match (serde_json::from_str::<Profile>(json), expected) {
            (Ok(profile), Ok(holds)) => {
                assert!(holds(&profile), "{json}: {profile:?}");
                let again: Profile = serde_json::from_str(&serde_json::to_string(&profile).unwrap()).unwrap();
                assert_eq!(again, profile);
            }
            (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{json}: {error}"),
            (got, _) => panic!("{json}: {got:?}"),
        }
    }

    type Holds = fn(&Profile) -> bool;

    #[test]
    fn spans_are_written_in_the_largest_unit_that_loses_nothing() {
        for (millis, text) in
            [(0, "0s"), (1, "1ms"), (1500, "1500ms"), (90_000, "90s"), (120_000, "2m"), (3_600_000, "60m")]
        {
            assert_eq!(written(Millis(millis)), text);
            assert_eq!(duration(text), Ok(Millis(millis)));
        }
    }

    /// Differs (Decisions): An autoscaler profile with a setting that AKS does not have is refused, as Azure does; the
    /// genuine autoscaler has flags that cannot be set here.
    #[test]
    fn reads_what_aks_reads_and_nothing_else() {
        check("{}", Ok(|p| *p == Profile::default()));
        check(r#"{"scan-interval": "1m30s"}"#, Ok(|p| p.scale_down_delay_after_delete == Millis(90_000)));
        check(r#"{"max-graceful-termination-sec": "30"}"#, Ok(|p| p.max_graceful_termination == Millis(30_000)));
        check(r#"{"balance-similar-node-groups": "true"}"#, Ok(|p| p.balance_similar_node_groups));
        check(r#"{"expander": "cheapest"}"#, Err("expander: `cheapest` is none of"));
        check(r#"{"scan_interval": "10s"}"#, Err("scan_interval: unknown setting"));
        check(r#"{"scan-interval": "10"}"#, Err("is not a duration"));
        check(r#"{"scan-interval": "1.5m"}"#, Ok(|p| p.scan_interval == Millis(90_000)));
        check(r#"{"scan-interval": "-10s"}"#, Err("is not a duration"));
        check(r#"{"scan-interval": "1.2.3s"}"#, Err("is not a duration"));
        check(r#"{"scan-interval": "99999999h"}"#, Err("is not a duration"));
        check(r#"{"scan-interval": null}"#, Err("null is not a text"));
        check(r#"{"scan-interval": "0s"}"#, Err("longer than nothing"));
        check(r#"{"scale-down-utilization-threshold": "1.5"}"#, Err("not within 0 and 1"));
    }
}
