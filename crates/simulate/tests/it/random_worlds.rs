//! Seeded random worlds, each held against `decide::check` after every step. `WORLDS` says how many.

use simulate::{Options, run_with};

use crate::basics::scenario_on;
use crate::platforms;

struct Random(u64);

impl Random {
    fn below(&mut self, count: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % count
    }

    fn of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len() as u64) as usize]
    }
}

fn world(seed: u64) -> (platform::Platform, String) {
    let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let size = *random.of(&["Standard_B2s", "Standard_B2als_v2", "Standard_B4als_v2", "Standard_D2as_v5"]);
    let scaling = |random: &mut Random, most: u64| {
        let min = random.below(3) as u32;
        platform::Scaling::Between { min, max: min + 1 + random.below(most) as u32 }
    };
    let pools = vec![
        platforms::pool("systempool", "Standard_B2s", platform::Scaling::Fixed(1)),
        platforms::pool("frontend", "Standard_B2s", scaling(&mut random, 3)),
        platforms::pool("backend", size, scaling(&mut random, 6)),
    ];
    let cpu = *random.of(&["100m", "250m", "500m", "900m"]);
    let target = 30 + random.below(60) as u32;
    let mut manifests = vec![
        platforms::deployment("backend", cpu, "256Mi", Some("1")),
        platforms::autoscaler(
            "backend",
            1 + random.below(3) as u32,
            4 + random.below(12) as u32,
            &[("cpu", target), ("memory", 80)],
        ),
        platforms::deployment("frontend", "100m", "64Mi", None),
        platforms::autoscaler("frontend", 1, 5, &[("cpu", 60)]),
    ];
    if random.below(2) == 0 {
        manifests.push(platforms::budget("backend"));
    }
    let shape = match random.below(4) {
        0 => format!("{{spike: {{low: {}, high: {}, at: 10m, for: 15m}}}}", random.below(50), random.below(600)),
        1 => format!("{{diurnal: {{low: {}, high: {}, period: 1h}}}}", random.below(50), random.below(500)),
        2 => {
            format!("{{flashCrowd: {{low: {}, high: {}, at: 15m, halfLife: 5m}}}}", random.below(50), random.below(800))
        }
        _ => format!("{{ramp: {{from: {}, to: {}}}}}", random.below(300), random.below(300)),
    };
    let kinds = [
        "{at: 12m, kind: node, pool: backend}",
        "{at: 14m, kind: pod, workload: backend, count: 2}",
        "{at: 20m, kind: drain, pool: backend}",
        "{at: 18m, kind: rollout, workload: backend}",
        "{at: 8m, kind: quota, for: 15m}",
        "{at: 11m, kind: metrics, for: 5m}",
        "{at: 16m, kind: zone}",
        "{at: 9m, kind: credits, pool: backend}",
        "{at: 13m, kind: registry, for: 4m}",
        "{at: 22m, kind: database, for: 3m}",
        "{at: 5m, kind: surge, for: 6m, factor: 3}",
        "{at: 6m, kind: slowBoot, for: 20m, factor: 4}",
    ];
    let faults: Vec<&str> = (0..random.below(4)).map(|_| *random.of(&kinds)).collect();
    let yaml = format!(
        "{{duration: 45m, seed: {seed}, load: {{shape: {shape}}}, faults: [{}], work: {{backend: {{cpu: 12ms, startup: {}s, startupCpu: 300m, timeout: 5s, retries: {}, database: {{connections: 5, time: 3ms}}}}, frontend: {{cpu: 1ms}}}}}}",
        faults.join(", "),
        random.below(40),
        random.below(3),
    );
    (platforms::of(pools, &manifests), yaml)
}

fn lines(outcome: &simulate::Outcome) -> Vec<String> {
    outcome.timeline.iter().map(|line| line.value.to_string()).collect()
}

fn check(seed: u64) {
    let (platform, yaml) = world(seed);
    let scenario = scenario_on(platform, &yaml);
    let outcome = run_with(&scenario, Options { check: true, ..Options::default() }).unwrap();
    assert!(outcome.findings.is_empty(), "world {seed}: {yaml}\n{}", outcome.findings.join("\n"));
    assert!(outcome.failed <= outcome.requests + 1e-6, "world {seed}");
    // Every fourth also without leaving anything out.
    if seed.is_multiple_of(4) {
        let whole = run_with(&scenario, Options { skip: false, ..Options::default() }).unwrap();
        assert_eq!(lines(&whole), lines(&outcome), "world {seed}: {yaml}");
    }
}

/// Spreads the worlds over threads and answers in the order of the seeds.
fn on_threads<T: Send>(threads: u64, worlds: u64, each: impl Fn(u64) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let each = &each;
        let start =
            |thread| scope.spawn(move || (thread..worlds).step_by(threads as usize).map(each).collect::<Vec<T>>());
        let running: Vec<_> = (0..threads).map(start).collect();
        let mut parts: Vec<_> = running.into_iter().map(|part| part.join().unwrap().into_iter()).collect();
        (0..worlds).map(|seed| parts[(seed % threads) as usize].next().unwrap()).collect()
    })
}

/// Worlds that the check once took for broken: a pool that grows in the loop in which an instance that never came is given up, and one
/// whose drained machine the quota kept from coming back.
#[test]
fn worlds_that_were_thought_broken_are_not() {
    [147, 268].into_iter().for_each(check);
}

#[test]
fn no_world_breaks_a_rule() {
    let worlds = std::env::var_os("WORLDS").and_then(|text| text.to_str()?.parse().ok()).unwrap_or(40);
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    on_threads(threads, worlds, check);
}

/// FNV-1a over everything that a simulation answers. `DIGEST` names a file for it, to compare builds.
#[test]
fn the_bytes_do_not_depend_on_the_threads() {
    let number = |seed: u64| {
        let (platform, yaml) = world(seed);
        let outcome = run_with(&scenario_on(platform, &yaml), Options::default()).unwrap();
        let summary = simulate::summary_json(&outcome, &[*outcome.usd_month.as_ref().unwrap()]);
        let text = format!("{}\n{summary}", lines(&outcome).join("\n"));
        text.bytes()
            .fold(0xCBF2_9CE4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
    };
    let alone = on_threads(1, 20, number);
    assert_eq!(on_threads(3, 20, number), alone);
    if let Some(path) = std::env::var_os("DIGEST") {
        std::fs::write(path, format!("{alone:?}\n")).unwrap();
    }
}
