//! All that one process has in a fleet: two connections, three threads, and their state.

use super::FleetError;
use super::address::Address;
use super::clock::Moment;
use super::commander::{Commander, Limits};
use super::keeper::Keeper;
use super::keys;
use super::mailbox::Mailroom;
use super::process::Mint;
use super::scripts::{RENEW, Request};
use super::stats::{Counters, FleetStats};
use super::subscriber::Subscriber;
use super::until::Until;
use super::wire::{Connect, NO_ANSWER};
use crate::sync::{Arc, Duration, after, spawn_named};

/// What the builder was told.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) address: Arc<Address>,
    pub(crate) prefix: String,
    pub(crate) ttl: Duration,
    pub(crate) command_timeout: Duration,
    pub(crate) patience: Duration,
    pub(crate) ping_interval: Duration,
}

/// See the module.
pub(crate) struct Core {
    pid: u32,
    pub(crate) mint: Mint,
    pub(crate) inbox: String,
    /// How long a call without a deadline gives a server that is silent or away.
    pub(crate) patience: Duration,
    pub(crate) commander: Arc<Commander>,
    pub(crate) room: Arc<Mailroom>,
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) counters: Arc<Counters>,
    subscriber: Arc<Subscriber>,
}

impl Core {
    /// Starts the threads. With `demand`, waits for both connections, for two command timeouts at most, and fails where
    /// one fails.
    pub(crate) fn start(config: &Arc<Config>, demand: bool) -> Result<Arc<Self>, FleetError> {
        let deadline = after(config.command_timeout.saturating_mul(2));
        let mint = Mint::new()?;
        let inbox = keys::inbox(&config.prefix, mint.process());
        let connector: Arc<dyn Connect> = Arc::clone(&config.address) as _;
        let core = Arc::new(Self {
            pid: std::process::id(),
            mint,
            inbox: inbox.clone(),
            patience: config.patience,
            commander: Arc::new(Commander::new(connector, config.command_timeout)),
            room: Arc::default(),
            keeper: Arc::default(),
            counters: Arc::default(),
            subscriber: Arc::default(),
        });
        let late = || config.address.unavailable(NO_ANSWER);
        // Each thread holds what it works on, and not the core: the core's end is what stops them.
        let commander = Arc::clone(&core.commander);
        start("commander", move || commander.run())?;
        if demand {
            // Connecting is the commander's thread's: a name server that does not answer holds up nobody else. What
            // is asked here does nothing but come back.
            let limits = Limits { until: Until::at(deadline), ..Limits::default() };
            let greeting = core.commander.call(Request::new(&RENEW), limits);
            greeting.map_err(|failure| if failure.error.is_timed_out() { late() } else { failure.error })?;
        }
        let (commander, keeper, counters) =
            (Arc::clone(&core.commander), Arc::clone(&core.keeper), Arc::clone(&core.counters));
        start("keeper", move || keeper.run(&commander, &counters))?;
        let (subscriber, room, own) = (Arc::clone(&core.subscriber), Arc::clone(&core.room), Arc::clone(config));
        start("subscriber", move || subscriber.run(&own.address, &inbox, own.ping_interval, &room))?;
        if demand {
            core.subscriber.wait_ready(deadline).unwrap_or_else(|| Err(late()))?;
        }
        Ok(core)
    }

    pub(crate) fn outage(&self) -> Option<FleetError> {
        self.commander.refusal().or_else(|| self.subscriber.failure())
    }

    pub(crate) fn stats(&self) -> FleetStats {
        self.counters.snapshot(self.commander.reconnects() + self.subscriber.reconnects())
    }

    /// The moment after which a record with this time to live has ended by itself, whatever became of a request.
    pub(crate) fn surely_over(ttl: Duration) -> Moment {
        Moment::now().plus(ttl)
    }
}

fn start(name: &str, body: impl FnOnce() + Send + 'static) -> Result<(), FleetError> {
    match spawn_named(format!("flight-group-{name}"), body) {
        Ok(_detached) => Ok(()),
        Err(error) => Err(FleetError::System { reason: format!("no thread for the fleet's {name}: {error}") }),
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        // In a forked child these are copies of the parent's, perhaps with a lock held for ever.
        if self.pid == std::process::id() {
            self.keeper.stop();
            self.subscriber.stop();
            self.commander.stop();
        }
    }
}

/// A small amount of time that differs from waiter to waiter, so that the followers of a dead leader do not all ask at one
/// moment. Any source of unevenness will do.
pub(crate) fn jitter(ttl: Duration) -> Duration {
    let limit = (ttl / 20).clamp(Duration::from_millis(2), Duration::from_millis(25));
    let grain = Moment::now().as_nanos().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    Duration::from_millis(1) + limit.mul_f64(grain as f64 / (1u64 << 24) as f64)
}
