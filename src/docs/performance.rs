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
//! From one run of 2026-11-21 on two cores of an AMD EPYC, Linux 6.18, rustc 1.95, with nothing else on the machine.
//! Nanoseconds of one lone call:
//!
//! | contestant | `u64`, foldhash | `u64`, default hasher | `String` by `&str` | 32 bytes |
//! | --- | ---: | ---: | ---: | ---: |
//! | floor: one hash, two uncontended lock and unlock pairs | 9.2 | 17.5 | | |
//! | **flight-group** | **13.0** | **23.4** | **29.1** | **18.9** |
//! | by hand, parking_lot | 34.3 | 54.8 | 56.7 | 46.8 |
//! | by hand, dashmap | 38.0 | 60.0 | 65.9 | 56.4 |
//! | by hand, std | 276 | 294 | 299 | 286 |
//! | once_map | 64 | 98 | 173 | 145 |
//! | quick_cache | 94 | 123 | 117 | 113 |
//! | moka | 1,300 | 1,374 | 1,385 | 1,360 |
//! | singleflight 0.3 | | 326 | 321 | 328 |
//!
//! Threads on 64 keys each, millions of calls a second:
//!
//! | contestant | 1 thread | 2 threads | 8 threads |
//! | --- | ---: | ---: | ---: |
//! | **flight-group** | **75.9** | **89.6** | **96.3** |
//! | by hand, parking_lot | 25.9 | 21.2 | 20.5 |
//! | by hand, dashmap | 25.6 | 27.6 | 29.4 |
//! | quick_cache | 9.3 | 10.6 | 10.3 |
//!
//! Fan-out: from the end of the leader's closure, against one std broadcast to as many parked threads (the median of the
//! rounds' ratios; below 1 is sooner), and what people write by hand beside it:
//!
//! | followers | leader is back | mean follower | last follower | last, by hand with std | last, by hand with parking_lot |
//! | ---: | ---: | ---: | ---: | ---: | ---: |
//! | 1 | | 1.9 | 1.9 | 1.0 | 1.0 |
//! | 16 | 1.0 | 1.14 | 1.20 | 1.1 | 4.1 |
//! | 64 | 0.11 | 1.39 | 1.20 | 0.86 | 4.7 |
//! | 256 | 0.03 | 1.15 | 0.99 | 0.92 | 4.0 |
//! | 1,024 | 0.01 | 1.08 | 1.04 | 1.03 | 3.6 |
//! | 4,096 | 0.002 | 0.97 | 0.95 | 1.2 | 3.5 |
//!
//! One hot key, 64 threads, work that waits 100 us:
//!
//! | contestant | calls, k/s | runs per call | CPU a call, us |
//! | --- | ---: | ---: | ---: |
//! | **flight-group** | **272** | **0.019** | **6.10** |
//! | by hand, std | 249 | 0.016 | 5.08 |
//! | by hand, parking_lot | 154 | 0.032 | 9.01 |
//!
//! Counts:
//!
//! | what | found |
//! | --- | ---: |
//! | allocations of a lone call: `u64` key, `&str` key, 32-byte key | 0, 1, 0 |
//! | instructions of a lone `try_work`, `u64` key: foldhash, default hasher | 148, 207 |
//! | allocations that a flight with 64 followers adds | 2; 4 where two came first in the same moment |
//! | bytes a key with 100,000 flights in the air | 65 |
//! | writes: 64 threads x 200 of 100 us on one key, runs per call | 3.2 % |
//! | the same: overlapping runs, lost writes | 0, 0 |
//! | the same: wall time, against as many lone writes one after the other | 1.36 |
//! | 64 threads writing 64 keys, against a mutex for each key | 1.04 |
//! | replay of a web shop's trace over a 2 ms source, 16 and 64 clients: source calls against an ideal replay | 0.95, 0.94 |
//! | `stampede` under `perf` (499 Hz): samples in functions of this crate, of 1,460 | 0 |
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
//! attention; the fleet has one connection for all, which is what pays where a round trip takes half a millisecond.
//!
//! # What it does not do well
//!
//! * One follower is back 1.6 to 1.9 times as late as after a bare broadcast (the aim was 1.1). Where the kernel wakes it on
//!   the leader's core it is 7 us instead of 5: the leader takes 0.8 us before it rings, with the slot to be unlinked and
//!   the outcome to be published, and the follower 0.6 us after; most of it is memory that the other core had last. Where it
//!   is woken on a core that sleeps it takes either 15 to 20 us, and the median falls between the two.
//! * With 64 followers the mean one is back 1.39 times as late (1.25), the last one 1.20 (1.15), and with 16 the last one
//!   1.20: the price of a leader that is back after 30 us instead of after everybody. It goes first, they start some
//!   20 us later, and from 256 on nobody notices.
//! * On cores that are busy with other work (four spinning threads on two cores) waking is handed on through threads that
//!   wait for a core like everybody else: with 256 followers the mean one was back after 0.9 to 5 ms, and after 0.6 to 0.8 from
//!   a bare broadcast, whose leader was back after 1 to 4 ms instead of 15 us. With 64 it was 1.2 to 1.6 times.
//! * Since followers start later, 64 threads on one hot key with work of 100 us or 2 us take 1.13 to 1.16 times the runs of what
//!   is written by hand with std (1.0; 9 % more calls a second), and CPU on a hot key is 0.97 to 1.22 of the best (1.05):
//!   a follower of this crate is also entered into the deadlock map, counted, and wakes others before it goes on.
//! * Two threads with 64 keys each make 1.2 to 1.3 times the calls of one (not 1.4, the aim): a shard that the other core
//!   had last costs as much as three whole calls, and one call in five finds one. Twice the shards would double the
//!   16 KiB that a group takes, which is the most it may: whoever has a group so busy asks for more with
//!   [`shards`](crate::GroupBuilder::shards). With 512 it was 1.4 times, with 1,024 1.6, with 4,096 1.9.
//! * A lone call with foldhash takes 1.43 of the floor (the aim was 1.35: 0.7 ns less), 0.43 of what is written by hand with
//!   the default hasher (0.42), and with a `&str` 0.51 (0.5). A slot of 56 bytes instead of 48 would give that nanosecond
//!   back, and take 75 bytes a key with 100,000 flights in the air where 72 are allowed.
//! * 64 threads writing one key take 1.3 to 1.4 times as long as the runs alone (1.15): between two runs some thirty threads
//!   are woken and board again on two cores, and the next leader is one of them.
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
//! * Opening the first gate from the thread that the leader wakes, or with gates of 2, 4, 8 or 32 places, or 4 to 32 of
//!   them: where the kernel puts that thread on the leader's core, the leader was back only after the crowd (see above;
//!   with 256 followers 20 us or 700 us, by chance). One more single wake-up before the first gate: 20 us. A flag by which
//!   the leader says that it got away, so that the second one could be spared, changed nothing that could be measured.
//! * Shares of 1, 2, 4 and 8 for those who queue to write, and of 1 and 2 for each who is woken: 64 threads on one key
//!   took 1.22 to 1.44 times their runs with any of them; with 1 and 1 they came back so late that a run covered fewer.
//! * A slot whose hash and two short numbers are written as two words instead of five pieces: six instructions fewer,
//!   and 13.5 ns a lone call instead of 12.6.
//! * The fleet's connection: waking the owners of answers after the lock is given back; sending the next batch before
//!   they are woken; letting them queue again before the next batch is taken. No difference above the noise of 40 %.
//! * Gates that whoever comes goes on opening until none is left: no difference, on quiet cores or on busy ones.
//! * A tree of single wake-ups on one condvar (the leader wakes eight, each woken follower two more): a system call
//!   for every follower. Against a broadcast the last of 16, 64 and 1,024 followers was 1.41, 1.19 and 1.72 times
//!   later; with gates (see [`internals`](super::internals)) 1.10, 0.96 and 0.95 times, in the same hour on the same
//!   machine, for a quarter less CPU.
