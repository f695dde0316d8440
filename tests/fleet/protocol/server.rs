//! The server's half of the model: one key's records, and what each script does to them.
//!
//! Flights are numbered 1, 2, 3 here. A real server gives microseconds: only their order counts, and `traces.rs` translates.
//! Time is not modelled: that a record has expired is a step of its own, which can come at any point.

/// A flight's number, which is also its fence. 0 stands for none.
pub(crate) type Flight = u8;

/// The most flights an exploration may start; more is a fault of its bounds, and panics.
pub(crate) const FLIGHTS: usize = 14;
pub(crate) const PROCESSES: usize = 3;
/// The most calls one process makes.
pub(crate) const CALLS: usize = 2;

/// One call of one process: it joins, and leads, under one token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Token(pub(crate) u8);

impl Token {
    pub(crate) fn new(process: usize, call: u8) -> Self {
        Self(process as u8 * CALLS as u8 + call)
    }

    pub(crate) fn process(self) -> usize {
        usize::from(self.0) / CALLS
    }

    pub(crate) fn call(self) -> u8 {
        self.0 % CALLS as u8
    }

    fn bit(self) -> u8 {
        1 << self.0
    }
}

/// `{k}:f`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Record {
    Absent,
    /// `s = R`. The waiters are sets of tokens: who follows, and who only waits for the end.
    Running {
        id: Flight,
        owner: Token,
        followers: u8,
        waiters: u8,
        /// `h`: somebody waits for an outcome since a flight that gave none.
        heir: bool,
    },
    /// `s = D`: within the reuse window.
    Done {
        id: Flight,
        run: Flight,
    },
}

/// All that a server holds of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    pub(crate) record: Record,
    /// `{k}:c`; 0 where it is absent.
    pub(crate) last: Flight,
    /// Whether `{k}:c` ends in ` w`: somebody waits for an outcome.
    pub(crate) awaited: bool,
    /// `{k}:r`: a number, and the run whose outcome lies there.
    pub(crate) stored: Option<(Flight, Flight)>,
    /// The greatest fence given: a clock that is right is always ahead of it. Not a record; the real server has TIME.
    pub(crate) given: Flight,
}

/// Which flights of others a call may follow: the fifth argument of JOIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Which {
    Any,
    Fresh,
    After(Flight),
}

/// What a leader's closure came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// Sent with the message.
    Small,
    /// A notice is sent, the outcome is fetched.
    Large,
    /// Larger than what is shared.
    Oversize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Command {
    Join {
        token: Token,
        /// The first flight whose stored outcome will do; 0 for none.
        first: Flight,
        which: Which,
    },
    Finish {
        token: Token,
        flight: Flight,
        outcome: Outcome,
    },
    Release {
        token: Token,
    },
    Renew {
        token: Token,
    },
    /// Not a command: the time to live of a key has passed.
    Expire(Key),
    /// Not a command: the server starts again, with nothing.
    Restart,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Record,
    Last,
    Stored,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Reply {
    Lead(Flight),
    Follow(Flight),
    Wait(Flight),
    /// The number it was stored under, and the run whose outcome it is.
    Outcome(Flight, Flight),
    Done(Flight, Flight),
    Landed(u8),
    Stale(Flight),
    Released(bool),
    Renewed(bool),
    /// Nobody asked.
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Mail {
    Outcome(Flight),
    Notice(Flight),
    Oversize(Flight),
    Again(Flight),
    /// Not the server's: the subscription was made anew.
    Lost,
}

/// What the scripts are taken to do. The tests drop one rule at a time, and the search must notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The server's clock is ahead of the last fence, as it is unless somebody set it back.
    pub(crate) clock_ahead: bool,
    /// The reuse window is open.
    pub(crate) reuse: bool,
    pub(crate) fence: Fence,
    /// FINISH compares the token, and the flight.
    pub(crate) finish_compares_token: bool,
    pub(crate) finish_compares_flight: bool,
    /// JOIN registers its caller in the same script.
    pub(crate) join_registers: bool,
    /// A stored outcome is served by its flight's number, and not because the user's key is the same.
    pub(crate) stored_by_number: bool,
    /// A JOIN that comes a second time finds itself the leader.
    pub(crate) join_knows_itself: bool,
    /// Whoever leads after a flight that owed somebody an outcome stores its own for them.
    pub(crate) heirs: bool,
    /// FINISH leaves a mark for those who may not have its outcome: the next flight is owed to them.
    pub(crate) waiters_are_owed: bool,
}

/// How the next fence is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fence {
    /// The greatest of the clock, the last fence + 1 and the record's + 1.
    Greatest,
    ClockOnly,
    CounterOnly,
}

impl Rules {
    pub(crate) const AS_WRITTEN: Self = Self {
        clock_ahead: true,
        reuse: false,
        fence: Fence::Greatest,
        finish_compares_token: true,
        finish_compares_flight: true,
        join_registers: true,
        stored_by_number: true,
        join_knows_itself: true,
        heirs: true,
        waiters_are_owed: true,
    };
}

/// What was published: to whom, in the order of their tokens.
pub(crate) type Published = Vec<(Token, Mail)>;

impl Command {
    pub(crate) fn token(&self) -> Option<Token> {
        match *self {
            Self::Join { token, .. } | Self::Finish { token, .. } | Self::Release { token } | Self::Renew { token } => {
                Some(token)
            }
            Self::Expire(_) | Self::Restart => None,
        }
    }

    /// The same, by another.
    pub(crate) fn map_token(self, map: impl Fn(Token) -> Token) -> Self {
        match self {
            Self::Join { token, first, which } => Self::Join { token: map(token), first, which },
            Self::Finish { token, flight, outcome } => Self::Finish { token: map(token), flight, outcome },
            Self::Release { token } => Self::Release { token: map(token) },
            Self::Renew { token } => Self::Renew { token: map(token) },
            Self::Expire(_) | Self::Restart => self,
        }
    }
}

impl Server {
    pub(crate) const EMPTY: Self = Self { record: Record::Absent, last: 0, awaited: false, stored: None, given: 0 };

    pub(crate) fn execute(&mut self, rules: &Rules, command: Command) -> (Reply, Published) {
        match command {
            Command::Join { token, first, which } => (self.join(rules, token, first, which), Vec::new()),
            Command::Finish { token, flight, outcome } => self.finish(rules, token, flight, outcome),
            Command::Release { token } => self.release(token),
            Command::Renew { token } => {
                let held = matches!(self.record, Record::Running { owner, .. } if owner == token);
                (Reply::Renewed(held), Vec::new())
            }
            Command::Expire(key) => {
                match key {
                    Key::Record => self.record = Record::Absent,
                    Key::Last => (self.last, self.awaited) = (0, false),
                    Key::Stored => self.stored = None,
                }
                (Reply::Nothing, Vec::new())
            }
            Command::Restart => {
                *self = Self { given: self.given, ..Self::EMPTY };
                (Reply::Nothing, Vec::new())
            }
        }
    }

    /// The same, with other names for the tokens.
    pub(crate) fn map_tokens(&mut self, map: impl Fn(Token) -> Token) {
        if let Record::Running { owner, followers, waiters, .. } = &mut self.record {
            let renamed = |set: u8| tokens(set).map(|token| map(token).bit()).fold(0, |all, bit| all | bit);
            (*owner, *followers, *waiters) = (map(*owner), renamed(*followers), renamed(*waiters));
        }
    }

    /// What the server knows of a token: whether it leads, follows, waits.
    pub(crate) fn role(&self, token: Token) -> (bool, bool, bool) {
        match self.record {
            Record::Running { owner, followers, waiters, .. } => {
                (owner == token, followers & token.bit() != 0, waiters & token.bit() != 0)
            }
            _ => (false, false, false),
        }
    }

    fn join(&mut self, rules: &Rules, token: Token, first: Flight, which: Which) -> Reply {
        match self.stored {
            Some((id, run)) if first > 0 && (id >= first || !rules.stored_by_number) => return Reply::Outcome(id, run),
            _ => {}
        }
        let young = |id: Flight| match which {
            Which::Any => true,
            Which::Fresh => false,
            Which::After(flight) => id > flight,
        };
        match &mut self.record {
            Record::Running { id, owner, .. } if *owner == token && rules.join_knows_itself => Reply::Lead(*id),
            Record::Running { id, followers, waiters, .. } => {
                let id = *id;
                if rules.join_registers {
                    let registered = (*followers | *waiters) & token.bit() != 0;
                    // One field: the newer word replaces the older one.
                    (*followers, *waiters) = (*followers & !token.bit(), *waiters & !token.bit());
                    *if young(id) { followers } else { waiters } |= token.bit();
                    if !registered {
                        (self.last, self.awaited) = (id, true);
                    }
                }
                if young(id) { Reply::Follow(id) } else { Reply::Wait(id) }
            }
            Record::Done { id, run } if young(*id) => Reply::Done(*id, *run),
            Record::Done { .. } | Record::Absent => Reply::Lead(self.lead(rules, token, first)),
        }
    }

    fn lead(&mut self, rules: &Rules, owner: Token, first: Flight) -> Flight {
        // A clock that was set back gives what is smaller than every fence.
        let clock = if rules.clock_ahead { self.given + 1 } else { 1 };
        let before = match self.record {
            Record::Absent => 0,
            Record::Running { id, .. } | Record::Done { id, .. } => id,
        };
        let id = match rules.fence {
            Fence::Greatest => clock.max(self.last + 1).max(before + 1),
            Fence::ClockOnly => clock,
            Fence::CounterOnly => self.last + 1,
        };
        assert!(usize::from(id) <= FLIGHTS, "the bounds of this exploration start more flights than it has room for");
        let heir = first > 0 || self.awaited;
        self.record = Record::Running { id, owner, followers: 0, waiters: 0, heir };
        (self.last, self.awaited) = (id, heir);
        self.given = self.given.max(id);
        id
    }

    fn finish(&mut self, rules: &Rules, token: Token, flight: Flight, outcome: Outcome) -> (Reply, Published) {
        let Record::Running { id, owner, followers, waiters, heir } = self.record else {
            return (Reply::Stale(self.last), Vec::new());
        };
        if owner != token && rules.finish_compares_token || id != flight && rules.finish_compares_flight {
            return (Reply::Stale(self.last), Vec::new());
        }
        self.record =
            if rules.reuse && outcome != Outcome::Oversize { Record::Done { id, run: flight } } else { Record::Absent };
        if (followers != 0 || heir && rules.heirs) && outcome != Outcome::Oversize {
            self.stored = Some((id, flight));
        }
        if heir || followers | waiters != 0 {
            // Who waited for the end waits for the next flight now.
            (self.last, self.awaited) = (id, waiters != 0 && rules.waiters_are_owed);
        }
        let told = tokens(followers | waiters).map(|waiter| {
            let mail = match outcome {
                _ if waiters & waiter.bit() != 0 => Mail::Again(id),
                Outcome::Small => Mail::Outcome(flight),
                Outcome::Large => Mail::Notice(id),
                Outcome::Oversize => Mail::Oversize(id),
            };
            (waiter, mail)
        });
        (Reply::Landed((followers | waiters).count_ones() as u8), told.collect())
    }

    fn release(&mut self, token: Token) -> (Reply, Published) {
        match &mut self.record {
            Record::Running { id, owner, followers, waiters, .. } if *owner == token => {
                let told = tokens(*followers | *waiters).map(|waiter| (waiter, Mail::Again(*id))).collect();
                self.record = Record::Absent;
                (Reply::Released(true), told)
            }
            Record::Running { followers, waiters, .. } => {
                (*followers, *waiters) = (*followers & !token.bit(), *waiters & !token.bit());
                (Reply::Released(false), Vec::new())
            }
            _ => (Reply::Released(false), Vec::new()),
        }
    }
}

/// The tokens of a set.
pub(crate) fn tokens(set: u8) -> impl Iterator<Item = Token> {
    (0..(PROCESSES * CALLS) as u8).map(Token).filter(move |token| set & token.bit() != 0)
}
