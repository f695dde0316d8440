//! Feature `tracing`: the spans of a fleet's groups.

use crate::groups::{Group, Two};
use crate::support::{Server, patient, until, watched};
use crate::trace;
use flight_group::fleet::{FleetWriteGroup, Json};
use tracing::Level;

#[test]
fn a_flights_span_says_what_this_process_was_in_the_fleet() {
    watched("spans", || {
        trace::start();
        let mut two = Two::start();
        // A trace is of one name, and flights are shared by name: only the second group is traced.
        let (first, _) = two.groups();
        let second: Group = two.other.group_with("g", Json::new()).debug_keys().traced().build().unwrap();
        two.lead_and_follow((&first, &second), Ok("mine".into()), Ok("not run".into())).1.unwrap();
        two.lead_and_follow((&first, &second), Err("no row".into()), Ok("not run".into())).1.unwrap_err();
        second.try_work(&1, || Ok("mine".into())).unwrap();
        two.server.kill();
        second.try_work(&1, || Ok("mine".into())).unwrap();

        let seen = trace::of("g");
        seen.assert_complete();
        let flights = seen.named("flight");
        let told: Vec<_> = flights.iter().map(|span| [&*span.fields["role"], &*span.fields["outcome"]]).collect();
        assert_eq!(told, [["follower", "value"], ["follower", "failed"], ["leader", "value"], ["alone", "value"]]);
        assert!(flights.iter().all(|span| span.fields["key"] == "1"));
        let warned: Vec<_> = seen.events.iter().filter(|event| event.level == Level::WARN).collect();
        let [alone] = &warned[..] else { panic!("{warned:?}") };
        assert_eq!((&*alone.message, alone.inside), ("alone", Some(flights[3].at)));
        assert_eq!(alone.fields["flight"], flights[3].fields["flight"]);
    });
}

#[test]
fn a_thread_that_waits_for_its_process_has_a_span_of_its_own() {
    watched("waits", || {
        trace::start();
        let server = Server::start();
        let fleet = patient(&server.url()).connect().unwrap();
        let group: Group = fleet.group_with("waits", Json::new()).traced().build().unwrap();
        std::thread::scope(|s| {
            let led = group.try_work(&1, || {
                tracing::info!("loading");
                s.spawn(|| group.try_work(&1, || Ok("not run".into())).unwrap());
                until("it follows", || group.followers(&1) == 1);
                Ok("shared".into())
            });
            led.unwrap();
        });
        let seen = trace::of("waits");
        seen.assert_complete();
        let ([flight], [wait]) = (&seen.named("flight")[..], &seen.named("wait")[..]) else { panic!("{seen:?}") };
        assert_eq!((&*flight.fields["role"], &*flight.fields["followers"]), ("leader", "1"));
        assert!(!flight.fields.contains_key("key"), "a key may be a secret");
        assert_eq!((&*wait.fields["outcome"], &wait.follows[..]), ("value", &[flight.at][..]));
        assert_eq!(seen.messages(), [(Level::INFO, "loading"), (Level::DEBUG, "landed")]);
        assert_eq!(seen.events[0].inside, Some(flight.at), "what the closure says is inside its flight");
    });
}

#[test]
fn a_write_is_a_flight_and_its_role_is_the_leaders() {
    watched("spans of writes", || {
        trace::start();
        let server = Server::start();
        let fleet = patient(&server.url()).connect().unwrap();
        let writes: FleetWriteGroup<u32, u64, String> =
            fleet.write_group_with("written").debug_keys().traced().build().unwrap();
        let caller = tracing::info_span!("request", group = "written's caller");
        caller.in_scope(|| writes.try_write(&7, |lease| Ok(lease.fence()))).unwrap();
        let silent: FleetWriteGroup<u32, u64, String> = fleet.write_group("silent");
        silent.try_write(&7, |lease| Ok(lease.fence())).unwrap();
        let seen = trace::of("written");
        seen.assert_complete();
        let [flight] = &seen.spans[..] else { panic!("{seen:?}") };
        let fields = ["role", "outcome", "key"].map(|field| &*flight.fields[field]);
        assert_eq!(fields, ["leader", "value", "7"]);
        assert_eq!(flight.parent, Some(trace::of("written's caller").spans[0].at));
        assert_eq!(trace::of("silent").spans.len(), 0);
    });
}
