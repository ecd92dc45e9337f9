//! From the one number by which a system trades speed for recall to what it gives.

use anyhow::Result;

use super::worker::Worker;
use crate::node::Exact;

/// Neighbours asked for.
pub const K: usize = 10;
/// The first parameter, and by how much it grows from one to the next.
const FIRST: u32 = 10;
const STEP: f64 = 1.35;
/// The largest that is tried.
const LAST: u32 = 3000;
/// Beyond this recall the sweep ends.
const ENOUGH: f64 = 0.997;
/// Seconds of CPU that one timing takes at least: shorter ones say little.
const SECONDS_MIN: f64 = 0.25;

/// What one parameter gives.
#[derive(Copy, Clone, Debug)]
pub struct Step {
    /// The parameter.
    pub parameter: u32,
    /// Mean recall@10, ties counted as found.
    pub recall: f64,
    /// Queries a second of CPU, one thread.
    pub cpu_qps: f64,
    /// Queries a second that passed, one thread.
    pub wall_qps: f64,
    /// The same of two threads.
    pub wall_qps_2: f64,
}

/// Tries growing parameters until nearly everything is found, or nothing more is won.
///
/// # Errors
///
/// The worker fails.
pub fn sweep(worker: &mut Worker, exact: &Exact<'_>) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    let mut parameter = FIRST;
    while parameter <= LAST {
        let recall = exact.recall(&worker.answers(K, parameter)?);
        let rounds = rounds_for(worker, parameter)?;
        let one = worker.search(K, parameter, 1, rounds)?;
        let two = worker.search(K, parameter, 2, rounds)?;
        steps.push(Step {
            parameter,
            recall,
            cpu_qps: one.queries / one.cpu_s,
            wall_qps: one.queries / one.wall_s,
            wall_qps_2: two.queries / two.wall_s,
        });
        let stuck = steps.len() > 4 && recall <= steps[steps.len() - 4].recall;
        if recall >= ENOUGH || stuck {
            break;
        }
        parameter = ((f64::from(parameter) * STEP).round() as u32).max(parameter + 1);
    }
    Ok(steps)
}

/// The smallest parameter whose recall reaches the target, found between the steps of a sweep; `None` if no step does.
///
/// # Errors
///
/// The worker fails.
pub fn reach(
    worker: &mut Worker,
    exact: &Exact<'_>,
    steps: &[Step],
    target: f64,
) -> Result<Option<(u32, f64)>> {
    let Some(at) = steps.iter().position(|step| step.recall >= target) else {
        return Ok(None);
    };
    let (mut high, mut recall) = (steps[at].parameter, steps[at].recall);
    let mut low = if at == 0 {
        high
    } else {
        steps[at - 1].parameter
    };
    while high - low > 1 {
        let middle = low.midpoint(high);
        let found = exact.recall(&worker.answers(K, middle)?);
        if found >= target {
            (high, recall) = (middle, found);
        } else {
            low = middle;
        }
    }
    Ok(Some((high, recall)))
}

/// How often all queries are asked in one timing.
///
/// # Errors
///
/// The worker fails.
pub fn rounds_for(worker: &mut Worker, parameter: u32) -> Result<usize> {
    let once = worker.search(K, parameter, 1, 1)?;
    Ok((SECONDS_MIN / once.cpu_s.max(1e-6))
        .ceil()
        .clamp(1.0, 1000.0) as usize)
}
