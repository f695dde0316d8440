//! Breadth first over every state within the bounds.
//!
//! A state is kept whole and compared whole: no hash stands for it, so none is left out. The first broken promise comes
//! with a shortest way to it. Where no promise is broken, the ways back from the states in which all are served are
//! walked, over steps that are no faults: a state that they do not reach is one from which somebody waits for ever.

use super::server::{Command, Server};
use super::world::{Bounds, SERVED, Step, World};
use foldhash::fast::FixedState;
use hashbrown::HashTable;
use std::collections::HashSet;
use std::hash::BuildHasher;

pub(crate) struct Explored {
    pub(crate) states: usize,
    /// What the server did, in which state: the material of the traces.
    pub(crate) commands: HashSet<(Server, Command), FixedState>,
}

/// A promise that does not hold, and a shortest way to see it.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) promise: &'static str,
    pub(crate) way: Vec<Step>,
}

pub(crate) fn explore(bounds: &Bounds) -> Result<Explored, Broken> {
    let hasher = FixedState::with_seed(1);
    let mut states = vec![World::start(bounds)];
    // From where a state was reached first.
    let mut reached: Vec<u32> = vec![0];
    let mut table: HashTable<u32> = HashTable::new();
    table.insert_unique(hasher.hash_one(&states[0]), 0, |_| 0);
    let (mut edges, mut commands) = (Vec::new(), HashSet::default());
    let mut at = 0;
    while at < states.len() {
        let world = states[at].clone();
        let mut broken = None;
        world.steps(bounds, &mut |taken| {
            broken = broken.or(taken.broken);
            if broken.is_some() {
                return;
            }
            if let Some(command) = taken.executed {
                commands.insert((world.server, command));
            }
            let next = taken.world.sorted(bounds);
            let hash = hasher.hash_one(&next);
            let known = table.find(hash, |state| states[*state as usize] == next).copied();
            let to = known.unwrap_or_else(|| {
                let new = u32::try_from(states.len()).expect("fewer states than that");
                assert!(new < 12_000_000, "more states than memory");
                states.push(next);
                reached.push(at as u32);
                table.insert_unique(hash, new, |state| hasher.hash_one(&states[*state as usize]));
                new
            });
            if !taken.step.is_fault() {
                edges.push((to, at as u32));
            }
        });
        if let Some(promise) = broken {
            return Err(Broken { promise, way: way(bounds, &states, &reached, at, true) });
        }
        at += 1;
    }
    let served = |state: &World| state.is_served(bounds);
    match stuck(&states, edges, served) {
        Some(state) => Err(Broken { promise: SERVED, way: way(bounds, &states, &reached, state, false) }),
        None => Ok(Explored { states: states.len(), commands }),
    }
}

/// The steps to a state, and with `on` the one after it that breaks a promise. They are found by walking the way once
/// more, so that each process keeps its place from the first step to the last.
fn way(bounds: &Bounds, states: &[World], reached: &[u32], mut at: usize, on: bool) -> Vec<Step> {
    let mut stations = Vec::new();
    while at != 0 {
        stations.push(at);
        at = reached[at] as usize;
    }
    let (mut world, mut way) = (World::start(bounds), Vec::new());
    for station in stations.into_iter().rev() {
        let mut next = None;
        world.steps(bounds, &mut |taken| {
            if next.is_none() && taken.world.clone().sorted(bounds) == states[station] {
                next = Some((taken.step, taken.world));
            }
        });
        let (step, then) = next.expect("the same steps lead from there as from its like");
        way.push(step);
        world = then;
    }
    if on {
        let mut last = None;
        world.steps(bounds, &mut |taken| last = last.or(taken.broken.map(|_| taken.step)));
        way.extend(last);
    }
    way
}

/// The first state from which no way leads to a served one. `edges` are the steps backwards.
fn stuck(states: &[World], mut edges: Vec<(u32, u32)>, served: impl Fn(&World) -> bool) -> Option<usize> {
    edges.sort_unstable();
    edges.dedup();
    let mut good: Vec<bool> = states.iter().map(&served).collect();
    let mut open: Vec<u32> = (0..states.len() as u32).filter(|state| good[*state as usize]).collect();
    while let Some(to) = open.pop() {
        let begin = edges.partition_point(|edge| edge.0 < to);
        for (_, from) in edges[begin..].iter().take_while(|edge| edge.0 == to) {
            if !std::mem::replace(&mut good[*from as usize], true) {
                open.push(*from);
            }
        }
    }
    good.iter().position(|good| !good)
}
