//! The parts of `examples/stampede` that read what users give it.

#[path = "../../examples/stampede/paths.rs"]
mod paths;
#[path = "../../examples/stampede/trace.rs"]
mod trace;

use proptest::prelude::*;
use trace::Trace;

fn read(text: &[u8]) -> Result<Trace, String> {
    Trace::read(text)
}

/// The keys in the order they are asked for.
fn asked(trace: &Trace) -> Vec<&str> {
    trace.requests().iter().map(|&key| trace.keys()[key as usize].as_str()).collect()
}

#[test]
fn a_file_of_keys_is_one_request_a_line() {
    let trace = read(b"0\r\n1\n\n2\n0\n1").unwrap();
    assert_eq!(asked(&trace), ["0", "1", "2", "0", "1"]);
    assert_eq!(trace.keys(), ["0", "1", "2"]);
    assert_eq!((trace.hottest(), trace.skipped()), ("0", 0), "of the keys asked for twice, the first");
}

#[test]
fn a_log_is_one_request_for_each_path_that_is_read() {
    let log = br#"
127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] "GET /apache_pb.gif HTTP/1.0" 200 2326
127.0.0.1 - - [10/Oct/2000:13:55:37 -0700] "GET /a%20b?page=2 HTTP/1.1" 200 12 "http://x/\"y\"" "Mozilla/5.0 [en]"
127.0.0.1 - - [10/Oct/2000:13:55:37 -0700] "GET http://example.com/proxied#top HTTP/1.1" 200 12
127.0.0.1 - - [10/Oct/2000:13:55:37 -0700] "GET http://example.com HTTP/1.1" 200 12
127.0.0.1 - - [10/Oct/2000:13:55:37 -0700] "GET /say\"cheese\" HTTP/1.1" 404 0
127.0.0.1 - - [10/Oct/2000:13:55:38 -0700] "POST /cart HTTP/1.1" 302 0
127.0.0.1 - - [10/Oct/2000:13:55:38 -0700] "\x16\x03\x01" 400 226
127.0.0.1 - - [10/Oct/2000:13:55:38 -0700] "-" 408 -
::1 - - [10/Oct/2000:13:55:39 -0700] "HEAD /a%20b HTTP/1.1" 200 -
"#;
    let trace = read(log).unwrap();
    assert_eq!(asked(&trace), ["/apache_pb.gif", "/a%20b", "/proxied", "/", "/say\\\"cheese\\\"", "/a%20b"]);
    assert_eq!((trace.hottest(), trace.skipped()), ("/a%20b", 3));
}

#[test]
fn an_unreadable_line_is_named_with_what_was_expected() {
    let good = br#"1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 2326"#;
    let after_good = |line: &[u8]| [good, &b"\n"[..], line].concat();
    let long = format!("a\n{}\n", "b".repeat(2_049));
    for (text, expected) in [
        (b"".to_vec(), "it holds no requests, expected one key a line or a web server's log"),
        (b"\n \n\r\n".to_vec(), "it holds no requests, expected one key a line or a web server's log"),
        (b"a\nb\n\nc d\n".to_vec(), "line 4: expected one key without white space, found \"c d\""),
        (b"a\n\xFF\n".to_vec(), "line 2: expected UTF-8 text"),
        (b"a\nb\0c\n".to_vec(), "line 2: expected one key without white space, found \"b\\0c\""),
        (long.into_bytes(), "line 2: expected a key of at most 2048 bytes, found 2049"),
        (after_good(b"half a li"), "line 2: expected a log line such as "),
        (
            after_good(b"1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.0"),
            "line 2: expected a log line such as ",
        ),
        (
            after_good(b"1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.0\" OK"),
            "line 2: expected a log line such as ",
        ),
        (
            after_good(b"1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] \"GET / HTTP/1.0\""),
            "line 2: expected a log line such as ",
        ),
    ] {
        let error = read(&text).expect_err("it cannot be read");
        assert!(error.starts_with(expected), "got: {error}\nexpected: {expected}");
        assert!(!error.contains('\n'), "one line: {error}");
    }
}

#[test]
fn a_generated_pattern_is_skewed_as_zipf_has_it_and_the_same_every_time() {
    let trace = Trace::zipf(100_000, 1);
    assert_eq!(trace, Trace::zipf(100_000, 1));
    assert_ne!(trace, Trace::zipf(100_000, 2));
    assert_eq!(trace.requests().len(), 100_000);
    assert_eq!(trace.hottest(), trace.keys()[0]);

    let count = |rank: usize| trace.requests().iter().filter(|&&key| key as usize == rank - 1).count() as f64;
    // The k-th is asked for 1 / k times as often as the first: with that many draws, to within a few percent.
    for rank in [2, 4, 6] {
        let expected = 1.0 / rank as f64;
        let found = count(rank) / count(1);
        assert!((found / expected - 1.0).abs() < 0.1, "rank {rank}: {found}, expected {expected}");
    }
}

#[test]
fn a_shortened_trace_keeps_the_keys_it_still_asks_for() {
    let mut trace = read(b"a\nb\na\nc\nb\n").unwrap();
    trace.truncate(3);
    assert_eq!(asked(&trace), ["a", "b", "a"]);
    assert_eq!(trace.keys(), ["a", "b"]);
    trace.truncate(100);
    assert_eq!(asked(&trace), ["a", "b", "a"]);
}

proptest! {
    #[test]
    fn a_key_survives_its_way_through_a_url(key in any::<String>()) {
        let path = paths::encode(&key);
        prop_assert!(path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)), "{}", path);
        prop_assert_eq!(paths::decode(&path), Some(key));
    }

    #[test]
    fn what_is_no_encoded_key_is_refused_or_read_never_a_panic(segment in "[%0-9a-fA-Fg]{0,12}") {
        if let Some(key) = paths::decode(&segment) {
            prop_assert_eq!(paths::decode(&paths::encode(&key)), Some(key));
        }
    }
}
