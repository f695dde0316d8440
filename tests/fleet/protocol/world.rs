//! The whole of the model: a server, three processes, what is on its way between them; every step that can be next, and
//! whether a step breaks a promise.

use super::caller::{Entry, Phase, Process, Served};
use super::server::{CALLS, Command, Flight, Key, Mail, Outcome, PROCESSES, Record, Reply, Rules, Server, Token};

/// What is explored, and how far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) rules: Rules,
    /// How many calls each process makes.
    pub(crate) calls: [u8; PROCESSES],
    /// Which processes' calls may be fresh.
    pub(crate) fresh: [bool; PROCESSES],
    /// What a closure may come to; `None` is a panic, or an error that is not shared.
    pub(crate) outcomes: &'static [Option<Outcome>],
    /// How many faults may happen, of those in `faults`.
    pub(crate) budget: u8,
    pub(crate) faults: &'static [Fault],
    /// Callers ask again when the time of the record they follow is over. The tests drop this, too.
    pub(crate) alarms: bool,
}

/// What goes wrong. Everything else is the world taking its course, in any order and at any speed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// A process dies. What it has sent may still be executed.
    Crash,
    /// A process that leads stands still for longer than its record lives.
    Pause,
    /// The connection for questions breaks; answers are lost, and what is unanswered is sent again.
    Break,
    /// Likewise, and what the server had not read yet reaches it later, as a second copy.
    Stray,
    /// The connection for messages breaks.
    Deafen,
    /// A caller's deadline passes.
    Leave,
    /// A stored outcome has lingered long enough.
    Forget,
    /// The last fence is lost: a day has passed, or a failover lost it.
    LoseFence,
    /// The server starts again, empty.
    Restart,
    /// A failover to a replica that has not heard of the last write.
    Failover,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Begin {
        process: u8,
        fresh: bool,
    },
    /// The server executes the next request of this process.
    Execute {
        process: u8,
    },
    /// The process reads the next answer.
    Hear {
        process: u8,
    },
    /// The process reads the next message.
    Read {
        process: u8,
    },
    /// The time of the record it follows is over, as far as it knows: it asks again.
    Alarm {
        process: u8,
    },
    Land {
        process: u8,
        outcome: Option<Outcome>,
    },
    /// The subscription is there again.
    Subscribe {
        process: u8,
    },
    /// The server executes a second copy of a request.
    Late,
    /// A record that nobody renews expires.
    Expire,
    Fault {
        fault: Fault,
        process: u8,
    },
}

/// The state.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) server: Server,
    /// The replica's state, one write behind; the same as the server's where no failover is explored.
    replica: Server,
    processes: [Process; PROCESSES],
    /// A second copy of a request, on its way.
    stray: Option<Command>,
    faults: u8,
    /// Sets of flights: landed with an outcome that is shared; ended at the server; expired.
    landed: u16,
    ended: u16,
    expired: u16,
    /// Outcomes that cannot be had any more, or never could.
    lost: u16,
    /// A record ended though somebody held it: two can run.
    lapsed: bool,
}

/// One step taken.
pub(crate) struct Taken {
    pub(crate) step: Step,
    pub(crate) world: World,
    /// What the server did in it.
    pub(crate) executed: Option<Command>,
    /// The promise that it breaks.
    pub(crate) broken: Option<&'static str>,
}

pub(crate) const FENCES_GROW: &str = "fences grow";
pub(crate) const NOT_ENDED_BEFORE: &str = "nobody is served an outcome of a flight that ended before it came";
pub(crate) const FRESH_STARTED_AFTER: &str = "a fresh call is served by a flight that started after it came";
pub(crate) const ONE_HEIR: &str =
    "whoever follows a flight gets its outcome, or its heir's, and does not run once more";
pub(crate) const STALE_IS_SILENT: &str = "a stale finish publishes nothing and changes nothing";
pub(crate) const NOT_ITSELF: &str = "nobody follows its own flight";
pub(crate) const ONE_AT_A_TIME: &str = "one at a time runs, while its record holds";
pub(crate) const NO_FALSE_LANDING: &str = "a leader that is told it landed has landed";
pub(crate) const SERVED: &str = "nobody waits for ever";

fn bit(flight: Flight) -> u16 {
    1 << flight
}

impl World {
    pub(crate) fn start(bounds: &Bounds) -> Self {
        Self {
            server: Server::EMPTY,
            replica: Server::EMPTY,
            processes: std::array::from_fn(|_| Process::new()),
            stray: None,
            faults: bounds.budget,
            landed: 0,
            ended: 0,
            expired: 0,
            lost: 0,
            lapsed: false,
        }
    }

    /// Everybody who is alive has been served.
    pub(crate) fn is_served(&self, bounds: &Bounds) -> bool {
        (self.processes.iter().zip(bounds.calls))
            .all(|(process, calls)| process.dead || process.call == calls && process.phase == Phase::Idle)
    }

    /// Hands every step that can be next to `take`.
    pub(crate) fn steps(&self, bounds: &Bounds, take: &mut dyn FnMut(Taken)) {
        for n in 0..PROCESSES {
            self.steps_of(n, bounds, take);
        }
        if let Some(command) = self.stray {
            self.taken(bounds, Step::Late, take, |next| {
                next.stray = None;
                next.execute(bounds, command).map(|_| ())
            });
        }
        if self.server.record != Record::Absent && self.holder().is_none() {
            self.taken(bounds, Step::Expire, take, |next| {
                next.execute(bounds, Command::Expire(Key::Record)).map(|_| ())
            });
        }
        self.faults(bounds, take);
    }

    fn steps_of(&self, n: usize, bounds: &Bounds, take: &mut dyn FnMut(Taken)) {
        let (process, here) = (&self.processes[n], n as u8);
        let token = Token::new(n, process.call);
        if process.wire.iter().any(|entry| entry.reply.is_none()) {
            self.taken(bounds, Step::Execute { process: here }, take, |next| next.execute_next(n, bounds));
        }
        if process.dead {
            return;
        }
        if process.wire.first().is_some_and(|entry| entry.reply.is_some()) {
            self.taken(bounds, Step::Hear { process: here }, take, |next| {
                let over = match process.phase {
                    Phase::Landing(flight) => next.expired & bit(flight) != 0,
                    _ => false,
                };
                let served = next.processes[n].hear(token, over);
                next.serve(n, served)
            });
        }
        if process.deaf {
            self.taken(bounds, Step::Subscribe { process: here }, take, |next| {
                let process = &mut next.processes[n];
                process.deaf = false;
                if matches!(process.phase, Phase::Asking | Phase::Waiting) {
                    process.mail.push(Mail::Lost);
                }
                Ok(())
            });
        }
        match process.phase {
            Phase::Idle if process.call < bounds.calls[n] => {
                for fresh in [false, true] {
                    if !fresh || bounds.fresh[n] {
                        self.taken(bounds, Step::Begin { process: here, fresh }, take, |next| {
                            let (ended, started) = (next.ended, if fresh { next.server.given } else { 0 });
                            let process = &mut next.processes[n];
                            process.begin(token, fresh);
                            process.ghost.ended = ended | process.ghost.seen_end;
                            process.ghost.started = started;
                            Ok(())
                        });
                    }
                }
            }
            Phase::Waiting if process.mail.is_empty() && !bounds.alarms => {}
            Phase::Waiting if process.mail.is_empty() => {
                self.taken(bounds, Step::Alarm { process: here }, take, |next| {
                    next.processes[n].ask(token);
                    Ok(())
                });
            }
            Phase::Waiting => {
                self.taken(bounds, Step::Read { process: here }, take, |next| {
                    let served = next.processes[n].read(token);
                    next.serve(n, served)
                });
            }
            Phase::Running(flight) => {
                for &outcome in bounds.outcomes {
                    self.taken(bounds, Step::Land { process: here, outcome }, take, |next| {
                        next.processes[n].land(token, flight, outcome);
                        Ok(())
                    });
                }
            }
            Phase::Idle | Phase::Asking | Phase::Landing(_) => {}
        }
    }

    fn faults(&self, bounds: &Bounds, take: &mut dyn FnMut(Taken)) {
        if self.faults == 0 {
            return;
        }
        for &fault in bounds.faults {
            let mut happens = |process: usize, then: &dyn Fn(&mut World) -> Result<(), &'static str>| {
                let step = Step::Fault { fault, process: process as u8 };
                self.taken(bounds, step, take, |next| {
                    next.faults -= 1;
                    then(next)
                });
            };
            let outside = |command| move |next: &mut World| next.execute(bounds, command).map(|_| ());
            match fault {
                Fault::Pause if self.holder().is_some() => happens(0, &outside(Command::Expire(Key::Record))),
                Fault::Forget if self.server.stored.is_some() => happens(0, &outside(Command::Expire(Key::Stored))),
                Fault::LoseFence if self.server.last != 0 => happens(0, &outside(Command::Expire(Key::Last))),
                Fault::Restart if self.server != (Server { given: self.server.given, ..Server::EMPTY }) => {
                    happens(0, &|next| {
                        next.disconnect();
                        next.execute(bounds, Command::Restart).map(|_| ())
                    });
                }
                Fault::Failover if self.server != self.replica => happens(0, &|next| {
                    next.disconnect();
                    let given = next.server.given;
                    next.server = Server { given, ..next.replica };
                    next.replica = next.server;
                    next.lapsed = true;
                    next.lose_outcomes();
                    // A flight may be in the air again, as far as those know who have not seen its end.
                    if let Record::Running { id, .. } = next.server.record {
                        (next.ended, next.landed) = (next.ended & !bit(id), next.landed & !bit(id));
                        for process in &mut next.processes {
                            process.ghost.ended &= !bit(id) | process.ghost.seen_end;
                        }
                    }
                    Ok(())
                }),
                Fault::Crash | Fault::Break | Fault::Stray | Fault::Deafen | Fault::Leave => {
                    for (n, process) in self.processes.iter().enumerate().filter(|(_, process)| !process.dead) {
                        let unread = process.wire.iter().find(|entry| entry.reply.is_none()).map(|entry| entry.command);
                        match fault {
                            Fault::Crash if process.call < bounds.calls[n] => happens(n, &|next| {
                                next.crash(n);
                                Ok(())
                            }),
                            Fault::Break if !process.wire.is_empty() => happens(n, &|next| next.reconnect(n)),
                            Fault::Stray if unread.is_some() && self.stray.is_none() => happens(n, &|next| {
                                next.stray = unread;
                                next.reconnect(n)
                            }),
                            Fault::Deafen if !process.deaf && process.phase != Phase::Idle => happens(n, &|next| {
                                (next.processes[n].deaf, next.processes[n].mail) = (true, Vec::new());
                                Ok(())
                            }),
                            Fault::Leave if !matches!(process.phase, Phase::Idle | Phase::Running(_)) => {
                                happens(n, &|next| {
                                    let token = Token::new(n, process.call);
                                    let served = next.processes[n].give_up(token);
                                    next.serve(n, Some(served))
                                });
                            }
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
    }

    fn taken(
        &self,
        bounds: &Bounds,
        step: Step,
        take: &mut dyn FnMut(Taken),
        change: impl FnOnce(&mut Self) -> Result<(), &'static str>,
    ) {
        let mut world = self.clone();
        let broken = change(&mut world).err();
        let executed = match step {
            Step::Execute { process } => {
                self.processes[usize::from(process)].wire.iter().find(|entry| entry.reply.is_none()).map(|e| e.command)
            }
            Step::Late => self.stray,
            Step::Expire | Step::Fault { fault: Fault::Pause, .. } => Some(Command::Expire(Key::Record)),
            Step::Fault { fault: Fault::Forget, .. } => Some(Command::Expire(Key::Stored)),
            Step::Fault { fault: Fault::LoseFence, .. } => Some(Command::Expire(Key::Last)),
            Step::Fault { fault: Fault::Restart, .. } => Some(Command::Restart),
            _ => None,
        };
        let broken = broken.or_else(|| world.broken());
        world.forget_what_no_longer_matters(bounds);
        take(Taken { step, world, executed, broken });
    }

    /// Two states that differ only in what nobody will ask about are one.
    fn forget_what_no_longer_matters(&mut self, bounds: &Bounds) {
        let (mut landing, mut oldest, mut more) = (0, self.server.given + 1, false);
        for (process, calls) in self.processes.iter_mut().zip(bounds.calls) {
            if process.call >= calls || process.dead {
                process.ghost.seen_end = 0;
            } else {
                more |= process.phase == Phase::Idle || process.call + 1 < calls;
            }
            if let Phase::Running(flight) | Phase::Landing(flight) = process.phase {
                landing |= bit(flight);
            }
            if process.phase != Phase::Idle && process.first != 0 {
                oldest = oldest.min(process.first);
            }
            // It is told so next.
            for entry in &process.wire {
                match entry.reply {
                    Some(Reply::Lead(flight)) => landing |= bit(flight),
                    Some(Reply::Follow(flight) | Reply::Wait(flight)) => oldest = oldest.min(flight),
                    _ => {}
                }
            }
        }
        if let Record::Running { id, .. } = self.server.record {
            oldest = oldest.min(id);
        }
        self.expired &= landing;
        if !more {
            self.ended &= landing;
        }
        // Nobody can follow a flight that is older.
        let followed = !(bit(oldest) - 1);
        (self.landed, self.lost) = (self.landed & followed, self.lost & followed);
    }

    /// The same state with the processes in an order that depends only on what they do: processes of which nothing more
    /// is expected than of each other are interchangeable.
    pub(crate) fn sorted(mut self, bounds: &Bounds) -> Self {
        let alike = |a: usize, b: usize| bounds.calls[a] == bounds.calls[b] && bounds.fresh[a] == bounds.fresh[b];
        let mut order: [usize; PROCESSES] = std::array::from_fn(|n| n);
        // Few enough to be sorted by exchanging neighbours; those that are not alike stay where they are.
        for _ in 0..PROCESSES {
            for a in 0..PROCESSES {
                for b in a + 1..PROCESSES {
                    if alike(a, b) && self.rank(order[a]) > self.rank(order[b]) {
                        order.swap(a, b);
                    }
                }
            }
        }
        let mut place = [0; PROCESSES];
        order.iter().enumerate().for_each(|(to, from)| place[*from] = to);
        if order.is_sorted() {
            return self;
        }
        let rename = |token: Token| Token::new(place[token.process()], token.call());
        self.server.map_tokens(rename);
        self.replica.map_tokens(rename);
        self.stray = self.stray.map(|command| command.map_token(rename));
        for process in &mut self.processes {
            process.wire.iter_mut().for_each(|entry| entry.command = entry.command.map_token(rename));
        }
        let mut processes = self.processes.map(Some);
        self.processes = order.map(|from| processes[from].take().expect("each once"));
        self
    }

    fn rank(&self, n: usize) -> impl Ord + use<'_> {
        let process = &self.processes[n];
        let roles: [_; CALLS] = std::array::from_fn(|call| self.server.role(Token::new(n, call as u8)));
        let stray = self.stray.and_then(|command| command.token()).map(|token| token.process() == n);
        let wire: Vec<_> = process.wire.iter().map(|entry| (entry.resent, entry.is_promise(), entry.reply)).collect();
        let told =
            (process.dead, process.deaf, process.call, process.phase, process.first, process.which, process.ghost);
        (told, roles, stray, &process.mail, wire)
    }

    /// The process that holds the record and will renew or land it; `None` where nobody does.
    fn holder(&self) -> Option<usize> {
        let Record::Running { id, owner, .. } = self.server.record else { return None };
        let process = &self.processes[owner.process()];
        let current = !process.dead && Token::new(owner.process(), process.call) == owner;
        let holds = match process.phase {
            Phase::Running(flight) | Phase::Landing(flight) => flight == id,
            // The answer that tells it so is on its way.
            Phase::Asking => true,
            Phase::Idle | Phase::Waiting => false,
        };
        (current && holds).then_some(owner.process())
    }

    fn execute_next(&mut self, n: usize, bounds: &Bounds) -> Result<(), &'static str> {
        let Some(at) = self.processes[n].wire.iter().position(|entry| entry.reply.is_none()) else { return Ok(()) };
        let command = self.processes[n].wire[at].command;
        let result = self.execute(bounds, command);
        if self.processes[n].dead {
            self.processes[n].wire.remove(at);
            return result.map(|_| ());
        }
        let (reply, broken) = match result {
            Ok(reply) => (reply, Ok(())),
            Err(promise) => (Reply::Nothing, Err(promise)),
        };
        self.processes[n].wire[at].reply = Some(reply);
        broken
    }

    /// The server executes `command`, and what it publishes goes on its way.
    fn execute(&mut self, bounds: &Bounds, command: Command) -> Result<Reply, &'static str> {
        let (before, held, rules) = (self.server, self.holder().is_some(), &bounds.rules);
        let (reply, published) = self.server.execute(rules, command);
        if bounds.faults.contains(&Fault::Failover) {
            if self.server != before {
                self.replica = before;
            }
        } else {
            self.replica = Server::EMPTY;
        }
        let running = match before.record {
            Record::Running { id, owner, .. } => Some((id, owner)),
            _ => None,
        };
        match (command, reply) {
            (Command::Join { token, .. }, Reply::Lead(id)) if running != Some((id, token)) && id <= before.given => {
                return Err(FENCES_GROW);
            }
            (Command::Join { token, .. }, Reply::Follow(id) | Reply::Wait(id)) if running == Some((id, token)) => {
                return Err(NOT_ITSELF);
            }
            (Command::Finish { token, flight, .. }, reply) if running != Some((flight, token)) => {
                let silent = self.server == before && published.is_empty();
                if !silent || !matches!(reply, Reply::Stale(_)) {
                    return Err(STALE_IS_SILENT);
                }
            }
            (Command::Finish { flight, outcome, .. }, _) => {
                self.ended |= bit(flight);
                if outcome == Outcome::Oversize { self.lost |= bit(flight) } else { self.landed |= bit(flight) }
            }
            (Command::Release { .. }, Reply::Released(true)) => {
                if let Some((id, _)) = running {
                    self.ended |= bit(id);
                }
            }
            (Command::Expire(Key::Record), _) => {
                if let Some((id, _)) = running {
                    self.expired |= bit(id);
                }
                self.lapsed |= held;
            }
            (Command::Expire(Key::Stored | Key::Last), _) | (Command::Restart, _) => {
                self.lose_outcomes();
                self.lapsed |= command == Command::Restart;
            }
            _ => {}
        }
        if let Command::Join { token, first, .. } = command {
            self.judge_heir(token, first, reply)?;
        }
        for (token, mail) in published {
            let process = &mut self.processes[token.process()];
            let open = !matches!(process.phase, Phase::Idle) && Token::new(token.process(), process.call) == token;
            if open && !process.dead && !process.deaf {
                process.mail.push(mail);
            }
        }
        Ok(reply)
    }

    /// A call that waits since flight `first` is in the air gets the outcome of the first flight that landed since then.
    fn judge_heir(&self, token: Token, first: Flight, reply: Reply) -> Result<(), &'static str> {
        let process = &self.processes[token.process()];
        if first == 0 || process.dead || Token::new(token.process(), process.call) != token {
            return Ok(());
        }
        let landed = (first..=self.server.given).find(|flight| self.landed & bit(*flight) != 0);
        let owed = landed.is_some_and(|heir| (first..=heir).all(|flight| self.lost & bit(flight) == 0));
        if owed && !matches!(reply, Reply::Outcome(..) | Reply::Done(..)) { Err(ONE_HEIR) } else { Ok(()) }
    }

    /// The call of `n` has come to something.
    fn serve(&mut self, n: usize, served: Option<Served>) -> Result<(), &'static str> {
        let Some(served) = served else { return Ok(()) };
        let ghost = self.processes[n].ghost;
        self.processes[n].end();
        if let Served::Run(run) = served {
            self.processes[n].ghost.seen_end |= bit(run);
        }
        let fresh = |run: Flight| if run > ghost.started { Ok(()) } else { Err(FRESH_STARTED_AFTER) };
        match served {
            Served::Run(run) if ghost.ended & bit(run) != 0 => Err(NOT_ENDED_BEFORE),
            Served::Run(run) | Served::Reused(run) => fresh(run),
            Served::Led { flight, stale: false } if self.ended & bit(flight) == 0 => Err(NO_FALSE_LANDING),
            Served::Led { .. } | Served::Released | Served::Alone => Ok(()),
        }
    }

    fn crash(&mut self, n: usize) {
        let process = &mut self.processes[n];
        let mut wire = std::mem::take(&mut process.wire);
        wire.retain(|entry| entry.reply.is_none());
        let wire = wire.into_iter().map(|entry| Entry { resent: false, ..entry }).collect();
        *process = Process { dead: true, call: process.call, wire, ..Process::new() };
    }

    fn reconnect(&mut self, n: usize) -> Result<(), &'static str> {
        let token = Token::new(n, self.processes[n].call);
        let served = self.processes[n].reconnect(token);
        self.serve(n, served)
    }

    /// All connections end with the server.
    fn disconnect(&mut self) {
        self.stray = None;
        for n in 0..PROCESSES {
            if self.processes[n].dead {
                self.processes[n].wire.clear();
            } else {
                let _ = self.reconnect(n);
                if self.processes[n].phase != Phase::Idle {
                    (self.processes[n].deaf, self.processes[n].mail) = (true, Vec::new());
                }
            }
        }
    }

    /// The outcomes of all flights so far are lost, or the mark that the next one is owed to somebody.
    fn lose_outcomes(&mut self) {
        self.lost |= (bit(self.server.given) << 2) - 1;
    }

    /// What must hold in every state.
    fn broken(&self) -> Option<&'static str> {
        let runs = self.processes.iter().filter(|process| matches!(process.phase, Phase::Running(_))).count();
        (runs > 1 && !self.lapsed).then_some(ONE_AT_A_TIME)
    }
}

impl Step {
    pub(crate) fn is_fault(self) -> bool {
        matches!(self, Self::Fault { .. })
    }
}
