//! The fleet's protocol, explored whole: a model of it, of which every state within stated bounds is visited, and the
//! scripts, held to the model on a real server.
//!
//! ```text
//! server   one key's records, and what each script does to them    ─┐
//! caller   what a process does between a call and its outcome       ├─ world ─▶ search: every state, every promise
//!                                                                  ─┘              │
//! scripts on a real server ◀── traces: every command in every state it came in ◀───┘
//! ```
//!
//! In bounds: one key, three processes, one or two calls each; each request, answer and message is a step of its own, and
//! the steps of different processes come in any order, so a process can stand still at any point. Faults, so many in
//! all: a process dies; a leader stands still for longer than its record lives; a connection breaks, and what was sent
//! over it is lost, or executed twice, the second time late; messages are lost; a deadline passes; a stored outcome or the
//! last fence goes; the server starts again empty, or fails over to a replica that is one write behind.
//!
//! Out of bounds: time itself (a record expires at any point, so what is found holds for every time to live), RENEW (it only
//! changes when a record expires), the queue of leases (`scripts.rs`, `leases.rs`).
//!
//! The search is our own. `stateright` was looked at (0.31, MIT): it tells states by a hash of 64 bits, its `eventually` does
//! not see cycles, as its documentation says, and "from every state one is reachable in which all are served" cannot be
//! asked of it; the traces need the graph, which it does not keep; and it brings more than forty crates.

mod caller;
mod search;
mod server;
mod traces;
mod world;

use crate::support::watched;
use search::{Broken, explore};
use server::{Fence, Outcome, Rules};
use std::sync::LazyLock;
use traces::{Scripts, Trace, compare, covering, wandering};
use world::{Bounds, Fault};

/// Three processes call once each, and nothing goes wrong.
const CALM: Bounds = Bounds {
    rules: Rules::AS_WRITTEN,
    calls: [1, 1, 1],
    fresh: [false; 3],
    outcomes: &[Some(Outcome::Small), None],
    budget: 1,
    faults: &[],
    alarms: true,
};

const LANDS: &[Option<Outcome>] = &[Some(Outcome::Small)];

/// All but [`Fault::Failover`], which loses more than can be promised: see the test of that name.
const FAULTS: &[Fault] = &[
    Fault::Crash,
    Fault::Pause,
    Fault::Break,
    Fault::Stray,
    Fault::Deafen,
    Fault::Leave,
    Fault::Forget,
    Fault::LoseFence,
    Fault::Restart,
];

#[track_caller]
fn holds(bounds: &Bounds) {
    match explore(bounds) {
        // Fewer, and something is not explored.
        Ok(explored) => assert!(explored.states > 2_000, "only {} states", explored.states),
        Err(Broken { promise, way }) => panic!("broken: {promise}\n{way:#?}"),
    }
}

#[track_caller]
fn breaks(promise: &str, bounds: &Bounds) {
    match explore(bounds) {
        Ok(explored) => panic!("{} states, and in none of them was it broken: {promise}", explored.states),
        Err(broken) => assert_eq!(broken.promise, promise, "{:#?}", broken.way),
    }
}

#[test]
fn every_promise_holds_when_processes_die_and_stand_still() {
    holds(&Bounds { budget: 2, faults: &[Fault::Crash, Fault::Pause], ..CALM });
}

#[test]
fn every_promise_holds_when_requests_and_answers_are_lost_or_come_twice() {
    holds(&Bounds { faults: &[Fault::Break, Fault::Stray], ..CALM });
}

#[test]
fn every_promise_holds_when_messages_are_lost_and_callers_leave() {
    holds(&Bounds { faults: &[Fault::Deafen, Fault::Leave], ..CALM });
}

#[test]
fn every_promise_holds_when_records_are_lost() {
    holds(&Bounds { faults: &[Fault::Forget, Fault::LoseFence], ..CALM });
    holds(&Bounds { calls: [2, 1, 0], faults: &[Fault::Restart], ..CALM });
}

#[test]
fn every_promise_holds_when_one_of_two_processes_calls_twice() {
    holds(&Bounds { calls: [2, 1, 0], faults: &[Fault::Crash, Fault::Pause, Fault::Stray], ..CALM });
}

#[test]
fn every_promise_holds_for_fresh_calls() {
    holds(&Bounds { fresh: [false, false, true], faults: &[Fault::Crash], ..CALM });
    let faults = &[Fault::Pause, Fault::Stray, Fault::Deafen];
    holds(&Bounds { calls: [2, 1, 0], fresh: [false, true, false], faults, ..CALM });
}

#[test]
fn every_promise_holds_for_outcomes_of_every_size_and_in_the_reuse_window() {
    let outcomes = &[Some(Outcome::Large), Some(Outcome::Oversize)];
    holds(&Bounds { outcomes, faults: &[Fault::Crash, Fault::Deafen], ..CALM });
    let rules = Rules { reuse: true, ..Rules::AS_WRITTEN };
    holds(&Bounds { rules, calls: [1, 1, 0], fresh: [false, true, false], faults: FAULTS, ..CALM });
}

#[test]
fn every_promise_holds_when_the_clock_is_set_back() {
    let rules = Rules { clock_ahead: false, ..Rules::AS_WRITTEN };
    holds(&Bounds { rules, faults: &[Fault::Crash, Fault::Pause], ..CALM });
}

/// Replication is asynchronous, and what was published cannot be taken back. Callers that come once each notice
/// nothing. A process that got an outcome before the failover, and calls again after it, can be served the same flight
/// once more: its landing was lost with the old server and is sent again to the new one.
#[test]
fn a_failover_that_loses_a_landing_can_serve_it_to_the_same_process_again() {
    holds(&Bounds { calls: [1, 1, 0], faults: &[Fault::Failover], ..CALM });
    breaks(world::NOT_ENDED_BEFORE, &Bounds { calls: [2, 1, 0], faults: &[Fault::Failover], ..CALM });
    // A fresh call likewise.
    breaks(world::NOT_ENDED_BEFORE, &Bounds { calls: [2, 1, 0], fresh: [true; 3], faults: &[Fault::Failover], ..CALM });
}

/// The same promises, further out.
#[test]
#[ignore = "a minute in release, ten times as long without, and 1 GB: run it by its name when a script changes"]
fn every_promise_holds_further_out() {
    use Fault::{Break, Crash, Deafen, Failover, Leave, Pause, Stray};
    const NONE: [bool; 3] = [false; 3];
    let holds = |calls, fresh, budget, faults| holds(&Bounds { calls, fresh, budget, faults, ..CALM });
    holds([1; 3], NONE, 1, FAULTS);
    holds([1; 3], NONE, 1, &[Failover]);
    holds([1; 3], NONE, 2, &[Crash, Pause, Break, Deafen]);
    holds([1; 3], NONE, 2, &[Crash, Pause, Stray]);
    holds([1; 3], [false, true, true], 1, &[Crash, Pause, Deafen, Stray]);
    holds([1; 3], [false, true, true], 2, &[Crash, Pause, Deafen]);
    holds([2, 1, 1], NONE, 1, &[Crash, Pause, Stray, Leave]);
    holds([2, 2, 0], [true; 3], 1, FAULTS);
    holds([2, 1, 0], [true; 3], 1, FAULTS);
}

// --- with one rule less, the search finds what it is good for --------------------------------------------------------

#[test]
fn a_fence_by_the_clock_alone_repeats_itself_when_the_clock_is_set_back() {
    let rules = Rules { fence: Fence::ClockOnly, clock_ahead: false, ..Rules::AS_WRITTEN };
    breaks(world::FENCES_GROW, &Bounds { rules, ..CALM });
}

#[test]
fn a_fence_by_a_counter_alone_repeats_itself_when_the_counter_is_lost() {
    let rules = Rules { fence: Fence::CounterOnly, ..Rules::AS_WRITTEN };
    breaks(world::FENCES_GROW, &Bounds { rules, faults: &[Fault::LoseFence], ..CALM });
}

#[test]
fn a_finish_that_compares_no_token_publishes_what_is_stale() {
    let rules = Rules { finish_compares_token: false, finish_compares_flight: false, ..Rules::AS_WRITTEN };
    breaks(world::STALE_IS_SILENT, &Bounds { rules, faults: &[Fault::Pause], ..CALM });
}

#[test]
fn a_finish_that_compares_no_flight_lands_the_next_one_of_its_token() {
    let rules = Rules { finish_compares_flight: false, ..Rules::AS_WRITTEN };
    breaks(world::STALE_IS_SILENT, &Bounds { rules, budget: 2, faults: &[Fault::Pause, Fault::Stray], ..CALM });
}

#[test]
fn a_join_that_does_not_register_leaves_its_caller_to_run_again() {
    let rules = Rules { join_registers: false, ..Rules::AS_WRITTEN };
    breaks(world::ONE_HEIR, &Bounds { rules, ..CALM });
}

#[test]
fn an_outcome_under_the_users_key_is_served_to_who_came_too_late() {
    let rules = Rules { stored_by_number: false, ..Rules::AS_WRITTEN };
    breaks(world::NOT_ENDED_BEFORE, &Bounds { rules, calls: [2, 1, 1], ..CALM });
}

#[test]
fn a_join_that_does_not_know_itself_follows_itself() {
    let rules = Rules { join_knows_itself: false, ..Rules::AS_WRITTEN };
    breaks(world::NOT_ITSELF, &Bounds { rules, faults: &[Fault::Break], ..CALM });
}

#[test]
fn without_an_heir_every_late_follower_of_a_dead_leader_runs_again() {
    let rules = Rules { heirs: false, ..Rules::AS_WRITTEN };
    breaks(world::ONE_HEIR, &Bounds { rules, faults: &[Fault::Crash], ..CALM });
}

#[test]
fn without_a_mark_for_them_late_fresh_callers_run_again() {
    let rules = Rules { waiters_are_owed: false, ..Rules::AS_WRITTEN };
    breaks(world::ONE_HEIR, &Bounds { rules, fresh: [false, false, true], ..CALM });
}

#[test]
fn without_alarms_the_followers_of_a_dead_leader_wait_for_ever() {
    breaks(world::SERVED, &Bounds { alarms: false, faults: &[Fault::Crash], ..CALM });
}

// --- the scripts do what the model does ------------------------------------------------------------------------------

/// Explorations small enough to be walked in full on a real server.
fn explored(bounds: &Bounds) -> Vec<Trace> {
    match explore(bounds) {
        Ok(explored) => covering(&bounds.rules, &explored),
        Err(broken) => panic!("broken: {}", broken.promise),
    }
}

/// With the clock ahead, and without a reuse window.
static COMMON: LazyLock<Vec<Trace>> = LazyLock::new(|| {
    let outcomes = &[Some(Outcome::Small), Some(Outcome::Large), Some(Outcome::Oversize), None];
    let faults = &[Fault::Crash, Fault::Pause];
    let mut traces = explored(&Bounds { fresh: [false, false, true], outcomes: LANDS, faults, ..CALM });
    traces.extend(explored(&Bounds { calls: [1, 1, 0], outcomes, budget: 2, faults: FAULTS, ..CALM }));
    let far = Bounds { calls: [2; 3], fresh: [true; 3], outcomes, budget: 4, faults: FAULTS, ..CALM };
    traces.extend(wandering(&far, 300));
    traces
});

fn reused() -> (Rules, Vec<Trace>) {
    let rules = Rules { reuse: true, ..Rules::AS_WRITTEN };
    let fresh = [false, true, false];
    (rules, explored(&Bounds { rules, calls: [2, 1, 0], fresh, faults: &[Fault::Crash, Fault::Pause], ..CALM }))
}

fn behind() -> (Rules, Vec<Trace>) {
    let rules = Rules { clock_ahead: false, ..Rules::AS_WRITTEN };
    (rules, explored(&Bounds { rules, faults: &[Fault::Crash], ..CALM }))
}

#[track_caller]
fn agrees(rules: &Rules, traces: &[Trace]) {
    match compare(rules, &Scripts::as_written(), traces) {
        Ok(commands) => assert!(commands > 400, "only {commands} commands"),
        Err(difference) => panic!("{difference}"),
    }
}

#[test]
fn the_scripts_do_what_the_model_does() {
    let traces = &*COMMON;
    watched("traces", || agrees(&Rules::AS_WRITTEN, traces));
}

#[test]
fn the_scripts_do_what_the_model_does_in_the_reuse_window() {
    let (rules, traces) = reused();
    watched("traces, reuse", || agrees(&rules, &traces));
}

#[test]
fn the_scripts_do_what_the_model_does_when_the_clock_is_set_back() {
    let (rules, traces) = behind();
    watched("traces, clock behind", || agrees(&rules, &traces));
}

/// Each rule taken out of the scripts, with what finds it: the traces notice every one.
#[test]
fn a_script_with_one_rule_less_is_told_from_the_model() {
    let (behind, set_back) = behind();
    let (rules, traces) = (&Rules::AS_WRITTEN, &*COMMON);
    let greatest = "fence = math.max(fence, tonumber(last or 0) + 1, tonumber(id or 0) + 1)\n";
    for (rule, by, rules, traces) in [
        (greatest, "", &behind, &set_back),
        (greatest, "fence = tonumber(last or 0) + 1\n", rules, traces),
        // Each alone would do while fences grow; the token is there for a failover after which they do not.
        ("owner ~= ARGV[1] or id ~= ARGV[7]", "false", rules, traces),
        (" or id ~= ARGV[7]", "", rules, traces),
        ("redis.call('HSET', KEYS[1], 'n:' .. ARGV[1], (young and 'f' or 'w') .. ARGV[3])", "", rules, traces),
        ("if stored and tonumber(stored) >= first then", "if stored then", rules, traces),
        ("if owner == ARGV[1] then", "if false then", rules, traces),
        ("local wanted, owed = heir, ''", "local wanted, owed = false, ''", rules, traces),
        ("owed = ' w'", "owed = ''", rules, traces),
        ("redis.call('HDEL', KEYS[1], 'n:' .. token)", "", rules, traces),
    ] {
        let found = watched(rule, || compare(rules, &Scripts::spoilt(rule, by), traces));
        assert!(found.is_err(), "nobody noticed that {rule:?} became {by:?}");
    }
}
