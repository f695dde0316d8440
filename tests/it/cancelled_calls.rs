//! P6 for cancelled calls of every kind: who is cancelled leaves at once, with the cause; an outcome that is there wins; and
//! nobody else notices.

use crate::doors::{Door, Wait};
use crate::support::{AGES, Gate, Held, SOON, finish, hold, line_up, until, until_waiting, within};
use flight_group::{CancelToken, Error, Event, EventKind, Group, WriteGroup};
use std::fmt::Debug;
use std::io;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

/// The client of a request went away.
fn hang_up(token: &CancelToken) {
    assert!(token.cancel(io::Error::new(io::ErrorKind::BrokenPipe, "the client hung up")));
}

#[track_caller]
fn assert_hung_up<V: Debug>(outcome: Result<V, Error<impl Debug>>) {
    match outcome {
        Err(Error::Cancelled(cancelled)) => {
            let cause = cancelled.cause().downcast_ref::<io::Error>().expect("the cause itself, not its words");
            assert_eq!(cause.kind(), io::ErrorKind::BrokenPipe);
        }
        other => panic!("expected a cancelled call, got {other:?}"),
    }
}

fn held(door: &Door) -> Held<()> {
    let door = door.clone();
    Held::start(move |stay| door.lead(1, move || stay()).unwrap())
}

fn caller(door: &Door, timeout: Duration, token: &CancelToken) -> JoinHandle<crate::doors::Outcome> {
    let (door, token) = (door.clone(), token.clone());
    spawn(move || door.ask_for(1, Wait { timeout, cancel: &token }))
}

#[test]
fn p6_a_cancelled_token_refuses_at_once_and_runs_nothing() {
    within(|| {
        let token = CancelToken::new();
        hang_up(&token);
        for door in Door::all() {
            for timeout in [Duration::MAX, AGES, Duration::ZERO] {
                assert_hung_up(door.ask_for(1, Wait { timeout, cancel: &token }));
            }
            assert_eq!((door.runs(), door.is_idle()), (0, true));
            let first = held(&door);
            assert_hung_up(door.ask_for(1, Wait { timeout: AGES, cancel: &token }));
            assert_eq!(door.waiting(1), 0);
            first.release();
        }
    });
}

/// Four wait, two of them with the token: those leave while the run goes on, and the others are served.
#[test]
fn p6_a_cancelled_wait_disturbs_nobody() {
    within(|| {
        for door in Door::all() {
            for timeout in [Duration::MAX, AGES] {
                let (token, other) = (CancelToken::new(), CancelToken::new());
                let first = held(&door);
                let callers: Vec<_> = [&other, &token, &other, &token]
                    .into_iter()
                    .enumerate()
                    .map(|(before, token)| {
                        let caller = caller(&door, timeout, token);
                        until(|| door.waiting(1) == before + 1);
                        caller
                    })
                    .collect();
                hang_up(&token);
                let [a, b, c, d] = <[_; 4]>::try_from(callers).unwrap();
                assert_hung_up(finish(b));
                assert_hung_up(finish(d));
                assert!(!first.has_returned() && door.waiting(1) == 2);
                first.release();
                assert_eq!((finish(a), finish(c)), (Ok(()), Ok(())));
                assert!(door.is_idle() && door.waiting(1) == 0);
                assert_eq!(door.ask(1), Ok(()), "the key works afterwards");
            }
        }
    });
}

/// Everybody who queued leaves: nothing is left that would have to be run, and nothing runs.
#[test]
fn p8_a_queue_that_everybody_left_is_gone() {
    within(|| {
        for door in Door::all() {
            let (token, first) = (CancelToken::new(), held(&door));
            let child = token.child();
            let callers = [0, 1, 2].map(|before| {
                let caller = caller(&door, AGES, if before == 1 { &child } else { &token });
                until(|| door.waiting(1) == before + 1);
                caller
            });
            let runs = door.runs();
            hang_up(&token);
            callers.into_iter().for_each(|caller| assert_hung_up(finish(caller)));
            assert_eq!(door.waiting(1), 0);
            first.release();
            assert_eq!((door.runs(), door.is_idle()), (runs, true));
        }
    });
}

/// A token that stays as it is changes nothing: the deadline counts, and an outcome comes.
#[test]
fn p6_beside_a_token_the_deadline_counts() {
    within(|| {
        let token = CancelToken::new();
        for door in Door::all() {
            let first = held(&door);
            assert!(door.ask_for(1, Wait { timeout: SOON, cancel: &token }).unwrap_err().is_timed_out());
            assert!(door.ask_for(1, Wait { timeout: Duration::ZERO, cancel: &token }).unwrap_err().is_timed_out());
            let served = caller(&door, AGES, &token);
            until(|| door.waiting(1) == 1);
            first.release();
            assert_eq!(finish(served), Ok(()));
        }
    });
}

/// Calls that only follow: they have no closure, and leave in the same way.
#[test]
fn p6_those_who_only_follow_leave_too() {
    within(|| {
        let (reads, writes): (Group<u8, u8>, WriteGroup<u8, u8>) = (Group::new(), WriteGroup::new());
        let (read, write) = (hold(&reads, 1, || 1), hold(&writes, 1, || 1));
        let token = CancelToken::new();
        let follower = spawn({
            let (reads, token) = (reads.clone(), token.clone());
            move || reads.call(&1).cancel(&token).follow().unwrap()
        });
        let flush = spawn({
            let (writes, token) = (writes.clone(), token.clone());
            move || writes.call(&1).cancel(&token).flush().unwrap()
        });
        until_waiting(&reads, &1, 1);
        until_waiting(&writes, &1, 1);
        hang_up(&token);
        assert_hung_up(finish(follower));
        assert_hung_up(finish(flush));
        assert_hung_up(reads.call(&1).cancel(&token).follow().unwrap());
        assert_eq!((reads.followers(&1), writes.followers(&1)), (0, 0));
        assert_eq!((read.release(), write.release()), (1, 1));
        assert_eq!((reads.stats().cancelled, writes.stats().cancelled), (1, 1));
    });
}

#[test]
fn p6_a_takeover_and_a_token() {
    within(|| {
        let group: Group<u8, u32> = Group::new();
        let (first, token) = (hold(&group, 1, || 1), CancelToken::new());
        let call = group.call(&1).takeover_after(SOON).timeout(AGES).cancel(&token);
        let landing = call.run(|| Ok(u32::from(token.cancel("too late: it runs")) + 1)).unwrap();
        assert_eq!(landing.value, 2, "it took over, and its own work is not interrupted");
        let token = CancelToken::new();
        let second = hold(&group, 1, || 3);
        let waits = spawn({
            let (group, token) = (group.clone(), token.clone());
            move || group.call(&1).takeover_after(AGES).timeout(AGES).cancel(&token).run(|| unreachable!())
        });
        until_waiting(&group, &1, 1);
        hang_up(&token);
        assert_hung_up(finish(waits));
        assert_eq!((first.release(), second.release(), group.in_flight()), (1, 3, 0));
    });
}

type Script = Arc<OnceLock<Box<dyn Fn() + Send + Sync>>>;

/// An observer that plays the script on the thread of the `nth` caller that joins, before that caller waits.
fn on_join(nth: usize) -> (Script, impl Fn(&Event<'_, u8>) + Send + Sync + 'static) {
    let (script, joined) = (Script::default(), AtomicUsize::new(0));
    let plays = script.clone();
    let tell = move |event: &Event<'_, u8>| {
        if event.kind == EventKind::Joined && joined.fetch_add(1, SeqCst) + 1 == nth {
            plays.get().unwrap()();
        }
    };
    (script, tell)
}

/// The follower is aboard; before it waits, the flight lands, and then the token is cancelled.
#[test]
fn p6_an_outcome_that_is_there_wins_over_the_token() {
    within(|| {
        for only_follows in [false, true] {
            let (script, tell) = on_join(1);
            let group: Group<u8, u32> = Group::builder().observer(tell).build();
            let (first, token) = (hold(&group, 1, || 1), CancelToken::new());
            let cancels = token.clone();
            let play = move || {
                first.let_go();
                until(|| first.has_returned());
                hang_up(&cancels);
            };
            assert!(script.set(Box::new(play)).is_ok());
            let call = group.call(&1).timeout(AGES).cancel(&token);
            let outcome = if only_follows { call.follow().unwrap() } else { call.run(|| unreachable!()) };
            assert_eq!(outcome.unwrap().value, 1);
            assert!(token.is_cancelled());
            assert_eq!(group.stats().cancelled, 0);
        }
    });
}

/// The same for a queued write: its flight is led by a call that arrives first, and lands.
#[test]
fn p6_an_outcome_that_is_there_wins_over_the_token_in_the_queue() {
    within(|| {
        let (script, tell) = on_join(1);
        let group: WriteGroup<u8, u32> = WriteGroup::builder().observer(tell).build();
        let (first, token) = (hold(&group, 1, || 1), CancelToken::new());
        let (cancels, quicker) = (token.clone(), group.clone());
        let play = move || {
            first.let_go();
            until(|| first.has_returned()); // the lead is offered to the queued caller, which is not there yet
            assert_eq!(quicker.write(&1, || 2), 2);
            hang_up(&cancels);
        };
        assert!(script.set(Box::new(play)).is_ok());
        let landing = group.call(&1).cancel(&token).run(|| unreachable!("another led")).unwrap();
        assert_eq!((landing.value, group.stats().cancelled), (2, 0));
    });
}

/// The lead is offered to a caller that is cancelled before it takes it: the next in the queue leads.
#[test]
fn p11_a_cancelled_caller_passes_the_lead_on() {
    within(|| {
        for others in 0..3 {
            let (script, tell) = on_join(others + 1);
            let group: WriteGroup<u8, u32> = WriteGroup::builder().observer(tell).build();
            let (first, token) = (hold(&group, 1, || 1), CancelToken::new());
            let queued = line_up(&group, 1, others, |group, i| group.write(&1, || 10 + i as u32));
            let (cancels, offered) = (token.clone(), Gate::new());
            let opens = offered.clone();
            let play = move || {
                first.let_go();
                until(|| first.has_returned()); // it is the newest: the lead is offered to it
                hang_up(&cancels);
                opens.open();
            };
            assert!(script.set(Box::new(play)).is_ok());
            assert_hung_up(group.call(&1).cancel(&token).run(|| unreachable!("its closure is dropped unrun")));
            assert!(offered.is_open());
            let newest = 9 + others as u32;
            assert!(queued.into_iter().all(|caller| finish(caller) == newest), "the newest that still waits leads");
            assert_eq!((group.in_flight(), group.followers(&1), group.stats().cancelled), (0, 0, 1));
        }
    });
}

/// A leader that fails because the token was cancelled leaves no work to a follower with the same token, also where
/// failures are not shared.
#[test]
fn p6_a_cancelled_follower_does_not_begin_anew() {
    within(|| {
        for _ in 0..300 {
            let group: Group<u32, u32, &str> = Group::builder().share_failures(false).build();
            let token = CancelToken::new();
            let (follows, stops) = (group.clone(), token.clone());
            let mut follower = None;
            let led = group.try_work(&1, || {
                let call = move || follows.call(&1).cancel(&stops).run(|| unreachable!("its token is cancelled"));
                follower = Some(spawn(call));
                until_waiting(&group, &1, 1);
                assert!(token.cancel("stop"));
                Err("stopped")
            });
            assert_eq!(led, Err(Error::Work("stopped")));
            assert!(follower.unwrap().join().unwrap().unwrap_err().is_cancelled());
        }
    });
}
