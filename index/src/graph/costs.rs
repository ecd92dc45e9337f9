//! What ways to answer cost.

/// Nanoseconds, or any unit, by which a search decides between walking and scanning: only their ratios count.
///
/// The defaults are measured (`examples/graph_bench.rs` prints them); whoever has a clock may measure on his own machine
/// and data, and set them by [`Graph::set_costs`](super::Graph::set_costs).
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
