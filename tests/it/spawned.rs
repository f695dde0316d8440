//! Calls that do not block, and the executors that run them.

use flight_group::{Job, WriteGroup};
use std::sync::{Arc, Mutex};

/// An executor that runs jobs where they are handed over: a chain of queued flights is a loop, not a recursion.
#[test]
fn an_executor_that_runs_inline_does_not_recurse() {
    let depth = Arc::new(Mutex::new((0, 0)));
    let counter = depth.clone();
    let group: WriteGroup<u8, u32> = WriteGroup::builder()
        .executor(move |job: Job| {
            {
                let mut depth = counter.lock().unwrap();
                depth.0 += 1;
                depth.1 = depth.1.max(depth.0);
            }
            job.run();
            counter.lock().unwrap().0 -= 1;
        })
        .build();
    let receivers = Arc::new(Mutex::new(Vec::new()));
    fn spawn_next(group: &WriteGroup<u8, u32>, receivers: &Receivers, left: u32) {
        let (again, more) = (group.clone(), receivers.clone());
        let receiver = group.call(&1).spawn(move || {
            if left > 0 {
                spawn_next(&again, &more, left - 1); // queued behind this very run
            }
            Ok(left)
        });
        receivers.lock().unwrap().push(receiver);
    }
    spawn_next(&group, &receivers, 10_000);
    let receivers = receivers.lock().unwrap();
    assert_eq!(receivers.len(), 10_001);
    for receiver in receivers.iter() {
        assert!(receiver.try_recv().unwrap().is_ok());
    }
    assert_eq!(depth.lock().unwrap().1, 1, "the executor was entered from within itself");
    assert_eq!(group.in_flight(), 0);
}

type Receivers = Arc<
    Mutex<
        Vec<
            crossbeam_channel::Receiver<
                Result<flight_group::Landing<u32>, flight_group::Error<std::convert::Infallible>>,
            >,
        >,
    >,
>;
