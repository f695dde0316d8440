//! Counts what every contestant allocates: `memory [FLIGHTS]`. Prints a line per contestant, tabs between; the
//! columns are those of `workloads/memory.rs`.

use allocation_counter::{AllocationInfo, measure, opt_out};
use flight_group_peers::contestants::{
    Fast, Flights, HAND, HAND_DASH, HAND_STD, HandDash, HandParkingLot, HandStd, MOKA, Moka, ONCE, OURS, Once, Ours,
    QUICK, Quick, SINGLE, Single,
};
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// Allocations a call, after every key has been used once.
fn lone<Q: ?Sized + 'static, C: Flights<Q>>(contestant: &C, keys: &[&Q]) -> f64 {
    let pass = || {
        for key in keys {
            contestant.work(key, || 1);
        }
    };
    pass();
    measure(pass).count_total as f64 / keys.len() as f64
}

fn lone_u64<C: Flights<u64>>(contestant: &C) -> f64 {
    let keys: Vec<u64> = (0..1000).collect();
    lone(contestant, &keys.iter().collect::<Vec<_>>())
}

fn lone_str<C: Flights<str>>(contestant: &C) -> f64 {
    let keys: Vec<String> = (0..1000).map(|n| format!("user:{n:06}:profile")).collect();
    lone(contestant, &keys.iter().map(String::as_str).collect::<Vec<_>>())
}

fn lone_32_bytes<C: Flights<[u8; 32]>>(contestant: &C) -> f64 {
    let key = |n: usize| <[u8; 32]>::try_from(format!("{n:032}").as_bytes()).expect("32 digits");
    let keys: Vec<[u8; 32]> = (0..1000).map(key).collect();
    lone(contestant, &keys.iter().collect::<Vec<_>>())
}

/// KiB of a contestant that has been used for one key.
fn idle<C: Flights<u64>>(make: impl FnOnce() -> C) -> f64 {
    let mut contestant = None;
    let info = measure(|| {
        let made = make();
        made.work(&1, || 1);
        contestant = Some(made);
    });
    info.bytes_current as f64 / 1024.0
}

/// Bytes a key with so many flights in the air, KiB more than before when all of them have landed (before: a lone
/// call for every key), and bytes that doing it once more leaves on top of that.
fn in_the_air<C: Flights<u64>>(contestant: &C, flights: u64) -> [f64; 3] {
    fn nest<C: Flights<u64>>(contestant: &C, key: u64, flights: u64) {
        if key < flights {
            contestant.work(&key, || {
                nest(contestant, key + 1, flights);
                1
            });
        }
    }
    for key in 0..flights {
        contestant.work(&key, || 1);
    }
    let info = measure(|| nest(contestant, 0, flights));
    let again = measure(|| nest(contestant, 0, flights));
    [info.bytes_max as f64 / flights as f64, info.bytes_current as f64 / 1024.0, again.bytes_current as f64]
}

/// Allocations of a flight with so many followers, all threads together; on threads that have followed before.
fn with_followers<C: Flights<u64>>(contestant: &C, followers: usize) -> u64 {
    let gate = Barrier::new(followers + 1);
    let boarding = AtomicUsize::new(0);
    let flight = || {
        boarding.store(0, SeqCst);
        measure(|| {
            contestant.work(&7, || {
                opt_out(|| {
                    gate.wait();
                    while boarding.load(SeqCst) < followers
                        || contestant.followers(&7).is_some_and(|registered| registered < followers)
                    {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    std::thread::sleep(Duration::from_millis(30));
                });
                1
            });
        })
    };
    let follow = || {
        gate.wait();
        boarding.fetch_add(1, SeqCst);
        measure(|| {
            contestant.work(&7, || 0);
        })
    };
    std::thread::scope(|s| {
        let threads: Vec<_> = (0..followers)
            .map(|_| {
                s.spawn(|| {
                    follow();
                    gate.wait();
                    follow()
                })
            })
            .collect();
        flight();
        gate.wait();
        let mut total: AllocationInfo = flight();
        for thread in threads {
            total += thread.join().expect("followers do not panic");
        }
        total.count_total
    })
}

/// On a stack on which calls can be nested as often as flights are wanted.
fn on_a_large_stack<R: Send>(body: impl FnOnce() -> R + Send) -> R {
    std::thread::scope(|s| {
        let builder = std::thread::Builder::new().stack_size(2 << 30);
        builder.spawn_scoped(s, body).expect("a large stack").join().expect("no panic")
    })
}

fn row<C: Flights<u64>>(
    name: &str,
    flights: u64,
    make: impl Fn() -> C + Send + Sync,
    str_keys: f64,
    byte_keys: f64,
    nests: bool,
) {
    let own = on_a_large_stack(|| lone_u64(&make()));
    let idle = on_a_large_stack(|| idle(&make));
    let [a_key, kept, left] = if nests { on_a_large_stack(|| in_the_air(&make(), flights)) } else { [f64::NAN; 3] };
    let alone = on_a_large_stack(|| with_followers(&make(), 0)) as f64;
    let followed = if nests { with_followers(&make(), 64) as f64 - alone } else { f64::NAN };
    println!("{name}\t{own}\t{str_keys}\t{byte_keys}\t{idle}\t{a_key}\t{followed}\t{kept}\t{left}");
}

macro_rules! rows {
    ($flights:expr, $($name:ident: $type:ident),*) => {
        $(row(
            $name,
            $flights,
            $type::<u64, Fast>::default,
            lone_str(&$type::<String, Fast>::default()),
            lone_32_bytes(&$type::<[u8; 32], Fast>::default()),
            true,
        );)*
    };
}

fn main() {
    let flights = match std::env::args().nth(1).map(|argument| (argument.parse(), argument)) {
        None => 100_000,
        Some((Ok(flights), _)) => flights,
        Some((Err(_), argument)) => {
            eprintln!("memory: expected a number of flights, found \"{argument}\"");
            std::process::exit(2);
        }
    };
    rows!(
        flights,
        OURS: Ours, HAND: HandParkingLot, HAND_STD: HandStd, HAND_DASH: HandDash, ONCE: Once, QUICK: Quick,
        MOKA: Moka
    );
    // It runs the closure under its map's lock: nothing can be nested in it, and nobody follows.
    let single = Single::default;
    row(SINGLE, flights, single, lone_str(&single()), lone_32_bytes(&single()), false);
}
