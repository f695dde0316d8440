//! The judge of histories: knows the promises, and nothing of how they are kept.

/// Which flights a call may be served by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Boarding {
    /// A read: one in the air.
    Join,
    /// A write, or a fresh read: one that starts after the call arrived.
    Queue,
    /// No closure of its own: what is there, if anything is.
    Look,
}

/// What a closure does in the end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Ending {
    Value,
    Fault,
    Panic,
}

/// What a caller saw in the end. The number is the call whose closure made it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Seen {
    Value(usize),
    Fault(usize),
    /// `Error::Panicked`.
    Panicked(usize),
    /// The call itself panicked.
    Unwound(usize),
    TimedOut,
    Deadlock,
    Abandoned,
    /// `wait` found nothing.
    Nothing,
}

/// One call, with the moments of its life.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) key: u8,
    pub(super) boarding: Boarding,
    pub(super) ending: Ending,
    pub(super) timed: bool,
    pub(super) spawned: bool,
    /// The call from whose closure this one was made.
    pub(super) parent: Option<usize>,
    pub(super) arrived: u64,
    /// By then it was known to wait, or to lead.
    pub(super) boarded: Option<u64>,
    pub(super) started: Vec<u64>,
    pub(super) ended: Option<u64>,
    /// Its closure was gone, run or not.
    pub(super) dropped: Option<u64>,
    /// Its closure ran on another thread than the caller's.
    pub(super) elsewhere: bool,
    pub(super) returned: u64,
    pub(super) seen: Seen,
}

impl Call {
    pub(super) fn new(key: u8, ending: Ending) -> Self {
        Self {
            key,
            boarding: Boarding::Join,
            ending,
            timed: false,
            spawned: false,
            parent: None,
            arrived: 0,
            boarded: None,
            started: Vec::new(),
            ended: None,
            dropped: None,
            elsewhere: false,
            returned: 0,
            seen: Seen::Nothing,
        }
    }

    /// The call whose closure made what this one saw.
    fn made_by(&self) -> Option<usize> {
        match self.seen {
            Seen::Value(whose) | Seen::Fault(whose) | Seen::Panicked(whose) | Seen::Unwound(whose) => Some(whose),
            Seen::TimedOut | Seen::Deadlock | Seen::Abandoned | Seen::Nothing => None,
        }
    }

    fn start(&self) -> Option<u64> {
        self.started.first().copied()
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Forget {
    pub(super) key: u8,
    pub(super) began: u64,
    pub(super) ended: u64,
}

#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) writes: bool,
    pub(super) calls: Vec<Call>,
    pub(super) forgets: Vec<Forget>,
    /// Entries and followers left in the group at the end.
    pub(super) left: usize,
}

impl History {
    /// Whether the key was forgotten at a moment that may lie between the two.
    fn forgotten(&self, key: u8, from: u64, to: u64) -> bool {
        self.forgets.iter().any(|forget| forget.key == key && forget.ended > from && forget.began < to)
    }

    fn runs(&self, key: u8) -> impl Iterator<Item = (usize, u64, u64)> + '_ {
        let of_key = self.calls.iter().enumerate().filter(move |(_, call)| call.key == key);
        of_key.filter_map(|(id, call)| Some((id, call.start()?, call.ended?)))
    }
}

/// All that is wrong with a history; empty: it keeps the promises.
pub(super) fn judge(history: &History) -> Vec<String> {
    let mut wrong = Vec::new();
    for (id, call) in history.calls.iter().enumerate() {
        closure_is_the_callers(id, call, &mut wrong);
        outcome_is_true(history, id, call, &mut wrong);
        flight_is_the_right_one(history, id, call, &mut wrong);
        refusals_are_right(history, id, call, &mut wrong);
    }
    one_at_a_time(history, &mut wrong);
    newest_wins(history, &mut wrong);
    looks_cover_what_was_there(history, &mut wrong);
    if history.left > 0 {
        wrong.push(format!("P8: {} left behind", history.left));
    }
    wrong
}

fn closure_is_the_callers(id: usize, call: &Call, wrong: &mut Vec<String>) {
    if call.started.len() > 1 {
        wrong.push(format!("P12: closure {id} ran {} times", call.started.len()));
    }
    if call.elsewhere {
        wrong.push(format!("P12: closure {id} ran on another thread"));
    }
    if call.returned == 0 {
        wrong.push(format!("P5: call {id} never returned"));
    }
    if call.dropped.is_none_or(|dropped| dropped > call.returned) {
        wrong.push(format!("P12: call {id} returned while its closure was still there"));
    }
    if call.boarding == Boarding::Look && !call.started.is_empty() {
        wrong.push(format!("P12: call {id} ran although it only waits"));
    }
}

/// P5: what was seen is what the closure named did, and a caller whose closure ran sees that one's end.
fn outcome_is_true(history: &History, id: usize, call: &Call, wrong: &mut Vec<String>) {
    if call.start().is_some() && call.made_by() != Some(id) {
        wrong.push(format!("P5: closure {id} ran, but its caller saw {:?}", call.seen));
    }
    let Some(whose) = call.made_by() else { return };
    let by = &history.calls[whose];
    let as_it_should = match call.seen {
        Seen::Value(_) => by.ending == Ending::Value,
        Seen::Fault(_) => by.ending == Ending::Fault,
        // A panic goes on in the leader, and is told to everybody else; a spawned leader has only its receiver.
        Seen::Panicked(_) => by.ending == Ending::Panic && (whose != id || call.spawned),
        Seen::Unwound(_) => by.ending == Ending::Panic && whose == id && !call.spawned,
        _ => true,
    };
    if !as_it_should {
        wrong.push(format!("P5: call {id} saw {:?}, but closure {whose} ended with {:?}", call.seen, by.ending));
    }
    if by.key != call.key {
        wrong.push(format!("P1: call {id} was served by another key's flight"));
    }
    if by.start().is_none() {
        wrong.push(format!("P5: call {id} saw the end of closure {whose}, which never ran"));
    }
}

fn flight_is_the_right_one(history: &History, id: usize, call: &Call, wrong: &mut Vec<String>) {
    let Some(whose) = call.made_by().filter(|whose| *whose != id) else { return };
    let by = &history.calls[whose];
    let Some(start) = by.start() else { return };
    if start > call.returned || by.ended.is_none_or(|ended| ended > call.returned) {
        wrong.push(format!("P2: call {id} returned before the flight that served it had ended"));
    }
    if call.boarding != Boarding::Queue && by.returned < call.arrived {
        wrong.push(format!("P2: call {id} joined a flight that had landed"));
    }
    if call.boarding == Boarding::Queue && start < call.arrived {
        wrong.push(format!("P3: call {id} was handed a run that had started before it called"));
    }
    let dead = |forget: &Forget| forget.key == call.key && start < forget.began && forget.ended < call.arrived;
    if history.forgets.iter().any(dead) {
        wrong.push(format!("P10: call {id} joined a flight that had been forgotten"));
    }
}

fn refusals_are_right(history: &History, id: usize, call: &Call, wrong: &mut Vec<String>) {
    match call.seen {
        Seen::TimedOut if !call.timed => wrong.push(format!("P6: call {id} timed out without a deadline")),
        Seen::Nothing if call.boarding != Boarding::Look => wrong.push(format!("P5: call {id} saw nothing")),
        Seen::Abandoned if call.boarding != Boarding::Look => {
            wrong.push(format!("P5: call {id} was abandoned although it had a closure"));
        }
        _ => {}
    }
    let running_parent = call.parent.filter(|parent| history.calls[*parent].key == call.key);
    match running_parent {
        Some(parent) => {
            let since = history.calls[parent].arrived;
            if call.seen != Seen::Deadlock && !history.forgotten(call.key, since, call.returned) {
                wrong.push(format!("P7: call {id} re-entered its own flight and saw {:?}", call.seen));
            }
        }
        None if call.seen == Seen::Deadlock => wrong.push(format!("P7: a false alarm for call {id}")),
        None => {}
    }
}

fn one_at_a_time(history: &History, wrong: &mut Vec<String>) {
    for key in 0..=2 {
        for (first, start, end) in history.runs(key) {
            for (second, later, _) in history.runs(key) {
                // A flight is in the air, and can be forgotten, from its boarding on: a job may start much later.
                let boarded = history.calls[first].arrived.min(history.calls[second].arrived);
                let overlap = first != second && start < later && later < end;
                if overlap && (history.writes || !history.forgotten(key, boarded, later)) {
                    wrong.push(format!("P1: closures {first} and {second} of key {key} ran at once"));
                }
            }
        }
    }
}

/// P3 and P4, where the order of arrival is known: all who queued while a run lasted are covered by one more run, of
/// the closure that is the newest when it starts. That is the newest of them, or one that came by after the landing.
fn newest_wins(history: &History, wrong: &mut Vec<String>) {
    for key in 0..=2 {
        for (run, start, end) in history.runs(key) {
            if history.forgotten(key, history.calls[run].arrived, end) {
                continue; // those behind it went into the air at a moment nobody knows
            }
            let queued = |call: &Call| {
                call.key == key
                    && call.boarding == Boarding::Queue
                    && call.arrived > start
                    && call.boarded.is_some_and(|boarded| boarded < end)
                    && !matches!(call.seen, Seen::TimedOut | Seen::Deadlock)
            };
            let burst: Vec<usize> = (0..history.calls.len()).filter(|id| queued(&history.calls[*id])).collect();
            let Some(newest) = burst.iter().copied().max_by_key(|id| history.calls[*id].boarded) else { continue };
            let maker = history.calls[newest].made_by();
            let newer = maker.is_some_and(|maker| {
                history.calls[maker].key == key && history.calls[maker].arrived > history.calls[newest].arrived
            });
            for id in burst {
                if history.calls[id].made_by() != maker || !(maker == Some(newest) || newer) {
                    let seen = history.calls[id].seen;
                    wrong.push(format!("P4: {id} queued behind run {run} saw {seen:?}; the newest was {newest}"));
                }
            }
        }
    }
}

/// P3: whoever looks at a key of writes waits for all that had arrived before.
fn looks_cover_what_was_there(history: &History, wrong: &mut Vec<String>) {
    for (id, look) in history.calls.iter().enumerate() {
        if !history.writes || look.boarding != Boarding::Look || matches!(look.seen, Seen::TimedOut | Seen::Deadlock) {
            continue;
        }
        for (writer, write) in history.calls.iter().enumerate() {
            let before = write.boarding == Boarding::Queue
                && write.key == look.key
                && write.boarded.is_some_and(|boarded| boarded < look.arrived);
            let Some(by) = write.made_by().filter(|_| before) else { continue };
            if history.calls[by].ended.is_none_or(|ended| ended > look.returned) {
                wrong.push(format!("P3: {id} waited for the writes before it, and returned before {writer} was done"));
            }
        }
    }
}

mod tests {
    //! The judge must be able to say no.

    use super::*;

    /// A call that runs its own closure from `start` to `end`.
    fn led(id: usize, arrived: u64, start: u64, end: u64) -> Call {
        Call {
            arrived,
            boarded: Some(arrived + 1),
            started: vec![start],
            ended: Some(end),
            dropped: Some(end + 1),
            returned: end + 2,
            seen: Seen::Value(id),
            ..Call::new(0, Ending::Value)
        }
    }

    /// A call that is served by another's closure.
    fn followed(whose: usize, arrived: u64, returned: u64) -> Call {
        Call {
            arrived,
            boarded: Some(arrived + 1),
            dropped: Some(returned - 1),
            returned,
            seen: Seen::Value(whose),
            ..Call::new(0, Ending::Value)
        }
    }

    fn queued(call: Call) -> Call {
        Call { boarding: Boarding::Queue, ..call }
    }

    fn reads(calls: Vec<Call>) -> History {
        History { writes: false, calls, forgets: Vec::new(), left: 0 }
    }

    fn writes(calls: Vec<Call>) -> History {
        History { writes: true, calls: calls.into_iter().map(queued).collect(), forgets: Vec::new(), left: 0 }
    }

    #[track_caller]
    fn accepts(history: &History) {
        assert_eq!(judge(history), Vec::<String>::new());
    }

    #[track_caller]
    fn rejects(promise: &str, history: &History) {
        let complaints = judge(history);
        assert!(complaints.iter().any(|words| words.starts_with(promise)), "expected {promise}, got {complaints:?}");
    }

    #[test]
    fn the_judge_accepts_what_is_right() {
        accepts(&reads(vec![led(0, 10, 20, 30), followed(0, 12, 40), led(2, 50, 60, 70)]));
        accepts(&writes(vec![led(0, 10, 20, 30), led(1, 22, 40, 50), led(2, 60, 70, 80)]));
        accepts(&writes(vec![led(0, 10, 20, 30), followed(2, 22, 60), led(2, 24, 40, 50)]));
        let mut forgotten = reads(vec![led(0, 10, 20, 40), led(1, 25, 30, 50)]);
        forgotten.forgets.push(Forget { key: 0, began: 21, ended: 23 });
        accepts(&forgotten);
    }

    #[test]
    fn the_judge_rejects_overlapping_runs() {
        rejects("P1", &reads(vec![led(0, 10, 20, 40), led(1, 25, 30, 50)]));
        rejects("P1", &writes(vec![led(0, 10, 20, 40), led(1, 25, 30, 50)]));
        // A forgotten read may overlap with its successor; a write never, and a forget of long ago excuses nothing.
        let mut forgotten = writes(vec![led(0, 10, 20, 40), led(1, 25, 30, 50)]);
        forgotten.forgets.push(Forget { key: 0, began: 21, ended: 23 });
        rejects("P1", &forgotten);
        let mut forgotten = reads(vec![led(0, 10, 20, 40), led(1, 25, 30, 50)]);
        forgotten.forgets.push(Forget { key: 0, began: 5, ended: 6 });
        rejects("P1", &forgotten);
        forgotten.forgets[0] = Forget { key: 1, began: 21, ended: 23 };
        rejects("P1", &forgotten);
        let other_key = Call { key: 1, ..followed(0, 12, 40) };
        rejects("P1", &reads(vec![led(0, 10, 20, 30), other_key]));
    }

    #[test]
    fn the_judge_rejects_a_landed_flight_that_is_joined() {
        rejects("P2", &reads(vec![led(0, 10, 20, 30), followed(0, 40, 50)]));
        rejects("P2", &reads(vec![led(0, 10, 20, 30), followed(0, 12, 25)]));
    }

    #[test]
    fn the_judge_rejects_a_write_covered_by_an_older_run() {
        rejects("P3", &writes(vec![led(0, 10, 20, 30), followed(0, 22, 40)]));
        let fresh = queued(followed(0, 22, 40));
        rejects("P3", &reads(vec![led(0, 10, 20, 30), fresh]));
        // `wait` that returns before a write that had arrived is done.
        let look = Call { boarding: Boarding::Look, ..followed(0, 26, 35) };
        let mut history = writes(vec![led(0, 10, 20, 30), led(1, 22, 40, 50)]);
        history.calls.push(look.clone());
        rejects("P3", &history);
        history.calls[2] = Call { seen: Seen::Nothing, ..look };
        rejects("P3", &history);
    }

    #[test]
    fn the_judge_rejects_a_burst_of_two_runs_and_an_older_closure() {
        rejects("P4", &writes(vec![led(0, 10, 20, 30), led(1, 22, 40, 50), led(2, 25, 60, 70)]));
        rejects("P4", &writes(vec![led(0, 10, 20, 30), led(1, 22, 40, 50), followed(1, 25, 60)]));
    }

    #[test]
    fn the_judge_rejects_false_successes_and_lost_outcomes() {
        let panics = Call { ending: Ending::Panic, seen: Seen::Unwound(0), ..led(0, 10, 20, 30) };
        rejects("P5", &reads(vec![panics.clone(), followed(0, 12, 40)]));
        accepts(&reads(vec![panics.clone(), Call { seen: Seen::Panicked(0), ..followed(0, 12, 40) }]));
        rejects("P5", &reads(vec![Call { seen: Seen::Panicked(0), ..panics.clone() }]));
        rejects("P5", &reads(vec![panics, Call { seen: Seen::Unwound(0), ..followed(0, 12, 40) }]));
        let fails = Call { ending: Ending::Fault, seen: Seen::Fault(0), ..led(0, 10, 20, 30) };
        rejects("P5", &reads(vec![fails, followed(0, 12, 40)]));
        rejects("P5", &reads(vec![followed(1, 12, 40), followed(0, 12, 40)]));
        rejects("P5", &reads(vec![led(0, 10, 20, 30), Call { seen: Seen::Value(0), ..led(1, 32, 33, 34) }]));
        rejects("P5", &reads(vec![Call { seen: Seen::Nothing, ..followed(0, 12, 40) }]));
        rejects("P5", &reads(vec![Call { seen: Seen::Abandoned, ..followed(0, 12, 40) }]));
        rejects("P5", &reads(vec![Call { returned: 0, ..led(0, 10, 20, 30) }]));
    }

    #[test]
    fn the_judge_rejects_timeouts_without_a_deadline_and_closures_that_ran_all_the_same() {
        let timed_out = Call { seen: Seen::TimedOut, ..followed(0, 12, 40) };
        rejects("P6", &reads(vec![led(0, 10, 20, 30), timed_out.clone()]));
        accepts(&reads(vec![led(0, 10, 20, 30), Call { timed: true, ..timed_out }]));
        rejects("P5", &reads(vec![Call { seen: Seen::TimedOut, timed: true, ..led(0, 10, 20, 30) }]));
    }

    #[test]
    fn the_judge_rejects_false_alarms_and_silent_re_entry() {
        rejects("P7", &reads(vec![led(0, 10, 20, 30), Call { seen: Seen::Deadlock, ..followed(0, 12, 40) }]));
        let nested = Call { parent: Some(0), ..followed(0, 22, 35) };
        rejects("P7", &reads(vec![led(0, 10, 20, 30), nested.clone()]));
        accepts(&reads(vec![led(0, 10, 20, 30), Call { seen: Seen::Deadlock, ..nested }]));
        let of_other_key = Call { key: 1, parent: Some(0), seen: Seen::Deadlock, ..followed(0, 22, 25) };
        rejects("P7", &reads(vec![led(0, 10, 20, 30), of_other_key]));
    }

    #[test]
    fn the_judge_rejects_what_is_left_behind() {
        rejects("P8", &History { left: 1, ..reads(vec![led(0, 10, 20, 30)]) });
    }

    #[test]
    fn the_judge_rejects_a_forgotten_flight_that_is_joined() {
        let mut history = reads(vec![led(0, 10, 20, 50), followed(0, 30, 60)]);
        accepts(&history);
        history.forgets.push(Forget { key: 0, began: 22, ended: 25 });
        rejects("P10", &history);
    }

    #[test]
    fn the_judge_rejects_closures_that_run_twice_elsewhere_or_stay() {
        rejects("P12", &reads(vec![Call { started: vec![20, 25], ..led(0, 10, 20, 30) }]));
        rejects("P12", &reads(vec![Call { elsewhere: true, ..led(0, 10, 20, 30) }]));
        rejects("P12", &reads(vec![Call { dropped: Some(99), ..led(0, 10, 20, 30) }]));
        rejects("P12", &reads(vec![Call { dropped: None, ..led(0, 10, 20, 30) }]));
        rejects("P12", &reads(vec![Call { boarding: Boarding::Look, ..led(0, 10, 20, 30) }]));
    }
}
