//! How the crate works inside, for those who read or change the code.
//!
//! * [The files](#the-files)
//! * [The table: shards and slots](#the-table-shards-and-slots)
//! * [The states of a key](#the-states-of-a-key)
//! * [The fast path: a call that meets nobody](#the-fast-path-a-call-that-meets-nobody)
//! * [How followers sleep and are woken](#how-followers-sleep-and-are-woken)
//! * [Who leads next](#who-leads-next)
//! * [Landing: the order of steps](#landing-the-order-of-steps)
//! * [Timeout and cancellation](#timeout-and-cancellation)
//! * [Forget, `max_age`, take-over](#forget-max_age-take-over)
//! * [Panics](#panics)
//! * [Merging events as they arrive](#merging-events-as-they-arrive)
//! * [Batches](#batches)
//! * [Worker threads](#worker-threads)
//! * [Deadlock detection](#deadlock-detection)
//! * [Locks and memory order](#locks-and-memory-order)
//! * [How it is proved](#how-it-is-proved)
//! * [What was tried and dropped](#what-was-tried-and-dropped)
//!
//! # The files
//!
//! One engine serves [`Group`](crate::Group), [`WriteGroup`](crate::WriteGroup), [`EventGroup`](crate::EventGroup) and
//! [`Batcher`](crate::Batcher). It is in `src/engine`. Types stand in files below the verbs that use them, and imports
//! run one way, from the bottom of this list to the top. The gate fails on an import circle.
//!
//! | files of `src/engine` | what they hold |
//! | --- | --- |
//! | `deadlock`, `job`, `key`, `load` | who waits for whom; the work of a spawned call; how a key is found; what a queued flight carries |
//! | `waiter`, `clock`, `options` | a thread's own place to wait; the time; settings of groups and calls |
//! | `flight` | one execution: its outcome and the callers that wait for it |
//! | `table` | shards, slots, counts |
//! | `core` | the engine itself |
//! | `alone`, `next` | the fast path; from queued to in the air |
//! | `detach`, `board` | a flight leaves its key; a call becomes leader or follower |
//! | `spawned`, `land` | calls that do not block; the end of a flight |
//! | `follow` | the one wait loop of all kinds of call |
//! | `run`, `many`, `carry` | one call; several keys at once; calls that bring an event or a key |
//!
//! A read never enters `next` or `carry`.
//!
//! # The table: shards and slots
//!
//! The table has a slot for each key in use. Slots are in shards. A shard is one cache line and has one lock. A slot holds
//! the hash, the key, the number of the flight in the air, the leader's thread, the start time, and two flights:
//!
//! * `current` is in the air. It has memory only if a caller waits for it.
//! * `next` starts when `current` has landed. A write, a `fresh` read, an event or a batch's key makes it.
//!
//! A read boards `current`. A write boards `next`. So a run that covers a write has started after the write arrived (P3).
//! However many writes arrive during one run, they share one `next` (P3).
//!
//! A leader finds its slot by the flight's number and not by its key. So a landing never removes a later flight of the same
//! key (P10). Growing the table, landing and detaching never call the user's `Hash` or `Eq`.
//!
//! A shard keeps its first eight slots in a list and the others in a hash table. The list is faster, because a shard nearly
//! always has no slot or one. The hash table is freed when the shard is empty (P8).
//!
//! # The states of a key
//!
//! All changes happen under the lock of the key's shard.
//!
//! | state | in the air | queued | who acts next |
//! | --- | --- | --- | --- |
//! | idle: no slot | | | the next caller leads |
//! | alone | a flight without memory | | its leader lands it |
//! | followed | a flight | | its leader lands it |
//! | with a next flight | either | a flight, and those behind it | the leader lands, then hands the next one on |
//! | offered | nothing | a flight that is due | its newest caller, which was woken, or a call that arrives first |
//! | held | nothing | a flight that waits for its time | the caller that sleeps until then, or a worker |
//! | merging | nothing | a flight whose events a thread has taken out | that thread hands it on |
//! | resting | nothing | | a worker removes the slot when `min_interval` is over |
//!
//! What leads from one to the next:
//!
//! | from | what happens | to |
//! | --- | --- | --- |
//! | idle | a call | alone |
//! | alone | a read | followed |
//! | alone, followed | a write, a `fresh` read, an event, a batch's key | with a next flight |
//! | alone, followed | it lands | idle, or resting |
//! | with a next flight | it lands, and the next one is due | offered |
//! | with a next flight | it lands, and the next one is not due | held |
//! | idle, resting | an event that has to wait | held |
//! | held | its time comes | offered, or followed if a worker leads it |
//! | offered | a caller takes the lead | followed |
//! | with a next flight, held | a thread begins to merge | merging, until it is done |
//!
//! `Group` and `WriteGroup` know the states up to *offered*. *Held*, *merging* and *resting* belong to `EventGroup` and
//! `Batcher`. The difference is one trait, `Load`: what a queued flight carries, and when it is due.
//!
//! | kind | `Load` | due |
//! | --- | --- | --- |
//! | `Group`, `WriteGroup` | `()` | at once |
//! | `EventGroup` | its events, merged as they arrive | after `delay`, `quiet`, `max_wait`, `min_interval` |
//! | `Batcher` | a set of keys | at once, or when the `window` is over or the batch is full |
//!
//! # The fast path: a call that meets nobody
//!
//! A lone leader takes the shard's lock twice: once to enter its slot and once to remove it. Its flight has no memory of its
//! own. It allocates nothing but the owned key, and nothing at all if the key needs no heap. When it lands with no follower,
//! its value is moved to the caller and not cloned. Both halves are in `alone.rs`, on one page.
//!
//! The first follower makes the `Flight`, under the shard's lock.
//!
//! # How followers sleep and are woken
//!
//! A follower that can never lead sleeps on the flight's one condvar. The leader publishes the outcome and wakes all of them
//! with one broadcast. The condvar is std's. parking_lot's `notify_all` moves the sleepers to the mutex, which then wakes
//! them one after the other.
//!
//! Two kinds of caller must be woken alone: a caller that may have to lead, and a caller with a `CancelToken`. Each of them
//! sleeps in a *waiter* of its own, which is a condvar and a flag, and stands in the flight's queue. A thread keeps its waiter
//! for its next wait, so only its first wait allocates one.
//!
//! A landing wakes the queue in a chain: the leader wakes two queued callers, and each of them wakes two more before it does
//! anything else. The invariant: once the outcome is published, if a caller still sleeps in the queue, some awake thread
//! still owes a wake-up. A caller that times out passes its share on, too.
//!
//! The crate never calls `thread::park` or `unpark` (P12).
//!
//! # Who leads next
//!
//! When a flight lands, the next one is *handed on*. If it is due, the lead is *offered* to the newest of its blocked callers
//! (P4). That caller is woken, and no other (P11). If the newest is a spawned call, its closure goes to the executor at once.
//!
//! The offer is not an appointment. The woken caller takes the lead under the shard's lock. If another call arrives before
//! that, the arriving call takes the lead: it is newer (P4) and already awake. The woken caller then finds nothing to do and
//! sleeps again until the flight lands.
//!
//! A caller may leave before it has taken the lead: its deadline passed, or its token was cancelled. If the flight is due, a
//! caller whose deadline has passed leads all the same, because others count on it. Otherwise the offer goes to the newest
//! caller that still waits. If nobody is left who could lead, and the flight carries nothing, it is dissolved, and calls that
//! only follow it get [`Error::Abandoned`](crate::Error::Abandoned).
//!
//! If no caller is blocked on a flight with events, a worker comes to it when it is due. The worker looks again under the
//! shard's lock, and goes away if a caller was quicker.
//!
//! # Landing: the order of steps
//!
//! 1. *Invalidate*: a write with `invalidates` makes the other groups forget the key.
//! 2. *Unlink* the flight by number, under the shard's lock, and offer the lead of the next one. Nobody can join the flight
//!    from here on (P2).
//! 3. *Publish* the outcome, by move.
//! 4. *Wake* the caller that the next lead was offered to, then the followers, then serve the receivers of spawned calls.
//! 5. *Tell* the observer.
//! 6. *Clone* the leader's own copy, if anybody shares the outcome.
//! 7. *Drop* the key and whatever else is left.
//!
//! User code that panics in 5 to 7 finds all other callers served. User code that panics in 1 is caught; the flight lands, and
//! the panic then goes on in the leader.
//!
//! A leader that finds the shard's lock taken says so. A read that is about to follow a flight then gives the lock back and
//! comes again, at most three times. Without that, 64 threads with work of 2 us barged past the landing leader: 17 % of the
//! calls got the outcome of a closure that had ended before they came. With it 0.01 %, and the calls a second did not fall (514
//! and 632 thousand in two runs). A lone call pays three instructions for it.
//!
//! # Timeout and cancellation
//!
//! One loop, in `follow.rs`, waits for all kinds of call. It ends when the flight has landed, when the caller takes the lead,
//! at the deadline, at a cancel, when the wait would be a deadlock, or when the flight no longer belongs to the key. If
//! several are true, the first of *lead, landed, cancelled, timed out* counts. So an outcome that is ready always wins (P6).
//!
//! A caller that waits is in a guard. However its wait ends, the guard takes it out of the queue, takes back the event or key
//! that no run carries yet, and passes the offer of the lead on.
//!
//! # Forget, `max_age`, take-over
//!
//! All three *detach* the flight: it leaves the table, and the next call starts anew. A detached flight keeps its callers and
//! its outcome. If it has followers, it stands in a list beside the table, where its leader finds it by number. When
//! its leader lands, it does not find the number in the table, and so leaves the table alone (P10). The flight behind it is
//! handed on at once.
//!
//! Take-over names the flight by number, so that of several callers whose time is up only one detaches it. If the caller was
//! queued behind the flight in the air, the flight in front is detached, and the caller goes on waiting for its own.
//!
//! # Panics
//!
//! The closure runs in `catch_unwind`. Its panic is published as [`Error::Panicked`](crate::Error::Panicked), and then goes on
//! in the leader with its own payload. Whatever else may unwind happens under a guard: `LeadGuard` for a leader that has not
//! begun, `WaitGuard` for a caller that waits. The guard of a leader gives a flight that carries events back to the queue, so
//! that the next leader finds them (P13).
//!
//! `Eq` and `to_owned` of the key run under the shard's lock, before anything is changed. A panic in them leaves the table as
//! it was. All other user code runs outside every lock.
//!
//! # Merging events as they arrive
//!
//! The events of a queued flight stand in *segments*, in the order of arrival. A submitted event cannot be taken back, so
//! submitted neighbours are merged before the run: as soon as eight of them stand together. The event of a blocked `push` is
//! a segment of its own until the run starts, because its caller takes it back if it times out.
//!
//! `merge` is user code and runs outside every lock:
//!
//! 1. The thread of a `submit` takes the neighbours out, under the shard's lock, and leaves a hole.
//! 2. It merges them, without a lock. Events that arrive meanwhile stand behind the hole.
//! 3. It puts the result into the hole. If more have gathered behind it, it merges again, at most four times, because a
//!    `submit` returns soon. Then it hands the flight on if nothing is in the air.
//!
//! The flight is not due while there is a hole. Only one thread merges for a flight. So a million submitted events for one
//! key take the memory of a few. [`capacity`](crate::EventGroupBuilder::capacity) counts submitted neighbours as one event.
//!
//! Because neighbours are merged before the events in front of them, `merge` must be associative.
//!
//! # Batches
//!
//! A [`Batcher`](crate::Batcher) is the engine with one key. Its flights are batches, and what they carry is a set of keys. The
//! flight lands with the outcome of the whole batch in an `Arc`, and each caller looks up its own key on its own thread. A call
//! that finds a batch full joins the flight behind it. A lone call needs no `Arc`: it keeps its outcome.
//!
//! # Worker threads
//!
//! All threads of the crate are kept by one type, the crew in `threads.rs`. An event group has a crew, and so has a group with
//! spawned calls and no executor of its own; hedges share one; an error group's threads belong to its scope. Threads have
//! names. They are started when there is work. They leave when they have been idle for some seconds, or at once when the
//! group is gone.
//!
//! | for | threads at most | if all are busy |
//! | --- | --- | --- |
//! | events | [`workers`](crate::EventGroupBuilder::workers) | the flight that has been due longest is served first |
//! | spawned calls | one for each call in the air | |
//! | hedges | 256 in the process, or [`Threads`](crate::hedge::Threads) of your own | the attempt is not made, or runs on the caller's thread |
//! | tasks | [`limit`](crate::err_group::ErrGroupBuilder::limit) | `spawn` blocks |
//!
//! If the system gives no thread, a spawned call lands with [`Error::Abandoned`](crate::Error::Abandoned). An event is
//! refused, or is run by the thread that submits it. An attempt or a task runs on its caller's thread.
//!
//! # Deadlock detection
//!
//! Every blocking call of the crate takes part, except [`CancelToken::wait`](crate::CancelToken::wait). A thread that is about
//! to wait enters an *edge*, from the thread to a *node*, in a process-wide map. A node stands for a flight, a batch, a hedged
//! call, a scope or the workers of an event group. It names the threads that will end it:
//!
//! | ends with | node |
//! | --- | --- |
//! | one thread | a flight: its leader |
//! | all of several | a scope: its running tasks; a queued flight whose events are merged: the leader in front, and the merger |
//! | any of several | a hedged call: its running attempts |
//!
//! The thread enters its own edge first, and walks the graph afterwards. If every way on leads back to it, the call is refused
//! with [`Error::Deadlock`](crate::Error::Deadlock). If two threads close a circle at the same moment, the locks of the map
//! make at least one of them see the whole circle.
//!
//! The graph changes while a thread walks it. So a circle counts only if a second walk finds the same waits, by number, and
//! none of the nodes has ended. Then all these waits stood together between the two walks, and there is no false alarm.
//!
//! A thread that is not waiting ends a walk. So does another thread's wait that has a deadline, because it will end by
//! itself. Nearly always the walk is one step: the leader is not waiting. A lone leader enters no edge.
//!
//! Every change of who runs a flight renews its node: an offer, a lead that is taken, a merger that begins or ends, a landing.
//!
//! # Locks and memory order
//!
//! Locks are taken in this order: a shard's; then the list of detached flights, or one flight's queue; then a waiter's.
//!
//! The outcome is written once into a `OnceCell` (release) and read from it (acquire). So all that the leader's closure did
//! happens before a follower's call returns (P9). The number of followers is `Relaxed`: it grows only under the shard's lock,
//! and is a number for people. The leader of a node is `SeqCst`, because it is read when a thread is about to sleep anyway.
//! That a node has ended is release and acquire; `deadlock/node.rs` says why that is enough.
//!
//! # How it is proved
//!
//! * **Model checkers.** Every lock, condvar, clock and thread comes through one module, `sync`. So the code that ships runs
//!   under [shuttle](https://docs.rs/shuttle) (random schedules) and, for the smallest scenarios, under
//!   [loom](https://docs.rs/loom) (every schedule): `tests/model`.
//! * **Histories.** Generated schedules run on real threads. One checker, written from the promises alone, judges the log.
//! * **Panics.** Keys, values, errors, observers and executors panic at their n-th use, in every verb.
//! * **Time.** Event groups and batchers ask a clock that tests move by hand. No test sleeps.
//! * **Exact costs.** Allocations and instructions of a call are tests, not benches.
//! * **Mutants.** `cargo mutants` leaves no survivor but those that `.cargo/mutants.toml` explains.
//!
//! Tests carry the number of the promise they check: `p4_..`, `p7_..`.
//!
//! # What was tried and dropped
//!
//! The first five were measured when the engine was rebuilt, in November 2026, on two cores of an AMD EPYC with nothing else
//! running, both builds in turns, by `benches/peers`. They compare prototypes, so they say which way is faster, and not what
//! this version costs: for that see [`performance`](super::performance).
//!
//! * **Gates**: followers slept at up to eight condvars, and each woken follower opened the next one. The leader was back
//!   sooner and all followers later. The mean of 64 followers was back 1.93 times as late as after a bare broadcast with
//!   gates and 1.33 times with one condvar; of 256 followers, 1.75 and 1.35 times.
//! * **`OnceLock::wait`** in the place of the condvar: no difference. The kernel's wake-ups are what costs, about 1.8 us each.
//! * **Packed integers**: a slot with 48-bit numbers and half a hash saved 10 bytes a key with 100,000 flights in the air, and
//!   cost a lone call 10 instructions (148 instead of 138) and 5 ns (40 instead of 35).
//!   The whole hash is in the slot now.
//! * **Appointing**: the landing leader put the next flight into the air while its new leader still slept. An `EventGroup` with
//!   64 threads on one key made 132,000 calls a second instead of 170,000, and a `Batcher` 130,000 instead of 162,000. With the
//!   lead offered both made 160,000.
//! * **Storing events until the run**: a million events behind a stuck run took 54,800 KiB. Merged at arrival they take 4 KiB,
//!   for about twice the CPU of each `submit`.
//!
//! Older ones, each measured on the engine of its time:
//!
//! * **A hash table alone in each shard**: 404 instructions a lone call. With a short list before the table: 183. With only the
//!   key moved out of the list, and only the value moved back: 140. A slot that is written in words and copied out as a whole
//!   has to wait for its own stores.
//! * **64 shards**: 22 million calls a second for two threads with 64 keys each. With 256 shards: 38 to 48 million.
//! * **A tree of single wake-ups** (the leader wakes eight followers, each of them two more): the last of 64 followers was back
//!   1.19 times as late as after a broadcast, and the last of 1,024 followers 1.72 times.
//! * **parking_lot's `notify_all`**: the last of 64 followers was back 4.7 times as late as after std's broadcast.
//! * **The fleet's connection**: waking the owners of answers after the lock is given back; sending the next batch before they
//!   are woken; letting them queue again before the next batch is taken. No difference above the noise of 40 %.
