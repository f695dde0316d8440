//! The promises of `flight-group`, kept: one module per promise or feature.
#![cfg(not(any(flight_group_shuttle, flight_group_loom)))]

mod api;
mod batch;
mod cancel;
mod err_group;
mod hedge;
mod observer;
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
mod p7_no_silent_deadlock;
mod p8_nothing_left_behind;
mod p9_happens_before;
mod peers_defects;
mod ported_go_zero;
mod ported_workqueue;
mod ported_x_sync;
mod spawned;
mod support;
