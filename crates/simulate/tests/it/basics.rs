//! What everybody expects of a simulation.

use simulate::load::{LoadDocument, ReadFile};
use simulate::scenario::Document;
use simulate::{LineKind, Options, Outcome, Scenario, run, run_with};

use crate::platforms;

pub fn scenario_on(platform: platform::Platform, yaml: &str) -> Scenario {
    let document: Document = serde_saphyr::from_str(yaml).unwrap_or_else(|error| panic!("{yaml}: {error}"));
    let read: ReadFile<'_> = &|path| Err(format!("there is no file {path}"));
    let load: LoadDocument = document.load.clone();
    let load = load.load(document.duration, &platform, read).unwrap();
    Scenario::new(&document, platform, load).unwrap()
}

pub fn scenario(yaml: &str) -> Scenario {
    scenario_on(platforms::seed(), yaml)
}

fn check(yaml: &str, expected: impl Fn(&Outcome)) -> Outcome {
    let outcome = run_with(&scenario(yaml), Options { check: true, ..Options::default() }).unwrap();
    assert_eq!(outcome.findings, Vec::<String>::new());
    expected(&outcome);
    outcome
}

const WORK: &str = "work: {backend: {cpu: 12ms, memory: 96Mi, concurrency: 16, startup: 4s}, frontend: {cpu: 1ms}}";

#[test]
fn steady_load_needs_what_arithmetic_says() {
    // 100/s × 12 ms = 1.2 cores; at 70 % of 500m a replica carries 350m: four of them.
    check(&format!("{{duration: 1h, load: {{shape: {{constant: 100}}}}, {WORK}}}"), |outcome| {
        assert_eq!(outcome.replicas["backend"].max, 4);
        assert_eq!(outcome.replicas["frontend"].max, 2);
        assert!((outcome.requests - 360_000.0).abs() < 1.0, "{}", outcome.requests);
        assert!(outcome.failed < 0.01 * outcome.requests, "{}", outcome.failed);
        // Three of 500m fit on a node of 1900m.
        assert_eq!(outcome.sizes["backend"], 2);
    });
}

#[test]
fn no_load_leaves_the_minimum() {
    check(&format!("{{duration: 2h, load: {{shape: {{constant: 0}}}}, {WORK}}}"), |outcome| {
        assert_eq!((outcome.replicas["backend"].max, outcome.sizes["backend"]), (2, 1));
        assert_eq!((outcome.requests, outcome.decisions, outcome.latency), (0.0, 0, None));
    });
}

#[test]
fn a_wave_grows_and_shrinks_pods_and_nodes() {
    let yaml =
        format!("{{duration: 2h, load: {{shape: {{spike: {{low: 10, high: 250, at: 10m, for: 20m}}}}}}, {WORK}}}");
    let outcome = check(&yaml, |outcome| {
        // Nine would do; while too few are there, all of them are busy, which asks for more.
        assert!((9..=10).contains(&outcome.replicas["backend"].max), "{:?}", outcome.replicas);
        assert_eq!(outcome.sizes["backend"], 1);
        assert!(outcome.pending.is_empty());
    });
    let pools: Vec<(i32, i32)> =
        outcome.timeline.iter().filter(|line| line.object == "pool/backend").map(|line| (line.from, line.to)).collect();
    assert!(pools.iter().any(|(from, to)| to > from) && pools.iter().any(|(from, to)| to < from), "{pools:?}");
    let first = outcome.timeline.iter().find(|line| line.kind == LineKind::Hpa).unwrap();
    assert!(first.value["report"]["reasons"].as_array().is_some_and(|reasons| !reasons.is_empty()), "{}", first.value);
}

#[test]
fn skipping_changes_nothing() {
    for (seed, load) in [
        (1, "{diurnal: {low: 5, high: 260, period: 8h}}"),
        (2, "{spike: {low: 20, high: 300, at: 15m, for: 50m}}"),
        (3, "{flashCrowd: {low: 20, high: 400, at: 1h}}"),
        (4, "{ramp: {from: 0, to: 350}}"),
    ] {
        let yaml = format!(
            "{{duration: 12h, seed: {seed}, load: {{shape: {load}}}, {WORK}, faults: [{{at: 3h, kind: node, pool: backend}}, {{at: 5h, kind: metrics, for: 10m}}, {{at: 6h, kind: rollout, workload: backend}}, {{at: 7h, kind: pod, workload: backend}}]}}"
        );
        let scenario = scenario(&yaml);
        let text = |options: Options| {
            let outcome = run_with(&scenario, options).unwrap();
            let lines: Vec<String> = outcome.timeline.iter().map(|line| line.value.to_string()).collect();
            (lines.join("\n"), simulate::summary_json(&outcome, &[1.0]).to_string())
        };
        let (with, without) = (text(Options::default()), text(Options { skip: false, ..Options::default() }));
        for (line, (a, b)) in with.0.lines().zip(without.0.lines()).enumerate() {
            assert_eq!(a, b, "seed {seed}, line {}", line + 1);
        }
        assert_eq!(with, without, "seed {seed}");
    }
}

#[test]
fn the_same_seed_gives_the_same_and_another_seed_another_outcome() {
    let yaml = |seed: u64| {
        format!(
            "{{duration: 3h, seed: {seed}, load: {{shape: {{spike: {{low: 10, high: 250, at: 10m, for: 20m}}}}}}, {WORK}}}"
        )
    };
    let outcome = |seed: u64| run(&scenario(&yaml(seed))).unwrap();
    assert_eq!(outcome(1), outcome(1));
    assert_ne!(outcome(1).node_millis, outcome(2).node_millis);
}
