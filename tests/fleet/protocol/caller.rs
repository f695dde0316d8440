//! A process's half of the model: what `src/fleet/flight.rs` and the commander do between a call and its outcome.
//!
//! A process makes one call at a time: its threads are collapsed before the fleet is asked. It has one connection, on which
//! requests are executed and answered in order, and one on which messages come. Either can break.

use super::server::{Command, Flight, Mail, Outcome, Reply, Token, Which};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Process {
    pub(crate) dead: bool,
    /// Messages do not reach it: its subscription is gone, and not yet made anew.
    pub(crate) deaf: bool,
    /// The number of the call it makes, or makes next.
    pub(crate) call: u8,
    pub(crate) phase: Phase,
    pub(crate) first: Flight,
    pub(crate) which: Which,
    /// The letterbox of the call, and what is on its way there.
    pub(crate) mail: Vec<Mail>,
    /// Requests that are not answered yet, in the order of the connection.
    pub(crate) wire: Vec<Entry>,
    /// What the promises are judged by.
    pub(crate) ghost: Ghost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Phase {
    Idle,
    /// A JOIN is on the wire.
    Asking,
    /// Waits for a message.
    Waiting,
    /// Leads, and its closure runs.
    Running(Flight),
    /// Its closure has ended, its FINISH or RELEASE is on the wire.
    Landing(Flight),
}

/// Of the call in progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Ghost {
    /// Flights whose end this process knows: it led them, or was served. A set.
    pub(crate) seen_end: u16,
    /// Flights that had ended when the call came. A set.
    pub(crate) ended: u16,
    /// For a fresh call: the last flight that had started when it came.
    pub(crate) started: Flight,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) command: Command,
    /// It was sent before, on a connection that broke.
    pub(crate) resent: bool,
    /// The server has executed it; the answer is not read yet.
    pub(crate) reply: Option<Reply>,
}

impl Entry {
    fn of(command: Command) -> Self {
        Self { command, resent: false, reply: None }
    }

    /// Delivered whoever waits for it.
    pub(crate) fn is_promise(&self) -> bool {
        matches!(self.command, Command::Finish { .. } | Command::Release { .. })
    }

    fn token(&self) -> Option<Token> {
        self.command.token()
    }
}

/// What a call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Served {
    /// The outcome of this run.
    Run(Flight),
    /// Likewise, from the reuse window.
    Reused(Flight),
    /// Its own: it led this flight, and believes that the record was its own until the end, or not.
    Led { flight: Flight, stale: bool },
    /// Its own, which it had no way to share.
    Released,
    /// Its own, outside the fleet.
    Alone,
}

impl Process {
    pub(crate) fn new() -> Self {
        Self {
            dead: false,
            deaf: false,
            call: 0,
            phase: Phase::Idle,
            first: 0,
            which: Which::Any,
            mail: Vec::new(),
            wire: Vec::new(),
            ghost: Ghost::default(),
        }
    }

    pub(crate) fn begin(&mut self, token: Token, fresh: bool) {
        self.which = if fresh { Which::Fresh } else { Which::Any };
        self.ask(token);
    }

    /// JOIN, for the first time or again.
    pub(crate) fn ask(&mut self, token: Token) {
        self.phase = Phase::Asking;
        self.wire.push(Entry::of(Command::Join { token, first: self.first, which: self.which }));
    }

    /// The closure ends: with an outcome, or with nothing to share.
    pub(crate) fn land(&mut self, token: Token, flight: Flight, outcome: Option<Outcome>) {
        self.phase = Phase::Landing(flight);
        self.ghost.seen_end |= 1 << flight;
        self.wire.push(Entry::of(match outcome {
            Some(outcome) => Command::Finish { token, flight, outcome },
            None => Command::Release { token },
        }));
    }

    /// Reads the answer to the first request. `over`: whether the flight it lands has ended by itself, by its local clock.
    pub(crate) fn hear(&mut self, token: Token, over: bool) -> Option<Served> {
        let entry = self.wire.remove(0);
        let (current, reply) = (entry.token() == Some(token), entry.reply.expect("it was executed"));
        match (self.phase, reply) {
            // Nobody waits for it any more.
            _ if !current => None,
            (Phase::Asking, Reply::Lead(flight)) => {
                self.phase = Phase::Running(flight);
                None
            }
            (Phase::Asking, Reply::Follow(flight)) => {
                (self.first, self.phase) = (flight, Phase::Waiting);
                None
            }
            (Phase::Asking, Reply::Wait(flight)) => {
                (self.first, self.which, self.phase) = (flight + 1, Which::After(flight), Phase::Waiting);
                None
            }
            (Phase::Asking, Reply::Outcome(_, run)) => Some(Served::Run(run)),
            (Phase::Asking, Reply::Done(_, run)) => Some(Served::Reused(run)),
            (Phase::Landing(flight), Reply::Landed(_)) => Some(Served::Led { flight, stale: false }),
            // Sent twice: the first may have done it, if nobody has come since.
            (Phase::Landing(flight), Reply::Stale(last)) => {
                Some(Served::Led { flight, stale: !entry.resent || over || last != flight })
            }
            (Phase::Landing(_), Reply::Released(_)) => Some(Served::Released),
            (phase, reply) => panic!("a call that is {phase:?} is answered {reply:?}"),
        }
    }

    /// Takes the first message out of the letterbox.
    pub(crate) fn read(&mut self, token: Token) -> Option<Served> {
        match self.mail.remove(0) {
            Mail::Outcome(run) => return Some(Served::Run(run)),
            Mail::Oversize(_) => return Some(Served::Alone),
            Mail::Notice(flight) => self.first = flight,
            Mail::Again(_) | Mail::Lost => {}
        }
        self.ask(token);
        None
    }

    /// The connection breaks; what was not answered is sent again, promises first. A JOIN is sent twice at most.
    pub(crate) fn reconnect(&mut self, token: Token) -> Option<Served> {
        let (promises, mut others): (Vec<_>, Vec<_>) = self.wire.drain(..).partition(Entry::is_promise);
        let given_up = others.iter().any(|entry| entry.resent && entry.token() == Some(token));
        others.retain(|entry| !entry.resent);
        self.wire =
            promises.into_iter().chain(others).map(|entry| Entry { resent: true, reply: None, ..entry }).collect();
        if given_up && self.phase == Phase::Asking { Some(self.give_up(token)) } else { None }
    }

    /// The call ends before there is an answer: at its deadline, or because the server is away.
    pub(crate) fn give_up(&mut self, token: Token) -> Served {
        if self.phase == Phase::Asking {
            // The JOIN may have made this token the leader, or will: nobody would land that flight.
            self.wire.push(Entry::of(Command::Release { token }));
        }
        Served::Alone
    }

    /// The call is over: the next one begins with nothing of it.
    pub(crate) fn end(&mut self) {
        let ghost = Ghost { seen_end: self.ghost.seen_end, ..Ghost::default() };
        let (dead, deaf, wire) = (self.dead, self.deaf, std::mem::take(&mut self.wire));
        *self = Self { dead, deaf, wire, ghost, call: self.call + 1, ..Self::new() };
    }
}
