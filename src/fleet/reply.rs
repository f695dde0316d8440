//! What the server answers, read: the scripts' values, and refusals.

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

/// The commands that the user of CHECK may not run, as rules of its ACL, with the server's words for the first.
pub(crate) fn parse_checked(server: &str, value: &Value) -> Result<(), FleetError> {
    let Value::Array(refused) = value else { return Err(strange(value)) };
    let (mut rules, mut words) = (Vec::new(), None);
    for pair in refused.chunks(2) {
        let [Value::BulkString(name), Value::BulkString(reply)] = pair else { return Err(strange(value)) };
        let (name, reply) = (String::from_utf8_lossy(name), String::from_utf8_lossy(reply));
        let (code, detail) = split(&reply);
        match refusal(server, "", code, detail) {
            Refusal { error: FleetError::NoPermission { detail }, .. } => {
                rules.push(format!("+{}", name.to_ascii_lowercase()));
                words.get_or_insert(detail);
            }
            Refusal { error, concerns: Concerns::Server } => return Err(error),
            // The server does not take writes at the moment: it may soon, and it is each call's to say so.
            Refusal { concerns: Concerns::Call, .. } => {}
        }
    }
    match words {
        Some(words) => Err(FleetError::NoPermission { detail: format!("{} ({words})", rules.join(" ")) }),
        None => Ok(()),
    }
}

/// What an error reply means, and which calls it concerns.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) error: FleetError,
    pub(crate) concerns: Concerns,
}

/// Which calls an error reply concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Concerns {
    /// The request that got it. Others on the same connection may well go through.
    Call,
    /// Everybody: this server cannot serve now, or is not the one to ask.
    Server,
}

/// The one place where error replies are told apart, by their codes. `record` is the key the request was about.
pub(crate) fn refusal(server: &str, record: &str, code: &str, detail: &str) -> Refusal {
    use Concerns::{Call, Server};
    let whole = || format!("{code} {detail}").trim().to_owned();
    let unavailable = || FleetError::Unavailable { server: server.to_owned(), reason: whole() };
    let (error, concerns) = match code_of(code, detail) {
        "WRONGTYPE" => (FleetError::WrongType { key: record.to_owned() }, Call),
        "NOPERM" => (FleetError::NoPermission { detail: whole() }, Call),
        "OOM" | "MISCONF" | "NOREPLICAS" | "BUSY" => (unavailable(), Call),
        "LOADING" | "READONLY" | "MASTERDOWN" => (unavailable(), Server),
        "MOVED" | "ASK" | "CROSSSLOT" | "CLUSTERDOWN" | "TRYAGAIN" => {
            (FleetError::WrongServer { server: server.to_owned(), found: CLUSTER.to_owned() }, Server)
        }
        "NOAUTH" | "WRONGPASS" => (FleetError::AuthenticationFailed { server: server.to_owned() }, Server),
        _ => (FleetError::Server { detail: whole() }, Call),
    };
    Refusal { error, concerns }
}

pub(crate) const CLUSTER: &str = "a node of a cluster, where a fleet needs a single server";

/// The code of an error that a script passed on. Redis 7 and Valkey pass most codes on; Redis 6 wraps them into an
/// `ERR`, and what the user may not do inside a script is an `ERR` everywhere.
fn code_of<'a>(code: &'a str, detail: &'a str) -> &'a str {
    const WRAPPED: [&str; 8] =
        ["WRONGTYPE", "NOPERM", "OOM", "MISCONF", "NOREPLICAS", "READONLY", "MASTERDOWN", "CLUSTERDOWN"];
    const FORBIDDEN: [&str; 4] = [
        "ACL failure in script",
        "The user executing the script can't",
        "can't run this command",
        // The driver passes on what it asked itself without the code.
        "no permissions to",
    ];
    if code != "ERR" {
        return code;
    }
    if FORBIDDEN.iter().any(|words| detail.contains(words)) {
        return "NOPERM";
    }
    if !detail.starts_with("Error running script") {
        return code;
    }
    detail
        .split([' ', ':'])
        .map(|word| word.trim_start_matches('-'))
        .find(|word| WRAPPED.contains(word))
        .unwrap_or(code)
}

/// An error reply as a script sees it: its code, and the rest.
fn split(reply: &str) -> (&str, &str) {
    let reply = reply.trim_start_matches('-');
    match reply.split_once(' ') {
        Some((code, detail)) if code.bytes().all(|byte| byte.is_ascii_uppercase()) => (code, detail),
        _ => ("ERR", reply),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_replies_are_told_apart_by_their_codes() {
        let of = |code, detail| refusal("h:1", "{k}:f", code, detail);
        let call = |error| Refusal { error, concerns: Concerns::Call };
        let wrong = FleetError::WrongType { key: "{k}:f".into() };
        assert_eq!(of("WRONGTYPE", "Operation against a key"), call(wrong.clone()));
        let wrapped = "Error running script (call to f_1): @user_script:1: WRONGTYPE Operation against a key";
        assert_eq!(of("ERR", wrapped), call(wrong));
        // Redis 6 wraps, Redis 7 and Valkey pass the code on; `-` is left over in some of them.
        for (code, detail) in [
            ("OOM", "command not allowed when used memory > 'maxmemory'."),
            ("ERR", "Error running script (call to f_1): @user_script:9: @user_script: 9: -OOM command not allowed"),
            ("MISCONF", "Redis is configured to save RDB snapshots"),
            ("NOREPLICAS", "Not enough good replicas to write."),
            ("BUSY", "Redis is busy running a script."),
        ] {
            let refusal = of(code, detail);
            assert!(refusal.error.is_unavailable() && refusal.concerns == Concerns::Call, "{refusal:?}");
        }
        for detail in [
            "The user executing the script can't run this command or subcommand script: 08be, on @user_script:1.",
            "The user executing the script can't publish to the channel mentioned in the command script: df, on @u:1.",
            "ACL failure in script: User u has no permissions to run the 'hset' command script: on @user_script:1.",
            "Error running script (call to f_1): @user_script:1: The user executing the script can't run this command",
        ] {
            let refusal = of("ERR", detail);
            assert!(matches!(refusal.error, FleetError::NoPermission { .. }), "{refusal:?}");
            assert_eq!(refusal.concerns, Concerns::Call);
        }
        for code in ["LOADING", "READONLY", "MASTERDOWN"] {
            let refusal = of(code, "");
            assert!(refusal.error.is_unavailable() && refusal.concerns == Concerns::Server, "{refusal:?}");
        }
        assert!(matches!(of("NOAUTH", "Authentication required.").error, FleetError::AuthenticationFailed { .. }));
        assert!(matches!(of("MOVED", "1234 127.0.0.1:7001").error, FleetError::WrongServer { .. }));
        // An error that only speaks of one of them is another.
        assert!(matches!(of("ERR", "value is not OOM or an integer").error, FleetError::Server { .. }));
    }
}
