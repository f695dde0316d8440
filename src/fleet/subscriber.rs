//! The thread that listens to this process's inbox.
//!
//! One channel, whatever the number of keys: subscribing per key would cost two round trips a flight and let a message
//! slip through before each of them. A connection that says nothing is pinged; one that does not answer is replaced;
//! after each replacement every waiter is told that messages may have been lost, and asks once.

use super::FleetError;
use super::address::Address;
use super::mailbox::{Mail, Mailroom};
use super::reply::refusal;
use super::wire::Connect;
use crate::engine::panics::caught;
use crate::sync::{Arc, Condvar, Duration, Instant, Mutex, after, wait_until};
use redis::{Cmd, Connection, Msg, Value};

const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
const GOODBYE: Duration = Duration::from_millis(1);

/// What the thread and its owner tell each other.
#[derive(Default)]
pub(crate) struct Subscriber {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    stopped: bool,
    /// How often the inbox has been subscribed.
    subscriptions: u64,
    /// Why the last try failed.
    failure: Option<FleetError>,
}

impl Subscriber {
    /// Waits for the first subscription, or the first failure; `None` when `deadline` has passed before either.
    pub(crate) fn wait_ready(&self, deadline: Option<Instant>) -> Option<Result<(), FleetError>> {
        let mut state = self.state.lock();
        loop {
            if state.subscriptions > 0 {
                return Some(Ok(()));
            }
            if let Some(failure) = &state.failure {
                return Some(Err(failure.clone()));
            }
            if wait_until(&self.bell, &mut state, deadline) && state.subscriptions == 0 && state.failure.is_none() {
                return None;
            }
        }
    }

    /// Why the last try to subscribe failed, until one succeeds.
    pub(crate) fn failure(&self) -> Option<FleetError> {
        self.state.lock().failure.clone()
    }

    /// How often the inbox had to be subscribed again.
    pub(crate) fn reconnects(&self) -> u64 {
        self.state.lock().subscriptions.saturating_sub(1)
    }

    /// Ends the thread at the next thing it hears, at the latest when it would ping.
    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.bell.notify_all();
    }

    fn stopped(&self) -> bool {
        self.state.lock().stopped
    }

    /// The thread's body.
    pub(crate) fn run(&self, address: &Address, inbox: &str, idle: Duration, room: &Arc<Mailroom>) {
        let mut pause = SHORTEST_PAUSE;
        while !self.stopped() {
            let before = self.state.lock().subscriptions;
            let ended = caught(|| self.listen(address, inbox, idle, room))
                .unwrap_or_else(|_| Err(address.unavailable("the redis driver panicked")));
            // They ask over the other connection: for what was lost, or to learn that the server is away.
            room.deliver_lost();
            let mut state = self.state.lock();
            if let Err(failure) = ended
                && state.subscriptions == before
            {
                state.failure = Some(failure);
                self.bell.notify_all();
            }
            pause = if state.subscriptions > before { SHORTEST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
            let until = after(pause);
            while !state.stopped {
                if wait_until(&self.bell, &mut state, until) {
                    break;
                }
            }
        }
    }

    /// Subscribes and hands out messages until the connection ends.
    fn listen(&self, address: &Address, inbox: &str, idle: Duration, room: &Arc<Mailroom>) -> Result<(), FleetError> {
        let mut connection = address.open(idle)?;
        // Written and read here: the driver's own subscription does not look at the server's answer.
        ask(&mut connection, address, redis::cmd("SUBSCRIBE").arg(inbox)).map_err(|error| match error {
            FleetError::NoPermission { detail } => {
                FleetError::NoPermission { detail: format!("SUBSCRIBE {inbox} ({detail})") }
            }
            error => error,
        })?;
        // Every silence from now on needs it.
        ask(&mut connection, address, &redis::cmd("PING"))?;
        // Also after the first subscription: with `allow_unreachable` there may be waiters already.
        room.deliver_lost();
        {
            let mut state = self.state.lock();
            state.subscriptions += 1;
            state.failure = None;
            self.bell.notify_all();
        }
        let mut channel = connection.as_pubsub();
        let ended = loop {
            if self.stopped() {
                break Ok(());
            }
            match channel.get_message() {
                Ok(message) => {
                    if let Some((token, mail)) = Mail::parse(message.get_payload_bytes()) {
                        room.deliver(token, mail);
                    }
                }
                // Silence. The parser keeps what it has read of a message, so a pause in its middle does no harm.
                Err(error) if error.is_timeout() => {
                    // Any answer will do, also that the server is busy with somebody else's script.
                    if let Err(error) = channel.ping::<Value>() {
                        break Err(address.explain(&error));
                    }
                }
                Err(error) => break Err(address.explain(&error)),
            }
        };
        // The driver's goodbye waits for an answer, which a dead connection does not give: waiters would hear of the
        // loss that much later.
        let _ = channel.set_read_timeout(Some(GOODBYE));
        ended
    }
}

/// Sends a command and looks at its answer. A message may come before it; none is lost by skipping it: all waiters ask
/// once when this connection is ready.
fn ask(connection: &mut Connection, address: &Address, command: &Cmd) -> Result<(), FleetError> {
    connection.send_packed_command(&command.get_packed_command()).map_err(|error| address.explain(&error))?;
    loop {
        match connection.recv_response().map_err(|error| address.explain(&error))? {
            Value::ServerError(reply) => {
                let detail = reply.details().unwrap_or_default();
                return Err(refusal(address.server(), "", reply.code(), detail).error);
            }
            answer if Msg::from_value(&answer).is_some() => {}
            _ => return Ok(()),
        }
    }
}
