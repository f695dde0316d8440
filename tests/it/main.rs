//! The promises of `flight-group`, kept: one module per promise or feature. A test's name begins with its promise.
//!
//! | what | where |
//! |---|---|
//! | a promise of the groups, P1 to P12 | the file that begins with its number, such as `p6_deadlines.rs` |
//! | P5 where keys, values and errors panic | `bombs.rs`; `batch/bombs.rs`, `events/bombs.rs` |
//! | P5 where an observer panics | `observer/panics.rs` |
//! | all promises together, in generated schedules | `histories.rs` and its judge; `batch/history.rs`, `events/history.rs` |
//! | the face: auto traits, `Debug`, builders, errors | `api.rs` |
//! | what a builder settles; `followers`, `flights`, `stats` | `options.rs` |
//! | calls that are cancelled, of every kind | `cancelled_calls.rs` |
//! | a read through a cache | `read_through.rs` |
//! | calls that do not block, executors | `spawned.rs` |
//! | many keys in one call | `many.rs` |
//! | the companions | `batch.rs`, `events.rs`, `hedge.rs`, `err_group.rs`, `cancel.rs` |
//! | what is observed | `observer.rs`; spans and meters, which need their features: `observing.rs` |
//! | what other crates' tests assert, in our words | `ported_*.rs`; `batch/ported.rs`, `events/ported.rs` |
//! | defects of other crates that are impossible here | `peers_defects.rs` |
//! | what reads users' input in an example | `examples_stampede.rs` |
//! | what tests share: `within`, `until`, `hold`, `line_up`; a call of every kind | `support.rs`; `doors.rs` |
//!
//! Elsewhere: allocations in `tests/costs.rs`, the model checkers' scenarios in `tests/model`, the fleet in `tests/fleet`,
//! much traffic for ThreadSanitizer in `tests/stress.rs`, and time that only the test moves in `src/event_group`.
#![cfg(not(any(flight_group_shuttle, flight_group_loom)))]

mod api;
mod batch;
mod bombs;
mod cancel;
mod cancelled_calls;
mod doors;
mod err_group;
mod errors;
mod errors_named;
mod events;
mod examples_stampede;
mod hedge;
mod histories;
mod many;
mod observer;
mod observing;
mod options;
mod p10_forget_is_exact;
mod p11_hand_over;
mod p12_your_closure;
mod p1_one_at_a_time;
mod p2_overlap;
mod p3_fresh;
mod p4_newest_wins;
mod p5_a_panic_strands_nobody;
mod p6_deadlines;
mod p7_every_kind;
mod p7_no_silent_deadlock;
mod p8_nothing_left_behind;
mod p9_happens_before;
mod peers_defects;
mod ported_go_zero;
mod ported_workqueue;
mod ported_x_sync;
mod read_through;
mod shared_error;
mod spawned;
mod support;
mod values;
