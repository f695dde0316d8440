//! The scripts, and how a call of one becomes bytes.

use super::keys::{self, Names};
use crate::sync::Arc;
use once_cell::sync::Lazy;

/// One script and the name the server knows it by.
pub(crate) struct Script {
    name: &'static str,
    code: &'static str,
    sha: String,
}

impl Script {
    fn new(name: &'static str, code: &'static str) -> Self {
        Self { name, code, sha: redis::Script::new(code).get_hash().to_owned() }
    }
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! script {
    ($name:ident, $file:literal) => {
        // A constant that is always the same: nothing for a model checker to explore.
        pub(crate) static $name: Lazy<Script> =
            Lazy::new(|| Script::new($file, include_str!(concat!("scripts/", $file, ".lua"))));
    };
}

script!(JOIN, "join");
script!(FINISH, "finish");
script!(RENEW, "renew");
script!(RELEASE, "release");
script!(ACQUIRE, "acquire");
// Tries what the others call; see `introduction`.
script!(CHECK, "check");

/// Calls of no effect, after which a server knows all scripts by their hashes; the last one, CHECK, says which of their
/// commands the user may not run.
///
/// Sent on every new connection: a pipeline in which one script is known and another is not would be executed out of
/// order, and order is what keeps a landing before a newcomer's question. (SCRIPT LOAD would need one more permission.)
pub(crate) fn introduction(prefix: &str) -> Vec<Request> {
    let names = Names::check(prefix);
    let check = Request::new(&CHECK)
        .key(names.record())
        .key(names.queue())
        .key(names.last_fence())
        .arg(keys::inbox(prefix, "check"));
    let known = [&JOIN, &FINISH, &RENEW, &RELEASE, &ACQUIRE].into_iter().map(|script| Request::new(script));
    known.chain([check]).collect()
}

/// One call of one script, ready to be sent any number of times.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    script: &'static Script,
    keys: Vec<Vec<u8>>,
    args: Vec<Vec<u8>>,
}

impl Request {
    pub(crate) fn new(script: &'static Script) -> Self {
        Self { script, keys: Vec::with_capacity(4), args: Vec::with_capacity(6) }
    }

    pub(crate) fn key(mut self, key: Vec<u8>) -> Self {
        self.keys.push(key);
        self
    }

    pub(crate) fn arg(mut self, arg: impl Into<Vec<u8>>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub(crate) fn number(self, number: u64) -> Self {
        self.arg(number.to_string())
    }

    pub(crate) fn token(self, token: &Arc<str>) -> Self {
        self.arg(token.as_bytes())
    }

    /// The first key, which is the record's: what an error names.
    pub(crate) fn record(&self) -> String {
        self.keys.first().map_or_else(String::new, |key| String::from_utf8_lossy(key).into_owned())
    }

    /// The bytes for the wire: by hash, or (where the server does not know the hash) with the script's text.
    pub(crate) fn pack(&self, with_text: bool, into: &mut Vec<u8>) {
        let mut command = if with_text {
            let mut command = redis::cmd("EVAL");
            command.arg(self.script.code);
            command
        } else {
            let mut command = redis::cmd("EVALSHA");
            command.arg(&self.script.sha);
            command
        };
        command.arg(self.keys.len());
        for part in self.keys.iter().chain(&self.args) {
            command.arg(&part[..]);
        }
        into.extend_from_slice(&command.get_packed_command());
    }

    /// Roughly how many bytes this is, to bound a pipeline.
    pub(crate) fn weight(&self) -> usize {
        self.keys.iter().chain(&self.args).map(|part| part.len() + 16).sum::<usize>() + 64
    }
}
