//! A master, its replica, and a sentinel that watches them; all real.

use crate::support::server::free_port;
use crate::support::{Server, patient, until, until_within, watched};
use flight_group::fleet::{Fleet, FleetGroup};
use rustix::process::Signal;
use std::path::PathBuf;
use std::time::Duration;

/// A sentinel, and the file it keeps rewriting.
struct Sentinel {
    server: Server,
    config: PathBuf,
}

impl Sentinel {
    fn of(master: &Server) -> Self {
        let port = free_port();
        let config = std::env::temp_dir().join(format!("flight-group-sentinel-{port}.conf"));
        let text = format!(
            "sentinel monitor mymaster 127.0.0.1 {} 1\nsentinel down-after-milliseconds mymaster 2000\n\
             sentinel failover-timeout mymaster 3000\n",
            master.port()
        );
        std::fs::write(&config, text).unwrap();
        Self { server: Server::sentinel(port, &config), config }
    }

    /// The master's port, as the sentinel sees it.
    fn master(&self) -> u16 {
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg("mymaster");
        let (_host, port): (String, u16) = question.query(&mut self.server.raw()).unwrap();
        port
    }

    fn knows_a_replica(&self) -> bool {
        let replicas: Vec<redis::Value> =
            redis::cmd("SENTINEL").arg("REPLICAS").arg("mymaster").query(&mut self.server.raw()).unwrap();
        replicas.len() == 1
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.config);
    }
}

#[test]
fn a_fleet_follows_the_sentinels_to_the_new_master() {
    watched("sentinels", || {
        let mut master = Server::start();
        let replica = Server::with(&["--replicaof", &format!("127.0.0.1 {}", master.port())]);
        let sentinel = Sentinel::of(&master);
        until("the sentinel knows the replica", || sentinel.knows_a_replica());
        // Where nobody answers, the next one is asked.
        let nobody = format!("redis://127.0.0.1:{}/", free_port());
        let fleet = patient("redis://mymaster/").sentinels([nobody, sentinel.server.url()]).connect().unwrap();
        let group: FleetGroup<u32, u32, String> = fleet.group("g");
        assert_eq!(group.try_work(&1, || Ok(1)), Ok(1));
        assert_eq!(fleet.stats().led, 1);
        let before = fleet.lease("l").acquire().unwrap().fence();

        master.kill();
        until("another is master", || sentinel.master() == replica.port());
        until("the fleet is there", || group.try_work(&1, || Ok(2)) == Ok(2) && fleet.stats().led > 1);
        let lease = fleet.lease("l").acquire().unwrap();
        assert!(lease.fence() > before);
        assert!(replica.keys().contains(&"{flight:l:l}:f".to_owned()));
        lease.release().unwrap();
    });
}

/// One of three hangs: the first that is listed, and then the one that was asked the last time. Nothing ends by a command
/// timeout, which is longer than each step here is given.
#[test]
fn a_sentinel_that_hangs_costs_nothing_noticeable() {
    watched("hung sentinel", || {
        let master = Server::start();
        let sentinels = [Sentinel::of(&master), Sentinel::of(&master), Sentinel::of(&master)];
        let soon = Duration::from_secs(20);
        sentinels[0].server.signal(Signal::STOP);
        let connected = std::thread::scope(|s| {
            let urls = sentinels.iter().map(|sentinel| sentinel.server.url());
            let connect = s.spawn(|| patient("redis://mymaster/").sentinels(urls).connect());
            until_within(soon, "it has connected", || connect.is_finished());
            connect.join().unwrap()
        });
        let fleet = connected.unwrap();
        for good in [1, 2] {
            // Whichever was good the last time, and both of them.
            sentinels[good].server.signal(Signal::STOP);
            if good == 2 {
                sentinels[1].server.signal(Signal::CONT);
            }
            let before = fleet.stats().reconnects;
            for kind in ["normal", "pubsub"] {
                redis::cmd("CLIENT").arg("KILL").arg("TYPE").arg(kind).exec(&mut master.raw()).unwrap();
            }
            until_within(soon, "both connections are replaced", || {
                fleet.lease("l").try_acquire().is_ok() && fleet.stats().reconnects >= before + 2
            });
            assert_eq!(fleet.outage(), None);
        }
        sentinels.iter().for_each(|sentinel| sentinel.server.signal(Signal::CONT));
    });
}

#[test]
fn sentinels_that_cannot_help_are_named() {
    let master = Server::start();
    let sentinel = Sentinel::of(&master);
    let soon = |name: &str, sentinel: &str| {
        let builder = Fleet::builder(&format!("redis://me:secret@{name}/")).command_timeout(Duration::from_secs(30));
        builder.sentinels([sentinel]).connect().unwrap_err().to_string()
    };
    let port = sentinel.server.port();
    assert_eq!(
        soon("nobody", &sentinel.server.url()),
        format!(
            "the redis server at nobody is unavailable: the sentinel at 127.0.0.1:{port}: it knows no master of that name"
        )
    );
    let message = soon("mymaster", &master.url());
    let begin = format!("the redis server at mymaster is unavailable: the sentinel at 127.0.0.1:{}: ", master.port());
    assert!(message.starts_with(&begin) && !message.contains("secret"), "{message}");
}
