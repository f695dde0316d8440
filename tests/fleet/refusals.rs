//! Clear errors, never a panic.

use crate::support::{Server, patient, until, until_renewed, watched};
use flight_group::Error;
use flight_group::fleet::{Fleet, FleetError, FleetGroup, Json};
use redis::Commands;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::time::Duration;

#[test]
fn a_bad_address() {
    for bad in ["", "localhost:6379", "http://127.0.0.1/", "redis://127.0.0.1:port/", "redis://127.0.0.1/db"] {
        let error = Fleet::connect(bad).unwrap_err();
        assert!(matches!(error, FleetError::BadUrl { .. }), "{bad}: {error:?}");
        assert!(error.to_string().starts_with(&format!("bad address \"{bad}\": expected redis://")), "{error}");
    }
}

#[test]
fn nobody_there() {
    // Bound and closed again: nothing listens.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = Fleet::connect(&format!("redis://127.0.0.1:{port}/")).unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(error.to_string().starts_with(&format!("the redis server at 127.0.0.1:{port} is unavailable: ")));
}

#[test]
fn a_wrong_password_and_a_missing_one() {
    let server = Server::with(&["--requirepass", "secret"]);
    let at = format!("127.0.0.1:{}", server.port());
    for url in [format!("redis://:wrong@{at}/"), format!("redis://{at}/")] {
        let error = Fleet::connect(&url).unwrap_err();
        assert_eq!(error, FleetError::AuthenticationFailed { server: at.clone() }, "{url}");
        assert!(!error.to_string().contains("wrong"));
    }
    Fleet::connect(&format!("redis://:secret@{at}/")).unwrap();
}

/// The line of the documentation page, and what happens with one permission less.
#[test]
fn the_documented_acl_line_is_enough_and_necessary() {
    watched("acl", || {
        let server = Server::start();
        let mut raw = server.raw();
        let mut setuser = |name: &str, rules: &[&str]| {
            let mut command = redis::cmd("ACL");
            command.arg("SETUSER").arg(name).arg(rules);
            command.exec(&mut raw).unwrap();
        };
        let rules = "on >secret resetchannels &flight:in:* ~{flight:* -@all +evalsha +eval +publish +subscribe \
                     +unsubscribe +punsubscribe +ping +info +hget +hmget +hset +hdel +hgetall +hincrby +get +set +del \
                     +exists +pttl +pexpire +time +zadd +zrem +zrange +zrank +zscore";
        let rules: Vec<&str> = rules.split_whitespace().collect();
        setuser("fleet", &rules);
        let without: Vec<&str> = rules.iter().copied().filter(|rule| *rule != "+hget").collect();
        setuser("less", &without);
        let without: Vec<&str> =
            rules.iter().copied().filter(|rule| *rule != "+hgetall" && *rule != "+hmget").collect();
        setuser("least", &without);

        let url = |user: &str| format!("redis://{user}:secret@127.0.0.1:{}/", server.port());
        let fleet = patient(&url("fleet")).ttl(Duration::from_secs(6)).connect().unwrap();
        let group: FleetGroup<u8, u8, String> = fleet.group("g");
        assert_eq!(group.try_work(&1, || Ok(1)), Ok(1));
        assert_eq!(fleet.stats().led, 1);
        let lease = fleet.lease("l").acquire().unwrap();
        until_renewed(&lease);
        lease.release().unwrap();

        let fleet = Fleet::connect(&url("least")).unwrap();
        let error = fleet.lease("l").acquire().unwrap_err();
        assert!(matches!(error, FleetError::NoPermission { .. }), "{error:?}");
        let group: FleetGroup<u8, u8, String> = fleet.group("g");
        let error = group.try_work(&1, || Ok(1)).unwrap_err();
        assert!(matches!(error, Error::Fleet(FleetError::NoPermission { .. })), "{error:?}");
    });
}

#[test]
fn a_server_that_is_too_old() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let old = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut lines = BufReader::new(stream.try_clone().unwrap());
        let mut line = String::new();
        // As much of the protocol as it takes: every command is an array, its last word decides the answer.
        while lines.read_line(&mut line).unwrap_or(0) > 0 {
            let answer = match line.trim().to_ascii_lowercase().as_str() {
                "setinfo" => Some("-ERR unknown subcommand\r\n".to_owned()),
                "server" => {
                    let info = "# Server\r\nredis_version:6.0.16\r\n";
                    Some(format!("${}\r\n{info}\r\n", info.len()))
                }
                _ => None,
            };
            if let Some(answer) = answer {
                stream.write_all(answer.as_bytes()).unwrap();
            }
            line.clear();
        }
    });
    let error = Fleet::connect(&format!("redis://127.0.0.1:{port}/")).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the redis server at 127.0.0.1:{port} is too old: version 6.0.16, expected 6.2 or later")
    );
    old.join().unwrap();
}

/// Every byte comes in time, and the answer never ends: connecting has a limit all the same.
#[test]
fn a_server_that_trickles_holds_nobody_who_connects() {
    watched("trickle", || {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // Ends when the client hangs up, which its own thread does when this one stops.
            let _ = stream.write_all(b"+");
            for _ in 0..100 {
                std::thread::sleep(Duration::from_millis(100));
                if stream.write_all(b"O").is_err() {
                    return;
                }
            }
        });
        let error = Fleet::builder(&format!("redis://127.0.0.1:{port}/"))
            .command_timeout(Duration::from_millis(500))
            .connect()
            .unwrap_err();
        assert!(error.to_string().ends_with("is unavailable: the server did not answer in time"), "{error}");
    });
}

#[test]
fn something_else_at_the_key() {
    let server = Server::start();
    let mut raw = server.raw();
    let _: () = raw.set("{flight:l:l}:f", "not a lease").unwrap();
    let _: () = raw.set("{flight:g:g:1}:f", "not a flight").unwrap();
    let fleet = patient(&server.url()).connect().unwrap();
    let wrong = |key: &str| FleetError::WrongType { key: key.to_owned() };
    assert_eq!(fleet.lease("l").acquire().unwrap_err(), wrong("{flight:l:l}:f"));
    let group: FleetGroup<u8, u8, String> = fleet.group("g");
    assert_eq!(group.try_work(&1, || Ok(1)), Err(Error::Fleet(wrong("{flight:g:g:1}:f"))));
    // Other keys are not touched by it.
    assert_eq!(group.try_work(&2, || Ok(2)), Ok(2));
    assert_eq!(raw.get::<_, String>("{flight:l:l}:f").unwrap(), "not a lease");
}

#[test]
fn a_server_that_became_a_replica_is_as_good_as_none() {
    watched("replica", || {
        let server = Server::start();
        let fleet = patient(&server.url()).connect().unwrap();
        let group: FleetGroup<u8, u8, String> = fleet.group("g");
        let refuse: FleetGroup<u8, u8, String> =
            fleet.group_with("g", Json::new()).refuse_when_unavailable(true).build().unwrap();
        assert_eq!(group.try_work(&1, || Ok(1)), Ok(1));
        let replica_of = |host: &str, port: &str| {
            redis::cmd("REPLICAOF").arg(host).arg(port).exec(&mut server.raw()).unwrap();
        };
        // Port 1 of the loopback: a master that is never there.
        replica_of("127.0.0.1", "1");
        assert_eq!(group.try_work(&1, || Ok(2)), Ok(2), "flies alone");
        assert!(fleet.lease("l").acquire().unwrap_err().is_unavailable());
        let refused = refuse.try_work(&1, || panic!("must not run"));
        assert!(matches!(refused, Err(Error::Fleet(FleetError::Unavailable { .. }))), "{refused:?}");
        assert!(refused.unwrap_err().to_string().contains("READONLY"));
        replica_of("NO", "ONE");
        let led = fleet.stats().led;
        until("it is asked again", || group.try_work(&1, || Ok(3)) == Ok(3) && fleet.stats().led > led);
    });
}

#[test]
fn a_full_server_still_gives_and_takes_leases() {
    let server = Server::start();
    let fleet = patient(&server.url()).connect().unwrap();
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1").exec(&mut server.raw()).unwrap();
    let lease = fleet.lease("l").acquire().unwrap();
    assert!(fleet.lease("l").try_acquire().unwrap().is_none());
    lease.release().unwrap();
    let group: FleetGroup<u8, u8, String> = fleet.group("g");
    assert_eq!(group.try_work(&1, || Ok(1)), Ok(1));
    assert_eq!((fleet.stats().led, fleet.stats().unavailable), (1, 0));
}
