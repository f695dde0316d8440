//! What hangs, unseen by the deadlock check, until a timeout or a token ends it.

use crate::support::{ROW, Rows, SHORT, Signal, answer, ask, ask_thread, pool, rows, until, within};
use flight_group::{CancelToken, Error, Landing, Role};
use rayon::{Yield, current_thread_index, join, scope, yield_now};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::mpsc::channel;

type Outcome = Result<Landing<u64>, Error<Infallible>>;

/// The leader, on the first worker, waits for its stolen half, on the second. On top of that half the second worker runs a
/// task that follows the flight, by `follow`. What that task and the leader get.
fn on_top_of_what_its_leader_waits_for(
    group: &Arc<Rows>,
    follow: impl FnOnce(&Rows) -> Outcome + Send + 'static,
) -> (Outcome, Outcome) {
    let (pool, group) = (pool("calls", 2), group.clone());
    let (stolen, began) = (Signal::default(), Signal::default());
    answer(&ask(&pool, move || {
        let mut on_top = None;
        let landing = group.call(&ROW).run(|| {
            let mine = || {
                stolen.wait();
                began.wait(); // this worker must not run the follower
                current_thread_index()
            };
            let theirs = || {
                stolen.set();
                // The scope's end waits for its task, and runs it.
                scope(|tasks| {
                    tasks.spawn(|_| {
                        began.set();
                        on_top = Some(follow(&group));
                    });
                });
                current_thread_index()
            };
            let (mine, theirs) = join(mine, theirs);
            assert_ne!(mine, theirs);
            Ok(7)
        });
        (on_top.unwrap(), landing)
    }))
}

/// The check sees one wait, for a leader that waits in no group.
#[test]
fn a_follower_on_top_of_what_its_leader_waits_for() {
    within(|| {
        let group = rows();
        let follow = |group: &Rows| group.call(&ROW).timeout(SHORT).run(|| unreachable!());
        let (on_top, landed) = on_top_of_what_its_leader_waits_for(&group, follow);
        assert_eq!(on_top, Err(Error::timed_out()));
        assert_eq!(landed.map(Landing::into_value), Ok(7));
        assert_eq!(group.stats().deadlocked, 0);
    });
}

#[test]
fn a_take_over_ends_it_too() {
    within(|| {
        let group = rows();
        let follow = |group: &Rows| group.call(&ROW).takeover_after(SHORT).run(|| Ok(8));
        let (on_top, landed) = on_top_of_what_its_leader_waits_for(&group, follow);
        let (on_top, landed) = (on_top.unwrap(), landed.unwrap());
        assert_eq!((on_top.value, on_top.role), (8, Role::Leader));
        assert_eq!((landed.value, landed.detached()), (7, true));
        assert_eq!(group.stats().deadlocked, 0);
    });
}

/// The same with one worker: the leader is a thread outside the pool that waits for the pool.
#[test]
fn a_follower_on_top_of_what_a_leader_outside_the_pool_waits_for() {
    within(|| {
        let (pool, group) = (pool("calls", 1), rows());
        let (on_top, landed) = answer(&ask_thread({
            let group = group.clone();
            move || {
                let (sender, on_top) = channel();
                let landed = group.try_work(&ROW, || {
                    let follower = {
                        let group = group.clone();
                        move || drop(sender.send(group.call(&ROW).timeout(SHORT).run(|| unreachable!())))
                    };
                    pool.install(|| {
                        rayon::spawn(follower);
                        assert_eq!(yield_now(), Some(Yield::Executed));
                    });
                    Ok(7)
                });
                (on_top.try_recv().unwrap(), landed)
            }
        }));
        assert_eq!(on_top, Err(Error::timed_out()));
        assert_eq!(landed, Ok(7));
        assert_eq!(group.stats().deadlocked, 0);
    });
}

/// All workers follow a flight whose leader, outside the pool, needs a worker.
#[test]
fn a_pool_full_of_followers_whose_leader_needs_the_pool() {
    within(|| {
        let (pool, group, full, shutdown) = (pool("calls", 2), rows(), Signal::default(), CancelToken::new());
        let leader = ask_thread({
            let (pool, group, full) = (pool.clone(), group.clone(), full.clone());
            move || {
                let work = || {
                    full.wait();
                    pool.install(|| 7)
                };
                group.work(&ROW, work)
            }
        });
        until(|| group.flights().len() == 1);
        let followers = [(); 2].map(|()| {
            let (group, shutdown) = (group.clone(), shutdown.clone());
            ask(&pool, move || group.call(&ROW).cancel(&shutdown).run(|| unreachable!()))
        });
        until(|| group.followers(&ROW) == 2);
        full.set();
        assert_eq!(group.call(&ROW).timeout(SHORT).follow(), Some(Err(Error::timed_out())));

        shutdown.cancel("shutdown");
        assert_eq!(answer(&leader), 7);
        let outcomes = followers.map(|follower| answer(&follower));
        let cancelled = outcomes.iter().filter(|outcome| matches!(outcome, Err(Error::Cancelled(_)))).count();
        // The first that leaves frees its worker, the leader lands, and an outcome that is there wins.
        assert!(cancelled >= 1, "{outcomes:?}");
    });
}
