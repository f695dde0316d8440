//! What the fleet's keys are called in Redis.
//!
//! `{prefix:kind:group:key}` is a hash tag, so that all keys of one flight live in one slot of a cluster.

use super::FleetError;
use crate::sync::Arc;
use serde::Serialize;
use std::fmt::Write;

/// The longest key that is written out; a longer one is replaced by its SHA-256.
const LONGEST: usize = 128;

/// The names of one flight's or one lease's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names {
    tag: Arc<str>,
}

impl Names {
    /// The keys of `key` in a group; its JSON names it.
    pub(crate) fn of(
        prefix: &str,
        kind: Kind,
        group: &str,
        key: &(impl Serialize + ?Sized),
    ) -> Result<Self, FleetError> {
        let key = serde_json::to_string(key).map_err(|error| FleetError::BadKey { reason: error.to_string() })?;
        Ok(Self::new(prefix, kind, group, &key))
    }

    /// `group` is escaped, so that no group and key can spell another group and key.
    pub(crate) fn new(prefix: &str, kind: Kind, group: &str, key: &str) -> Self {
        let mut tag = String::with_capacity(prefix.len() + group.len() + key.len().min(LONGEST) + 6);
        tag.push('{');
        escape(prefix, &mut tag);
        tag.push_str(kind.mark());
        if kind != Kind::Lease {
            escape(group, &mut tag);
            tag.push(':');
        }
        if key.len() <= LONGEST {
            // A digest begins with one `#`, so a short key that spells one is still another key.
            if key.starts_with('#') {
                tag.push('#');
            }
            tag.push_str(key);
        } else {
            let _ = write!(tag, "#{}:", key.len());
            for byte in hmac_sha256::Hash::hash(key.as_bytes()) {
                let _ = write!(tag, "{byte:02x}");
            }
        }
        tag.push('}');
        Self { tag: tag.into() }
    }

    /// Of no flight: what a connection's user may do is tried on them.
    pub(crate) fn check(prefix: &str) -> Self {
        let mut tag = String::from("{");
        escape(prefix, &mut tag);
        tag.push_str(":check}");
        Self { tag: tag.into() }
    }

    /// What they have in common, and nobody else.
    pub(crate) fn tag(&self) -> &Arc<str> {
        &self.tag
    }

    pub(crate) fn record(&self) -> Vec<u8> {
        format!("{}:f", self.tag).into_bytes()
    }

    pub(crate) fn last_fence(&self) -> Vec<u8> {
        format!("{}:c", self.tag).into_bytes()
    }

    pub(crate) fn outcome(&self) -> Vec<u8> {
        format!("{}:r", self.tag).into_bytes()
    }

    pub(crate) fn queue(&self) -> Vec<u8> {
        format!("{}:q", self.tag).into_bytes()
    }

    pub(crate) fn heartbeats(&self) -> Vec<u8> {
        format!("{}:h", self.tag).into_bytes()
    }
}

/// What a key is for; flights, writes and leases of one name never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Flight,
    Write,
    Lease,
}

impl Kind {
    fn mark(self) -> &'static str {
        match self {
            Self::Flight => ":g:",
            Self::Write => ":w:",
            Self::Lease => ":l:",
        }
    }
}

/// Keeps `:` as the separator, and the braces for the hash tag.
fn escape(text: &str, into: &mut String) {
    for c in text.chars() {
        match c {
            '%' => into.push_str("%25"),
            ':' => into.push_str("%3A"),
            '{' => into.push_str("%7B"),
            '}' => into.push_str("%7D"),
            c => into.push(c),
        }
    }
}

/// The channel on which a process gets its outcomes.
pub(crate) fn inbox(prefix: &str, process: &str) -> String {
    let mut channel = String::with_capacity(prefix.len() + process.len() + 4);
    escape(prefix, &mut channel);
    channel.push_str(":in:");
    channel.push_str(process);
    channel
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: Kind, group: &str, key: &str) -> String {
        String::from_utf8(Names::new("flight", kind, group, key).record()).unwrap()
    }

    #[test]
    fn a_short_key_can_be_read_and_a_long_one_is_hashed() {
        assert_eq!(record(Kind::Flight, "users", "42"), "{flight:g:users:42}:f");
        assert_eq!(record(Kind::Lease, "", "report:2026-11"), "{flight:l:report:2026-11}:f");
        let long = record(Kind::Flight, "users", &"x".repeat(129));
        assert!(long.len() < 100, "{long}");
        assert!(long.starts_with("{flight:g:users:#129:"));
    }

    #[test]
    fn no_group_and_key_can_spell_another() {
        assert_ne!(record(Kind::Flight, "a:b", "c"), record(Kind::Flight, "a", "b:c"));
        assert_ne!(record(Kind::Flight, "a", "k"), record(Kind::Write, "a", "k"));
        assert_ne!(record(Kind::Flight, "l", "k"), record(Kind::Lease, "", "l:k"));
        let long = record(Kind::Flight, "a", &"x".repeat(129));
        assert_ne!(long, record(Kind::Flight, "a", &"x".repeat(130)));
        let digest = &long["{flight:g:a:".len()..long.len() - "}:f".len()];
        assert_ne!(long, record(Kind::Flight, "a", digest));
    }
}
