//! Clear errors, never a panic.

use crate::support::proxy::Proxy;
use crate::support::server::free_port;
use crate::support::{Server, patient, until, until_renewed, watched};
use flight_group::Error;
use flight_group::fleet::{Fleet, FleetError, FleetGroup, FleetWriteGroup, Json};
use redis::{Commands, Script};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::sync::mpsc;
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

/// The rules of `docs::fleet`, for the user `name`.
fn documented_rules() -> Vec<&'static str> {
    let page = include_str!("../../src/docs/fleet.rs");
    let (_, line) = page.split_once("ACL SETUSER fleet ").expect("the page has the line");
    let (line, _) = line.split_once("```").unwrap();
    line.split_whitespace().filter(|word| *word != "//!").collect()
}

fn set_user(server: &Server, name: &str, rules: &[&str]) {
    redis::cmd("ACL").arg("SETUSER").arg(name).arg("reset").arg(rules).exec(&mut server.raw()).unwrap();
}

/// Whether somebody is registered with the flight of key 1.
fn is_followed(server: &Server, database: u8) -> bool {
    let mut raw = server.raw();
    redis::cmd("SELECT").arg(database).exec(&mut raw).unwrap();
    let fields: Vec<String> = raw.hkeys("{flight:g:g:1}:f").unwrap();
    fields.iter().any(|field| field.starts_with("n:"))
}

#[test]
fn the_documented_acl_line_is_enough() {
    watched("acl", || {
        let server = Server::start();
        set_user(&server, "fleet", &documented_rules());
        for database in [0, 3] {
            let url = format!("redis://fleet:secret@127.0.0.1:{}/{database}", server.port());
            let fleet = || patient(&url).ttl(Duration::from_secs(6)).connect().unwrap();
            let (one, other) = (fleet(), fleet());
            let (leads, follows): (FleetGroup<u8, u8, String>, FleetGroup<u8, u8, String>) =
                (one.group("g"), other.group("g"));
            std::thread::scope(|s| {
                let (started, start) = mpsc::channel();
                let (server, leads) = (&server, &leads);
                s.spawn(move || {
                    leads.try_work(&1, || {
                        started.send(()).unwrap();
                        until("the other follows", || is_followed(server, database));
                        Ok(1)
                    })
                });
                start.recv().unwrap();
                assert_eq!(follows.try_work(&1, || Ok(2)), Ok(1));
            });
            let lease = one.lease("l").acquire().unwrap();
            std::thread::scope(|s| {
                let next = s.spawn(|| other.lease("l").acquire());
                until("the other queues", || other.waiting() == 1);
                until_renewed(&lease);
                lease.release().unwrap();
                next.join().unwrap().unwrap().release().unwrap();
            });
            let writes: FleetWriteGroup<u8, u64> = one.write_group("w");
            assert!(writes.try_write(&1, |lease| Ok(lease.fence())).is_ok());
            assert_eq!((one.stats().unavailable, other.stats().unavailable), (0, 0));
        }
    });
}

/// Whatever is missing, `connect` fails and names it.
#[test]
fn connect_names_every_missing_permission() {
    watched("missing permissions", || {
        let server = Server::start();
        let rules = documented_rules();
        let mut tried = 0;
        for missing in &rules {
            // What the message says of it.
            let named = match missing.split_at(1) {
                ("+", command) => command,
                ("~", _) => "key",
                ("&", _) => "channel",
                _ => continue,
            };
            tried += 1;
            let left: Vec<&str> = rules.iter().copied().filter(|rule| rule != missing).collect();
            set_user(&server, "less", &left);
            let url = format!("redis://less:secret@127.0.0.1:{}/3", server.port());
            let error = Fleet::connect(&url).map(|_| ()).expect_err(missing);
            assert!(matches!(&error, FleetError::NoPermission { .. }), "{missing}: {error:?}");
            assert!(error.to_string().contains(named), "{missing}: {error}");
        }
        assert!(tried > 20);
    });
}

/// A permission that is taken away later concerns the calls that need it, and their outcome says so.
#[test]
fn a_permission_taken_away_later_is_named_by_the_call() {
    watched("permission taken away", || {
        let server = Server::start();
        set_user(&server, "fleet", &documented_rules());
        let fleet = patient(&format!("redis://fleet:secret@127.0.0.1:{}/", server.port())).connect().unwrap();
        redis::cmd("ACL").arg("SETUSER").arg("fleet").arg("-hmget").exec(&mut server.raw()).unwrap();
        let error = fleet.lease("l").acquire().unwrap_err();
        assert!(matches!(error, FleetError::NoPermission { .. }), "{error:?}");
        let group: FleetGroup<u8, u8, String> = fleet.group("g");
        let error = group.try_work(&1, || Ok(1)).unwrap_err();
        assert!(matches!(error, Error::Fleet(FleetError::NoPermission { .. })), "{error:?}");
        assert_eq!((fleet.outage(), fleet.stats().reconnects), (None, 0));
    });
}

#[test]
fn a_server_that_cannot_serve_is_refused_by_name() {
    watched("wrong servers", || {
        let config = format!("flight-group-nodes-{}.conf", free_port());
        let node = Server::with(&["--cluster-enabled", "yes", "--cluster-config-file", &config]);
        let error = Fleet::connect(&node.url()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the redis server at 127.0.0.1:{} cannot serve a fleet: it is a node of a cluster, where a fleet needs a \
                 single server",
                node.port()
            )
        );
        let _ = std::fs::remove_file(std::env::temp_dir().join(config));
        let master = Server::start();
        let replica = Server::with(&["--replicaof", &format!("127.0.0.1 {}", master.port())]);
        let error = Fleet::connect(&replica.url()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "the redis server at 127.0.0.1:{} is unavailable: it is a replica of 127.0.0.1:{}, and takes no writes",
                replica.port(),
                master.port()
            )
        );
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
                "info" => {
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
        let fleet = patient(&server.url()).patience(Duration::from_millis(500)).connect().unwrap();
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
        assert!(refused.unwrap_err().to_string().contains("it is a replica"));
        replica_of("NO", "ONE");
        let led = fleet.stats().led;
        until("it is asked again", || group.try_work(&1, || Ok(3)) == Ok(3) && fleet.stats().led > led);
    });
}

#[test]
fn a_full_server_still_gives_and_takes_leases() {
    watched("full server", || {
        let server = Server::start();
        let fleets = [patient(&server.url()).connect().unwrap(), patient(&server.url()).connect().unwrap()];
        let [one, other] = &fleets;
        redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1").exec(&mut server.raw()).unwrap();
        let lease = one.lease("l").acquire().unwrap();
        assert!(one.lease("l").try_acquire().unwrap().is_none());
        std::thread::scope(|s| {
            // While somebody queues, and somebody follows, all the others go on.
            let waits = s.spawn(|| other.lease("l").acquire().unwrap().release());
            until("it queues", || other.waiting() == 1);
            let (leads, follows): (FleetGroup<u8, u8, String>, FleetGroup<u8, u8, String>) =
                (one.group("g"), other.group("g"));
            let (started, start) = mpsc::channel();
            let server = &server;
            let leader = s.spawn(move || {
                leads.try_work(&1, || {
                    started.send(()).unwrap();
                    until("it follows", || is_followed(server, 0));
                    Ok(1)
                })
            });
            start.recv().unwrap();
            let follower = s.spawn(move || follows.try_work(&1, || Ok(2)));
            for n in 0..100 {
                fleets[n % 2].lease(&format!("l{n}")).acquire().unwrap().release().unwrap();
            }
            assert_eq!(leader.join().unwrap(), Ok(1));
            assert_eq!(follower.join().unwrap(), Ok(1));
            assert_eq!(lease.release(), Ok(()));
            assert_eq!(waits.join().unwrap(), Ok(()));
        });
        for fleet in &fleets {
            assert_eq!((fleet.stats().unavailable, fleet.stats().reconnects, fleet.outage()), (0, 0, None));
        }
    });
}

/// A server that takes no writes for a while: no disk, no replica, or somebody else's script that runs and runs.
struct Unwilling {
    code: &'static str,
    begin: fn(&Server),
    end: fn(&Server),
}

fn configure(server: &Server, name: &str, value: &str) {
    redis::cmd("CONFIG").arg("SET").arg(name).arg(value).exec(&mut server.raw()).unwrap();
}

const UNWILLING: [Unwilling; 3] = [
    Unwilling {
        code: "NOREPLICAS",
        begin: |server| configure(server, "min-replicas-to-write", "1"),
        end: |server| configure(server, "min-replicas-to-write", "0"),
    },
    Unwilling {
        code: "MISCONF",
        begin: |server| {
            // A file that cannot be written, because there is a directory of that name.
            std::fs::create_dir(server.dump()).unwrap();
            configure(server, "save", "3600 1000000");
            redis::cmd("BGSAVE").exec(&mut server.raw()).unwrap();
            until("the save has failed", || {
                let info: String = redis::cmd("INFO").arg("persistence").query(&mut server.raw()).unwrap();
                info.contains("rdb_last_bgsave_status:err")
            });
            std::fs::remove_dir(server.dump()).unwrap();
        },
        end: |server| configure(server, "stop-writes-on-bgsave-error", "no"),
    },
    Unwilling {
        code: "BUSY",
        begin: |server| {
            configure(server, "busy-reply-threshold", "1");
            let mut raw = server.raw();
            std::thread::spawn(move || {
                let endless = Script::new("while true do redis.call('PING') end");
                assert!(endless.invoke::<()>(&mut raw).is_err(), "it is killed");
            });
            until("the server says so", || redis::cmd("PING").exec(&mut server.raw()).is_err());
        },
        end: |server| {
            redis::cmd("SCRIPT").arg("KILL").exec(&mut server.raw()).unwrap();
        },
    },
];

#[test]
fn a_server_that_takes_no_writes_for_a_while_refuses_calls_and_nothing_else() {
    for Unwilling { code, begin, end } in UNWILLING {
        watched(code, || {
            let server = Server::start();
            let fleet = patient(&server.url()).patience(Duration::from_millis(100)).connect().unwrap();
            let group: FleetGroup<u8, u8, String> = fleet.group("g");
            let lease = fleet.lease("held").acquire().unwrap();
            begin(&server);
            let error = fleet.lease("l").acquire().unwrap_err();
            assert!(error.is_unavailable() && error.to_string().contains(code), "{error}");
            assert_eq!(group.try_work(&1, || Ok(1)), Ok(1), "{code}: flies alone");
            // What gives memory back is kept, and sent again; nobody waits for that.
            assert!(lease.release().unwrap_err().is_unavailable());
            std::thread::scope(|s| {
                let waits = s.spawn(|| fleet.lease("l").acquire_timeout(Duration::from_secs(60)));
                until("it has been refused", || fleet.waiting() == 1);
                assert_eq!((fleet.outage(), fleet.stats().reconnects), (None, 0), "{code}");
                end(&server);
                waits.join().unwrap().unwrap().release().unwrap();
            });
            until("the first lease is released too", || server.keys().iter().all(|key| key.ends_with(":c")));
            assert_eq!(group.try_work(&1, || Ok(2)), Ok(2));
            assert_eq!((fleet.stats().led, fleet.stats().reconnects), (1, 0), "{code}: the connection was kept");
        });
    }
}

/// The connection that brings outcomes pings in every silence, and a busy server refuses that too.
#[test]
fn a_busy_server_keeps_the_connection_that_brings_outcomes() {
    watched("busy inbox", || {
        let Unwilling { code, begin, end } = &UNWILLING[2];
        let server = Server::start();
        let proxy = Proxy::to(server.port());
        let fleet = patient(&proxy.url()).ping_interval(Duration::from_secs(1)).connect().unwrap();
        let before = fleet.stats().reconnects;
        begin(&server);
        proxy.watch(code);
        until("a ping was refused", || proxy.has_passed());
        end(&server);
        assert_eq!(fleet.lease("l").acquire().unwrap().release(), Ok(()));
        proxy.watch("pong");
        until("the next ping is answered", || proxy.has_passed());
        assert_eq!((fleet.stats().reconnects, fleet.outage()), (before, None));
    });
}
