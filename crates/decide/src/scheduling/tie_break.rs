//! The one source of chance in scheduling.

use serde::{Deserialize, Serialize};

/// A seeded, deterministic source (splitmix64) that chooses among equally good nodes, and the place in the list of nodes
/// from which the next attempt starts to look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TieBreak {
    state: u64,
    next_start: usize,
}

impl TieBreak {
    pub fn new(seed: u64) -> TieBreak {
        TieBreak { state: seed, next_start: 0 }
    }

    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `count`.
    ///
    /// # Panics
    /// When `count` is 0: there is nothing to choose from.
    pub fn pick(&mut self, count: usize) -> usize {
        assert!(count > 0, "a choice needs something to choose from");
        // The high half of the product: uniform without a division, and the bias of 2⁻⁴⁰ decides nothing.
        ((u128::from(self.next_u64()) * count as u128) >> 64) as usize
    }

    pub(super) fn start(&self, nodes: usize) -> usize {
        if nodes == 0 { 0 } else { self.next_start % nodes }
    }

    pub(super) fn advance(&mut self, processed: usize, nodes: usize) {
        if nodes > 0 {
            self.next_start = (self.start(nodes) + processed) % nodes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Differs (Decisions): Among equally good nodes the scheduler draws from a seeded source, upstream from a random
    /// one: the same snapshot gives the same node, which replaying and planning need.
    #[test]
    fn is_fair_and_repeatable() {
        let (mut a, mut b) = (TieBreak::new(7), TieBreak::new(7));
        let mut seen = [0; 3];
        for _ in 0..3000 {
            let choice = a.pick(3);
            assert_eq!(choice, b.pick(3));
            seen[choice] += 1;
        }
        assert!(seen.iter().all(|count| (900..1100).contains(count)), "{seen:?}");
    }

    #[test]
    fn draws_as_splitmix64_does() {
        let mut tie = TieBreak::new(0);
        let drawn = [(); 3].map(|()| tie.next_u64());
        // The first numbers of the reference implementation (prng.di.unimi.it/splitmix64.c) for the seed 0.
        assert_eq!(drawn, [0xE220_A839_7B1D_CDAF, 0x6E78_9E6A_A1B9_65F4, 0x06C4_5D18_8009_454F]);
    }

    #[test]
    fn the_next_attempt_starts_behind_the_last_one_also_where_nodes_came_or_went() {
        let check = |advances: &[(usize, usize)], nodes: usize, expected: usize| {
            let mut tie = TieBreak::new(0);
            advances.iter().for_each(|(processed, nodes)| tie.advance(*processed, *nodes));
            assert_eq!(tie.start(nodes), expected, "{advances:?}, then {nodes} nodes");
        };
        check(&[], 5, 0);
        check(&[(3, 5)], 5, 3);
        check(&[(3, 5), (4, 5)], 5, 2);
        check(&[(7, 5)], 3, 2);
        check(&[(4, 5), (1, 3)], 3, 2);
        check(&[(4, 5), (9, 0)], 5, 4);
        check(&[(4, 5)], 0, 0);
    }
}
