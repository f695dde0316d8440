//! The five scripts alone, against a real server.

use crate::support::{Server, until};
use redis::{Commands, Connection, Script, Value};

const JOIN: &str = include_str!("../../src/fleet/scripts/join.lua");
const FINISH: &str = include_str!("../../src/fleet/scripts/finish.lua");
const RENEW: &str = include_str!("../../src/fleet/scripts/renew.lua");
const RELEASE: &str = include_str!("../../src/fleet/scripts/release.lua");
const ACQUIRE: &str = include_str!("../../src/fleet/scripts/acquire.lua");

const RECORD: &str = "{k}:f";
const FENCE: &str = "{k}:c";
const OUTCOME: &str = "{k}:r";

fn run(connection: &mut Connection, code: &str, keys: &[&str], args: &[&str]) -> Value {
    let script = Script::new(code);
    let mut call = script.prepare_invoke();
    for key in keys {
        call.key(key);
    }
    for arg in args {
        call.arg(arg);
    }
    call.invoke(connection).unwrap()
}

/// A reply as words.
fn words(value: &Value) -> Vec<String> {
    match value {
        Value::Array(items) => items.iter().flat_map(words).collect(),
        Value::Int(n) => vec![n.to_string()],
        Value::BulkString(bytes) => vec![String::from_utf8_lossy(bytes).into_owned()],
        other => panic!("unexpected {other:?}"),
    }
}

fn join(connection: &mut Connection, token: &str, inbox: &str, first: &str, which: &str) -> Vec<String> {
    let args = [token, "10000", inbox, first, which];
    words(&run(connection, JOIN, &[RECORD, FENCE, OUTCOME], &args))
}

/// Of the flight in the air.
fn finish(connection: &mut Connection, token: &str, outcome: &str, reuse: &str) -> Vec<String> {
    let flight: Option<String> = connection.hget(RECORD, "i").unwrap();
    finish_flight(connection, token, &flight.unwrap_or_default(), outcome, reuse)
}

fn finish_flight(c: &mut Connection, token: &str, flight: &str, outcome: &str, reuse: &str) -> Vec<String> {
    let args = [token, outcome, "10000", "8192", reuse, "", flight];
    words(&run(c, FINISH, &[RECORD, FENCE, OUTCOME], &args))
}

fn release(connection: &mut Connection, token: &str) -> Vec<String> {
    words(&run(connection, RELEASE, &[RECORD], &[token]))
}

fn acquire(connection: &mut Connection, token: &str, heartbeat: &str, how: &str) -> Vec<String> {
    let keys = [RECORD, FENCE, "{k}:q", "{k}:h"];
    words(&run(connection, ACQUIRE, &keys, &[token, "10000", "inbox", heartbeat, how]))
}

fn give_back(connection: &mut Connection, token: &str) -> Vec<String> {
    words(&run(connection, RELEASE, &[RECORD, "{k}:q", "{k}:h"], &[token]))
}

fn text(message: redis::Msg) -> String {
    String::from_utf8(message.get_payload_bytes().to_vec()).unwrap()
}

#[test]
fn the_first_leads_the_second_follows_and_a_repeated_join_still_leads() {
    let server = Server::start();
    let c = &mut server.raw();
    let led = join(c, "a", "in-a", "0", "any");
    assert_eq!(led[0], "L");
    let followed = join(c, "b", "in-b", "0", "any");
    assert_eq!((followed[0].as_str(), &followed[1]), ("F", &led[1]));
    assert!((1..=10000).contains(&followed[2].parse::<u64>().unwrap()));
    // The reply was lost and the request is sent again.
    assert_eq!(join(c, "a", "in-a", "0", "any"), led);
}

#[test]
fn an_outcome_goes_to_exactly_those_who_registered() {
    let server = Server::start();
    let c = &mut server.raw();
    let (mut heard, mut deaf) = (server.raw(), server.raw());
    let mut heard = heard.as_pubsub();
    heard.subscribe("in-b").unwrap();
    let mut deaf = deaf.as_pubsub();
    deaf.subscribe("in-c").unwrap();

    let flight = join(c, "a", "in-a", "0", "any")[1].clone();
    join(c, "b", "in-b", "0", "any");
    assert_eq!(finish(c, "a", "hello", "0"), ["1", "1"]);
    assert_eq!(text(heard.get_message().unwrap()), format!("ob {flight} hello"));
    deaf.set_read_timeout(Some(std::time::Duration::from_millis(20))).unwrap();
    assert!(deaf.get_message().unwrap_err().is_timeout());

    // For a follower whose message was lost the outcome lingers, with the flight's number.
    assert_eq!(join(c, "b", "in-b", &flight, "any"), ["O", &flight, "hello"]);
    // A newcomer starts anew: nothing is served after its flight has ended.
    assert_eq!(join(c, "d", "in-d", "0", "any")[0], "L");
}

/// However its followers' leader ended: its record expired, or it gave up.
#[test]
fn all_followers_of_a_flight_without_an_outcome_get_one_heirs() {
    for ended_by_itself in [true, false] {
        let server = Server::start();
        let c = &mut server.raw();
        let end = |c: &mut Connection, token: &str| {
            if ended_by_itself {
                let _: () = c.del(RECORD).unwrap();
            } else {
                assert_eq!(release(c, token), ["1"]);
            }
        };
        let dead = join(c, "a", "in-a", "0", "any")[1].clone();
        for follower in ["b", "c", "d"] {
            assert_eq!(join(c, follower, "in", "0", "any")[..2], ["F".to_owned(), dead.clone()]);
        }
        end(c, "a");
        // The first heir is a newcomer, and ends as its predecessor did; the second one was a follower.
        assert_eq!(join(c, "new", "in", "0", "any")[0], "L");
        end(c, "new");
        let heir = join(c, "b", "in", &dead, "any");
        assert_eq!(heir[0], "L");
        // It lands before the others have asked again.
        assert_eq!(finish(c, "b", "heir's", "0"), ["1", "0"]);
        for follower in ["c", "d"] {
            assert_eq!(join(c, follower, "in", &dead, "any"), ["O", &heir[1], "heir's"]);
        }
        // Served to nobody who came later, and stored no more by flights that nobody waits for.
        assert_eq!(join(c, "e", "in", "0", "any")[0], "L");
        assert_eq!(finish(c, "e", "later", "0"), ["1", "0"]);
        assert_eq!(join(c, "c", "in", &dead, "any"), ["O", &heir[1], "heir's"]);
    }
}

/// Nobody who followed has asked again when a newcomer leads: its outcome is the heir's.
#[test]
fn a_newcomer_is_an_heir_too() {
    let server = Server::start();
    let c = &mut server.raw();
    let dead = join(c, "a", "in-a", "0", "any")[1].clone();
    join(c, "b", "in-b", "0", "any");
    let _: () = c.del(RECORD).unwrap();
    let heir = join(c, "new", "in", "0", "any")[1].clone();
    assert_eq!(finish(c, "new", "heir's", "0"), ["1", "0"]);
    assert_eq!(join(c, "b", "in-b", &dead, "any"), ["O", &heir, "heir's"]);
}

/// All who waited for one flight's end, because it was too old for them, share one flight after it.
#[test]
fn fresh_callers_share_the_flight_after_the_one_they_waited_for() {
    let server = Server::start();
    let c = &mut server.raw();
    let old = join(c, "a", "in-a", "0", "any")[1].clone();
    for fresh in ["b", "c"] {
        assert_eq!(join(c, fresh, "in", "0", "fresh")[0], "W");
    }
    finish(c, "a", "old", "0");
    let next = (old.parse::<u64>().unwrap() + 1).to_string();
    let new = join(c, "b", "in", &next, &old)[1].clone();
    finish(c, "b", "new", "0");
    assert_eq!(join(c, "c", "in", &next, &old), ["O", &new, "new"]);
}

#[test]
fn with_nobody_waiting_nothing_is_left_but_the_fence() {
    let server = Server::start();
    let c = &mut server.raw();
    join(c, "a", "in-a", "0", "any");
    assert_eq!(finish(c, "a", "hello", "0"), ["1", "0"]);
    assert_eq!(server.keys(), [FENCE]);
}

#[test]
fn a_stale_finish_publishes_nothing_and_learns_who_came_after() {
    let server = Server::start();
    let c = &mut server.raw();
    let first = join(c, "a", "in-a", "0", "any")[1].clone();
    let _: () = c.del(RECORD).unwrap();
    let second = join(c, "b", "in-b", "0", "any")[1].clone();
    assert!(second.parse::<u64>().unwrap() > first.parse::<u64>().unwrap());
    join(c, "c", "in-c", "0", "any");
    assert_eq!(finish(c, "a", "old", "0"), ["0", &second]);
    assert!(!server.keys().contains(&OUTCOME.to_owned()));
    // The running flight is untouched.
    assert_eq!(finish(c, "b", "new", "0"), ["1", "1"]);
}

/// A copy of its JOIN came late, after its record had expired: the token leads again, and nobody knows.
#[test]
fn a_finish_does_not_land_another_flight_of_its_own_token() {
    let server = Server::start();
    let c = &mut server.raw();
    let first = join(c, "a", "in-a", "0", "any")[1].clone();
    let _: () = c.del(RECORD).unwrap();
    let second = join(c, "a", "in-a", "0", "any")[1].clone();
    join(c, "b", "in-b", "0", "fresh");
    join(c, "c", "in-c", "0", &first);
    assert_eq!(finish_flight(c, "a", &first, "old", "0"), ["0", &second], "`c` asked for what starts after it came");
    assert!(!server.keys().contains(&OUTCOME.to_owned()));
}

#[test]
fn who_waits_for_the_end_of_a_flight_is_owed_the_next_outcome_whoever_leads() {
    let server = Server::start();
    let c = &mut server.raw();
    let old = join(c, "a", "in-a", "0", "any")[1].parse::<u64>().unwrap();
    assert_eq!(join(c, "b", "in-b", "0", "fresh")[0], "W");
    finish(c, "a", "old", "0");
    // Somebody who knows nothing of `b` comes, leads and lands before `b` asks again.
    let new = join(c, "c", "in-c", "0", "any")[1].clone();
    assert_eq!(finish(c, "c", "new", "0"), ["1", "0"]);
    assert_eq!(join(c, "b", "in-b", &(old + 1).to_string(), &old.to_string()), ["O", &new, "new"]);
    // That was all that was owed: the next one stores nothing.
    let later = join(c, "d", "in-d", "0", "any")[1].clone();
    assert_eq!(finish(c, "d", "later", "0"), ["1", "0"]);
    assert_eq!(c.get::<_, String>(FENCE).unwrap(), later);
}

#[test]
fn fences_grow_though_the_counter_is_lost_or_ahead_of_the_clock() {
    let server = Server::start();
    let c = &mut server.raw();
    let fence = |c: &mut Connection| {
        let flight = join(c, "a", "in", "0", "any")[1].clone();
        release(c, "a");
        flight.parse::<u64>().unwrap()
    };
    let first = fence(c);
    let _: () = c.del(FENCE).unwrap();
    let second = fence(c);
    assert!(second > first, "the clock takes over");
    let ahead = second + 1_000_000_000_000;
    let _: () = c.set(FENCE, ahead.to_string()).unwrap();
    assert_eq!(fence(c), ahead + 1, "a clock that was set back does not repeat a fence");
}

#[test]
fn a_fresh_caller_waits_for_the_end_and_follows_only_what_started_later() {
    let server = Server::start();
    let c = &mut server.raw();
    let mut heard = server.raw();
    let mut heard = heard.as_pubsub();
    heard.subscribe("in-b").unwrap();

    let old = join(c, "a", "in-a", "0", "any")[1].clone();
    assert_eq!(join(c, "b", "in-b", "0", "fresh")[..2], ["W".to_owned(), old.clone()]);
    finish(c, "a", "old", "60000");
    assert_eq!(text(heard.get_message().unwrap()), format!("ab {old} "));
    // Neither the outcome that lingers nor the one in the reuse window is good enough.
    assert_eq!(join(c, "c", "in-c", "0", "any"), ["D", &old, "old"]);
    let new = join(c, "b", "in-b", "0", &old);
    assert_eq!(new[0], "L");
    // Somebody else who waited for the same end may follow this one.
    assert_eq!(join(c, "d", "in-d", "0", &old)[..2], ["F".to_owned(), new[1].clone()]);
}

#[test]
fn the_reuse_window_serves_until_it_closes() {
    let server = Server::start();
    let c = &mut server.raw();
    let flight = join(c, "a", "in-a", "0", "any")[1].clone();
    finish(c, "a", "kept", "60000");
    assert_eq!(join(c, "b", "in-b", "0", "any"), ["D", &flight, "kept"]);
    assert!((1..=60000).contains(&c.pttl::<_, i64>(RECORD).unwrap()));
    // What is left of it, in short.
    let _: () = c.pexpire(RECORD, 20).unwrap();
    until("the window closes", || join(c, "b", "in-b", "0", "any")[0] == "L");
}

#[test]
fn an_abort_tells_the_waiters_to_ask_again() {
    let server = Server::start();
    let c = &mut server.raw();
    let mut heard = server.raw();
    let mut heard = heard.as_pubsub();
    heard.subscribe("in-b").unwrap();
    let flight = join(c, "a", "in-a", "0", "any")[1].clone();
    join(c, "b", "in-b", "0", "any");
    assert_eq!(release(c, "stranger"), ["0"]);
    assert_eq!(release(c, "a"), ["1"]);
    assert_eq!(text(heard.get_message().unwrap()), format!("ab {flight} "));
    assert_eq!(join(c, "b", "in-b", "0", "any")[0], "L");
}

#[test]
fn a_large_outcome_is_noticed_and_an_oversize_one_is_not_stored() {
    let server = Server::start();
    let c = &mut server.raw();
    let mut heard = server.raw();
    let mut heard = heard.as_pubsub();
    heard.subscribe("in-b").unwrap();

    let large = "x".repeat(8193);
    let flight = join(c, "a", "in-a", "0", "any")[1].clone();
    join(c, "b", "in-b", "0", "any");
    finish(c, "a", &large, "0");
    assert_eq!(text(heard.get_message().unwrap()), format!("nb {flight} "));
    assert_eq!(join(c, "b", "in-b", &flight, "any")[2], large);

    let flight = join(c, "a2", "in-a", "0", "any")[1].clone();
    join(c, "b", "in-b", "0", "any");
    let _: () = c.del(OUTCOME).unwrap();
    run(c, FINISH, &[RECORD, FENCE, OUTCOME], &["a2", "", "10000", "8192", "60000", "x", &flight]);
    assert_eq!(text(heard.get_message().unwrap()), format!("xb {flight} "));
    assert!(!server.keys().contains(&OUTCOME.to_owned()));
    assert_eq!(join(c, "c", "in-c", "0", "any")[0], "L", "not kept for reuse either");
}

#[test]
fn renewing_compares_and_never_resurrects() {
    let server = Server::start();
    let c = &mut server.raw();
    join(c, "a", "in-a", "0", "any");
    let renewed = run(c, RENEW, &[RECORD, "{other}:f"], &["a", "50000", "x", "50000"]);
    assert_eq!(words(&renewed), ["1", "0"]);
    let left: i64 = c.pttl(RECORD).unwrap();
    assert!(left > 10000);
    assert_eq!(words(&run(c, RENEW, &[RECORD], &["stranger", "90000"])), ["0"]);
    // What somebody overwrote costs the others nothing.
    let _: () = c.set("{bad}:f", "not a record").unwrap();
    assert_eq!(words(&run(c, RENEW, &["{bad}:f", RECORD], &["a", "50000", "a", "50000"])), ["0", "1"]);
    let _: () = c.del("{bad}:f").unwrap();
    release(c, "a");
    assert_eq!(words(&run(c, RENEW, &[RECORD], &["a", "50000"])), ["0"]);
    assert_eq!(server.keys(), [FENCE]);
}

#[test]
fn an_expiry_that_was_taken_away_is_put_back() {
    let server = Server::start();
    let c = &mut server.raw();
    join(c, "a", "in-a", "0", "any");
    let _: () = c.persist(RECORD).unwrap();
    join(c, "b", "in-b", "0", "any");
    let left: i64 = c.pttl(RECORD).unwrap();
    assert!((1..=10000).contains(&left));
}

/// What a full server refuses is a write that takes memory, as the first one of a script.
#[test]
fn a_full_server_lets_callers_lead_follow_hold_and_queue() {
    let server = Server::start();
    let c = &mut server.raw();
    redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg("1").exec(c).unwrap();
    assert!(c.set::<_, _, ()>("other", "value").unwrap_err().to_string().contains("OOM"));
    let flight = join(c, "a", "in-a", "0", "any")[1].clone();
    assert_eq!(join(c, "b", "in-b", "0", "any")[0], "F");
    assert_eq!(join(c, "c", "in-c", "0", "fresh")[0], "W");
    assert_eq!(finish(c, "a", "hello", "60000"), ["1", "2"]);
    assert_eq!(join(c, "b", "in-b", &flight, "any")[0], "O");
    // A lease has keys of its own.
    let _: () = c.del(&[RECORD, FENCE]).unwrap();

    assert_eq!(acquire(c, "a", "60000", "queue")[0], "L");
    assert_eq!(acquire(c, "b", "60000", "queue")[0], "Q");
    assert_eq!(acquire(c, "c", "60000", "queue")[2], "1");
    assert_eq!(words(&run(c, RENEW, &[RECORD], &["a", "50000"])), ["1"]);
    assert_eq!(give_back(c, "c"), ["0"]);
    assert_eq!(give_back(c, "a"), ["1"]);
    assert_eq!(acquire(c, "b", "60000", "queue")[0], "L");
}

#[test]
fn a_lease_goes_round_in_the_order_of_asking() {
    let server = Server::start();
    let c = &mut server.raw();
    assert_eq!(acquire(c, "a", "60000", "queue")[0], "L");
    assert_eq!(acquire(c, "b", "60000", "queue")[2], "0");
    assert_eq!(acquire(c, "c", "60000", "queue")[2], "1");
    assert_eq!(acquire(c, "b", "60000", "queue")[2], "0", "a heartbeat keeps the place");
    assert_eq!(acquire(c, "d", "60000", "try")[0], "B");

    let mut heard = server.raw();
    let mut heard = heard.as_pubsub();
    heard.subscribe("inbox").unwrap();
    assert_eq!(give_back(c, "a"), ["1"]);
    assert!(text(heard.get_message().unwrap()).starts_with("ab "), "the first in the queue is woken");
    // Free, but not for somebody who has only just come.
    assert_eq!(acquire(c, "c", "60000", "queue")[0], "Q");
    assert_eq!(acquire(c, "d", "60000", "try")[0], "B");
    assert_eq!(acquire(c, "b", "60000", "queue")[0], "L");
    give_back(c, "b");
    assert_eq!(acquire(c, "c", "60000", "queue")[0], "L");
    give_back(c, "c");
    assert_eq!(server.keys(), [FENCE], "an empty queue leaves nothing");
}

#[test]
fn a_dead_head_of_the_queue_is_dropped_by_the_servers_time() {
    let server = Server::start();
    let c = &mut server.raw();
    acquire(c, "a", "60000", "queue");
    acquire(c, "dead", "1", "queue");
    acquire(c, "b", "60000", "queue");
    give_back(c, "a");
    until("the dead one's heartbeat has run out", || acquire(c, "b", "60000", "queue")[0] == "L");
    // The one that was dead after all comes back: at the end of the queue, and not for ever.
    assert_eq!(acquire(c, "dead", "60000", "queue")[0], "Q");
}

/// Holder and first waiter die together: nobody releases anything, and the next one must find that out by asking.
#[test]
fn a_dead_head_is_dropped_also_where_nobody_released() {
    let server = Server::start();
    let c = &mut server.raw();
    acquire(c, "a", "60000", "queue");
    acquire(c, "dead", "1", "queue");
    assert_eq!(acquire(c, "b", "60000", "queue")[0], "Q");
    // As it ends by itself.
    let _: () = c.del(RECORD).unwrap();
    until("the dead one's heartbeat has run out", || acquire(c, "b", "60000", "queue")[0] == "L");
    assert_eq!(c.zcard::<_, u64>("{k}:q").unwrap(), 0);
}

#[test]
fn with_the_last_dead_waiter_goes_all_of_its_queue() {
    let server = Server::start();
    let c = &mut server.raw();
    acquire(c, "a", "60000", "queue");
    acquire(c, "dead", "1", "queue");
    until("the dead one is dropped by who only looks", || {
        assert_eq!(acquire(c, "b", "60000", "try")[0], "B");
        !c.exists::<_, bool>("{k}:q").unwrap()
    });
    assert!(!c.exists::<_, bool>("{k}:h").unwrap(), "nothing outlives the queue");
    assert_eq!(give_back(c, "a"), ["1"]);
}

#[test]
fn who_leaves_the_queue_passes_the_turn_on() {
    let server = Server::start();
    let c = &mut server.raw();
    acquire(c, "a", "60000", "queue");
    acquire(c, "b", "60000", "queue");
    acquire(c, "c", "60000", "queue");
    give_back(c, "a");
    let mut heard = server.raw();
    let mut heard = heard.as_pubsub();
    heard.subscribe("inbox").unwrap();
    // `b` was woken and leaves instead of acquiring: `c` must hear of it.
    assert_eq!(give_back(c, "b"), ["0"]);
    assert!(text(heard.get_message().unwrap()).starts_with("ac "));
    assert_eq!(acquire(c, "c", "60000", "queue")[0], "L");
}
