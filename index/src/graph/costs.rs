//! What ways to answer cost.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::Graph;
use super::filtered::FilteredWalk;
use super::search::{Effort, RECALL_DEFAULT};
use crate::quantizer::read_row;
use crate::random::Random;
use crate::{Among, BitSet};

/// Nanoseconds, or any unit, by which a search decides between walking and scanning: only their ratio counts.
///
/// The defaults were measured (`examples/graph_bench.rs` prints them). [`Graph::measure_costs`] measures them on the machine and the rows.
#[derive(Copy, Clone, Debug, PartialEq)]
pub struct Costs {
    /// To compare one code of a scan of members: near to each other in memory, and known ahead.
    pub scan: f32,
    /// To compare one code of a filtered walk, with all that the walk does beside.
    pub walk: f32,
}

impl Default for Costs {
    /// A compared code costs a filtered walk about three times what it costs a scan of members.
    fn default() -> Self {
        Self {
            scan: 1.0,
            walk: 3.0,
        }
    }
}

/// Costs that may be replaced while searches go on. One that reads half of a replacement decides by a wrong ratio, and answers as well.
pub(super) struct CostsCell {
    scan: AtomicU32,
    walk: AtomicU32,
}

impl CostsCell {
    pub(super) fn get(&self) -> Costs {
        let read = |cost: &AtomicU32| f32::from_bits(cost.load(Ordering::Relaxed));
        Costs {
            scan: read(&self.scan),
            walk: read(&self.walk),
        }
    }

    fn set(&self, costs: Costs) {
        self.scan.store(costs.scan.to_bits(), Ordering::Relaxed);
        self.walk.store(costs.walk.to_bits(), Ordering::Relaxed);
    }
}

impl Default for CostsCell {
    fn default() -> Self {
        let cell = Self {
            scan: AtomicU32::default(),
            walk: AtomicU32::default(),
        };
        cell.set(Costs::default());
        cell
    }
}

/// Queries of a measurement at most, and at least.
const QUERIES: usize = 16;
const QUERIES_MIN: usize = 4;
/// After so long no further query is begun.
const LONGEST: Duration = Duration::from_millis(20);
/// Neighbours that are looked for.
const K: usize = 10;
/// Shares of the rows that match: outside of these it is clear which way is cheaper.
const SHARE_MIN: f32 = 0.02;
const SHARE_MAX: f32 = 0.5;
/// A walk is not taken for cheaper or dearer than so many times a scan, whatever was measured.
const RATIO_MIN: f32 = 1.0;
const RATIO_MAX: f32 = 20.0;

impl Graph {
    /// By what searches decide between walking and scanning.
    pub fn costs(&self) -> Costs {
        self.costs.get()
    }

    /// Replaces the costs by which ways to answer are compared.
    pub fn set_costs(&self, costs: Costs) {
        self.costs.set(costs);
    }

    /// Measures with some of its own rows as queries what a code costs a filtered walk and what it costs a scan of members, among so many as make
    /// both about equally dear, and goes by that from then on. `None`, and nothing changes, if the clock stands still or the graph is so small
    /// that it is scanned anyway.
    ///
    /// - `now`: the time since any moment.
    /// - Time about 20 ms, for the background.
    pub fn measure_costs(&self, now: &dyn Fn() -> Duration) -> Option<Costs> {
        if self.is_scanned(K) {
            return None;
        }
        let mut random = Random::new(self.len() as u64);
        let (stop, expected) = self.stop(K, Effort::Recall(RECALL_DEFAULT));
        let Costs { scan, walk } = self.costs();
        let even = (expected.compared * walk / scan / self.len() as f32).sqrt();
        let share = even.clamp(SHARE_MIN, SHARE_MAX);
        let members = random.sample(self.len(), (share * self.len() as f32) as usize);
        let mut set = BitSet::new(self.len());
        for &member in &members {
            set.insert(member);
        }

        let keeps_far = self.codes.coding().encoding().is_coarse();
        let mut ratios = Vec::new();
        let began = now();
        for row in random.sample(self.len(), QUERIES) {
            if ratios.len() >= QUERIES_MIN && now().saturating_sub(began) > LONGEST {
                break;
            }
            let mut query = vec![0.0; self.dim()];
            read_row(&*self.rows, row, &mut query);
            let prepared = self.codes.coding().prepare(&query);
            let keep = expected.rerank.max(K);
            let mut compared = 0;
            let walk = || {
                self.with_scratch(|scratch| {
                    prepared.run(FilteredWalk {
                        graph: self.view(),
                        stop,
                        keep,
                        keeps_far,
                        set: &set,
                        budget: u64::MAX,
                        share: 0.0,
                        scratch,
                    });
                    compared = scratch.compared;
                });
            };
            let walk = quickest(now, walk);
            let scan = || {
                self.with_scratch(|scratch| {
                    scratch.pool.reset(keep);
                    self.codes
                        .scan(&prepared, Among::Set(&set), &mut scratch.pool);
                });
            };
            let scan = quickest(now, scan);
            if walk.is_zero() || scan.is_zero() || compared == 0 {
                return None;
            }
            let walk = walk.as_secs_f32() / compared as f32;
            let scan = scan.as_secs_f32() / members.len() as f32;
            ratios.push(walk / scan);
        }
        ratios.sort_unstable_by(f32::total_cmp);
        let ratio = ratios.get(ratios.len() / 2)?;
        let costs = Costs {
            scan: 1.0,
            walk: ratio.clamp(RATIO_MIN, RATIO_MAX),
        };
        self.set_costs(costs);
        Some(costs)
    }
}

/// The shortest of three goes: something else may have had the processor or the memory in one of them.
fn quickest(now: &dyn Fn() -> Duration, mut work: impl FnMut()) -> Duration {
    let goes = [0; 3].map(|_| {
        let began = now();
        work();
        now().saturating_sub(began)
    });
    goes.into_iter().min().unwrap_or_default()
}
