//! A cable that is really pulled out: no RST, no FIN, no error from the kernel, only packets that never arrive.
//!
//! The server lives in a network namespace of its own, at the other end of a virtual cable (veth). That takes root, and
//! `ip` from iproute2; where there is neither, these tests say so and leave the scenario to the proxy that swallows bytes
//! (`cuts::a_holder_cut_off_loses_its_lease_in_time_and_knows`).

use crate::children::{Orders, Process};
use crate::support::{Log, Server, eventually, patient, until, watched};
use flight_group::Role;
use flight_group::fleet::{Fleet, FleetError, FleetGroup};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

/// A network of two ends: this process's, and a namespace's.
struct Cable {
    space: String,
    far: String,
}

impl Cable {
    /// `Err` says why there is none to be had here.
    fn new(number: u32) -> Result<Self, String> {
        // Names of interfaces have at most 15 characters. Link-local addresses, a network of four for each cable.
        let place = (std::process::id() * 2 + number) % 16_000;
        let (space, near) = (format!("fg{place}"), format!("fg{place}n"));
        let (third, fourth) = (place / 64 + 1, place % 64 * 4);
        let (ours, far) = (format!("169.254.{third}.{}", fourth + 1), format!("169.254.{third}.{}", fourth + 2));
        ip(&["netns", "add", &space])?;
        let cable = Self { space, far };
        let space = cable.space.as_str();
        ip(&["link", "add", &near, "type", "veth", "peer", "name", "cable", "netns", space])?;
        ip(&["addr", "add", &format!("{ours}/30"), "dev", &near])?;
        ip(&["link", "set", &near, "up"])?;
        ip(&["-n", space, "addr", "add", &format!("{}/30", cable.far), "dev", "cable"])?;
        ip(&["-n", space, "link", "set", "lo", "up"])?;
        cable.plug("up")?;
        Ok(cable)
    }

    /// `up` or `down`, at the far end: this end only loses its carrier.
    fn plug(&self, state: &str) -> Result<(), String> {
        ip(&["-n", &self.space, "link", "set", "cable", state])
    }

    fn within(&self) -> [&str; 4] {
        ["ip", "netns", "exec", &self.space]
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        // The near end goes with the far one.
        let _ = ip(&["netns", "del", &self.space]);
    }
}

fn ip(args: &[&str]) -> Result<(), String> {
    let output = Command::new("ip").args(args).stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ");
            Err(format!("`ip {}` says: {words}", args.join(" ")))
        }
        Err(error) => Err(format!("no `ip` ({error}): install it, e.g. `apt-get install iproute2`")),
    }
}

/// Runs `scenario` with a server at the other end, or says in one line why not.
fn with_a_cable(name: &str, number: u32, scenario: impl FnOnce(&Cable, &Server) + Send) {
    match Cable::new(number) {
        Ok(cable) => watched(name, || {
            let server = Server::at(&cable.far, &["--protected-mode", "no"], &cable.within());
            scenario(&cable, &server);
        }),
        Err(why) => {
            // Past the test harness, which shows what a passed test printed to nobody.
            let _ = writeln!(std::io::stderr(), "skipped: {name}, by a cable: {why}");
        }
    }
}

/// Notices silence soon.
fn alert(server: &Server) -> Fleet {
    let soon = Duration::from_millis(250);
    let builder = patient(&server.url()).command_timeout(soon).ping_interval(soon);
    eventually("it has connected", || builder.clone().connect())
}

fn orders(server: &Server, role: &'static str) -> Orders {
    Orders { role, url: server.url(), ttl: Duration::from_secs(300), keys: 1, threads: 1, work: Duration::ZERO }
}

#[test]
fn a_holder_without_a_network_loses_its_lease_in_time_and_knows() {
    with_a_cable("a holder without a network", 0, |cable, server| {
        let (log, fleet) = (Log::create(), alert(server));
        let lease = eventually("it holds the lease", || fleet.lease("l").ttl(Duration::from_millis(1500)).acquire());
        let (lost, told) = mpsc::channel();
        lease.on_lost(move || lost.send(()).unwrap());
        let group: FleetGroup<u32, u32, String> = fleet.group("g");
        assert_eq!(group.try_work(&1, || Ok(1)), Ok(1));

        cable.plug("down").unwrap();
        let next = Process::start_within(&cable.within(), &orders(server, "store"), &log);
        until("somebody at the other end has the lease", || log.count("start") == 1);
        assert!(lease.is_lost(), "its own clock told it before the server's let the next one in");
        told.recv_timeout(LONG).unwrap();
        assert_eq!(group.try_work(&1, || Ok(2)), Ok(2), "reads fly alone");
        assert!(fleet.lease("other").acquire().unwrap_err().is_unavailable());

        cable.plug("up").unwrap();
        until("it is back", || group.try_work(&1, || Ok(3)) == Ok(3) && fleet.outage().is_none());
        assert_eq!(lease.release(), Err(FleetError::Lost));
        next.finish();
        assert_eq!(
            (log.count("kept"), log.count("released")),
            (1, 1),
            "the late release harmed nobody: {:?}",
            log.read()
        );
    });
}

#[test]
fn a_follower_without_a_network_fetches_the_outcome_when_it_is_back() {
    with_a_cable("a follower without a network", 1, |cable, server| {
        let log = Log::create();
        // Longer than the cut takes: who gives the server up flies alone, which is another test.
        let fleet = patient(&server.url()).ping_interval(Duration::from_millis(250)).connect().unwrap();
        let group: FleetGroup<u32, u64, String> = fleet.group("g");
        let leader = Process::start_within(&cable.within(), &orders(server, "once"), &log);
        until("the other end leads", || log.count("start") == 1);
        std::thread::scope(|s| {
            let follower = s.spawn(|| group.call(&1).timeout(LONG).run(|| Ok(0)).unwrap());
            let mut raw = server.raw();
            until("this end follows", || {
                let fields: Vec<String> = redis::Commands::hkeys(&mut raw, "{flight:g:g:1}:f").unwrap();
                fields.iter().any(|field| field.starts_with("n:"))
            });
            cable.plug("down").unwrap();
            // Lands, and is told so, at its end of the cable; its message to this end is lost or waits.
            leader.finish();
            assert_eq!(log.count("landed"), 1);
            cable.plug("up").unwrap();
            let landing = follower.join().unwrap();
            assert_eq!(landing.role, Role::Follower);
            assert_eq!(landing.value, log.read().iter().find(|record| record.what == "landed").unwrap().fence);
        });
        assert_eq!((fleet.stats().led, fleet.stats().unavailable), (0, 0));
    });
}
