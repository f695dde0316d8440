//! What it costs, beside what a user would pick instead.
//!
//! # Method
//!
//! `cargo run --release --manifest-path benches/peers/Cargo.toml` (add `-- --quick` for a first look, or
//! `-- --only WORKLOAD`) runs this crate, its peers, what people write by hand, and the bare floors in one process, in
//! interleaved rounds; it prints medians, quartiles and the median of the rounds' ratios, and writes
//! `target/peers.md` and `target/peers.svg`. Absolute times say little on a busy machine, ratios within a round more,
//! counts most. What is exact is not benched but tested: allocations in `tests/costs.rs`, instructions in
//! `.ci/instructions`. For a look while working on the engine there are micro-benches of the crate alone:
//! `cargo bench --manifest-path benches/peers/Cargo.toml --bench calls`.
//!
//! # Figures
//!
//! From a run of 2026-11-21 on two cores of an AMD EPYC, Linux 6.18, rustc 1.95, while other builds kept the machine
//! at a load of 15 to 20. Nanoseconds of one lone call with a `u64` key:
//!
//! | contestant | foldhash | default hasher |
//! | --- | ---: | ---: |
//! | floor: one hash, two uncontended lock and unlock pairs | 8.8 | 16.9 |
//! | **flight-group** | **12.6** | **21.6** |
//! | by hand, parking_lot | 33 | 53 |
//! | by hand, dashmap | 37 | 58 |
//! | by hand, std | 263 | 281 |
//! | once_map | 56 | 70 |
//! | quick_cache | 90 | 119 |
//! | moka | 1,220 | 1,251 |
//! | singleflight 0.3 | | 310 |
//!
//! Counts of the same run:
//!
//! | what | found |
//! | --- | ---: |
//! | allocations of a lone call: `u64` key, `&str` key, 32-byte key | 0, 1, 0 |
//! | allocations that a flight with 64 followers adds | 2 |
//! | bytes a key with 100,000 flights in the air | 65 |
//! | writes: 64 threads x 200 of 100 us on one key, runs per call | 3.2 % |
//! | the same: overlapping runs, lost writes | 0, 0 |
//! | replay of a web shop's trace over a 2 ms source, 16 and 64 clients: source calls against an ideal replay | 0.96, 0.94 |
//! | landing with 256 and 1,024 followers: until the leader is back, against a broadcast | 0.06, 0.01 |
//!
//! # The fleet
//!
//! `FLEET_SECONDS=6 cargo bench --features redis --bench fleet`, run of 2026-11-21 on the same machine with Redis 7.0.15 on
//! the loopback, at a load of 10 (other builds; on two cores, one of which the server wants, that is most of the time):
//!
//! | what | found |
//! | --- | ---: |
//! | lock pairs a second, 1, 8 and 32 threads, each with a lock of its own | 7,404, 10,295, 9,705 |
//! | solo flights a second, 1, 8 and 32 threads | 10,475, 11,401, 3,688 |
//! | from the end of a leader's closure to a follower's return in another fleet: p50, p90, p99 | 172, 222, 291 us |
//! | 8 processes of 4 threads on one key, work of 2 ms: executions per call | 0.031 |
//! | turns of a lease, 2, 4 and 8 processes over 6 s: shares apart, in points | 0.032, 0.100, 0.077 |
//! | the same: the worst wait for a turn | 76, 220, 58 ms |
//! | the leader killed every 500 ms, time to live 300 ms: overlaps in 143 executions, the worst call | 0, 331 ms |
//!
//! `cargo run --release --manifest-path benches/fleet-peers/Cargo.toml` runs the leases, `rslock` 0.10 (async, on tokio) and
//! a lock by hand (`SET NX PX`, compare and delete, a connection for each thread) in interleaved rounds. At a load of 15,
//! with `--seconds 0.5`, lock pairs a second and the median of the rounds' ratios:
//!
//! | threads or tasks | fleet | rslock | by hand | fleet / rslock | fleet / by hand |
//! | ---: | ---: | ---: | ---: | ---: | ---: |
//! | 1 | 3,508 | 7,697 | 4,841 | 0.44 | 0.56 |
//! | 8 | 9,628 | 10,674 | 10,237 | 0.70 | 0.43 |
//! | 32 | 6,103 | 18,203 | 20,212 | 0.33 | 0.66 |
//!
//! The ratios of single rounds went from 0.04 to 26: these tables say what order to expect, and which is faster they say
//! only of a busy machine, on which whoever needs fewer switches between threads wins. A task that waits for its answer costs
//! less than a thread that does. A lease is also queued for in order, fenced and renewed, which neither of the others is.
//!
//! # What it does not do well
//!
//! In the same run, so on a loaded machine, and not yet repeated on a quiet one:
//!
//! * Against a broadcast to 16 to 1,024 parked threads the *last* follower was back 1.3 to 1.6 times later, and with
//!   4,096 of them 3.5 times: waking in a tree frees the leader early and pays for it at the end.
//! * On one hot key with work of 100 us and more, followers took 1.1 to 1.8 times the CPU of the best peer: each is
//!   entered into the deadlock map and taken out again.
//! * Two threads on different keys scale less than they should where shards are few; the default is 256 of them now.
//! * Goroutines fan out some four times faster than any of this: parking an OS thread is what it costs.
//!
//! # What was tried
//!
//! * A hash table alone in each shard: 404 instructions a lone call. A short list before the table: 183. Moving only
//!   the key out of the list and only the value back: 140. A processor cannot forward a wide load from several narrow
//!   stores, and a slot that was written in words and copied out as a whole waited for them.
//! * Slots of 56 bytes: 75.5 bytes a key at 100,000 flights. Half a hash and two 48-bit numbers make it 48 and 65, for
//!   12 instructions and about a nanosecond.
//! * 64 shards: 22 M calls a second for two threads with 64 keys each; 256: 38 to 48 M.
//! * `notify_all`: parking_lot moves the sleepers over to the mutex, which hands itself from one to the next.
//! * A tree of single wake-ups on one condvar (the leader wakes eight, each woken follower two more): a system call
//!   for every follower. Against a broadcast the last of 16, 64 and 1,024 followers was 1.41, 1.19 and 1.72 times
//!   later; with gates (see [`internals`](super::internals)) 1.10, 0.96 and 0.95 times, in the same hour on the same
//!   machine, for a quarter less CPU.
