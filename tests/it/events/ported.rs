//! What client-go's tests of its work queue assert, in our words.

use super::*;

/// client-go queue_test.go, TestBasic and TestAddWhileProcessing: many producers, few workers, every item worked
/// on by one worker at a time, none lost; what is added while it is worked on is worked on again.
#[test]
fn client_go_many_producers_few_workers() {
    within(|| {
        const PRODUCERS: usize = 20;
        const EVENTS: usize = 50;
        let busy: Arc<Vec<AtomicBool>> = Arc::new((0..PRODUCERS).map(|_| AtomicBool::new(false)).collect());
        let carried: Arc<Vec<AtomicUsize>> = Arc::new((0..PRODUCERS).map(|_| AtomicUsize::new(0)).collect());
        let threads = Arc::new(Mutex::new(HashSet::new()));
        let (own_busy, own_carried, own_threads) = (busy.clone(), carried.clone(), threads.clone());
        let events: EventGroup<usize, usize> = EventGroup::builder(
            |sum, n| *sum += n,
            move |key: &usize, sum| {
                assert!(!own_busy[*key].swap(true, SeqCst), "two workers at one key");
                own_threads.lock().unwrap().insert(thread::current().name().unwrap_or("?").to_owned());
                thread::yield_now();
                own_carried[*key].fetch_add(sum, SeqCst);
                own_busy[*key].store(false, SeqCst);
                Ok(())
            },
        )
        .name("basic")
        .workers(3)
        .build();
        thread::scope(|s| {
            for key in 0..PRODUCERS {
                let events = events.clone();
                s.spawn(move || (0..EVENTS).for_each(|_| events.submit(&key, 1).unwrap()));
            }
        });
        drop(events);
        assert!(carried.iter().all(|sum| sum.load(SeqCst) == EVENTS), "{carried:?}");
        let threads = threads.lock().unwrap();
        // The dropping thread lends a hand.
        let workers = threads.iter().filter(|name| name.starts_with("basic events ")).count();
        assert!(workers <= 3 && threads.len() <= workers + 1, "{threads:?}");
        assert_eq!(Arc::strong_count(&carried), 1, "a worker has not gone");
    });
}

/// client-go TestLen: events of a key that is queued already make the queue no longer; here they wait as events.
#[test]
fn client_go_events_of_a_queued_key_share_its_place() {
    within(|| {
        let (builder, starts, go) = gated();
        let events = builder.workers(1).build();
        events.submit("busy", vec![0]).unwrap();
        soon(&starts);
        events.submit("foo", vec![1]).unwrap();
        events.submit("bar", vec![2]).unwrap();
        events.submit("foo", vec![3]).unwrap();
        assert_eq!((events.waiting("foo"), events.waiting("bar"), events.waiting("baz")), (2, 1, 0));
        drop(go);
        assert_eq!(soon(&starts), [1, 3]);
        assert_eq!(soon(&starts), [2]);
        drop(events);
        assert!(starts.recv().is_err(), "a third run");
    });
}

/// client-go TestReinsert: what is added while it is worked on comes back, once.
#[test]
fn client_go_what_is_added_meanwhile_comes_back() {
    within(|| {
        let (builder, starts, go) = gated();
        let events = builder.build();
        events.submit("foo", vec![1]).unwrap();
        assert_eq!(soon(&starts), [1]);
        events.submit("foo", vec![2]).unwrap();
        assert_eq!(events.waiting("foo"), 1);
        go.send(()).unwrap();
        assert_eq!(soon(&starts), [2]);
        go.send(()).unwrap();
        events.flush().unwrap();
        assert_eq!((events.waiting("foo"), events.in_flight()), (0, 0));
        drop(go);
        drop(events);
        assert!(starts.recv().is_err());
    });
}

/// client-go TestQueueDrainageUsingShutDownWithDrain, and ..WithDirtyItem: the end waits for what is in the air and
/// for what was added meanwhile.
#[test]
fn client_go_the_drop_drains() {
    within(|| {
        let (builder, starts, go) = gated();
        let events = builder.workers(2).build();
        events.submit("foo", vec![1]).unwrap();
        events.submit("bar", vec![2]).unwrap();
        let mut first = [soon(&starts), soon(&starts)];
        first.sort();
        assert_eq!(first, [[1], [2]]);
        events.submit("foo", vec![3]).unwrap(); // dirty
        let (dropped, is_dropped) = channel();
        let dropper = thread::spawn(move || {
            drop(events);
            dropped.send(()).unwrap();
        });
        go.send(()).unwrap();
        go.send(()).unwrap();
        assert_eq!(soon(&starts), [3]);
        assert!(is_dropped.try_recv().is_err(), "dropped while a run was in the air");
        go.send(()).unwrap();
        soon(&is_dropped);
        dropper.join().unwrap();
    });
}

/// client-go TestGarbageCollection: a group that is idle holds neither key nor event nor outcome.
#[test]
fn client_go_nothing_is_left_behind() {
    within(|| {
        let events: EventGroup<Arc<str>, Arc<u32>, Arc<u32>> = EventGroup::new(|_, _| {}, |_, event| Ok(event));
        let (key, event): (Arc<str>, _) = ("foo".into(), Arc::new(1));
        drop(events.push(&key, event.clone()).unwrap());
        events.submit(&key, event.clone()).unwrap();
        events.submit(&key, event.clone()).unwrap();
        events.flush().unwrap();
        until(|| Arc::strong_count(&key) == 1 && Arc::strong_count(&event) == 1);
    });
}
