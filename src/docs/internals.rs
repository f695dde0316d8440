//! How it works, for whoever reads the code or doubts it.
//!
//! # One table, two boarding rules
//!
//! Both groups are faces of one engine. Its table has a slot for each key with a flight in the air, in shards of
//! one cache line each; a slot holds the hash, the key, the flight's number, its leader's thread, and at most two
//! flights: `current`, which is in the air, and `next`, which is queued behind it.
//!
//! ```text
//!            a call boards                a call boards
//!  idle ────────────────────▶ solo ───────────────────────▶ followed (reads)  or  queued (writes)
//!   ▲                          │                                │                    │
//!   └──── lands ◀──────────────┴──────────── lands ◀────────────┘    lands: next becomes current
//! ```
//!
//! A *solo* flight has no memory of its own: its leader knows the slot by number, and when it lands with nobody
//! aboard it takes its value home without cloning it. That is why a lone call costs two critical sections and, with
//! a key that needs no heap, no allocation. The first follower brings the `Flight`.
//!
//! A read boards `current`. A write (or a `fresh` read) boards `next`, making it if there is none. The landing of
//! `current` closes `next`, makes it `current` and calls its newest caller to lead; later writes make a new
//! `next`. So a run that covers a write has started after the write arrived, and a burst costs one more run.
//!
//! # Landing
//!
//! In this order, and the order is the point:
//!
//! 1. *Unlink* the flight, by number, under the shard's lock; promote `next`. From here on nobody can join it.
//! 2. *Publish* the outcome into the flight's `OnceCell`, by move.
//! 3. *Wake* the promoted captain, then followers, then serve receivers.
//! 4. *Clone* the leader's own copy out of the cell.
//! 5. *Drop* what is left: the key, an outgrown table.
//!
//! Whatever user code panics in 4 or 5 finds everybody else served. Before 1 the closure's panic has been caught.
//! Flights that were detached are not in the table: their leader finds them by number in a list beside it.
//!
//! # Waiting and waking
//!
//! Followers sleep at up to eight *gates* in the flight, sixteen to a gate before the next one is used. The leader
//! opens the gate if there is one. Otherwise it wakes a single follower, which wakes one more, which opens the first
//! gate; whoever comes through opens the next one before it does anything else. A broadcast wakes many with one
//! system call and costs whoever calls it all of their wake-ups: this way nobody pays for more than a gate, and the
//! leader for one thread. Two wake-ups come singly because the first thread woken may push the leader off its core:
//! it must then be done soon, or the leader waits for all who queue up there. parking_lot's
//! `notify_all` would move all sleepers over to the mutex, which hands itself from one to the next; a list of
//! threads to `unpark` would make the leader pay for all, and take the `unpark` token from its owner. The
//! invariant that makes the chain safe under timeouts is written down in `engine/gates.rs`; shuttle checks it, and
//! loom the gates alone.
//!
//! The memory of a flight that gets its first follower is made outside the shard's lock, which is then taken
//! anew: a leader whose work is short wants that lock, and would sleep for it. Where two come first at the same moment,
//! one of them has made it for nothing.
//!
//! Callers that queue behind a running flight may have to lead, and so must be wakeable one by one: each has a
//! *seat* with a condvar of its own, kept for the thread's next wait, in a queue ordered by arrival. Promotion
//! takes the newest out of the queue. A caller that times out takes itself out of the middle. A landing rings
//! eight of those it supersedes; each rings two more.
//!
//! # Deadlocks
//!
//! A thread about to wait enters an edge *thread → node* into a process-wide map. A node stands for a flight, a batch,
//! a hedged call or a scope. It names the threads that will end it: one, all of several (a scope's tasks), or any of
//! several (a hedge's attempts), or the node in front of it. Having entered its own edge, the thread walks the graph,
//! and is refused if every way on leads back to it. Locks order the entries before the walks, so that of two threads
//! which close a circle at the same time at least one sees it. What is found counts only if a second walk finds the
//! same waits, so that a graph which changed under the walk is no alarm. The usual walk is one look: "is the leader
//! itself waiting? No."
//!
//! # Memory order
//!
//! There is little to explain, because there is little that is not a lock. The outcome is written once into a
//! `OnceCell` (release) and read from it (acquire): what the leader's closure did happens before any follower's
//! call returns. The follower count is `Relaxed`, since it is only ever changed up under the shard's lock and is a
//! number for people; so are the gates' counters: who was given a gate was given it under that lock, before the
//! landing, and which gate is opened by whom is settled by one counter alone. The deadlock map's leaders are
//! `SeqCst`: they are read when a thread is about to sleep, where a fence costs nothing that matters. Its `landed`
//! is release and acquire; why that is enough is written beside it.
//!
//! # What is proved, and how
//!
//! The engine's locks, condvars, threads and clock come through one module, so that the code that ships runs under
//! [shuttle](https://docs.rs/shuttle) (random and PCT schedules, deadlines as coin tosses) and, for the smallest
//! scenarios, under [loom](https://docs.rs/loom) (every schedule). Real threads run generated histories that one
//! checker, written from the promises alone, judges. Keys, values and errors that panic on their n-th use are
//! thrown at every verb. Costs that are exact (allocations, instructions, sizes) are tests. `cargo mutants` over the
//! engine leaves no survivor but those that `.cargo/mutants.toml` names, each with its reason.
