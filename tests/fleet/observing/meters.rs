//! Feature `metrics`: the meters of a fleet's groups.

use crate::groups::{Group, Two};
use crate::support::{Server, patient, until, watched};
use flight_group::Error;
use flight_group::fleet::{FleetWriteGroup, Json};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use std::time::Duration;

type Writes = FleetWriteGroup<u32, u64, String>;

/// Builds a group that is metered, and gives what a scrape of it says.
fn metered<G>(build: impl FnOnce() -> G) -> (G, PrometheusHandle) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    (metrics::with_local_recorder(&recorder, build), handle)
}

#[track_caller]
fn assert_reads(handle: &PrometheusHandle, lines: &[&str]) {
    let text = handle.render();
    for line in lines {
        let line = format!("flight_group_{line}");
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}

#[test]
fn reads_are_counted_by_what_this_process_was_in_the_fleet() {
    watched("meters", || {
        let mut two = Two::start();
        let (first, _) = two.groups();
        let (second, scrape): (Group, _) =
            metered(|| two.other.group_with("g", Json::new()).metered().build().unwrap());
        assert_reads(&scrape, &[r#"fleet_total{group="g",kind="fleet group",role="leader"} 0"#]);
        two.lead_and_follow((&first, &second), Ok("mine".into()), Ok("not run".into())).1.unwrap();
        two.lead_and_follow((&first, &second), Err("no row".into()), Ok("not run".into())).1.unwrap_err();
        std::thread::scope(|s| {
            let led = second.try_work(&1, || {
                s.spawn(|| second.try_work(&1, || Ok("not run".into())).unwrap());
                until("it follows", || second.followers(&1) == 1);
                Ok("mine".into())
            });
            led.unwrap();
            first
                .try_work(&1, || {
                    let late = second.call(&1).timeout(Duration::from_millis(100)).run(|| Ok("not run".into()));
                    assert_eq!(late, Err(Error::timed_out()));
                    Ok("mine".into())
                })
                .unwrap();
        });
        two.server.kill();
        for _ in 0..3 {
            second.try_work(&1, || Ok("mine".into())).unwrap();
        }
        assert_reads(
            &scrape,
            &[
                r#"fleet_total{group="g",kind="fleet group",role="leader"} 1"#,
                r#"fleet_total{group="g",kind="fleet group",role="follower"} 2"#,
                r#"fleet_total{group="g",kind="fleet group",role="alone"} 3"#,
                r#"led_total{group="g",kind="fleet group"} 7"#,
                r#"joined_total{group="g",kind="fleet group"} 1"#,
                r#"landed_total{group="g",kind="fleet group",outcome="value"} 5"#,
                r#"landed_total{group="g",kind="fleet group",outcome="failed"} 2"#,
                r#"timed_out_total{group="g",kind="fleet group"} 1"#,
                r#"in_flight{group="g",kind="fleet group"} 0"#,
                r#"waiting{group="g",kind="fleet group"} 0"#,
                r#"run_seconds_count{group="g",kind="fleet group"} 7"#,
                r#"wait_seconds_count{group="g",kind="fleet group"} 1"#,
            ],
        );
    });
}

#[test]
fn writes_are_counted_by_their_runs() {
    watched("meters of writes", || {
        let server = Server::start();
        let fleet = patient(&server.url()).connect().unwrap();
        let (writes, scrape): (Writes, _) = metered(|| fleet.write_group_with("w").metered().build().unwrap());
        writes.try_write(&1, |lease| Ok(lease.fence())).unwrap();
        writes.try_write(&1, |_| Err("no".into())).unwrap_err();
        assert_reads(
            &scrape,
            &[
                r#"fleet_total{group="w",kind="fleet write group",role="leader"} 2"#,
                r#"led_total{group="w",kind="fleet write group"} 2"#,
                r#"landed_total{group="w",kind="fleet write group",outcome="value"} 1"#,
                r#"landed_total{group="w",kind="fleet write group",outcome="failed"} 1"#,
                r#"run_seconds_count{group="w",kind="fleet write group"} 2"#,
            ],
        );
        let roles = scrape.render().lines().filter(|line| line.starts_with("flight_group_fleet_total{")).count();
        assert_eq!(roles, 1, "a write is never alone, and follows no other process");

        let (silent, scrape): (Writes, _) = metered(|| fleet.write_group("s"));
        silent.try_write(&1, |lease| Ok(lease.fence())).unwrap();
        assert_eq!(scrape.render(), "");
    });
}

/// The page has a row for what only these groups count.
#[test]
fn the_meter_is_as_documented() {
    let page = include_str!("../../../src/docs/observing.rs");
    let row = page.lines().find(|line| line.contains("| `flight_group_fleet_total` |")).unwrap();
    assert!(row.contains("| counter | flights |"), "{row}");
    for word in ["role", "leader", "follower", "alone"] {
        assert!(row.contains(&format!("`{word}`")), "{word} in {row}");
    }
    assert!(page.contains("`fleet group` or `fleet write group`"));
}
