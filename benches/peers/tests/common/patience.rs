//! What hangs fails. The file that includes this one says how long it waits.

use super::PATIENCE;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread::{spawn, yield_now};
use std::time::Instant;

/// Fails if the body has not ended in time, instead of hanging.
pub(crate) fn within(body: impl FnOnce() + Send + 'static) {
    let (done, ended) = channel();
    let thread = spawn(move || {
        body();
        let _ = done.send(());
    });
    match ended.recv_timeout(PATIENCE) {
        Ok(()) | Err(RecvTimeoutError::Disconnected) => {
            thread.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload))
        }
        Err(RecvTimeoutError::Timeout) => panic!("hangs: not done after {PATIENCE:?}"),
    }
}

pub(crate) fn until(mut so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !so() {
        assert!(began.elapsed() < PATIENCE, "the condition never came true");
        yield_now();
    }
}
