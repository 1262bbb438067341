//! Closed forms of queueing theory; `tests/queueing.rs` holds them against an event-by-event simulation.

/// Erlang's C: the share of arrivals that wait, with `servers` that are busy to the share `load`, between 0 and 1.
pub fn erlang_c(servers: u32, load: f64) -> f64 {
    if servers == 1 {
        return load;
    }
    let offered = load * f64::from(servers);
    // The reciprocal of Erlang's B by its recursion, which needs neither factorials nor a division a step. Where it is too
    // large for a number, nobody is blocked.
    let (each, mut reciprocal) = (1.0 / offered, 1.0);
    for server in 1..=servers {
        reciprocal = 1.0 + reciprocal * (f64::from(server) * each);
    }
    let blocked = 1.0 / reciprocal;
    blocked / (1.0 - load * (1.0 - blocked))
}

/// M/M/c: the mean wait, in service times.
pub fn mean_wait(servers: u32, load: f64) -> f64 {
    wait(servers, load).0
}

/// M/M/c: mean and variance of the wait, in service times and their squares.
pub(crate) fn wait(servers: u32, load: f64) -> (f64, f64) {
    let waits = erlang_c(servers, load);
    let rate = f64::from(servers) * (1.0 - load);
    (waits / rate, waits * (2.0 - waits) / (rate * rate))
}

/// M/G/c with processor sharing: [`mean_sojourn`] and [`sojourn_scv`].
pub(crate) fn sojourn(servers: u32, load: f64) -> (f64, f64) {
    let sharing = erlang_c(servers, load);
    (1.0 + sharing / (f64::from(servers) * (1.0 - load)), (2.0 + sharing) / (2.0 - sharing))
}

/// M/M/c with first come, first served: the share of arrivals that wait longer than `wait`, in service times.
pub fn waits_longer(servers: u32, load: f64, wait: f64) -> f64 {
    erlang_c(servers, load) * libm::exp(-f64::from(servers) * (1.0 - load) * wait)
}

/// M/G/c with processor sharing: the mean time in the system, in service times. With one server it is exact for every
/// distribution of the service time, with more it is M/M/c's.
pub fn mean_sojourn(servers: u32, load: f64) -> f64 {
    sojourn(servers, load).0
}

/// Squared coefficient of variation of the time in an M/M/c system with processor sharing: exact for one server
/// (Coffman, Muntz and Trotter, 1970); with more, what makes others share counts in the place of the load.
pub fn sojourn_scv(servers: u32, load: f64) -> f64 {
    sojourn(servers, load).1
}
