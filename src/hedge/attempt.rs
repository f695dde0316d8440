//! What an attempt's closure is given.

use crate::cancel::CancelToken;

/// One attempt of a hedged call, as its closure sees it.
#[derive(Debug, Clone)]
pub struct Attempt {
    pub(super) index: usize,
    pub(super) token: CancelToken,
}

impl Attempt {
    /// 0 for the first attempt, 1 for the second, and so on: `replicas[attempt.index() % replicas.len()]`.
    pub fn index(&self) -> usize {
        self.index
    }

    /// Cancelled once this attempt has lost, or the call was cancelled. The winner's is not.
    pub fn token(&self) -> &CancelToken {
        &self.token
    }
}
