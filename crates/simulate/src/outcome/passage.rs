//! What requests of one route go through, as long as nothing changes.

use crate::flow::latency::{Histogram, Response, Tables};

/// One combination of replicas that a request may meet.
#[derive(Clone, Debug, Default)]
struct Cell {
    share: f64,
    /// Of each workload that it asks.
    parts: Vec<Response>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Passage {
    /// Requests a second.
    pub(crate) rate: f64,
    /// The share that fails.
    pub(crate) failed: f64,
    /// Shares of the answered that take longer than the objectives for p50, p95 and p99.
    pub(crate) late: [f64; 3],
    /// Seconds.
    pub(crate) p99: f64,
    cells: Vec<Cell>,
    used: usize,
}

impl Passage {
    pub(crate) fn clear(&mut self, rate: f64) {
        self.rate = rate;
        self.used = 1;
        if self.cells.is_empty() {
            self.cells.push(Cell::default());
        }
        self.cells[0].share = 1.0;
        self.cells[0].parts.clear();
    }

    /// A request also asks one of these, each with its share.
    pub(crate) fn part(&mut self, choices: impl Iterator<Item = (f64, Response)>) {
        let before = self.used;
        let mut first = None;
        for (number, (share, response)) in choices.enumerate() {
            if number == 0 {
                // It takes the place of what was there, after the others have copied that.
                first = Some((share, response));
                continue;
            }
            for index in 0..before {
                let mut cell = Cell { share: self.cells[index].share * share, parts: self.cells[index].parts.clone() };
                cell.parts.push(response);
                if self.used < self.cells.len() {
                    self.cells[self.used] = cell
                } else {
                    self.cells.push(cell)
                }
                self.used += 1;
            }
        }
        if let Some((share, response)) = first {
            for cell in &mut self.cells[..before] {
                cell.share *= share;
                cell.parts.push(response);
            }
        }
    }

    pub(crate) fn finish(&mut self, tables: &Tables, failed: f64, log2_objectives: &[f64; 3]) {
        self.failed = failed.clamp(0.0, 1.0);
        self.late = [0.0; 3];
        self.p99 = 0.0;
        for cell in &self.cells[..self.used] {
            for part in &cell.parts {
                self.p99 = self.p99.max(tables.quantile(part, 2));
            }
            for (late, objective) in self.late.iter_mut().zip(log2_objectives) {
                if objective.is_finite() {
                    let within: f64 = cell.parts.iter().map(|part| 1.0 - tables.longer(part, *objective)).product();
                    *late += cell.share * (1.0 - within);
                }
            }
        }
    }

    pub(crate) fn add_to(&self, histogram: &mut Histogram, tables: &Tables, answered: f64) {
        for cell in &self.cells[..self.used] {
            histogram.add(tables, answered * cell.share, &cell.parts);
        }
    }
}
