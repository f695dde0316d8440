//! Who holds a record: a number that nobody else has.
//!
//! Sixteen random bytes per process, and a counter. A fork copies the bytes and the counter, so both are made anew
//! in the child: see [`per_process`](super::per_process).

use super::FleetError;
use crate::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
