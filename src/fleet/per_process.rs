//! A value that a forked child makes anew.
//!
//! A fork copies memory, but no thread except the caller's. What it copies is worse than nothing: a connection two
//! processes write to, locks held by threads that are not there, tokens that the parent hands out as well. So the
//! child never touches the parent's value, not even to drop it, and makes its own at the first use.

use once_cell::sync::OnceCell;

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
