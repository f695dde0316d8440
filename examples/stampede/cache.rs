//! The cache in front of the database: entries that live for a while.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

pub(crate) struct Cache {
    ttl: Duration,
    entries: RwLock<HashMap<String, Entry>>,
}

struct Entry {
    page: Arc<str>,
    expires: Instant,
}

impl Cache {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, entries: RwLock::default() }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Arc<str>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let entry = entries.get(key).filter(|entry| Instant::now() < entry.expires)?;
        Some(entry.page.clone())
    }

    pub(crate) fn put(&self, key: &str, page: Arc<str>) {
        let entry = Entry { page, expires: Instant::now() + self.ttl };
        self.entries.write().unwrap_or_else(PoisonError::into_inner).insert(key.to_owned(), entry);
    }

    /// Everything expires at once, as after a deployment or a nightly import.
    pub(crate) fn expire_all(&self) {
        self.entries.write().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
