//! What the tests of Kubernetes' `client-go/util/workqueue` assert where they speak of one running, one pending:
//! an item that is added while it is being processed is processed once more, after that, however often it was
//! added. In our own words; its shutdown has no counterpart in a group without workers.

use crate::support::{Alone, Held, finish, hold, line_up, until_waiting, within};
use flight_group::WriteGroup;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread::spawn;

/// client-go `TestBasic`: fifty producers add their item fifty times each; no item is ever processed twice at
/// once, and nothing is left at the end.
#[test]
fn no_item_is_processed_twice_at_once() {
    within(|| {
        let group: WriteGroup<u32> = WriteGroup::new();
        let items: Arc<Vec<Alone>> = Arc::new((0..10).map(|_| Alone::default()).collect());
        let producers: Vec<_> = (0..20)
            .map(|producer| {
                let (group, items) = (group.clone(), items.clone());
                spawn(move || {
                    for _ in 0..20 {
                        let item = producer % 10;
                        group.write(&item, || items[item as usize].run(|| ()));
                    }
                })
            })
            .collect();
        producers.into_iter().for_each(finish);
        for item in items.iter() {
            item.assert_never_two();
            assert!((20..=40).contains(&item.runs()), "two producers, twenty adds each");
        }
        assert_eq!(group.in_flight(), 0);
    });
}

/// client-go `TestAddWhileProcessing` and `TestReinsert`: added back by its own processing, it is processed again
/// when that is done.
#[test]
fn an_item_added_while_it_is_processed_is_processed_again() {
    within(|| {
        let group: WriteGroup<u8, u32> = WriteGroup::new();
        let runs = Arc::new(AtomicU32::new(0));
        let again = {
            let (inner, runs_in_first, runs) = (group.clone(), runs.clone(), runs.clone());
            group.write(&1, move || {
                let receiver = inner.spawn(&1, move || {
                    assert_eq!(runs.load(SeqCst), 1, "not before the first is done");
                    Ok(runs.fetch_add(1, SeqCst))
                });
                *RECEIVER.lock().unwrap() = Some(receiver);
                runs_in_first.fetch_add(1, SeqCst)
            })
        };
        assert_eq!(again, 0);
        let receiver = RECEIVER.lock().unwrap().take().unwrap();
        assert_eq!(receiver.recv().unwrap().unwrap().value, 1);
        assert_eq!((runs.load(SeqCst), group.in_flight()), (2, 0));
    });
}
type Receiver =
    crossbeam_channel::Receiver<Result<flight_group::Landing<u32>, flight_group::Error<std::convert::Infallible>>>;
static RECEIVER: std::sync::Mutex<Option<Receiver>> = std::sync::Mutex::new(None);

/// client-go `TestLen`: adding what is already there does not make the queue longer.
#[test]
fn adding_a_pending_item_does_not_add_a_run() {
    within(|| {
        let group: WriteGroup<&str, usize> = WriteGroup::new();
        let hold = |key: &'static str| hold(&group, key, || 0);
        let (foo, bar) = (hold("foo"), hold("bar"));
        assert_eq!(group.in_flight(), 2);
        let more_foo = line_up(&group, "foo", 5, |group, i| group.write(&"foo", || i + 1));
        assert_eq!(group.in_flight(), 2, "five more adds of one item are no more items");
        foo.release();
        bar.release();
        assert!(more_foo.into_iter().all(|caller| finish(caller) == 5));
        assert_eq!(group.stats().led, 3);
    });
}

/// client-go `TestQueueDrainageUsingShutDownWithDrainWithDirtyItem`: who waits for the queue to drain waits for the
/// item in work and for its pending run. Here: `wait`.
#[test]
fn waiting_for_an_item_waits_for_its_pending_run() {
    within(|| {
        let group: WriteGroup<&str, u32> = WriteGroup::new();
        let first = hold(&group, "foo", || 1);
        let (second, entered) = Held::begin({
            let group = group.clone();
            move |stay| {
                group.write(&"foo", || {
                    stay();
                    2
                })
            }
        });
        until_waiting(&group, &"foo", 1);
        let drained = {
            let group = group.clone();
            spawn(move || group.call(&"foo").flush().unwrap().unwrap().value)
        };
        until_waiting(&group, &"foo", 2);
        first.release();
        entered.pass();
        assert!(!drained.is_finished());
        second.release();
        assert_eq!(finish(drained), 2);
        assert!(group.call(&"foo").flush().is_none(), "drained");
    });
}

/// client-go `TestGarbageCollection`: an item that was processed is not kept.
#[test]
fn a_processed_item_is_not_kept() {
    within(|| {
        let item = Arc::new(());
        let group: WriteGroup<Arc<()>> = WriteGroup::new();
        group.write(&item, || ());
        assert_eq!(Arc::strong_count(&item), 1);
    });
}
