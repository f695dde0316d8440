//! Several processes, some of which die or stand still.

use crate::children::{Orders, Process};
use crate::support::{Log, Monitor, Server, until, watched};
use redis::Commands;
use rustix::process::Signal;
use std::collections::HashMap;
use std::time::Duration;

fn orders(server: &Server, role: &'static str) -> Orders {
    Orders { role, url: server.url(), ttl: Duration::from_secs(3), keys: 1, threads: 1, work: Duration::from_millis(2) }
}

#[test]
fn processes_times_keys_without_an_overlap() {
    watched("processes and keys", || {
        let (server, log) = (Server::start(), Log::create());
        let orders = Orders { keys: 4, threads: 4, ttl: Duration::from_secs(300), ..orders(&server, "flights") };
        let processes: Vec<_> = (0..4).map(|_| Process::start(&orders, &log)).collect();
        until("there is enough to judge", || log.count("return") >= 3000);
        processes.into_iter().for_each(Process::finish);
        let runs = log.assert_no_overlap(&HashMap::new());
        let returns = log.count("return");
        assert!(runs * 2 < returns, "{runs} executions for {returns} calls: processes shared nothing");
        // Every value that was returned is that of an execution that ended.
        let all: Vec<u64> = log.runs(&HashMap::new()).values().flatten().map(|run| run.fence).collect();
        assert!(log.read().iter().filter(|record| record.what == "return").all(|record| all.contains(&record.fence)));
    });
}

#[test]
fn a_killed_leader_is_followed_by_exactly_one() {
    watched("kill -9", || {
        let (server, log) = (Server::start(), Log::create());
        let orders =
            Orders { ttl: Duration::from_secs(2), work: Duration::from_millis(30), ..orders(&server, "flights") };
        let mut processes: Vec<_> = (0..3).map(|_| Process::start(&orders, &log)).collect();
        let mut killed = HashMap::new();
        for _ in 0..5 {
            // In the middle of its work, so that it has an execution without an end.
            let before = log.count("start");
            until("somebody leads", || log.count("start") > before);
            let pid = log.read().iter().rev().find(|record| record.what == "start").unwrap().pid;
            let Some(place) = processes.iter().position(|process| process.pid() == pid) else { continue };
            processes.swap_remove(place).kill(&mut killed);
            let returns = log.count("return");
            until("the others go on", || log.count("return") > returns + 5);
            processes.push(Process::start(&orders, &log));
        }
        processes.into_iter().for_each(Process::finish);
        assert!(killed.len() >= 3);
        log.assert_no_overlap(&killed);
    });
}

/// Fifty threads in five processes follow a leader that dies; the work that was left takes no time. They ask again at
/// different moments, and all get the outcome of the one that was first.
#[test]
fn a_killed_leader_has_one_heir() {
    watched("one heir", || {
        for _ in 0..3 {
            let (server, log) = (Server::start(), Log::create());
            let work = Duration::from_millis(1);
            let orders = Orders { threads: 10, work, ..orders(&server, "crowd") };
            let leader = Process::start(&Orders { role: "once", ..orders.clone() }, &log);
            until("it leads", || log.count("start") == 1);
            let processes: Vec<_> = (0..5).map(|_| Process::start(&orders, &log)).collect();
            until("all threads wait", || log.count("ready") == 5);
            let registered = || {
                let fields: Vec<String> = server.raw().hkeys("{flight:g:g:1}:f").unwrap();
                fields.iter().filter(|field| field.starts_with("n:")).count()
            };
            until("all processes follow", || registered() == 5);
            leader.kill(&mut HashMap::new());
            processes.into_iter().for_each(Process::finish);
            assert_eq!((log.count("start"), log.count("return")), (2, 50), "{:?}", log.read());
        }
    });
}

#[test]
fn a_leader_stopped_past_its_time_is_overtaken_and_learns_of_it() {
    watched("SIGSTOP of the leader", || {
        let (server, log) = (Server::start(), Log::create());
        let orders = orders(&server, "once");
        let first = Process::start(&orders, &log);
        until("the first leads", || log.count("start") == 1);
        first.signal(Signal::STOP);
        let second = Process::start(&orders, &log);
        until("the second has taken over", || log.count("start") == 2);
        second.finish();
        until("the second has landed", || log.count("landed") == 1);
        first.signal(Signal::CONT);
        first.finish();
        let records = log.read();
        let fence = |what: &str| records.iter().find(|record| record.what == what).unwrap().fence;
        assert!(fence("detached") < fence("landed"), "{records:?}");
        assert_eq!(log.count("detached"), 1);
    });
}

#[test]
fn a_follower_stopped_past_time_and_linger_asks_anew() {
    watched("SIGSTOP of a follower", || {
        let (server, log) = (Server::start(), Log::create());
        let orders = orders(&server, "once");
        let first = Process::start(&orders, &log);
        until("the first leads", || log.count("start") == 1);
        let second = Process::start(&orders, &log);
        let registered = || {
            let fields: Vec<String> = server.raw().hkeys("{flight:g:g:1}:f").unwrap();
            fields.iter().any(|field| field.starts_with("n:"))
        };
        until("the second follows", registered);
        second.signal(Signal::STOP);
        // Before the outcome is sent: what is in a socket's buffer would reach even a process that stands still.
        redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg("pubsub").exec(&mut server.raw()).unwrap();
        first.finish();
        until("the outcome has lingered long enough", || server.keys() == ["{flight:g:g:1}:c"]);
        second.signal(Signal::CONT);
        until("the second leads", || log.count("start") == 2);
        second.finish();
        assert_eq!(log.assert_no_overlap(&HashMap::new()), 2);
    });
}

#[test]
fn a_follower_whose_output_buffer_overflowed_fetches_the_outcome() {
    watched("output buffer", || {
        let server = Server::with(&["--client-output-buffer-limit", "pubsub 1mb 0 0"]);
        let log = Log::create();
        let orders = Orders { ttl: Duration::from_secs(300), ..orders(&server, "once") };
        let first = Process::start(&orders, &log);
        until("the first leads", || log.count("start") == 1);
        let mut raw = server.raw();
        let known = inboxes(&mut raw);
        let second = Process::start(&orders, &log);
        let registered = || {
            let fields: Vec<String> = server.raw().hkeys("{flight:g:g:1}:f").unwrap();
            fields.iter().any(|field| field.starts_with("n:"))
        };
        until("the second follows", registered);
        let inbox = inboxes(&mut raw).into_iter().find(|inbox| !known.contains(inbox)).unwrap();
        second.signal(Signal::STOP);
        let junk = "x".repeat(1 << 18);
        until("the server has had enough", || raw.publish::<_, _, u64>(&inbox, &junk).unwrap() == 0);
        first.finish();
        until("the first has landed", || log.count("landed") == 1);
        second.signal(Signal::CONT);
        until("the second has the outcome, long before the time to live", || log.count("landed") == 2);
        second.finish();
        assert_eq!(log.count("start"), 1);
    });
}

fn inboxes(raw: &mut redis::Connection) -> Vec<String> {
    redis::cmd("PUBSUB").arg("CHANNELS").arg("flight:in:*").query(raw).unwrap()
}

#[test]
fn work_may_take_many_times_the_time_to_live() {
    watched("long work", || {
        let (server, log) = (Server::start(), Log::create());
        let orders = orders(&server, "once");
        let first = Process::start(&orders, &log);
        until("the first leads", || log.count("start") == 1);
        let second = Process::start(&orders, &log);
        let mut raw = server.raw();
        let (mut before, mut renewals) = (0, 0);
        until("the record has been renewed four times, over more than its time to live", || {
            let left: i64 = raw.pttl("{flight:g:g:1}:f").unwrap();
            renewals += usize::from(left > before);
            before = left;
            renewals >= 4
        });
        first.finish();
        until("both have the outcome", || log.count("landed") == 2);
        second.finish();
        assert_eq!(log.count("start"), 1);
    });
}

/// All threads of a process come back while the other processes have their turns, and share the next run.
#[test]
fn writes_of_many_processes_share_their_runs() {
    watched("shared writes", || {
        let (server, log) = (Server::start(), Log::create());
        let (ttl, work) = (Duration::from_secs(300), Duration::from_millis(1));
        let orders = Orders { threads: 8, ttl, work, ..orders(&server, "writes") };
        let processes: Vec<_> = (0..4).map(|_| Process::start(&orders, &log)).collect();
        until("there is enough to judge", || log.count("return") >= 4000);
        processes.into_iter().for_each(Process::finish);
        let (runs, returns) = (log.assert_no_overlap(&HashMap::new()), log.count("return"));
        // One in eight, where every thread is back in time; one in two before it could board until the run starts.
        assert!(runs * 4 < returns, "{runs} runs for {returns} writes");
    });
}

#[test]
fn every_stale_write_is_refused_by_the_fence() {
    watched("stale writes", || {
        let (server, log) = (Server::start(), Log::create());
        let orders = orders(&server, "store");
        let mut stopped = Vec::new();
        for n in 0..4 {
            let process = Process::start(&orders, &log);
            until("it holds the lease", || log.count("start") == n + 1);
            process.signal(Signal::STOP);
            stopped.push(process);
        }
        // The last one is the only one whose lease is not stale when it writes; then the others wake up and write.
        while let Some(process) = stopped.pop() {
            let done = log.count("released") + log.count("unreleased");
            process.signal(Signal::CONT);
            process.finish();
            until("it has written or been refused", || log.count("released") + log.count("unreleased") > done);
        }
        assert_eq!((log.count("written"), log.count("refused")), (1, 3), "{:?}", log.read());
        assert!(log.count("lost") >= 3);
    });
}

/// First come, first served, as the server saw it: who got a turn was the first in the queue, or there was none. How
/// equal that makes the shares over a time is for the bench to say; here a process that the machine keeps from queueing
/// up in time is no failure.
#[test]
fn turns_go_round_in_the_order_of_asking() {
    for processes in [2, 4, 8] {
        watched("turns", || {
            let (server, log) = (Server::start(), Log::create());
            let monitor = Monitor::of(&server);
            let orders =
                Orders { ttl: Duration::from_secs(300), work: Duration::from_micros(500), ..orders(&server, "leases") };
            let running: Vec<_> = (0..processes).map(|_| Process::start(&orders, &log)).collect();
            until("all have had turns", || {
                let mut turns: HashMap<u32, usize> = HashMap::new();
                for record in log.read().iter().filter(|record| record.what == "start") {
                    *turns.entry(record.pid).or_default() += 1;
                }
                turns.len() == processes && turns.values().all(|turns| *turns >= 100 / processes)
            });
            running.into_iter().for_each(Process::finish);
            let runs = log.assert_no_overlap(&HashMap::new());
            let (mut queue, mut taken_out) = (Vec::new(), None);
            let (mut turns, mut queued) = (0, 0);
            for command in monitor.scripted() {
                let words: Vec<&str> = command.iter().map(String::as_str).collect();
                match words[..] {
                    ["ZADD", "{flight:l:l}:q", _, token] => {
                        queue.push(token.to_owned());
                        queued += 1;
                    }
                    ["ZREM", "{flight:l:l}:q", token] => {
                        let place = queue.iter().position(|waits| waits == token);
                        taken_out = Some((token.to_owned(), place));
                        place.map(|place| queue.remove(place));
                    }
                    ["HSET", "{flight:l:l}:f", "s", "R", "i", _, "t", token] => {
                        // Who did not queue is not taken out, and may have its turn where nobody queues.
                        let out = taken_out.take().filter(|(out, _)| out == token);
                        let place = out.as_ref().and_then(|(_, place)| *place);
                        let first = place.map_or(queue.is_empty(), |place| place == 0);
                        assert!(first, "{token} had its turn before {queue:?}; {out:?}");
                        turns += 1;
                    }
                    _ => {}
                }
            }
            assert_eq!(turns, runs);
            assert!(queued > 0, "nobody ever had to wait: nothing was shown");
        });
    }
}
