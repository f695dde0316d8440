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
//! From runs of 2026-11-21 on two cores of an AMD EPYC, Linux 6.18, rustc 1.95, with nothing else on the machine.
//! Nanoseconds of one lone call:
//!
//! | contestant | `u64`, foldhash | `u64`, default hasher | `String` by `&str` | 32 bytes |
//! | --- | ---: | ---: | ---: | ---: |
//! | floor: one hash, two uncontended lock and unlock pairs | 8.8 | 16.8 | | |
//! | **flight-group** | **12.5** | **21.5** | **28.4** | **18.1** |
//! | by hand, parking_lot | 33.0 | 52.7 | 54.7 | 45.5 |
//! | by hand, dashmap | 36.5 | 57.5 | 64.1 | 54.3 |
//! | by hand, std | 263 | 279 | 283 | 274 |
//! | once_map | 70 | 88 | 150 | 88 |
//! | quick_cache | 90 | 120 | 113 | 107 |
//! | moka | 1,198 | 1,268 | 1,283 | 1,247 |
//! | singleflight 0.3 | | 310 | 311 | 314 |
//!
//! Threads on 64 keys each, millions of calls a second:
//!
//! | contestant | 1 thread | 2 threads | 8 threads |
//! | --- | ---: | ---: | ---: |
//! | **flight-group** | **84.8** | **100** | **108** |
//! | by hand, parking_lot | 28.7 | 22.6 | 24.0 |
//! | by hand, dashmap | 27.1 | 25.0 | 23.3 |
//! | quick_cache | 10.7 | 11.4 | 11.4 |
//!
//! Fan-out: from the end of the leader's closure, against one std broadcast to as many parked threads (a ratio; below 1
//! is sooner), and what people write by hand beside it:
//!
//! | followers | leader is back | mean follower | last follower | last, by hand with std | last, by hand with parking_lot |
//! | ---: | ---: | ---: | ---: | ---: | ---: |
//! | 1 | | 1.59 | 1.59 | 1.0 | 1.1 |
//! | 16 | 1.0 | 1.11 | 1.10 | 1.1 | 4.3 |
//! | 64 | 0.94 | 1.06 | 0.96 | 0.95 | 5.0 |
//! | 256 | 0.84 | 1.08 | 0.93 | 0.97 | 4.6 |
//! | 1,024 | 0.87 | 0.97 | 0.95 | 0.93 | 3.5 |
//!
//! Since then the leader wakes one follower instead of opening a gate: at 1,024 followers it was back after 25 us, 0.004 of
//! the broadcast (on a busy machine, the only sort there was left to measure it on); at 64 and 256 it was now back after
//! 20 us and now only when the crowd let it onto a core again.
//!
//! One hot key, 64 threads, work that waits 100 us:
//!
//! | contestant | calls, k/s | runs per call | CPU a call, us |
//! | --- | ---: | ---: | ---: |
//! | **flight-group** | **291** | **0.016** | **4.13** |
//! | by hand, std | 302 | 0.016 | 3.76 |
//! | by hand, parking_lot | 214 | 0.025 | 6.24 |
//!
//! Counts:
//!
//! | what | found |
//! | --- | ---: |
//! | allocations of a lone call: `u64` key, `&str` key, 32-byte key | 0, 1, 0 |
//! | instructions of a lone `try_work`, `u64` key: foldhash, default hasher | 150, 209 |
//! | allocations that a flight with 64 followers adds | 2 |
//! | bytes a key with 100,000 flights in the air | 65 |
//! | writes: 64 threads x 200 of 100 us on one key, runs per call | 3.2 % |
//! | the same: overlapping runs, lost writes | 0, 0 |
//! | the same: wall time, against as many lone writes one after the other | 1.33 |
//! | 64 threads writing 64 keys, against a mutex for each key | 1.02 |
//! | replay of a web shop's trace over a 2 ms source, 16 and 64 clients: source calls against an ideal replay | 0.95, 0.94 |
//! | `stampede` under `perf` (499 Hz): samples in functions of this crate, of 1,513 | 0 |
//!
//! # The fleet
//!
//! `FLEET_SECONDS=6 cargo bench --features redis --bench fleet`, run of 2026-11-21 on the same machine with Redis 7.0.15 on
//! the loopback and nothing else running (the server wants one of the two cores):
//!
//! | what | found |
//! | --- | ---: |
//! | lock pairs a second, 1, 8 and 32 threads, each with a lock of its own | 4,034, 10,660, 16,548 |
//! | solo flights a second, 1, 8 and 32 threads | 3,894, 12,589, 19,551 |
//! | from the end of a leader's closure to a follower's return in another fleet: p50, p90, p99 | 180, 264, 446 us |
//! | 8 processes of 4 threads on one key, work of 2 ms: executions per call | 0.031 |
//! | turns of a lease, 2, 4 and 8 processes over 6 s: shares apart, in points | 0.000, 0.025, 0.000 |
//! | the same: the worst wait for a turn | 5, 10, 14 ms |
//! | the leader killed every 500 ms, time to live 300 ms: overlaps in 142 executions, the worst call | 0, 330 ms |
//!
//! One thread alone is no faster than on a busy machine (7,404 pairs and 10,475 flights at a load of 10): each answer finds
//! both cores asleep, and waking them is most of it.
//!
//! `cargo run --release --manifest-path benches/fleet-peers/Cargo.toml` runs the leases, `rslock` 0.10 (async, on tokio) and
//! a lock by hand (`SET NX PX`, compare and delete, a connection for each thread) in interleaved rounds. With
//! `--seconds 0.5`, lock pairs a second and the median of the rounds' ratios:
//!
//! | threads or tasks | fleet | rslock | by hand | fleet / rslock | fleet / by hand |
//! | ---: | ---: | ---: | ---: | ---: | ---: |
//! | 1 | 3,608 | 4,745 | 5,351 | 0.79 | 0.70 |
//! | 8 | 6,441 | 14,171 | 22,262 | 0.51 | 0.28 |
//! | 32 | 19,618 | 78,171 | 33,121 | 0.24 | 0.59 |
//!
//! Both are faster, here, and do less: a lease is queued for in order, fenced and renewed. A task that waits for its answer
//! costs less than a thread that does, and on the loopback a connection for each thread costs nothing but the server's
//! attention; the fleet has one connection for all, which is what pays where a round trip takes half a millisecond.
//!
//! # What it does not do well
//!
//! * One follower is back 1.6 times as late as after a bare broadcast: it is entered into the deadlock map and taken out
//!   again, and its leader takes more steps than one that knows nothing of deadlines, promotions and panics. That is two
//!   and a half microseconds; by hand it is a tenth of one.
//! * On one hot key with work of 2 us a follower costs more CPU than running the work: who sleeps and is woken pays some
//!   five microseconds. The peers that share less are cheaper there (0.8 of this crate's CPU at 8 threads, for 1.4 times
//!   the runs).
//! * Two threads with 64 keys each make 1.2 to 1.3 times the calls of one (not 1.4, the aim): a shard that the other core
//!   had last costs as much as three whole calls, and one call in five finds one. Twice the shards would halve that, and
//!   double the 16 KiB that a group's shards take.
//! * A lone call with foldhash takes 1.42 of the floor (the aim was 1.35: 0.6 ns less), and with a `&str` 0.52 of what is
//!   written by hand (0.5).
//! * 64 threads writing one key take 1.33 times as long as the runs alone (1.15): between two runs some thirty threads
//!   are woken on two cores, and the next leader is one of them.
//! * Goroutines fan out several times faster than any of this: parking an OS thread is what it costs.
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
