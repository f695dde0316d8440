//! The program that `.ci/instructions` counts the instructions of: so many calls of one kind, and nothing else.
//!
//! `instructions KIND CALLS`. The count of one call is the difference between two runs of different length,
//! divided by the difference in calls, less the same for `nothing`: neither the process's start nor the loop is
//! part of it.

#![allow(clippy::print_stderr, reason = "a program, which says what it does not understand")]

use flight_group::{Group, WriteGroup};
use std::hint::black_box;

type Fast = foldhash::fast::FixedState;
type Slow = std::hash::RandomState;

/// Keys meet different shards, as they do in life; a power of two, so that the loop costs a mask.
const KEYS: u64 = 256;

#[inline(always)]
fn repeat(calls: u64, mut call: impl FnMut(u64)) {
    for n in 0..calls {
        call(black_box(n % KEYS));
    }
}

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let usage =
        "usage: instructions nothing|u64-fast|u64-default|work-fast|bytes-fast|str-fast|write-fast|failing-fast CALLS";
    let [kind, calls] = &arguments[..] else {
        eprintln!("{usage}");
        return std::process::ExitCode::from(2);
    };
    let Ok(calls) = calls.parse() else {
        eprintln!("instructions: expected a number of calls, found \"{calls}\"");
        return std::process::ExitCode::from(2);
    };
    match kind.as_str() {
        "nothing" => repeat(calls, |key| {
            black_box(key);
        }),
        "u64-fast" => {
            let group: Group<u64, u64, u64, Fast> = Group::with_hasher(Fast::default());
            repeat(calls, |key| {
                let _ = black_box(group.try_work(&key, || Ok(key)));
            });
        }
        "work-fast" => {
            let group: Group<u64, u64, std::convert::Infallible, Fast> = Group::with_hasher(Fast::default());
            repeat(calls, |key| {
                black_box(group.work(&key, || key));
            });
        }
        "bytes-fast" => {
            let group: Group<[u8; 32], u64, u64, Fast> = Group::with_hasher(Fast::default());
            repeat(calls, |key| {
                let key = black_box([key as u8; 32]);
                let _ = black_box(group.try_work(&key, || Ok(7)));
            });
        }
        "str-fast" => {
            let group: Group<String, u64, u64, Fast> = Group::with_hasher(Fast::default());
            let keys: Vec<String> = (0..KEYS).map(|n| format!("user:{n:06}:profile")).collect();
            repeat(calls, |key| {
                let _ = black_box(group.try_work(keys[key as usize].as_str(), || Ok(7)));
            });
        }
        "u64-default" => {
            let group: Group<u64, u64, u64, Slow> = Group::with_hasher(Slow::new());
            repeat(calls, |key| {
                let _ = black_box(group.try_work(&key, || Ok(key)));
            });
        }
        "write-fast" => {
            let writes: WriteGroup<u64, u64, u64, Fast> = WriteGroup::with_hasher(Fast::default());
            repeat(calls, |key| {
                let _ = black_box(writes.try_write(&key, || Ok(key)));
            });
        }
        "failing-fast" => {
            let group: Group<u64, u64, u64, Fast> = Group::with_hasher(Fast::default());
            repeat(calls, |key| {
                let _ = black_box(group.try_work(&key, || Err(key)));
            });
        }
        _ => {
            eprintln!("instructions: \"{kind}\" is unknown; {usage}");
            return std::process::ExitCode::from(2);
        }
    }
    std::process::ExitCode::SUCCESS
}
