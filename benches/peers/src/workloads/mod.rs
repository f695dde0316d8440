//! What is measured.

pub mod companions;
pub mod distinct;
pub mod fan_out;
pub mod hot;
pub mod lone;
pub mod memory;
pub mod replay;
pub mod writes;

use crate::measure::Workload;
use std::sync::Arc;

/// All, in the order of the report.
pub fn plans(depth: Depth, trace: &Arc<Vec<u64>>, trace_name: &str) -> Vec<Planned> {
    let mut plans = lone::plans(depth);
    plans.extend(distinct::plans(depth));
    plans.extend(hot::plans(depth));
    plans.extend(fan_out::plans(depth));
    plans.extend(writes::plans(depth));
    plans.extend(memory::plans(depth));
    plans.extend(companions::plans(depth));
    plans.extend(replay::plans(depth, trace, trace_name));
    plans
}

/// How thorough a run is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    Quick,
    Full,
}

impl Depth {
    pub fn pick<T>(self, quick: T, full: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Full => full,
        }
    }
}

/// A workload that is not built before it is its turn: building one may start thousands of threads.
pub struct Planned {
    pub id: String,
    /// About how many steps of how many seconds, for the progress bar.
    pub steps: usize,
    pub seconds: f64,
    pub build: Box<dyn FnOnce() -> Workload>,
}

pub fn plan(id: impl Into<String>, seconds: f64, steps: usize, build: impl FnOnce() -> Workload + 'static) -> Planned {
    Planned { id: id.into(), steps, seconds, build: Box::new(build) }
}
