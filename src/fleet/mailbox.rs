//! From one inbox channel to the threads that wait for something in it.
//!
//! A waiter opens its [`Letterbox`] *before* it sends the request that will lead to a message: a message can overtake
//! the answer to that request, since the two come over different connections.

use super::process::Token;
use crate::cancel::{CancelToken, Wake};
use crate::sync::{Arc, Condvar, Instant, Mutex, wait_until};
use std::collections::{HashMap, VecDeque};

/// One message of the server's to one waiter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Mail {
    /// The outcome of this flight.
    Outcome { flight: u64, outcome: Vec<u8> },
    /// This flight has an outcome too large for a message: fetch it.
    Notice { flight: u64 },
    /// This flight's outcome is too large to share: run your own.
    Oversize { flight: u64 },
    /// This flight has ended without an outcome, or it is this waiter's turn in a queue: ask again.
    Again,
    /// Messages may have been lost: ask again.
    Lost,
}

impl Mail {
    /// The waiter's token and its message; `None` for anything this version does not know.
    ///
    /// The form is `<kind><token> <flight> <outcome>`, as the scripts write it.
    pub(crate) fn parse(payload: &[u8]) -> Option<(&str, Self)> {
        let (&kind, rest) = payload.split_first()?;
        let mut parts = rest.splitn(3, |byte| *byte == b' ');
        let token = std::str::from_utf8(parts.next()?).ok()?;
        let flight = std::str::from_utf8(parts.next()?).ok()?.parse().ok()?;
        let body = parts.next()?;
        let mail = match kind {
            b'o' => Self::Outcome { flight, outcome: body.to_vec() },
            b'n' => Self::Notice { flight },
            b'x' => Self::Oversize { flight },
            b'a' => Self::Again,
            _ => return None,
        };
        Some((token, mail))
    }
}

/// All waiters of this process.
#[derive(Default)]
pub(crate) struct Mailroom {
    boxes: Mutex<HashMap<Token, Arc<Slot>>>,
}

#[derive(Default)]
struct Slot {
    mail: Mutex<VecDeque<Mail>>,
    bell: Condvar,
}

impl Mailroom {
    /// Opens the letterbox of `token`, until it is dropped.
    pub(crate) fn open(self: &Arc<Self>, token: &Token) -> Letterbox {
        let slot = Arc::new(Slot::default());
        self.boxes.lock().insert(Arc::clone(token), Arc::clone(&slot));
        Letterbox { room: Arc::clone(self), token: Arc::clone(token), slot }
    }

    /// Hands a message to its waiter; one that has left needs it no more.
    pub(crate) fn deliver(&self, token: &str, mail: Mail) {
        let slot = self.boxes.lock().get(token).cloned();
        if let Some(slot) = slot {
            slot.put(mail);
        }
    }

    /// Tells every waiter that messages may have been lost.
    pub(crate) fn deliver_lost(&self) {
        let slots: Vec<_> = self.boxes.lock().values().cloned().collect();
        for slot in slots {
            slot.put(Mail::Lost);
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.boxes.lock().len()
    }
}

impl Slot {
    fn put(&self, mail: Mail) {
        self.mail.lock().push_back(mail);
        self.bell.notify_one();
    }
}

impl Wake for Slot {
    fn wake(&self) {
        // Under the lock: its owner looks at the token and falls asleep under it.
        let _mail = self.mail.lock();
        self.bell.notify_one();
    }
}

/// One waiter's place; closed on drop.
pub(crate) struct Letterbox {
    room: Arc<Mailroom>,
    token: Token,
    slot: Arc<Slot>,
}

impl Letterbox {
    /// Waits for a message until `deadline`; `None` when that has passed, or the token is cancelled, and none is there.
    pub(crate) fn wait(&self, deadline: Option<Instant>, cancel: Option<&CancelToken>) -> Option<Mail> {
        let _registration = cancel.map(|token| token.on_cancel(Arc::clone(&self.slot) as _));
        let mut mail = self.slot.mail.lock();
        loop {
            if let Some(first) = mail.pop_front() {
                return Some(first);
            }
            if cancel.is_some_and(CancelToken::is_cancelled) {
                return None;
            }
            if wait_until(&self.slot.bell, &mut mail, deadline) {
                return mail.pop_front();
            }
        }
    }
}

impl Drop for Letterbox {
    fn drop(&mut self) {
        let slot = self.room.boxes.lock().remove(&self.token);
        // Its messages are freed outside the lock.
        drop(slot);
    }
}

#[cfg(all(test, not(any(flight_group_shuttle, flight_group_loom))))]
mod tests {
    use super::*;
    use crate::sync::{Duration, after};

    #[test]
    fn messages_are_read_as_the_scripts_write_them() {
        let outcome = Mail::Outcome { flight: 12, outcome: b"a b \xff".to_vec() };
        assert_eq!(Mail::parse(b"oabc.1 12 a b \xff"), Some(("abc.1", outcome)));
        assert_eq!(Mail::parse(b"nabc.1 12 "), Some(("abc.1", Mail::Notice { flight: 12 })));
        assert_eq!(Mail::parse(b"xabc.1 12 "), Some(("abc.1", Mail::Oversize { flight: 12 })));
        assert_eq!(Mail::parse(b"aabc.1 0 "), Some(("abc.1", Mail::Again)));
        for bad in [&b""[..], b"o", b"oabc", b"oabc 12", b"oabc twelve ", b"?abc 12 ", b"o\xff 12 "] {
            assert_eq!(Mail::parse(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_message_waits_for_its_waiter_and_goes_to_nobody_else() {
        let room = Arc::new(Mailroom::default());
        let (mine, other): (Token, Token) = ("a.1".into(), "a.2".into());
        let (letterbox, others) = (room.open(&mine), room.open(&other));
        room.deliver("a.1", Mail::Again);
        room.deliver("nobody", Mail::Again);
        assert_eq!(letterbox.wait(None, None), Some(Mail::Again));
        assert_eq!(others.wait(after(Duration::ZERO), None), None);
        room.deliver_lost();
        assert_eq!((letterbox.wait(None, None), others.wait(None, None)), (Some(Mail::Lost), Some(Mail::Lost)));
        drop((letterbox, others));
        assert_eq!(room.len(), 0);
    }
}
