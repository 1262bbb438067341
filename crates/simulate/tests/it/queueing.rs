//! The closed forms against an event-by-event simulation of the same queue.

use simulate::queueing::{erlang_c, mean_sojourn, mean_wait, sojourn_scv, waits_longer};

/// splitmix64, so that the figures are the same everywhere.
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        ((mixed >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    fn exponential(&mut self) -> f64 {
        -self.uniform().ln()
    }
}

const ARRIVALS: usize = 1_500_000;

/// Waits in an M/M/c queue, first come, first served: each arrival takes the server that is free first.
fn waits(servers: usize, load: f64, seed: u64) -> Vec<f64> {
    let mut random = Random(seed);
    let (mut now, mut free) = (0.0, vec![0.0_f64; servers]);
    (0..ARRIVALS)
        .map(|_| {
            now += random.exponential() / (load * servers as f64);
            let first = free.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(index, _)| index);
            let start = free[first].max(now);
            free[first] = start + random.exponential();
            start - now
        })
        .collect()
}

/// Times in an M/G/1 queue whose server is shared by all who are there.
fn shared(load: f64, seed: u64, service: impl Fn(&mut Random) -> f64) -> Vec<f64> {
    let mut random = Random(seed);
    let (mut now, mut next, mut inside, mut times) = (0.0, 0.0, Vec::<(f64, f64)>::new(), Vec::new());
    while times.len() < ARRIVALS / 3 {
        let least = inside.iter().map(|job| job.1).fold(f64::INFINITY, f64::min);
        let done = now + least * inside.len() as f64;
        let until = done.min(next);
        let each = (until - now) / inside.len().max(1) as f64;
        inside.iter_mut().for_each(|job| job.1 -= each);
        now = until;
        if done <= next {
            let index = inside.iter().enumerate().min_by(|a, b| a.1.1.total_cmp(&b.1.1)).map_or(0, |(index, _)| index);
            times.push(now - inside.swap_remove(index).0);
        } else {
            inside.push((now, service(&mut random)));
            next = now + random.exponential() / load;
        }
    }
    times
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn check(what: &str, formula: f64, reference: f64) {
    let error = (formula / reference - 1.0).abs();
    assert!(error < 0.02, "{what}: {formula} by formula, {reference} by reference, {:.1} % apart", 100.0 * error);
}

#[test]
fn waits_of_many_servers_are_within_two_percent() {
    for (servers, load, seed) in [(1, 0.5, 1), (1, 0.7, 2), (2, 0.7, 3), (5, 0.7, 4), (16, 0.75, 5)] {
        let seen = waits(servers, load, seed);
        let count = servers as u32;
        let share = |limit: f64| seen.iter().filter(|wait| **wait > limit).count() as f64 / seen.len() as f64;
        check("share that waits", erlang_c(count, load), share(0.0));
        check("mean wait", mean_wait(count, load), mean(&seen));
        let typical = mean_wait(count, load) / erlang_c(count, load);
        check("longer than the typical wait", waits_longer(count, load, typical), share(typical));
    }
}

#[test]
fn a_shared_server_takes_as_long_whatever_the_work_is() {
    for (load, seed) in [(0.3, 1), (0.6, 2), (0.7, 3)] {
        let formula = mean_sojourn(1, load);
        check("constant work", formula, mean(&shared(load, seed, |_| 1.0)));
        check("exponential work", formula, mean(&shared(load, seed + 10, Random::exponential)));
        let erlang = |random: &mut Random| (random.exponential() + random.exponential()) / 2.0;
        check("work in two steps", formula, mean(&shared(load, seed + 20, erlang)));
    }
}

#[test]
fn the_spread_of_a_shared_server_is_known() {
    for (load, seed) in [(0.3, 4), (0.6, 5)] {
        let seen = shared(load, seed, Random::exponential);
        let average = mean(&seen);
        let variance = seen.iter().map(|time| (time - average) * (time - average)).sum::<f64>() / seen.len() as f64;
        check("squared coefficient of variation", sojourn_scv(1, load), variance / (average * average));
    }
}
