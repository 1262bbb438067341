//! The CPU part of `/api/v1/work`.

/// Rounds per unit: about a tenth of a millisecond of one core in an optimised build.
const ROUNDS_PER_UNIT: u32 = 60_000;

/// More than this would hold up a runtime thread that other requests share.
pub const MAX_UNITS_INLINE: u32 = 20;

/// Deterministic and cheap in memory; every round depends on the one before, so that it cannot be optimised away.
pub fn compute(units: u32) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..units {
        for _ in 0..ROUNDS_PER_UNIT {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
        }
        state = std::hint::black_box(state);
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_depends_on_its_units_alone() {
        assert_eq!(compute(3), compute(3));
        assert_ne!(compute(3), compute(4));
        assert_eq!(compute(0), 0x9e37_79b9_7f4a_7c15);
    }
}
