//! What the tests of the peers assert, in our words. Each names where the behaviour comes from.

use super::{Act, Gated, HANG};
use crate::support::{until, within};
use flight_group::{Batcher, Error};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// Hystrix, `HystrixCollapserTest.testTwoRequests`: two requests in one window are one command.
#[test]
fn hystrix_two_requests_are_one_command() {
    within(|| {
        let gated = Gated::with(|builder| builder.window(HOUR).max_batch(2));
        let one = gated.queue(1);
        let two = gated.spawn(2);
        assert_eq!(gated.started().0, [1, 2]);
        gated.tell(Act::Answer);
        assert_eq!((one.join().unwrap(), two.join().unwrap()), (Ok(10), Ok(20)));
        assert_eq!(gated.batcher.stats().batches, 1);
    });
}

/// Hystrix, `testMultipleBatches` and `testRequestsOverTime`: what comes after a batch is another batch.
#[test]
fn hystrix_requests_over_time_are_several_commands() {
    within(|| {
        let gated = Gated::with(|builder| builder.window(HOUR).max_batch(2));
        for pair in [[1, 2], [3, 4], [1, 2]] {
            let first = gated.queue(pair[0]);
            let second = gated.spawn(pair[1]);
            assert_eq!(gated.started().0, pair);
            gated.tell(Act::Answer);
            assert_eq!((first.join().unwrap(), second.join().unwrap()), (Ok(pair[0] * 10), Ok(pair[1] * 10)));
        }
        assert_eq!(gated.batcher.stats().batches, 3);
    });
}

/// Hystrix, `testMaxRequestsInBatch`: the request that makes a batch full closes it.
#[test]
fn hystrix_max_requests_in_batch() {
    within(|| {
        let gated = Gated::with(|builder| builder.max_batch(2));
        let running = gated.spawn(100);
        gated.started();
        let queued = [1, 2, 3].map(|key| gated.queue(key));
        gated.tell(Act::Answer);
        assert_eq!(gated.started().0, [1, 2]);
        gated.tell(Act::Answer);
        assert_eq!(gated.started().0, [3]);
        gated.tell(Act::Answer);
        assert_eq!(queued.map(|thread| thread.join().unwrap()), [Ok(10), Ok(20), Ok(30)]);
        assert_eq!(running.join().unwrap(), Ok(1000));
    });
}

/// Hystrix, `testUnsubscribeOnOneDoesntKillBatch`: who gives up before the batch starts is not in it, and the others
/// are; here, if all give up, nothing is executed at all.
#[test]
fn hystrix_unsubscribed_requests_are_not_executed() {
    within(|| {
        let gated = Gated::with(|builder| builder.window(HOUR).max_batch(2));
        for key in [1, 2] {
            let gives_up = gated.batcher.call(&key).timeout(Duration::from_millis(1));
            assert_eq!(gives_up.load(), Err(Error::timed_out()));
        }
        assert_eq!(gated.batcher.stats().batches, 0, "all have unsubscribed");
        let third = gated.queue(3);
        let fourth = gated.spawn(4);
        assert_eq!(gated.started().0, [3, 4], "some have");
        gated.tell(Act::Answer);
        assert_eq!((third.join().unwrap(), fourth.join().unwrap()), (Ok(30), Ok(40)));
    });
}

/// Hystrix, `testUnsubscribeFromSomeDuplicateArgsDoesNotRemoveFromBatch`: an argument stays for as long as anybody
/// waits for it.
#[test]
fn hystrix_unsubscribing_duplicates_leave_the_argument() {
    within(|| {
        let gated = Gated::with(|builder| builder.window(HOUR).max_batch(2));
        let stays = gated.queue(5);
        for _ in 0..9 {
            let gives_up = gated.batcher.call(&5).timeout(Duration::from_millis(1));
            assert_eq!(gives_up.load(), Err(Error::timed_out()));
        }
        let last = gated.spawn(6);
        assert_eq!(gated.started().0, [5, 6]);
        gated.tell(Act::Answer);
        assert_eq!((stays.join().unwrap(), last.join().unwrap()), (Ok(50), Ok(60)));
    });
}

/// Hystrix, `testDuplicateArgumentsWithRequestCachingOn` (equal arguments are one argument), and what its collapser
/// does when the command fails: so do all of its requests. (With the cache off, Hystrix fails the duplicates.)
#[test]
fn hystrix_an_exception_fails_all_requests_of_the_command() {
    within(|| {
        let gated = Gated::with(|builder| builder.window(HOUR).max_batch(2));
        let first = gated.queue(1);
        let again = gated.queue(1);
        let second = gated.spawn(2);
        assert_eq!(gated.started().0, [1, 2]);
        gated.tell(Act::Fail("mapping"));
        for thread in [first, again, second] {
            assert_eq!(thread.join().unwrap(), Err(Error::Work("mapping")));
        }
    });
}

/// Hystrix, `CollapsedRequestSubjectTest` and the collapser's last step after `mapResponseToRequests`: a request
/// whose response was never set fails; it does not hang.
#[test]
fn hystrix_a_response_that_was_never_set_is_an_error() {
    within(|| {
        let gated = Gated::with(|builder| builder.window(HOUR).max_batch(2));
        let first = gated.queue(1);
        let second = gated.spawn(2);
        gated.started();
        gated.tell(Act::AnswerBut(1));
        assert_eq!((first.join().unwrap(), second.join().unwrap()), (Err(Error::missing()), Ok(20)));
    });
}

/// dataloader, "coalesces identical requests across sized batches": a key waits in one place, however many batches
/// the others fill.
#[test]
fn dataloader_coalesces_across_sized_batches() {
    within(|| {
        let gated = Gated::with(|builder| builder.max_batch(1));
        let running = gated.spawn(100);
        gated.started();
        let queued = [1, 2, 1, 2].map(|key| gated.queue(key));
        for expected in [1, 2] {
            gated.tell(Act::Answer);
            assert_eq!(gated.started().0, [expected]);
        }
        gated.tell(Act::Answer);
        assert_eq!(queued.map(|thread| thread.join().unwrap()), [Ok(10), Ok(20), Ok(10), Ok(20)]);
        assert_eq!(running.join().unwrap(), Ok(1000));
        gated.assert_idle();
    });
}

/// dataloader, "Can represent failures and successes simultaneously".
#[test]
fn dataloader_failures_and_successes_simultaneously() {
    within(|| {
        let numbers: Batcher<u32, u32, String> =
            Batcher::builder().window(HOUR).max_batch(2).build_per_key(|keys: &[u32]| {
                let check = |key: u32| if key % 2 == 0 { Ok(key) } else { Err(format!("odd: {key}")) };
                keys.iter().map(|&key| (key, check(key))).collect()
            });
        let (one, two) = thread::scope(|scope| {
            let one = scope.spawn(|| numbers.load(&1));
            let two = scope.spawn(|| numbers.load(&2));
            (one.join().unwrap(), two.join().unwrap())
        });
        assert_eq!((one, two), (Err(Error::Work("odd: 1".to_owned())), Ok(2)));
        assert_eq!(numbers.stats().batches, 1);
    });
}

/// dataloader, "can call a loader from a loader".
#[test]
fn dataloader_loaders_may_nest() {
    let names: Batcher<u32, String> =
        Batcher::new(|ids: &[u32]| Ok(ids.iter().map(|&id| (id, format!("user {id}"))).collect()));
    let greetings: Batcher<u32, String> = Batcher::new(move |ids: &[u32]| {
        Ok(ids.iter().map(|&id| (id, format!("hello, {}", names.load(&id).unwrap()))).collect())
    });
    assert_eq!(greetings.load(&3), Ok("hello, user 3".to_owned()));
}

/// LevelDB, `DBImpl::Write` and `BuildBatchGroup`: the writer at the head of the queue writes for those behind it,
/// and on leaving wakes the writer at the head of what has come since: nobody writes twice, nobody is left.
#[test]
fn leveldb_the_next_writer_is_at_the_head_of_what_is_left() {
    within(|| {
        let gated = Gated::with(|builder| builder.max_batch(2));
        let running = gated.spawn(100);
        let (_, mut leader) = gated.started();
        let queued = [1, 2, 3, 4, 5, 6].map(|key| gated.queue(key));
        let mut led = vec![leader];
        for expected in [[1, 2], [3, 4], [5, 6]] {
            gated.tell(Act::Answer);
            let keys;
            (keys, leader) = gated.started();
            assert_eq!(keys, expected);
            let own: Vec<_> = expected.iter().map(|&key| queued[key as usize - 1].thread().id()).collect();
            assert!(own.contains(&leader), "led by one of its own");
            assert!(!led.contains(&leader), "nobody leads twice in one call");
            led.push(leader);
        }
        gated.tell(Act::Answer);
        for (key, thread) in (1..).zip(queued) {
            assert_eq!(thread.join().unwrap(), Ok(key * 10));
        }
        assert_eq!(running.join().unwrap(), Ok(1000));
    });
}

/// bbolt, `TestDB_Batch`: every write of a burst is there afterwards.
#[test]
fn bbolt_every_write_of_a_burst_is_there() {
    within(|| {
        let table = Arc::new(std::sync::Mutex::new(HashMap::new()));
        let rows = Arc::clone(&table);
        let writes: Batcher<u32, usize> = Batcher::new(move |keys: &[u32]| {
            let mut rows = rows.lock().unwrap();
            Ok(keys
                .iter()
                .map(|&key| {
                    (key, {
                        rows.insert(key, ());
                        rows.len()
                    })
                })
                .collect())
        });
        thread::scope(|scope| {
            for key in 0..20 {
                let writes = &writes;
                scope.spawn(move || writes.load(&key).unwrap());
            }
        });
        let rows = table.lock().unwrap();
        assert!((0..20).all(|key| rows.contains_key(&key)));
    });
}

/// bbolt, `TestDB_Batch_Panic`: a panic comes out of the call with the value it was raised with.
#[test]
fn bbolt_a_panic_keeps_its_value() {
    static SENTINEL: &u8 = &7;
    let batcher: Batcher<u32, u32> = Batcher::new(|_: &[u32]| panic_any(SENTINEL));
    let payload = catch_unwind(AssertUnwindSafe(|| batcher.load(&1))).unwrap_err();
    assert!(std::ptr::eq(*payload.downcast_ref::<&'static u8>().unwrap(), SENTINEL));
}

/// bbolt, `TestDB_BatchFull`: with three to a batch and no end to the delay, the third starts it.
#[test]
fn bbolt_a_full_batch_starts() {
    within(|| {
        let gated = Gated::with(|builder| builder.window(HOUR).max_batch(3));
        let queued = [1, 2].map(|key| gated.queue(key));
        assert!(gated.started.is_empty(), "two are not three");
        let third = gated.spawn(3);
        assert_eq!(gated.started().0, [1, 2, 3]);
        gated.tell(Act::Answer);
        assert_eq!(queued.map(|thread| thread.join().unwrap()), [Ok(10), Ok(20)]);
        assert_eq!(third.join().unwrap(), Ok(30));
    });
}

/// bbolt, `TestDB_BatchTime`: with no end to the size, the delay starts it.
#[test]
fn bbolt_a_delay_that_has_passed_starts_the_batch() {
    within(|| {
        let gated = Gated::with(|builder| builder.window(Duration::from_millis(1)));
        gated.tell(Act::Answer);
        assert_eq!(gated.batcher.load(&1), Ok(10));
        assert_eq!(gated.started().0, [1]);
    });
}

/// etcd, the read loop of `linearizableReadLoop`: what is asked for while a read index is being fetched is answered
/// by the next one, and one serves all.
#[test]
fn etcd_one_read_index_serves_all_who_waited_for_the_next() {
    within(|| {
        let index = Arc::new(AtomicUsize::new(0));
        let next = Arc::clone(&index);
        let (tell, started) = crossbeam_channel::unbounded();
        let (go, may_go) = crossbeam_channel::unbounded::<()>();
        let reads: Batcher<(), usize> = Batcher::new(move |_: &[()]| {
            tell.send(()).unwrap();
            may_go.recv_timeout(HANG).unwrap();
            Ok(HashMap::from([((), next.fetch_add(1, SeqCst))]))
        });
        let spawn = || {
            let reads = reads.clone();
            thread::spawn(move || reads.load(&()))
        };
        let first = spawn();
        started.recv_timeout(HANG).unwrap();
        let mut queued = vec![];
        for n in 1..=5 {
            queued.push(spawn());
            until(|| reads.waiting() == n);
        }
        go.send(()).unwrap();
        go.send(()).unwrap();
        assert_eq!(first.join().unwrap(), Ok(0));
        assert!(queued.into_iter().all(|thread| thread.join().unwrap() == Ok(1)));
        assert_eq!(index.load(SeqCst), 2);
    });
}

/// samber/go-batchify, `TestBatchImpl_Do_dedup`: equal inputs take one place in the buffer, so they do not fill it.
#[test]
fn batchify_duplicates_do_not_fill_a_batch() {
    within(|| {
        let gated = Gated::with(|builder| builder.window(HOUR).max_batch(2));
        let queued = [42, 42, 42].map(|key| gated.queue(key));
        assert_eq!((gated.batcher.queued(), gated.started.len()), (1, 0));
        let last = gated.spawn(1);
        assert_eq!(gated.started().0, [42, 1]);
        gated.tell(Act::Answer);
        for thread in queued {
            assert_eq!(thread.join().unwrap(), Ok(420));
        }
        assert_eq!(last.join().unwrap(), Ok(10));
    });
}

/// samber/go-batchify, `TestBatchImpl_Do_error`: an error reaches those who share a place, too. (There the batch's
/// partial values come with it, and a key that was not returned is a zero value: neither can happen here.)
#[test]
fn batchify_an_error_comes_without_a_value() {
    within(|| {
        let gated = Gated::with(|builder| builder.window(HOUR).max_batch(2));
        let queued = [42, 42].map(|key| gated.queue(key));
        let last = gated.spawn(1);
        gated.started();
        gated.tell(Act::Fail("ko"));
        assert!(queued.into_iter().all(|thread| thread.join().unwrap() == Err(Error::Work("ko"))));
        assert_eq!(last.join().unwrap(), Err(Error::Work("ko")));
    });
}
