//! Everything this crate does with a panic: catch, read, carry on.

use crate::error::Panic;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(crate) use std::panic::resume_unwind;

/// What a panic carries from where it was raised to where it stops.
pub(crate) type Payload = Box<dyn Any + Send>;

/// Runs `body`, and hands its panic over as a value.
///
/// `AssertUnwindSafe`, because nothing of ours is left half-done by a panic in `body`: the engine calls user code
/// with no lock held, and the flight it belongs to is landed with the panic. What the closure itself shares with other
/// code is up to the user, as with any panic.
pub(crate) fn caught<R>(body: impl FnOnce() -> R) -> Result<R, Payload> {
    catch_unwind(AssertUnwindSafe(body))
}

/// The panic's message, as the hook prints it.
pub(crate) fn describe(payload: &Payload) -> Panic {
    let payload = &**payload;
    if let Some(message) = payload.downcast_ref::<&'static str>() {
        Panic::new(message)
    } else if let Some(message) = payload.downcast_ref::<String>() {
        Panic::new(message)
    } else {
        Panic::new("a payload that is not a string")
    }
}

/// Drops a value of the user's. If its `Drop` panics, the panic ends here, because it does not concern this caller.
///
/// The panic hook has run by then. A payload that panics again when it is dropped is leaked.
pub(crate) fn drop_quietly<T>(value: T) {
    if let Err(payload) = caught(move || drop(value)) {
        std::mem::forget(payload);
    }
}

/// Runs code of the user's whose panic ends here: because it does not concern this caller, or because it may be part of
/// another unwinding, where a second panic would abort.
pub(crate) fn quietly(body: impl FnOnce()) {
    if let Err(payload) = caught(body) {
        drop_quietly(payload);
    }
}
