//! From queued to in the air: which thread leads a flight that waits, and when it starts.
//!
//! Once no flight is in the air, the next one is *handed on*. If it is due, the lead is offered to the newest of its
//! blocked callers (P4, P11). If it has to wait for its time, that caller sleeps until then. If no caller is blocked on
//! it, a worker of the crew comes. An offer is no appointment: a call that arrives before the woken caller takes the
//! lead is newer, and awake, and takes it itself. To appoint a sleeping caller costs a fifth of the throughput.
//!
//! Every change of who runs a flight renews the nodes of the deadlock graph: [`Engine::renew_node`].

use crate::engine::core::Engine;
use crate::engine::deadlock::{Ender, NOBODY, Node, runner};
use crate::engine::flight::{Flight, FlightId, HandOff, Queued};
use crate::engine::load::{Due, Load};
use crate::engine::table::{Counts, Slot};
use crate::sync::{Arc, Instant};

impl<K, V, E, S, L: Load> Engine<K, V, E, S, L> {
    /// The node of a flight of this group.
    pub(crate) fn node(&self, number: u64, ender: Ender) -> Arc<Node> {
        Node::new(number, self.config.kind, self.config.name.clone(), ender)
    }

    /// The flight in the air, made now if its leader was alone until now.
    pub(super) fn current<'s>(&self, slot: &'s mut Slot<K, V, E, L>) -> &'s Arc<Flight<V, E, L>> {
        let (number, leader) = (slot.id, slot.leader);
        slot.current.get_or_insert_with(|| Flight::new(self.node(number, Ender::Thread(leader)), L::default()))
    }

    /// When the slot's next flight may start.
    pub(super) fn due(&self, slot: &Slot<K, V, E, L>, flight: &Flight<V, E, L>) -> Due {
        flight.with_load(|load| {
            let rest = if load.is_hurried() { None } else { self.rests_until(slot) };
            load.due(&self.rules).at(rest, || self.clock.now())
        })
    }

    /// Finds a leader for the slot's next flight: nothing is in the air any more, or the caller that was to lead has left.
    pub(super) fn hand_on(&self, slot: &mut Slot<K, V, E, L>, counts: &mut Counts) -> Option<HandOff<V, E, L>> {
        let flight = slot.next.clone()?;
        {
            let mut next = flight.next();
            next.expected = None;
            next.load.handed_on();
        }
        let hand_off = self.attend(slot, counts, &flight);
        self.renew_node(slot);
        hand_off
    }

    /// Makes sure that a thread comes to the slot's next flight when it is due. Nothing is in the air. What is returned
    /// is notified once the lock is free.
    pub(super) fn attend(
        &self,
        slot: &mut Slot<K, V, E, L>,
        counts: &mut Counts,
        flight: &Arc<Flight<V, E, L>>,
    ) -> Option<HandOff<V, E, L>> {
        let due = self.due(slot, flight);
        if let Due::Busy(_) = due {
            return None; // that thread hands it on when it is done
        }
        let id = FlightId { hash: slot.hash, number: flight.node.id };
        let mut next = flight.next();
        let expected = next.expected.is_some_and(|expected| expected <= due);
        if next.offered.is_some() {
            if expected {
                return None;
            }
            next.expected = Some(due);
            return next.call_offered().map(HandOff::Blocked);
        }
        match next.offer() {
            Some(Queued::Spawned(call)) => {
                drop(next);
                counts.promoted();
                flight.remove_follower();
                self.lift(slot, NOBODY);
                Some(HandOff::Spawned(id, flight.clone(), call))
            }
            Some(Queued::MayLead(waiter) | Queued::Follows(waiter)) => {
                next.expected = Some(due);
                Some(HandOff::Blocked(waiter))
            }
            None if expected => None,
            None => {
                next.expected = Some(due);
                let crew = self.crew.clone().expect("a flight that nobody can lead has been dissolved");
                Some(HandOff::Crew(crew, id, due))
            }
        }
    }

    /// Puts the slot's next flight into the air, led by the thread `leader`, which has left its queue.
    pub(super) fn lift(&self, slot: &mut Slot<K, V, E, L>, leader: u64) {
        let flight = slot.next.take().expect("something waits");
        slot.id = flight.node.id;
        slot.leader = leader;
        {
            let mut next = flight.next();
            let sent = next.offered.take().is_none() && next.expected.take().is_some();
            if let (true, Some(crew)) = (sent, &self.crew) {
                crew(FlightId { hash: slot.hash, number: flight.node.id }, None);
            }
            slot.next = next.behind.take();
            if !L::CARRIES {
                self.rare.superseded.add(next.candidates() as u64);
            }
        }
        slot.started = self.time();
        let _ = flight.since.set(Instant::now());
        flight.node.set_leader(leader);
        slot.current = Some(flight);
        self.renew_node(slot);
    }

    /// The same for the calling thread, which waits in the flight's queue with this ticket.
    pub(super) fn lift_queued(
        &self,
        slot: &mut Slot<K, V, E, L>,
        counts: &mut Counts,
        flight: &Flight<V, E, L>,
        ticket: u64,
    ) {
        counts.promoted();
        flight.unqueue(ticket);
        flight.remove_follower();
        self.lift(slot, runner());
    }

    /// Puts a flight whose leader never began back into the queue: it is the slot's next one again.
    pub(super) fn put_back(&self, slot: &mut Slot<K, V, E, L>) {
        let flight = slot.current.take().expect("in the air, with a load");
        if let Some(next) = slot.next.take() {
            let mut front = flight.next();
            front.load.close();
            next.node.set_ender(Ender::Behind(flight.node.clone()));
            front.behind = Some(next);
        }
        slot.next = Some(flight);
        slot.ground();
    }

    /// Says in the deadlock graph whom the next flight waits for: the leader in the air, and whoever merges. A flight
    /// that is handed on waits for nobody, since that caller is awake or sleeps until a moment. The flights behind it
    /// point at the one in front of them.
    pub(super) fn renew_node(&self, slot: &Slot<K, V, E, L>) {
        if let Some(flight) = &slot.next {
            match flight.with_load(|load| load.busy()).map(Ender::Thread) {
                None => flight.node.set_leader(slot.leader),
                Some(merger) if slot.is_grounded() => flight.node.set_ender(merger),
                Some(merger) => flight.node.set_ender(Ender::All(vec![Ender::Thread(slot.leader), merger])),
            }
        }
    }
}
