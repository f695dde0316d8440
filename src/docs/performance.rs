//! What it costs, beside what you would use instead.
//!
//! * [How it is measured](#how-it-is-measured)
//! * [Figures](#figures)
//! * [Exact costs](#exact-costs)
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
//! quartiles and the median of the rounds' ratios, and writes `target/peers.md` and `target/peers.svg`. Add `-- --quick` for
//! a first look, `-- --only WORKLOAD` for one workload, and `-- --strict` to end with an error if a mark is missed.
//!
//! Trust counts most, then ratios. Absolute times vary with the load of the machine. What is exact is a test, and not a bench:
//! allocations in `tests/costs.rs`, instructions in `.ci/instructions`. For a look while you work on the engine there are
//! benches of this crate alone: `cargo bench --manifest-path benches/peers/Cargo.toml --bench calls`.
//!
//! # Figures
//!
//! One run of 2026-11-25 on a virtual machine with two cores: `cargo run --release --manifest-path benches/peers/Cargo.toml`.
//! Other builds ran beside it for part of the time (load average 1 to 6), so read the ratios. Each is the median of the
//! rounds' ratios, with the least and the greatest of the middle half.
//!
//! | what | found | aim | beside what | if missed, why |
//! | --- | ---: | ---: | --- | --- |
//! | lone `try_work`, `u64` key, foldhash | 1.37 (1.35 to 1.39) | 1.35 | one hash and two uncontended lock and unlock pairs | within the noise |
//! | the same, default hasher | 0.42 | 0.45 | the same by hand | |
//! | lone `try_work`, `String` key by `&str` | 0.52 | 0.5 | the same by hand | one allocation for the key is most of it |
//! | two threads on distinct keys | 1.04 (0.87 to 1.16) | 1.4 | one thread | one core was busy with a build; quiet runs before gave 1.2 |
//! | mean follower of 16 | 1.15 (1.11 to 1.25) | 1.05 | by hand with std | the way in takes the shard's lock, a node for the deadlock check and an edge |
//! | mean follower of 64 | 1.12 (1.03 to 1.22) | 1.05 | by hand with std | the same |
//! | mean follower of 256 | 1.11 (1.02 to 1.19) | 1.10 | by hand with std | within the noise |
//! | mean follower of 1,024 | 1.05 (0.99 to 1.10) | 1.10 | by hand with std | |
//! | mean follower, 16 to 1,024 | 1.03 to 1.18 | 1.35 | a bare std broadcast | |
//! | the same beside four spinning threads | 1.05 to 1.20 | 1.35 | a bare std broadcast | |
//! | leader, 16 to 1,024 followers | 1.08 to 1.19 | 1.2 | a bare std broadcast | |
//! | one follower | 1.78 (1.42 to 2.15) | 1.15 | by hand with std | two allocations and the edge, against one wake-up |
//! | CPU a call, hot key, 64 threads, work of 100 us | 1.06 (1.01 to 1.11) | 1.08 | by hand with std | |
//! | the same, work of 1 ms | 1.13 (0.99 to 1.43) | 1.08 | by hand with std | the rounds scatter: 1.06 in another run |
//! | calls a second, hot key, 64 threads, empty work | 1.32 (1.19 to 1.58) | 2 | by hand with parking_lot | the two are close where nobody has to wait; 3.1 on a busy machine |
//! | hot key, 64 threads, work of 2 us: answers from a closure that had ended before the call came | 0.014 % | 4 % | calls | |
//! | 64 threads writing one key, wall time | 1.17 (1.13 to 1.21) | 1.25 | as many lone writes one after the other | |
//! | 64 threads writing one key, runs | 3.19 % | 3.5 % | calls | |
//! | memory of a key with 100,000 flights in the air | 75.6 bytes | 80 bytes | | |
//!
//! Events and batches, processor time a call, against the mechanisms they had before (`companions --against`, medians of 5 and
//! 7 rounds): a lone `push` 0.33, a lone `load` 1.27, `submit` by one thread 1.27 and by four threads 1.94 (two turns at the
//! lock for eight events, and the merge), `push` by 64 threads 1.09, `load` by 64 threads 1.10. A million events behind a run
//! that is stuck take 4 KiB instead of 54,800.
//!
//! # Exact costs
//!
//! | what | cost | held by |
//! | --- | ---: | --- |
//! | instructions of a lone `try_work`: `u64` key with foldhash | 135 | `.ci/instructions` |
//! | instructions of a lone `try_work`: `String` key by `&str` | 341 | `.ci/instructions` |
//! | allocations of a lone call: `u64` key, `&str` key | 0, 1 | `tests/costs.rs` |
//! | allocations of a flight's first follower | 2 | `tests/costs.rs` |
//! | allocations of each further follower | 0 | `tests/costs.rs` |
//! | allocations of an empty group, before its first call | 1 | `tests/costs.rs` |
//! | table of a group, at its first call | 64 bytes a shard, 256 to 1,024 shards | |
//!
//! # What to expect
//!
//! * A lone call costs about as much as hashing its key and taking two uncontended locks. On a short key
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
//! `FLEET_SECONDS=6 cargo bench --features redis --bench fleet`, run of 2026-11-21 on the same machine with Redis 7.0.15 on
//! the loopback and nothing else running (the server wants one of the two cores). What a machine leaves to be had
//! differs by a factor of two from one to the next and from one minute to the next, so bare trips take turns with the
//! fleet: two PINGs, on a connection for each thread, and a PUBLISH to a listening thread that wakes another.
//!
//! | what | found | bare | ratio |
//! | --- | ---: | ---: | ---: |
//! | lock pairs a second, each thread with a lock of its own: 1 thread | 4,200 | 5,930 | 0.71 |
//! | 8 threads | 12,395 | 34,691 | 0.35 |
//! | 32 threads | 18,553 | 36,208 | 0.50 |
//! | solo flights a second: 1 thread | 3,838 | 5,662 | 0.65 |
//! | 8 threads | 10,974 | 35,392 | 0.33 |
//! | 32 threads | 17,775 | 34,531 | 0.53 |
//! | from the end of a leader's closure to a follower's return in another fleet: p50 | 235 us | 172 us | 1.4 |
//! | the same: p90, p99 | 336, 637 us | 278, 370 us | |
//! | 8 processes of 4 threads on one key, work of 2 ms: executions per call | 0.031 | | |
//! | turns of a lease, 2, 4 and 8 processes over 6 s: shares apart, in points | 0.024, 0.024, 0.025 | | |
//! | the same: the worst wait for a turn | 7, 10, 17 ms | | |
//! | the leader killed every 500 ms, time to live 300 ms: overlaps in 142 executions, the worst call | 0, 331 ms | | |
//!
//! One thread alone is faster on a busy machine (up to 12,000 flights a second at a load of 6): each answer finds both
//! cores asleep, and waking them is most of it. From 8 threads on it is work: a flight takes the server some 26 us of its
//! one thread (the two scripts 21 of them) and this side 35, most of that in system calls for sleeping and waking.
//!
//! `cargo run --release --manifest-path benches/fleet-peers/Cargo.toml` runs the leases, `rslock` 0.10 (async, on tokio) and
//! a lock by hand (`SET NX PX`, compare and delete, a connection for each thread) in interleaved rounds. With
//! `--seconds 0.5`, lock pairs a second and the median of the rounds' ratios:
//!
//! | threads or tasks | fleet | rslock | by hand | fleet / rslock | fleet / by hand |
//! | ---: | ---: | ---: | ---: | ---: | ---: |
//! | 1 | 3,996 | 5,147 | 4,738 | 0.78 | 0.79 |
//! | 8 | 11,882 | 29,770 | 27,923 | 0.39 | 0.42 |
//! | 32 | 17,762 | 74,295 | 33,663 | 0.24 | 0.54 |
//!
//! Both are faster, here, and do less: a lease is queued for in order, fenced and renewed. A task that waits for its answer
//! costs less than a thread that does, and on the loopback a connection for each thread costs nothing but the server's
//! attention. The fleet has one connection for all. That pays where a round trip takes half a millisecond.
