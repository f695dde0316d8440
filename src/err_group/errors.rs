//! Every error of a group, on request; and why a task was given back.

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

/// Why [`ErrGroup::try_spawn`](crate::ErrGroup::try_spawn) gave the task back.
pub enum NotSpawned<F> {
    /// As many tasks as the limit allows are running.
    Full(F),
    /// The group has failed: no further task will be admitted.
    Failed(F),
}

impl<F> NotSpawned<F> {
    /// The task that was given back, to be offered again or run elsewhere.
    pub fn into_task(self) -> F {
        match self {
            Self::Full(task) | Self::Failed(task) => task,
        }
    }

    /// Whether the group has failed, so that offering the task again is of no use.
    pub fn is_failed(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

impl<F> fmt::Debug for NotSpawned<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_failed() { "Failed(..)" } else { "Full(..)" })
    }
}

impl<F> fmt::Display for NotSpawned<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "as many tasks as the error group's limit allows are running",
            Self::Failed(_) => "the error group has failed and admits no more tasks",
        })
    }
}

impl<F> std::error::Error for NotSpawned<F> {}
