//! `marea explain --at`: what was in force at an instant, why, and what would have made it otherwise.

use std::path::Path;

use serde_json::{Value, json};
use units::Timestamp;

use super::{instant, journal, otherwise, timeline};
use crate::args::Explain;
use crate::cloud;
use crate::error::{CliError, Result};
use crate::terminal::{print, print_json};

/// A point of a clock, or of a timeline.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub enum Moment {
    Clock(Timestamp),
    /// Seconds since the timeline's start.
    Offset(f64),
}

impl Moment {
    fn text(self) -> String {
        match self {
            Moment::Clock(at) => instant::clock(at),
            Moment::Offset(seconds) => offset(seconds),
        }
    }

    fn value(self) -> Value {
        match self {
            Moment::Clock(at) => json!(at),
            Moment::Offset(seconds) => json!(seconds),
        }
    }

    /// Whole seconds from an earlier moment of the same kind.
    fn since(self, earlier: Moment) -> i64 {
        match (self, earlier) {
            (Moment::Clock(later), Moment::Clock(earlier)) => (later - earlier).0 / 1000,
            (Moment::Offset(later), Moment::Offset(earlier)) => (later - earlier) as i64,
            _ => 0,
        }
    }
}

/// `2d 14:03:20`
fn offset(seconds: f64) -> String {
    let whole = seconds as u64;
    let clock = format!("{:02}:{:02}:{:02}", whole / 3600 % 24, whole / 60 % 60, whole % 60);
    if whole >= 86_400 { format!("{}d {clock}", whole / 86_400) } else { clock }
}

/// One decision about one object.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub at: Moment,
    pub kind: String,
    pub namespace: Option<String>,
    pub object: String,
    pub summary: String,
    pub acted: bool,
    pub report: Value,
    /// Only of autoscalers.
    pub again: Option<Again>,
}

/// What to decide again from.
#[derive(Clone, Debug)]
pub struct Again {
    pub settings: Value,
    pub snapshot: Value,
    pub memory: Value,
    /// All of it was recorded; otherwise the bounds and windows are not known.
    pub whole: bool,
}

/// What is known of one object around the instant.
#[derive(Debug, Default)]
pub struct Around {
    pub in_force: Option<Recorded>,
    /// The last one that changed something, where the one in force was to wait.
    pub acted: Option<Recorded>,
    pub next: Option<Recorded>,
}

#[derive(Debug, Default)]
pub struct Found {
    /// By `kind/name`, in the order of the names; a namespace tells equal names apart.
    pub objects: Vec<(String, Around)>,
    /// Where the journal's memory begins.
    pub begins: Option<Timestamp>,
}

impl Found {
    /// Takes decisions in the order in which they were made.
    pub fn see(&mut self, at: Moment, recorded: Recorded) {
        let key = format!("{}/{}", recorded.kind, recorded.object);
        let place = self.objects.binary_search_by(|(known, around)| {
            let namespace = [&around.in_force, &around.next].into_iter().flatten().next().map(|one| &one.namespace);
            known
                .as_str()
                .cmp(&key)
                .then(namespace.map_or(std::cmp::Ordering::Equal, |one| one.cmp(&recorded.namespace)))
        });
        let index = place.unwrap_or_else(|index| {
            self.objects.insert(index, (key, Around::default()));
            index
        });
        let around = &mut self.objects[index].1;
        if recorded.at > at {
            around.next.get_or_insert(recorded);
            return;
        }
        around.acted =
            if recorded.acted { None } else { around.in_force.take().filter(|one| one.acted).or(around.acted.take()) };
        around.in_force = Some(recorded);
    }
}

pub fn run(args: &Explain, text: &str) -> Result<()> {
    let object = args.object.as_deref().map(super::parse).transpose()?;
    let wants = |kind: &str, namespace: Option<&str>, name: &str| {
        let Some((wanted, wanted_name)) = object else { return kind != "pod" };
        let here = kind == "pool" || namespace.is_none_or(|namespace| namespace == args.namespace);
        kind == wanted && here && (name.is_empty() || name == wanted_name)
    };
    let (moment, found) = match &args.timeline {
        Some(path) => {
            let seconds = instant::parse_offset(text)?;
            (Moment::Offset(seconds), timeline::read(path, seconds, wants)?)
        }
        None => {
            let at = instant::parse(text, jiff::Timestamp::now().into())?;
            (Moment::Clock(at), journal_of_this_machine(&args.env, at, wants)?)
        }
    };
    let known: Vec<&(String, Around)> = found.objects.iter().filter(|(_, one)| one.in_force.is_some()).collect();
    if known.is_empty() {
        return Err(nothing(args, moment, &found));
    }
    if args.json {
        let objects: Vec<Value> = known.iter().map(|(name, around)| document(name, around)).collect();
        print_json(&json!({"at": moment.value(), "objects": objects}));
        return Ok(());
    }
    for (index, (name, around)) in known.iter().enumerate() {
        print(&format!("{}{}", if index > 0 { "\n" } else { "" }, render(name, moment, around)));
    }
    Ok(())
}

/// The clusters' journals below the data directory; the cloud need not run.
fn journal_of_this_machine(
    environment: &str,
    at: Timestamp,
    wants: impl Fn(&str, Option<&str>, &str) -> bool,
) -> Result<Found> {
    let project = crate::project::Project::find()?;
    if !crate::session::Session::is_for_this_machine(&project, environment)? {
        return Err(CliError::bad_input(format!(
            "`{environment}` is not on this machine, and a cluster elsewhere keeps no record of its decisions"
        ))
        .advice("`marea explain OBJECT` shows its conditions and events; --timeline FILE explains a simulation."));
    }
    let clusters = cloud::data_dir().join("clusters");
    let mut found = Found::default();
    let mut folders: Vec<_> =
        std::fs::read_dir(&clusters).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    folders.sort();
    for folder in folders {
        let of_cluster = journal::read(Path::new(&folder).join("journal").as_path(), at, &wants)?;
        found.begins = found.begins.into_iter().chain(of_cluster.begins).min();
        found.objects.extend(of_cluster.objects);
    }
    Ok(found)
}

fn nothing(args: &Explain, moment: Moment, found: &Found) -> CliError {
    let about = args.object.as_deref().unwrap_or("any autoscaler or pool");
    let message = format!("nothing was decided about {about} by {}", moment.text());
    let first = found
        .objects
        .iter()
        .filter_map(|(_, one)| Some(one.next.as_ref()?.at))
        .min_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    let advice = match (first, found.begins) {
        (Some(first), _) => format!("The first decision is of {}.", first.text()),
        (None, Some(begins)) => format!(
            "The record begins at {}. `marea status` lists pools and autoscalers; --namespace names another namespace.",
            instant::clock(begins)
        ),
        (None, None) if args.timeline.is_some() => "The timeline has no decision about it.".to_owned(),
        (None, None) => "No cluster of this machine has a record; `marea up` makes one.".to_owned(),
    };
    CliError::failed(message).advice(advice)
}

fn document(name: &str, around: &Around) -> Value {
    let told = |recorded: &Recorded| json!({"at": recorded.at.value(), "summary": recorded.summary, "acted": recorded.acted, "report": recorded.report});
    let mut document = json!({"object": name});
    if let Some(recorded) = &around.in_force {
        if let Some(namespace) = &recorded.namespace {
            document["namespace"] = json!(namespace);
        }
        document["decision"] = told(recorded);
        document["otherwise"] = json!(otherwise::nearest(recorded));
    }
    document["lastAction"] = around.acted.as_ref().map_or(Value::Null, told);
    document["next"] = around.next.as_ref().map_or(Value::Null, told);
    document
}

fn render(name: &str, moment: Moment, around: &Around) -> String {
    let Some(recorded) = &around.in_force else { return String::new() };
    let mut out = format!("{name} at {}\n", moment.text());
    let mark = if recorded.acted { "→" } else { "·" };
    let age = moment.since(recorded.at);
    let age = if age > 0 { format!(", {age} s before") } else { String::new() };
    out.push_str(&format!("  {mark} {} (decided {}{age})\n", recorded.summary, recorded.at.text()));
    for reason in recorded.report["reasons"].as_array().into_iter().flatten() {
        out.push_str(&format!("      {}: {}\n", text(&reason["rule"]), text(&reason["text"])));
    }
    if let Some(acted) = &around.acted {
        out.push_str(&format!("  last change {}: {}\n", acted.at.text(), acted.summary));
    }
    if let Some(next) = &around.next {
        out.push_str(&format!("  then {}: {}\n", next.at.text(), next.summary));
    }
    let changes = otherwise::nearest(recorded);
    if !changes.is_empty() {
        out.push_str("  otherwise with the nearest single change:\n");
        for change in changes {
            out.push_str(&format!("      {}: {} replicas\n", change.text, change.replicas));
        }
    }
    out
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(at: f64, summary: &str, acted: bool) -> Recorded {
        Recorded {
            at: Moment::Offset(at),
            kind: "hpa".to_owned(),
            namespace: None,
            object: "web".to_owned(),
            summary: summary.to_owned(),
            acted,
            report: json!({"reasons": [{"rule": "hpa.metric", "text": "cpu 200%"}]}),
            again: None,
        }
    }

    #[test]
    fn waiting_is_told_with_the_change_before_it_and_what_came_after() {
        let mut found = Found::default();
        let at = Moment::Offset(50.0);
        for (seconds, summary, acted) in
            [(15.0, "2 to 6", true), (30.0, "stays", false), (45.0, "stays", false), (60.0, "6 to 9", true)]
        {
            found.see(at, recorded(seconds, summary, acted));
        }
        let text = render("hpa/web", at, &found.objects[0].1);
        assert_eq!(
            text,
            "hpa/web at 00:00:50\n  · stays (decided 00:00:45, 5 s before)\n      hpa.metric: cpu 200%\n  last change 00:00:15: 2 to 6\n  then 00:01:00: 6 to 9\n"
        );
    }

    #[test]
    fn a_change_at_the_very_instant_counts() {
        let mut found = Found::default();
        let at = Moment::Offset(60.0);
        found.see(at, recorded(60.0, "6 to 9", true));
        let one = document("hpa/web", &found.objects[0].1);
        assert_eq!((&one["decision"]["summary"], &one["next"]), (&json!("6 to 9"), &Value::Null));
    }

    #[test]
    fn offsets_beyond_a_day_name_it() {
        assert_eq!(offset(2.0 * 86_400.0 + 50_600.0), "2d 14:03:20");
    }
}
