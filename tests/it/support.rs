//! Waiting for conditions, never for time; a hang fails within seconds.

use std::sync::mpsc;
use std::time::{Duration, Instant};

const TOO_LONG: Duration = Duration::from_secs(20);

/// Runs `body` on a thread of its own, and fails if it has not ended after [`TOO_LONG`].
#[track_caller]
pub(crate) fn guarded<R: Send + 'static>(body: impl FnOnce() -> R + Send + 'static) -> R {
    let (tx, rx) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let result = body();
        let _ = tx.send(());
        result
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = rx.recv_timeout(TOO_LONG) {
        panic!("the test hangs");
    }
    thread.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
}

/// Blocks until `condition` holds, and fails if it does not within [`TOO_LONG`].
#[track_caller]
pub(crate) fn until(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < TOO_LONG, "the condition never came true");
        std::thread::sleep(Duration::from_micros(100));
    }
}
