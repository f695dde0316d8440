//! What it costs, beside what you would use instead.
//!
//! * [How it is measured](#how-it-is-measured)
//! * [Reads and writes, beside peers and by hand](#reads-and-writes-beside-peers-and-by-hand)
//! * [`EventGroup` and `Batcher`](#eventgroup-and-batcher)
//! * [Allocations, instructions and memory](#allocations-instructions-and-memory)
//! * [What to expect](#what-to-expect)
//! * [The fleet](#the-fleet)
//!
//! What was tried and dropped is on the page [`internals`](super::internals#what-was-tried-and-dropped).
//!
//! # How it is measured
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml
//! ```
//!
//! It runs this crate, its peers, what people write by hand, and the bare floors in one process, in turns. It prints medians,
//! quartiles and the median of the rounds' ratios. It writes `target/peers.md`, `target/peers.svg` and `target/figures.md`,
//! which is the next table. Add `-- --quick` for a first look, `-- --only WORKLOAD` for one workload, and `-- --strict` to
//! end with an error if an aim is missed.
//!
//! Trust counts most, then ratios. Absolute times vary with the load of the machine. What is exact is a test, and not a bench:
//! allocations in `tests/costs.rs`, instructions in `.ci/instructions`. For a look while you work on the engine there are
//! benches of this crate alone: `cargo bench --manifest-path benches/peers/Cargo.toml --bench calls`.
//!
//! # Reads and writes, beside peers and by hand
//!
//! One run of `cargo run --release --manifest-path benches/peers/Cargo.toml`. Where *beside what* names something, *found* is
//! a ratio to it: the median of the rounds' ratios, with the quartiles in brackets.
//!
//! * *floor*: one hash of the key, and two uncontended lock and unlock pairs.
//! * *by hand*: a mutex, a map and a condvar, as people write them.
//! * *bare broadcast*: threads that sleep on one condvar, and `notify_all`.
//! * *stale*: the call got the outcome of a closure that had ended before the call came, because its flight had not landed.
//!
#![doc = include_str!("performance/figures.md")]
//!
//! # `EventGroup` and `Batcher`
//!
//! Processor time a call, as a ratio to the same call before events were merged at arrival and before the lead was offered.
//! The two builds ran in turns, in November 2026, on the same machine: `companions --against`, medians of 5 and 7 rounds.
//!
//! | what | found | aim | if missed, why |
//! | --- | ---: | ---: | --- |
//! | `push`, one thread, empty run | 0.33 | ≤ 1.3 | |
//! | `push`, 64 threads, one key, runs of 100 us | 1.09 | | |
//! | `load`, one thread, empty function | 1.27 | ≤ 1.3 | |
//! | `load`, 64 threads, function of 100 us | 1.10 | | |
//! | `submit`, one thread, runs of 100 us | 1.27 | ≤ 1.3 | |
//! | `submit`, four threads, runs of 100 us | 1.94 | ≤ 1.3 | two turns at the lock for eight events, and the merge |
//! | memory of a million events behind a run that is stuck | 4 KiB | | before: 54,800 KiB |
//!
//! # Allocations, instructions and memory
//!
//! These are exact. A test or a step of the gate holds each of them.
//!
//! | what | cost | held by |
//! | --- | ---: | --- |
//! | instructions of a lone `try_work`: `u64` key with foldhash | 135 | `.ci/instructions` |
//! | instructions of a lone `try_work`: `String` key by `&str` | 341 | `.ci/instructions` |
//! | allocations of a lone call: `u64` key, `&str` key | 0, 1 | `tests/costs.rs` |
//! | allocations of a flight's first follower | 2 | `tests/costs.rs` |
//! | allocations of each further follower | 0 | `tests/costs.rs` |
//! | allocations of an empty group, before its first call | 1 | `tests/costs.rs` |
//!
//! The table of a group is allocated at its first call: 64 bytes a shard, and 256 to 1,024 shards.
//!
//! # What to expect
//!
//! * A lone call costs little more than hashing its key and taking two uncontended locks. On a short key
//!   the default hasher is a large part of it: see [`hasher`](crate::GroupBuilder::hasher).
//! * A follower costs a sleep and a wake-up of its thread. The kernel takes about 1.8 us for each wake-up on two
//!   cores of an AMD EPYC. The leader's broadcast pays for all of them.
//! * All followers wake at the same time and compete for the cores. On a busy machine they wait for a core like every other
//!   thread.
//! * Two threads that use different keys may still want the same shard. If a group is that busy, give it more
//!   [`shards`](crate::GroupBuilder::shards), at 64 bytes each.
//! * Between two runs of a key's writes, the next leader has to wake up. If other calls arrive meanwhile, one of them leads at
//!   once.
//! * Goroutines fan out several times faster, because the kernel does not take part.
//!
//! # The fleet
//!
//! ```text
//! FLEET_SECONDS=6 cargo bench --features redis --bench fleet
//! ```
//!
//! Run of 2026-11-21 on the same machine with Redis 7.0.15 on the loopback and nothing else running. The server wants one of
//! the two cores. Times on the loopback differ by a factor of two from one machine to the next and from one minute to the
//! next, so bare round trips take turns with the fleet: two PINGs, on a connection for each thread; and a PUBLISH to a
//! listening thread, which wakes another.
//!
//! | what | found | beside what: bare trips | ratio |
//! | --- | ---: | ---: | ---: |
//! | lock pairs a second, each thread with a lock of its own: 1 thread | 4,200 | 5,930 | 0.71 |
//! | the same: 8 threads | 12,395 | 34,691 | 0.35 |
//! | the same: 32 threads | 18,553 | 36,208 | 0.50 |
//! | solo flights a second: 1 thread | 3,838 | 5,662 | 0.65 |
//! | the same: 8 threads | 10,974 | 35,392 | 0.33 |
//! | the same: 32 threads | 17,775 | 34,531 | 0.53 |
//! | from the end of a leader's closure to a follower's return in another fleet: p50 | 235 us | 172 us | 1.4 |
//! | the same: p90 | 336 us | 278 us | 1.2 |
//! | the same: p99 | 637 us | 370 us | 1.7 |
//! | 8 processes of 4 threads on one key, work of 2 ms: executions per call | 0.031 | | |
//! | turns of a lease, 2, 4 and 8 processes over 6 s: shares apart, in points | 0.024, 0.024, 0.025 | | |
//! | the same: the worst wait for a turn | 7, 10, 17 ms | | |
//! | the leader killed every 500 ms, time to live 300 ms: overlaps in 142 executions | 0 | | |
//! | the same: the worst call | 331 ms | | |
//!
//! One thread alone is faster on a busy machine (up to 12,000 flights a second at a load of 6). On a quiet machine each answer
//! finds both cores asleep, and waking them takes most of the time. From 8 threads on the work takes most of it. A flight takes
//! the server about 26 us of its one thread, 21 of them in the two scripts. It takes the fleet's side 35 us, most of them in
//! system calls for sleeping and waking.
//!
//! ```text
//! cargo run --release --manifest-path benches/fleet-peers/Cargo.toml
//! ```
//!
//! It runs the leases, `rslock` 0.10 (async, on tokio) and a lock by hand (`SET NX PX`, compare and delete, a connection for
//! each thread) in interleaved rounds. With `--seconds 0.5`, lock pairs a second and the median of the rounds' ratios:
//!
//! | threads or tasks | fleet | rslock | by hand | fleet / rslock | fleet / by hand |
//! | ---: | ---: | ---: | ---: | ---: | ---: |
//! | 1 | 3,996 | 5,147 | 4,738 | 0.78 | 0.79 |
//! | 8 | 11,882 | 29,770 | 27,923 | 0.39 | 0.42 |
//! | 32 | 17,762 | 74,295 | 33,663 | 0.24 | 0.54 |
//!
//! Both are faster here, and do less: a lease is queued for in order, has a fence, and is renewed. A task that waits for its
//! answer costs less than a thread that does. On the loopback a connection for each thread costs nothing but the server's
//! time. The fleet has one connection for all threads. That pays where a round trip takes half a millisecond.
