//! Graphs with threads that are only numbers; those with real threads are in tests/it and tests/model.

use super::node::next_thread;
use super::*;
use crate::site::Kind;
use proptest::prelude::*;

fn node(ender: Ender) -> Arc<Node> {
    Node::new(1, Kind::Group, None, ender)
}

fn led_by(runner: u64) -> Arc<Node> {
    node(Ender::Thread(runner))
}

fn me() -> u64 {
    thread_of(runner())
}

/// As if this thread waited.
fn wait(runner: u64, to: &Arc<Node>) -> EdgeGuard {
    EdgeGuard::enter(thread_of(runner), to, ASLEEP, false)
}

fn hops(outcome: Result<EdgeGuard, Deadlock>) -> usize {
    outcome.map_or_else(|circle| circle.hops().len(), |_edge| 0)
}

fn begin(node: &Arc<Node>) -> usize {
    hops(EdgeGuard::begin(node, false))
}

#[test]
fn p7_every_wait_has_a_number_of_its_own_and_leaves_no_edge() {
    let flight = led_by(NOBODY);
    let number = || stripe(me()).lock().of(runner()).next().map(|edge| edge.wait);
    let wait = || {
        let waiting = EdgeGuard::begin(&flight, false).unwrap();
        let number = number();
        drop(waiting);
        number.expect("entered before the wait")
    };
    assert_ne!(wait(), wait());
    assert!(number().is_none());
    assert_eq!(begin(&led_by(runner())), 1);
    assert!(number().is_none(), "a refused wait is over");
}

/// Otherwise the walk comes to the same end, and is only slow.
#[test]
fn p7_nothing_is_walked_where_the_leader_waits_for_nobody() {
    let leader = next_thread();
    let behind = |node: &Arc<Node>| self::node(Ender::Behind(node.clone()));
    assert!(walk::runs_on(&led_by(NOBODY), me()) && walk::runs_on(&led_by(leader), me()));
    assert!(walk::runs_on(&behind(&led_by(leader)), me()));
    let any = |of: [u64; 2]| node(Ender::Any(of.map(Ender::Thread).to_vec()));
    let all = |of: [u64; 2]| node(Ender::All(of.map(Ender::Thread).to_vec()));
    assert!(walk::runs_on(&any([runner(), leader]), me()) && !walk::runs_on(&all([runner(), leader]), me()));
    assert!(walk::runs_on(&all([NOBODY, leader]), me()) && !walk::runs_on(&any([runner(), runner()]), me()));
    assert!(!walk::runs_on(&led_by(runner()), me()) && !walk::runs_on(&behind(&led_by(runner())), me()));
    let _edge = wait(leader, &led_by(NOBODY));
    assert!(!walk::runs_on(&led_by(leader), me()) && !walk::runs_on(&behind(&led_by(leader)), me()));
}

/// What the second walk is for. The circles that need it stand for a moment: tests/model/deadlocks.rs has one.
#[test]
fn p7_a_circle_counts_only_if_it_is_found_twice() {
    let (a, b) = (next_thread(), next_thread());
    let mine = led_by(runner());
    let theirs = node(Ender::Any(vec![Ender::Thread(a), Ender::Thread(b)]));
    let (_b, edge) = (wait(b, &mine), wait(a, &mine));
    let first = walk::walk(&theirs, me()).unwrap();
    assert!(first.rests_on_the_same(&walk::walk(&theirs, me()).unwrap()));

    drop(edge);
    let _edge = wait(a, &mine);
    let later = walk::walk(&theirs, me()).unwrap();
    assert!(!first.rests_on_the_same(&later), "another wait for the same node");

    theirs.change(|members| members.push(Ender::Thread(NOBODY)));
    theirs.change(|members| drop(members.pop()));
    assert!(!later.rests_on_the_same(&walk::walk(&theirs, me()).unwrap()), "another way on, for a moment");

    let of_one = walk::walk(&led_by(a), me()).unwrap();
    assert!(!of_one.rests_on_the_same(&walk::walk(&led_by(b), me()).unwrap()), "another leader");
    assert!(!of_one.rests_on_the_same(&walk::walk(&led_by(runner()), me()).unwrap()), "another way round");
}

/// Whatever the walks find: only the same twice in a row was there in between.
#[test]
fn p7_two_walks_in_a_row_must_agree() {
    let (a, b) = (next_thread(), next_thread());
    let mine = led_by(runner());
    let _edges = (wait(a, &mine), wait(b, &mine));
    let looks = |of: &[Option<u64>]| {
        let mut walks = of.iter();
        let found = confirmed(|| walk::walk(&led_by((*walks.next().expect("no more looks than that"))?), me()));
        (found.is_some(), walks.count())
    };
    let (a, b, none) = (Some(a), Some(b), None);
    assert_eq!(looks(&[none, a]), (false, 1));
    assert_eq!(looks(&[a, a, none]), (true, 1));
    assert_eq!(looks(&[a, none, a]), (false, 1));
    assert_eq!(looks(&[a, b, none]), (false, 0));
    assert_eq!(looks(&[a, b, a, b, b, none]), (true, 1));
}

#[test]
fn p7_one_of_all_or_every_one_of_any_must_be_stuck() {
    let (stuck, running) = (next_thread(), next_thread());
    let _edge = wait(stuck, &led_by(runner()));
    let [stuck, running, nobody] = [stuck, running, NOBODY].map(Ender::Thread);
    let all = |of: &[&Ender]| begin(&node(Ender::All(of.iter().map(|&ender| ender.clone()).collect())));
    let any = |of: &[&Ender]| begin(&node(Ender::Any(of.iter().map(|&ender| ender.clone()).collect())));
    assert_eq!(all(&[&running, &nobody]), 0);
    assert_eq!(all(&[&running, &nobody, &stuck]), 2);
    assert_eq!(any(&[&running, &stuck]), 0);
    assert_eq!(any(&[&nobody, &stuck]), 0);
    assert_eq!(any(&[&stuck, &stuck]), 2);
    let merger_too = Ender::All(vec![running.clone(), stuck.clone()]);
    assert_eq!(any(&[&merger_too, &stuck]), 2, "nested");
    assert_eq!(any(&[&merger_too, &running]), 0);
    assert_eq!((all(&[]), any(&[])), (0, 0), "nothing leads back");
}

#[test]
fn p7_what_stands_behind_ends_with_the_node_in_front() {
    let leader = next_thread();
    let front = led_by(leader);
    let next = node(Ender::Behind(front.clone()));
    let last = node(Ender::Behind(next.clone()));
    assert_eq!(begin(&last), 0);
    let edge = wait(leader, &led_by(runner()));
    assert_eq!(begin(&last), 2);
    front.set_ended();
    assert_eq!(begin(&last), 0, "the one in front has ended: it is about to be somebody's turn");
    next.set_leader(leader);
    assert_eq!(begin(&last), 2);
    drop(edge);
    assert_eq!(begin(&last), 0);
    next.set_leader(runner());
    assert_eq!(begin(&last), 1);
}

/// A chain is walked, and let go of, without a stack frame for each: a bounded batcher's callers may be many.
#[test]
fn p14_a_long_line_of_nodes_is_walked_and_dropped_without_recursion() {
    let front = led_by(next_thread());
    let mut last = front;
    // Miri is slow, and has a stack of its own.
    let length = if cfg!(miri) { 1_000 } else { 200_000 };
    for _ in 0..length {
        last = node(Ender::Behind(last));
    }
    assert_eq!(begin(&last), 0);
    drop(last);
}

/// A node in front is not kept for longer than it is in front.
#[test]
fn p8_a_node_forgets_what_stood_in_front() {
    let front = led_by(NOBODY);
    let next = node(Ender::Behind(front.clone()));
    assert_eq!(Arc::strong_count(&front), 2);
    next.set_leader(7);
    assert_eq!(Arc::strong_count(&front), 1);
}

/// A scope is waited for whatever happens, by all that was begun before it, and by nothing that was begun inside.
#[test]
fn p7_a_scope_counts_for_what_was_begun_before_it() {
    let before = led_by(runner());
    let (task, other) = (next_thread(), next_thread());
    let scope_node = node(Ender::All(vec![Ender::Thread(task)]));
    let scope = Scope::open(&scope_node);
    let inside = led_by(runner());
    let unknown = led_by(thread_number());

    // As the task sees it, which is the caller then.
    let seen_by = |caller: u64, node: &Arc<Node>| {
        let _edge = wait(caller, node);
        walk::walk(node, thread_of(caller)).map_or(0, |found| found.hops.len())
    };
    assert_eq!(seen_by(task, &before), 2, "before -> this thread, its scope -> the task");
    assert_eq!(seen_by(other, &before), 0);
    assert_eq!((seen_by(task, &inside), seen_by(task, &unknown)), (0, 0));
    {
        let _inner = Scope::open(&led_by(NOBODY));
        assert_eq!((seen_by(task, &before), seen_by(task, &inside)), (2, 0));
        let _innermost = Scope::open(&led_by(task));
        assert_eq!((seen_by(task, &before), seen_by(task, &inside)), (2, 2));
        assert_eq!(seen_by(task, &led_by(runner())), 0);
        let _edge = wait(runner(), &scope_node);
        assert_eq!(seen_by(task, &led_by(runner())), 2, "it sleeps");
        assert_eq!(seen_by(task, &unknown), 2);
    }
    assert_eq!(seen_by(task, &inside), 0, "the innermost is closed");
    drop(scope);
    assert_eq!(seen_by(task, &before), 0);
    assert_eq!(scopes_of(runner()), 0);
}

/// B waits for C or for the caller, C waits for B: no way leads on, and none of them is stuck without the others.
#[test]
fn p7_those_that_wait_for_each_other_or_for_the_caller_are_stuck() {
    let (b, c) = (next_thread(), next_thread());
    let either = node(Ender::Any(vec![Ender::Thread(c), Ender::Thread(runner())]));
    let (_b, _c) = (wait(b, &either), wait(c, &led_by(b)));
    assert_eq!(begin(&led_by(b)), 2);
}

/// A circle that does not contain the caller is not its alarm, though the caller waits for it.
#[test]
fn p7_somebody_elses_circle_is_no_alarm() {
    let (b, c) = (next_thread(), next_thread());
    let (_b, _c) = (wait(b, &led_by(c)), wait(c, &led_by(b)));
    assert_eq!(begin(&led_by(b)), 0);
    let either = node(Ender::Any(vec![Ender::Thread(b), Ender::Thread(runner())]));
    assert_eq!(begin(&either), 0);
    let both = node(Ender::All(vec![Ender::Thread(b), Ender::Thread(runner())]));
    assert_eq!(begin(&both), 1);
}

#[test]
fn p7_a_wait_with_a_deadline_ends_by_itself() {
    let leader = next_thread();
    let _edge = EdgeGuard::enter(thread_of(leader), &led_by(runner()), ASLEEP, true);
    assert_eq!(begin(&led_by(leader)), 0);
    assert_eq!(hops(EdgeGuard::begin(&led_by(runner()), true)), 1, "its own does not spare the caller");
}

/// What a thread of a made-up graph waits for. Numbers are threads: 0 is the caller, those without a wait run.
#[derive(Debug, Clone)]
enum Plan {
    Thread(usize),
    All(Vec<Plan>),
    Any(Vec<Plan>),
}

const THREADS: usize = 6;

fn plans() -> impl Strategy<Value = Plan> {
    let thread = (0..THREADS).prop_map(Plan::Thread);
    thread.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(Plan::All),
            prop::collection::vec(inner, 1..4).prop_map(Plan::Any),
        ]
    })
}

impl Plan {
    fn ender(&self, runners: &[u64]) -> Ender {
        match self {
            Self::Thread(thread) => Ender::Thread(runners[*thread]),
            Self::All(of) => Ender::All(of.iter().map(|plan| plan.ender(runners)).collect()),
            Self::Any(of) => Ender::Any(of.iter().map(|plan| plan.ender(runners)).collect()),
        }
    }

    fn is_stuck(&self, stuck: &[bool]) -> bool {
        match self {
            Self::Thread(thread) => stuck[*thread],
            Self::All(of) => of.iter().any(|plan| plan.is_stuck(stuck)),
            Self::Any(of) => of.iter().all(|plan| plan.is_stuck(stuck)),
        }
    }

    /// Those it is stuck because of.
    fn reasons(&self, stuck: &[bool]) -> Vec<usize> {
        match self {
            Self::Thread(thread) => vec![*thread],
            Self::All(of) | Self::Any(of) => {
                of.iter().filter(|plan| plan.is_stuck(stuck)).flat_map(|plan| plan.reasons(stuck)).collect()
            }
        }
    }
}

/// By trying all sets of threads: one in which everybody is stuck because of the set, and leads back to the caller
/// by way of it.
fn is_deadlock(first: &Plan, waits: &[Option<Plan>]) -> bool {
    (0..1_usize << (THREADS - 1)).any(|set| {
        let stuck: Vec<_> = (0..THREADS).map(|thread| thread == 0 || set >> (thread - 1) & 1 == 1).collect();
        let members = || (1..THREADS).filter(|&thread| stuck[thread]);
        let closed = members().all(|thread| waits[thread].as_ref().is_some_and(|plan| plan.is_stuck(&stuck)));
        let mut back = [false; THREADS];
        back[0] = true;
        for _ in 0..THREADS {
            for thread in members() {
                back[thread] |= waits[thread].iter().flat_map(|plan| plan.reasons(&stuck)).any(|next| back[next]);
            }
        }
        closed && members().all(|thread| back[thread]) && first.is_stuck(&stuck)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 8 } else { 2_000 }))]

    #[test]
    fn p7_the_walk_finds_what_trying_all_sets_finds(
        first in plans(),
        waits in prop::collection::vec(prop::option::weighted(0.8, plans()), THREADS),
    ) {
        let mut runners = vec![runner()];
        runners.extend((1..THREADS).map(|_| next_thread()));
        let _edges: Vec<_> = (1..THREADS)
            .filter_map(|thread| Some(wait(runners[thread], &node(waits[thread].as_ref()?.ender(&runners)))))
            .collect();
        let outcome = EdgeGuard::begin(&node(first.ender(&runners)), false);
        prop_assert_eq!(outcome.is_err(), is_deadlock(&first, &waits));
    }
}
