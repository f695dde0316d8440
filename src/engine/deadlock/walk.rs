//! Whether a wait would be for ever: the walk through the graph, and what it finds.
//!
//! A runner is *stuck* if one of its edges leads to a node that is stuck. A node is stuck if its ender is: a thread
//! that is stuck, a node in front that is stuck, one of *all*, every one of *any*. The caller counts as stuck. What
//! is found is a set of runners that are stuck because of each other, each of which waits in the end for the caller:
//! [`Found`]. A circle that the caller is not in is reported by a thread that is in it.
//!
//! The set is the greatest one: "B waits for C or for me; C waits for B" is stuck, though it cannot be shown from
//! the caller outwards. In it each runner must lead back to the caller. So two loops: the inner one grows, from the
//! caller outwards, those that lead back; the outer one rules out those that do not, until none is ruled out.

use crate::engine::deadlock::edges::stripe;
use crate::engine::deadlock::node::{Ender, NOBODY, Node, thread_of};
use crate::sync::{Arc, Thread};
use std::collections::{BTreeMap, BTreeSet};

/// Whether the node's end depends on no wait at all, as far as one look tells. It only spares the walk, which would
/// find the same: one hop for most followers, and no allocation.
pub(super) fn runs_on(node: &Arc<Node>, me: u64) -> bool {
    let runs = |ender: &Ender| match ender {
        Ender::Thread(NOBODY) => true,
        Ender::Thread(runner) => {
            let thread = thread_of(*runner);
            thread != me && stripe(thread).lock().of(*runner).next().is_none()
        }
        _ => false,
    };
    let mut front;
    let mut node = node;
    loop {
        match node.ender().ender {
            Ender::Behind(next) if next.has_ended() => return true,
            Ender::Behind(next) => {
                front = next;
                node = &front;
            }
            Ender::All(of) => return of.iter().all(runs),
            Ender::Any(of) => return of.iter().any(runs),
            ender => return runs(&ender),
        }
    }
}

/// What a wait needs: an [`Ender`] as it was at one look, without the nodes in between.
enum Need {
    /// It ends without anybody's help, or by a thread that has not begun.
    Nothing,
    Runner(u64),
    All(Vec<Need>),
    Any {
        of: Vec<Need>,
        version: u64,
    },
}

impl Need {
    fn of(node: &Arc<Node>) -> Self {
        let mut node = node.clone();
        loop {
            if node.has_ended() {
                return Self::Nothing;
            }
            let stated = node.ender();
            match stated.ender {
                Ender::Behind(front) => node = front,
                ender => return Self::stated(ender, stated.version),
            }
        }
    }

    fn stated(ender: Ender, version: u64) -> Self {
        let members = |of: Vec<Ender>| of.into_iter().map(|ender| Self::stated(ender, version)).collect();
        match ender {
            Ender::Thread(NOBODY) => Self::Nothing,
            Ender::Thread(runner) => Self::Runner(runner),
            Ender::Behind(front) => Self::of(&front),
            Ender::All(of) => Self::All(members(of)),
            Ender::Any(of) => Self::Any { of: members(of), version },
        }
    }

    fn for_each_runner(&self, each: &mut impl FnMut(u64)) {
        match self {
            Self::Nothing => {}
            Self::Runner(runner) => each(*runner),
            Self::All(of) | Self::Any { of, .. } => of.iter().for_each(|need| need.for_each_runner(each)),
        }
    }
}

/// A wait of a runner's.
struct Way {
    wait: u64,
    node: Arc<Node>,
    need: Need,
    thread: Thread,
}

/// All that can be reached from a node.
struct Graph {
    me: u64,
    /// The runners that may be stuck, with what they wait for.
    ways: BTreeMap<u64, Vec<Way>>,
    /// The same runners, those first that were reached first.
    reached: Vec<u64>,
    /// Those that lead back to the caller, in the order in which that was found out: each leads there through one
    /// that was found before it.
    back: BTreeMap<u64, usize>,
}

/// Waits that stand together and end in nothing but the caller's.
pub(super) struct Found {
    /// From the first node to the caller: the node, and the thread that it waits for; `None` for the caller.
    pub(super) hops: Vec<(Arc<Node>, Option<Thread>)>,
    /// All that this rests on.
    facts: Vec<Fact>,
}

/// What was seen: a runner in this wait, or the members of an `Any` in this version.
#[derive(PartialEq)]
enum Fact {
    Waits { runner: u64, wait: u64 },
    Any { version: u64 },
}

impl Found {
    /// Whether all that `self` rests on was seen to be so by the other walk, too.
    pub(super) fn rests_on_the_same(&self, other: &Self) -> bool {
        self.facts == other.facts
    }
}

/// Looks for waits that keep `first` from ending as long as the thread `me` waits for it.
pub(super) fn walk(first: &Arc<Node>, me: u64) -> Option<Found> {
    let need = Need::of(first);
    let mut graph = Graph { me, ways: BTreeMap::new(), reached: Vec::new(), back: BTreeMap::new() };
    if !graph.explore(&need) {
        return None; // nothing leads to the caller: the usual end of a chain
    }
    graph.rule_out();
    graph.leads_back(&need)?;
    Some(graph.found(first, &need))
}

impl Graph {
    /// Reads one edge after the other while the world goes on. Whether any of them leads to the caller.
    fn explore(&mut self, need: &Need) -> bool {
        let mut leads_to_me = false;
        let mut to_do = Vec::new();
        need.for_each_runner(&mut |runner| to_do.push(runner));
        while let Some(runner) = to_do.pop() {
            let thread = thread_of(runner);
            if thread == self.me {
                leads_to_me = true;
                continue;
            }
            if self.ways.contains_key(&runner) {
                continue;
            }
            let edges: Vec<_> = stripe(thread).lock().of(runner).cloned().collect();
            let ways: Vec<_> = edges
                .into_iter()
                .map(|edge| Way { wait: edge.wait, need: Need::of(&edge.to), node: edge.to, thread: edge.thread })
                .collect();
            ways.iter().for_each(|way| way.need.for_each_runner(&mut |runner| to_do.push(runner)));
            self.ways.insert(runner, ways);
            self.reached.push(runner);
        }
        leads_to_me
    }

    fn rule_out(&mut self) {
        loop {
            self.back.clear();
            let mut grows = true;
            while std::mem::take(&mut grows) {
                for runner in self.reached.iter().rev() {
                    if !self.back.contains_key(runner) && self.way_back(&self.ways[runner]).is_some() {
                        self.back.insert(*runner, self.back.len() + 1);
                        grows = true;
                    }
                }
            }
            if self.back.len() == self.reached.len() {
                return;
            }
            self.ways.retain(|runner, _| self.back.contains_key(runner));
            self.reached.retain(|runner| self.back.contains_key(runner));
        }
    }

    /// The way that leads back first.
    fn way_back<'w>(&self, ways: &'w [Way]) -> Option<&'w Way> {
        let found = ways.iter().filter_map(|way| Some((self.leads_back(&way.need)?.0, way)));
        found.min_by_key(|(order, _)| *order).map(|(_, way)| way)
    }

    /// If the need leads back to the caller: through which runner.
    fn leads_back(&self, need: &Need) -> Option<(usize, u64)> {
        match need {
            Need::Nothing => None,
            Need::Runner(runner) if thread_of(*runner) == self.me => Some((0, *runner)),
            Need::Runner(runner) => self.back.get(runner).map(|order| (*order, *runner)),
            Need::Any { of, .. } if !of.iter().all(|need| self.may_be_stuck(need)) => None,
            Need::All(of) | Need::Any { of, .. } => of.iter().filter_map(|need| self.leads_back(need)).min(),
        }
    }

    fn may_be_stuck(&self, need: &Need) -> bool {
        match need {
            Need::Nothing => false,
            Need::Runner(runner) => thread_of(*runner) == self.me || self.ways.contains_key(runner),
            Need::All(of) => of.iter().any(|need| self.may_be_stuck(need)),
            Need::Any { of, .. } => of.iter().all(|need| self.may_be_stuck(need)),
        }
    }

    fn found(&self, first: &Arc<Node>, need: &Need) -> Found {
        let mut facts = Vec::new();
        let mut to_do = Vec::new();
        self.choose(need, &mut to_do, &mut facts);
        let mut done = BTreeSet::new();
        while let Some(runner) = to_do.pop() {
            if thread_of(runner) != self.me && done.insert(runner) {
                let way = self.way_back(&self.ways[&runner]).expect("all that are left lead back");
                facts.push(Fact::Waits { runner, wait: way.wait });
                self.choose(&way.need, &mut to_do, &mut facts);
            }
        }
        let mut hops = Vec::new();
        let (mut node, mut need) = (first, need);
        loop {
            let (_, runner) = self.leads_back(need).expect("all that are left lead back");
            if thread_of(runner) == self.me {
                hops.push((node.clone(), None));
                return Found { hops, facts };
            }
            let way = self.way_back(&self.ways[&runner]).expect("all that are left lead back");
            hops.push((node.clone(), Some(way.thread.clone())));
            (node, need) = (&way.node, &way.need);
        }
    }

    /// The runners that the need is stuck because of: every one of an `Any`, and one of an `All`.
    fn choose(&self, need: &Need, to: &mut Vec<u64>, facts: &mut Vec<Fact>) {
        match need {
            Need::Nothing => {}
            Need::Runner(runner) => to.push(*runner),
            Need::All(of) => {
                let first = of.iter().filter_map(|need| Some((self.leads_back(need)?, need))).min_by_key(|(at, _)| *at);
                self.choose(first.expect("all that are left lead back").1, to, facts);
            }
            Need::Any { of, version } => {
                facts.push(Fact::Any { version: *version });
                of.iter().for_each(|need| self.choose(need, to, facts));
            }
        }
    }
}
