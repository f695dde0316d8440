//! What the scripts return, read.

use super::FleetError;
use crate::sync::Duration;
use redis::Value;

/// The reply of ACQUIRE.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Acquired {
    Held { fence: u64 },
    Queued { left: Duration, ahead: u64 },
    Busy,
}

/// The reply of JOIN.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Joined {
    Lead {
        flight: u64,
    },
    Follow {
        flight: u64,
        left: Duration,
    },
    /// The flight in the air is too old to follow.
    Wait {
        flight: u64,
        left: Duration,
    },
    Outcome {
        flight: u64,
        outcome: Vec<u8>,
    },
    Done {
        outcome: Vec<u8>,
    },
}

/// The reply of FINISH.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    Landed { waiters: u64 },
    Stale { last_fence: u64 },
}

pub(crate) fn parse_acquired(value: &Value) -> Result<Acquired, FleetError> {
    let parsed = match array(value) {
        [kind, fence] if is(kind, b"L") => number(fence).map(|fence| Acquired::Held { fence }),
        [kind, left, ahead] if is(kind, b"Q") => {
            left_of(left).zip(number(ahead)).map(|(left, ahead)| Acquired::Queued { left, ahead })
        }
        [kind, _] if is(kind, b"B") => Some(Acquired::Busy),
        _ => None,
    };
    parsed.ok_or_else(|| strange(value))
}

pub(crate) fn parse_joined(value: Value) -> Result<Joined, FleetError> {
    let parsed = match array(&value) {
        [kind, flight] if is(kind, b"L") => number(flight).map(|flight| Joined::Lead { flight }),
        [kind, flight, left] if is(kind, b"F") || is(kind, b"W") => {
            number(flight).zip(left_of(left)).map(|(flight, left)| {
                if is(kind, b"F") { Joined::Follow { flight, left } } else { Joined::Wait { flight, left } }
            })
        }
        [kind, flight, Value::BulkString(outcome)] if is(kind, b"O") => {
            number(flight).map(|flight| Joined::Outcome { flight, outcome: outcome.clone() })
        }
        [kind, _, Value::BulkString(outcome)] if is(kind, b"D") => Some(Joined::Done { outcome: outcome.clone() }),
        _ => None,
    };
    parsed.ok_or_else(|| strange(&value))
}

pub(crate) fn parse_finished(value: &Value) -> Result<Finished, FleetError> {
    let parsed = match array(value) {
        [Value::Int(1), waiters] => number(waiters).map(|waiters| Finished::Landed { waiters }),
        [Value::Int(0), last] => number(last).map(|last_fence| Finished::Stale { last_fence }),
        _ => None,
    };
    parsed.ok_or_else(|| strange(value))
}

pub(crate) fn parse_flag(value: &Value) -> Result<bool, FleetError> {
    match value {
        Value::Int(1) => Ok(true),
        Value::Int(0) => Ok(false),
        other => Err(strange(other)),
    }
}

fn array(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        _ => &[],
    }
}

fn is(value: &Value, text: &[u8]) -> bool {
    matches!(value, Value::BulkString(bytes) if bytes == text)
}

fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(n) => u64::try_from(*n).ok(),
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
        _ => None,
    }
}

fn left_of(value: &Value) -> Option<Duration> {
    number(value).map(Duration::from_millis)
}

/// Not a reply of these scripts: something between here and the server answers in its place.
fn strange(value: &Value) -> FleetError {
    let mut detail = format!("not an answer of the fleet's scripts: {value:?}");
    if detail.len() > 200 {
        let end = (0..=200).rev().find(|at| detail.is_char_boundary(*at)).unwrap_or(0);
        detail.truncate(end);
    }
    FleetError::Server { detail }
}
