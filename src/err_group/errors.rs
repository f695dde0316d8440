//! Every error of a group, on request.

use std::fmt;

/// All errors of an [`ErrGroup`](crate::ErrGroup)'s tasks, never none, in the order in which they failed.
///
/// Returned by [`AllErrors::scope`](crate::err_group::AllErrors::scope). As an error it prints how many failed and
/// were skipped, and all messages; its `source` is the first error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Errors<E> {
    first: E,
    rest: Vec<E>,
    skipped: usize,
}

impl<E> Errors<E> {
    pub(super) fn new(errors: Vec<E>, skipped: usize) -> Option<Self> {
        let mut errors = errors.into_iter();
        let first = errors.next()?;
        Some(Self { first, rest: errors.collect(), skipped })
    }

    /// The error of the task that failed first.
    pub fn first(&self) -> &E {
        &self.first
    }

    /// All errors, the first one first.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        std::iter::once(&self.first).chain(&self.rest)
    }

    /// All errors by value, the first one first.
    pub fn into_vec(self) -> Vec<E> {
        let mut errors = self.rest;
        errors.insert(0, self.first);
        errors
    }

    /// How many tasks were dropped unrun because another one had failed.
    pub fn skipped(&self) -> usize {
        self.skipped
    }
}

impl<E: fmt::Display> fmt::Display for Errors<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failed = 1 + self.rest.len();
        write!(f, "{failed} {} failed", if failed == 1 { "task" } else { "tasks" })?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        write!(f, ": {}", self.first)?;
        self.rest.iter().try_for_each(|error| write!(f, "; {error}"))
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Errors<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.first)
    }
}
