//! Groups in rayon's pools: the facts of the section "Work-stealing pools (rayon)" on the page
//! `flight_group::docs::patterns`, found with rayon itself.
//!
//! A worker that waits inside rayon (`join`, `scope`, `par_iter`, `install` into another pool, `yield_now`) runs other
//! tasks meanwhile, on top of its stack. A worker that waits inside a group, or for a `Receiver`, only sleeps.

// As the page shows it.
#[path = "../../../../src/docs/patterns/rayon_pool.rs"]
mod rayon_pool;

mod hangs;
mod remedies;
mod support;
mod waits;
