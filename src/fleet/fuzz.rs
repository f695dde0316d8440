//! What comes over the wire, for the fuzz targets in `fuzz/`. Built with cfg `flight_group_fuzz` only: no feature, and in
//! no user's build. Each function panics where a promise is broken, and returns otherwise.

use super::FleetError;
use super::address::{Address, Target};
use super::codec::{Codec, Json, JsonValues, Raw, seal, unseal};
use super::mailbox::Mail;
use super::reply::{Joined, parse_acquired, parse_checked, parse_finished, parse_flag, parse_joined, refusal};
use crate::sync::Duration;

/// A server's answer, in its own encoding, or a message: read as a reply of every script, or refused with a short error.
pub fn reply(bytes: &[u8]) {
    if let Some((token, mail)) = Mail::parse(bytes) {
        assert!(bytes[1..].starts_with(token.as_bytes()) && !token.contains(' '), "{token:?}");
        if let Mail::Outcome { outcome, .. } = mail {
            assert!(bytes.ends_with(&outcome), "an outcome that was not sent");
        }
    }
    let Ok(value) = redis::parse_redis_value(bytes) else { return };
    if let redis::Value::ServerError(error) = &value {
        let refusal = refusal("h:1", "{k}:f", error.code(), error.details().unwrap_or_default());
        assert!(!refusal.error.to_string().is_empty());
    }
    // A refusal of any kind, or none.
    let _ = parse_checked("h:1", &value);
    refused(parse_acquired(&value));
    refused(parse_finished(&value));
    refused(parse_flag(&value));
    if let Some(Joined::Outcome { outcome, .. } | Joined::Done { outcome }) = refused(parse_joined(value)) {
        assert!(bytes.windows(outcome.len().max(1)).any(|part| part == outcome) || outcome.is_empty());
    }
}

fn refused<T>(parsed: Result<T, FleetError>) -> Option<T> {
    match parsed {
        Ok(reply) => Some(reply),
        Err(error) => {
            assert!(matches!(error, FleetError::Server { .. }) && error.to_string().len() < 300, "{error}");
            None
        }
    }
}

/// What a group of this type would share.
type Value = (u64, Option<String>, Vec<(i8, bool)>, Box<[u8]>);

/// An outcome as another process sealed it: read by every codec, or refused. What is read is written as something that
/// reads the same, and by no other codec or schema number.
pub fn codec(bytes: &[u8]) {
    through::<Value, String>(&Json::schema(1), &Json::schema(2), bytes);
    through::<Value, String>(&JsonValues::schema(1), &Json::schema(1), bytes);
    through::<Vec<u8>, String>(&Raw, &JsonValues::schema(0), bytes);
    #[cfg(feature = "postcard")]
    {
        use super::codec::Postcard;
        through::<Value, String>(&Postcard::schema(1), &Postcard::schema(2), bytes);
    }
}

fn through<V, E>(codec: &dyn Codec<V, E>, other: &dyn Codec<V, E>, bytes: &[u8])
where
    V: PartialEq + std::fmt::Debug,
    E: PartialEq + std::fmt::Debug,
{
    // As it came; and as if the head had been right, which random bytes seldom are.
    let mut sealed = vec![codec.mark()];
    sealed.extend_from_slice(&codec.schema().to_be_bytes());
    sealed.extend_from_slice(bytes);
    for sealed in [bytes, &sealed] {
        let Some(outcome) = unseal(codec, sealed) else { continue };
        let Some(again) = seal(codec, outcome.as_ref()) else {
            assert!(outcome.is_err(), "a value that was read and cannot be written: {outcome:?}");
            continue;
        };
        assert_eq!(unseal(codec, &again).as_ref(), Some(&outcome));
        assert_eq!(unseal(other, &again), None);
    }
}

const SECRET: &str = "s3cr3t";

/// An address, and what sentinels are said to be at: parsed, or refused with an error that holds no password. The bytes
/// are the parts of an address with a password, separated by line feeds.
pub fn address(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // A fuzzer that reads the program finds the password in it. Then nothing can be said of where it came from.
    if text.contains(SECRET) {
        return;
    }
    parse(text, None);
    let parts: Vec<&str> = text.split('\n').collect();
    let part = |n: usize| parts.get(n).copied().unwrap_or_default();
    for url in [
        format!("{}://{}:{SECRET}{}@{}", part(0), part(1), part(2), part(3)),
        format!("{}:{SECRET}@{}", part(0), part(1)),
        format!("unix://{}?{}&pass={SECRET}&{}", part(0), part(1), part(2)),
    ] {
        parse(&url, None);
        parse("redis://mymaster/", Some(vec![url.clone()]));
        parse(&url, Some(vec![part(1).to_owned()]));
    }
}

fn parse(url: &str, sentinels: Option<Vec<String>>) {
    let mut target = Target::default();
    (target.url, target.sentinels) = (url.to_owned(), sentinels);
    if let Err(error) = Address::parse(&target, "flight", Duration::from_secs(1)) {
        assert!(!error.to_string().contains(SECRET) && !format!("{error:?}").contains(SECRET), "{url:?}: {error}");
    }
}
