use flight_group::{Error, Group, Job};
use rayon::prelude::*;
use rayon::{ThreadPoolBuildError, ThreadPoolBuilder};
use std::time::Duration;

/// Totals by customer. They are added up in a pool of their own, in which no task calls the
/// group.
pub struct Totals {
    flights: Group<u64, u64>,
}

impl Totals {
    pub fn new(threads: usize) -> Result<Self, ThreadPoolBuildError> {
        let loads = ThreadPoolBuilder::new().num_threads(threads).build()?;
        let executor = move |job: Job| loads.spawn(|| job.run());
        Ok(Self { flights: Group::builder().name("totals").executor(executor).build() })
    }

    /// For tasks of every other pool: the worker sleeps until the total is there, or until the
    /// timeout.
    pub fn get(
        &self,
        customer: u64,
        orders: &[u64],
        timeout: Duration,
    ) -> Result<u64, Error<std::convert::Infallible>> {
        let orders = orders.to_vec();
        let total = self.flights.spawn(&customer, move || Ok(orders.par_iter().sum()));
        match total.recv_timeout(timeout) {
            Ok(landing) => Ok(landing?.value),
            Err(_) => Err(Error::timed_out()), // the load goes on
        }
    }
}
