//! How often a scenario is run: enough to break every mutation that was tried, within seconds.

/// Random schedules, then schedules with few, badly placed preemptions.
#[cfg(flight_group_shuttle)]
pub(crate) fn explore(scenario: impl Fn() + Send + Sync + Clone + 'static) {
    shuttle::check_random(scenario.clone(), 2_000);
    shuttle::check_pct(scenario, 1_000, 3);
}
