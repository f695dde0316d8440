//! What the peers do, found by running them: the facts on the page `flight_group::docs::comparison`.
//!
//! Each test plays one scenario with one contestant, in a process of its own: some of them hang, and that is the
//! fact. `cargo test --release --manifest-path benches/peers/Cargo.toml --test comparison -- --nocapture` prints
//! what was found. Where a peer changes its ways, the test that names them fails, and the page is to be mended.
//!
//! Whether somebody waits is read from `/proc`, for most peers cannot be asked; hence Linux.
#![cfg(target_os = "linux")]

mod allocations;
mod contestants;
mod errors;
mod freshness;
mod keeping;
mod keys;
mod page;
mod panics;
mod re_entry;
mod support;
mod timeouts;
mod tokens;
mod writes;
