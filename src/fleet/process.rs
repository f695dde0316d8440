//! What is a process's own, and made anew in a forked child: its tokens, and whatever is kept in a [`PerProcess`].
//!
//! A fork copies memory, but no thread except the caller's. What it copies is worse than nothing: a connection two
//! processes write to, locks held by threads that are not there, tokens that the parent hands out as well. So the
//! child never touches the parent's value, not even to drop it, and makes its own at the first use.

use super::FleetError;
use crate::sync::Arc;
use once_cell::sync::OnceCell;
use std::sync::atomic::{AtomicU64, Ordering};

/// A value made once in each process.
pub(crate) struct PerProcess<T> {
    pid: u32,
    value: T,
    // The child of the process that made `value`, and that child's child: a chain as long as there were forks.
    child: OnceCell<Box<PerProcess<T>>>,
}

impl<T> PerProcess<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { pid: std::process::id(), value, child: OnceCell::new() }
    }

    /// This process's value; `make` makes it where this is a child that has none yet.
    ///
    /// # Errors
    ///
    /// Those of `make`; the next call tries again.
    pub(crate) fn get<E>(&self, make: impl FnOnce(&T) -> Result<T, E>) -> Result<&T, E> {
        let pid = std::process::id();
        let mut place = self;
        loop {
            if place.pid == pid {
                return Ok(&place.value);
            }
            match place.child.get() {
                Some(child) => place = child,
                None => {
                    let child = place.child.get_or_try_init(|| {
                        make(&self.value).map(|value| Box::new(Self { pid, value, child: OnceCell::new() }))
                    })?;
                    return Ok(&child.value);
                }
            }
        }
    }

    /// This process's value, if it has one.
    pub(crate) fn existing(&self) -> Option<&T> {
        let pid = std::process::id();
        let mut place = self;
        while place.pid != pid {
            place = place.child.get()?;
        }
        Some(&place.value)
    }
}

/// One holder of one record, or one waiter: text, so that `redis-cli` shows it.
pub(crate) type Token = Arc<str>;

/// Makes a process's tokens.
#[derive(Debug)]
pub(crate) struct Mint {
    process: String,
    // std's, not the model checker's: a number nobody reads twice gives a schedule nothing to decide.
    next: AtomicU64,
}

impl Mint {
    pub(crate) fn new() -> Result<Self, FleetError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|error| FleetError::System { reason: format!("no random bytes for a token: {error}") })?;
        Ok(Self { process: bytes.iter().map(|byte| format!("{byte:02x}")).collect(), next: AtomicU64::new(0) })
    }

    /// This process's random half, which names its inbox.
    pub(crate) fn process(&self) -> &str {
        &self.process
    }

    pub(crate) fn token(&self) -> Token {
        // Relaxed: only that no two calls get the same number matters, and that any order gives.
        format!("{}.{:x}", self.process, self.next.fetch_add(1, Ordering::Relaxed)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_tokens_are_equal_and_they_name_their_process() {
        let (a, b) = (Mint::new().unwrap(), Mint::new().unwrap());
        let tokens: std::collections::HashSet<Token> = (0..1000).flat_map(|_| [a.token(), b.token()]).collect();
        assert_eq!(tokens.len(), 2000);
        assert!(a.token().starts_with(a.process()));
        assert_ne!(a.process(), b.process());
    }
}
