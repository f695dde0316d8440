//! The one engine behind reads, writes, events and batches.
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
//! | offered | nothing | a flight that is due | its newest caller, which was woken; or a call that arrives first |
//! | held | nothing | a flight that waits for its time | the caller that sleeps until then; or a worker |
//! | merging | nothing | a flight whose load a thread has taken out | that thread hands it on |
//! | resting | nothing | | a worker removes the slot when the key's interval is over |
//!
//! The first five are all that a `Group` and a `WriteGroup` know. What a queued flight carries is its [`load::Load`]: `()`
//! for reads and writes, merged events, or the keys of a batch.
//!
//! # The files
//!
//! Nouns stand below verbs, and imports run one way: `deadlock`, `job`, `key`, `load`; `waiter`, `clock`, `options`;
//! `flight`; `table`; `core`; `alone`, `next`; `detach`, `board`; `spawned`, `land`; `follow`; `run`, `many`; `carry`; `give_back`.
//! A read never enters `next.rs` or `carry.rs`.
//!
//! # Locks
//!
//! They are taken in this order: a shard's; then the list of detached flights, or one flight's `next`; then a waiter's.
//! User code runs under none of them, except `K::eq` and a new leader's `to_owned` under the shard's.

mod alone;
mod board;
mod carry;
pub(crate) mod clock;
mod core;
pub(crate) mod deadlock;
mod detach;
pub(crate) mod flight;
mod follow;
mod give_back;
mod job;
pub(crate) mod key;
mod land;
pub(crate) mod load;
mod many;
mod next;
pub(crate) mod options;
pub(crate) mod panics;
mod run;
mod spawned;
pub(crate) mod table;
pub(crate) mod waiter;

pub(crate) use core::Engine;
pub use job::Job;
