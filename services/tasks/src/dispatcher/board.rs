//! What the leader knows, and its next move: which ready task goes to which worker. Pure: no clock of its own, no I/O.
//!
//! Exact order: namespaces take turns; within one the best task of all its lanes comes first; a queue that is paused
//! or at its limit is passed over.

use std::collections::{BTreeMap, HashMap, HashSet};

use taskyard_core::task::Namespace;
use uuid::Uuid;

use super::{
    lanes::{Lane, LaneKey, Rank, Waiting},
    slots::{Profile, Room, Slots},
};
use crate::store::{queues::QueueSettings, ready::ReadyTask};

/// Lanes that are kept; further ones are found again by the slow poll.
const LANES_MAX: usize = 10_000;

/// A ready task and the worker that shall run it.
#[derive(Clone, Debug)]
pub struct Match {
    pub lane: LaneKey,
    pub rank: Rank,
    pub waiting: Waiting,
    pub room: Room,
}

/// A queue's limit and what runs in it.
#[derive(Debug, Default)]
struct Limit {
    paused: bool,
    concurrency_max: Option<usize>,
    /// A set of (task, run), never a counter: an end that is told twice changes nothing.
    running: HashSet<(Uuid, i32)>,
    /// Matched and not yet started.
    matched: usize,
}

impl Limit {
    fn is_open(&self) -> bool {
        !self.paused && self.concurrency_max.is_none_or(|max| self.running.len() + self.matched < max)
    }
}

/// All that the leader knows.
#[derive(Debug)]
pub struct Board {
    pub slots: Slots,
    lanes: BTreeMap<LaneKey, Lane>,
    limits: HashMap<(Namespace, String), Limit>,
    /// The namespace that had the last turn.
    last_turn: Namespace,
}

impl Board {
    pub fn new(term: i64) -> Self {
        Self { slots: Slots::new(term), lanes: BTreeMap::new(), limits: HashMap::new(), last_turn: Namespace::MIN }
    }

    /// A task became ready.
    pub fn wake(&mut self, task: &ReadyTask) {
        let key = LaneKey { namespace: task.namespace, queue: task.queue.clone(), kind: task.kind.clone() };
        if let Some(lane) = self.lane(key) {
            lane.insert(task);
        }
    }

    /// There may be ready tasks here.
    pub fn lane(&mut self, key: LaneKey) -> Option<&mut Lane> {
        if self.lanes.len() >= LANES_MAX && !self.lanes.contains_key(&key) {
            return None;
        }
        Some(self.lanes.entry(key).or_default())
    }

    /// Lanes that workers ask for and that must be read from the database before the next match.
    pub fn lanes_to_refill(&self) -> Vec<(LaneKey, Option<Rank>)> {
        let profiles: Vec<&Profile> = self.slots.profiles().collect();
        self.lanes
            .iter()
            .filter(|(key, lane)| lane.wants_refill() && profiles.iter().any(|profile| serves(profile, key)))
            .map(|(key, lane)| (key.clone(), lane.refill_after()))
            .collect()
    }

    /// Forgets empty lanes before there are too many. Not sooner: to know that one is empty spares reading it from its
    /// beginning, where what was started may pile up.
    pub fn tidy(&mut self) {
        if self.lanes.len() > LANES_MAX / 2 {
            self.lanes.retain(|_, lane| lane.len() > 0 || lane.refill_after().is_some());
        }
    }

    /// The queues' settings as they are now, and what runs in the limited ones.
    pub fn set_limits(&mut self, settings: Vec<QueueSettings>, running: Vec<(Namespace, String, Uuid, i32)>) {
        self.limits = settings
            .into_iter()
            .map(|queue| {
                let concurrency_max = queue.concurrency_max.and_then(|max| usize::try_from(max).ok());
                ((queue.namespace, queue.name), Limit { paused: queue.paused, concurrency_max, ..Limit::default() })
            })
            .collect();
        for (namespace, queue, id, run) in running {
            if let Some(limit) = self.limits.get_mut(&(namespace, queue)) {
                limit.running.insert((id, run));
            }
        }
    }

    /// The queues whose ends must be told to the leader.
    pub fn limited(&self) -> impl Iterator<Item = &(Namespace, String)> {
        self.limits.iter().filter(|(_, limit)| limit.concurrency_max.is_some()).map(|(key, _)| key)
    }

    /// A run of a limited queue is over.
    pub fn ended(&mut self, namespace: Namespace, queue: &str, id: Uuid, run: i32) {
        if let Some(limit) = self.limits.get_mut(&(namespace, queue.to_owned())) {
            limit.running.remove(&(id, run));
        }
    }

    /// An upper bound of the pairs that could be made now.
    pub fn possible(&self) -> usize {
        let ready: usize = self.lanes.values().map(Lane::len).sum();
        ready.min(self.slots.free_max())
    }

    /// Takes the best tasks out and gives each to a worker, at most `max`.
    pub fn match_up(&mut self, max: usize) -> Vec<Match> {
        let mut matches = Vec::new();
        // Lanes that cannot give anything in this round: no worker has room for their first task.
        let mut stuck: HashSet<LaneKey> = HashSet::new();
        let mut lanes = self.lanes_in_turn();
        while matches.len() < max {
            let Some((key, profile)) = self.best_lane(&mut lanes, &stuck) else { break };
            let Some((rank, waiting)) = self.lanes.get(&key).and_then(Lane::first) else {
                stuck.insert(key);
                continue;
            };
            let Some(room) = self.slots.take(&profile, waiting.payload_bytes) else {
                // Another profile may still serve the lane.
                lanes.drop_profile(&key, &profile);
                continue;
            };
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.remove(rank.id);
            }
            if let Some(limit) = self.limits.get_mut(&(key.namespace, key.queue.clone())) {
                limit.matched += 1;
            }
            lanes.had_turn(key.namespace);
            self.last_turn = key.namespace;
            matches.push(Match { lane: key, rank, waiting, room });
        }
        matches
    }

    /// What became of matched tasks: the runs that were started. Those that were not are told, to be looked up: they
    /// changed meanwhile, or their workers did.
    pub fn settle(&mut self, matches: &[Match], started: &HashMap<(Namespace, Uuid), i32>) -> Vec<(Namespace, Uuid)> {
        let mut left = Vec::new();
        for one in matches {
            let limit = self.limits.get_mut(&(one.lane.namespace, one.lane.queue.clone()));
            let run = started.get(&(one.lane.namespace, one.rank.id));
            if let Some(limit) = limit {
                limit.matched = limit.matched.saturating_sub(1);
                if let Some(run) = run {
                    limit.running.insert((one.rank.id, *run));
                }
            }
            if run.is_none() {
                self.slots.give_back(one.room.session, one.waiting.payload_bytes);
                left.push((one.lane.namespace, one.rank.id));
            }
        }
        left
    }

    fn lanes_in_turn(&self) -> LanesInTurn {
        let profiles: Vec<Profile> = self.slots.profiles().cloned().collect();
        let mut namespaces: BTreeMap<Namespace, Vec<(LaneKey, Vec<Profile>)>> = BTreeMap::new();
        for (key, lane) in &self.lanes {
            if lane.len() == 0 {
                continue;
            }
            let serving: Vec<Profile> = profiles.iter().filter(|profile| serves(profile, key)).cloned().collect();
            if !serving.is_empty() {
                namespaces.entry(key.namespace).or_default().push((key.clone(), serving));
            }
        }
        LanesInTurn { namespaces, last: self.last_turn }
    }

    /// The lane with the best first task, of the namespace whose turn it is.
    fn best_lane(&self, lanes: &mut LanesInTurn, stuck: &HashSet<LaneKey>) -> Option<(LaneKey, Profile)> {
        for namespace in lanes.order() {
            let Some(candidates) = lanes.namespaces.get(&namespace) else { continue };
            let best = candidates
                .iter()
                .filter(|(key, serving)| {
                    let limit = self.limits.get(&(key.namespace, key.queue.clone()));
                    !serving.is_empty() && limit.is_none_or(Limit::is_open) && !stuck.contains(key)
                })
                .filter_map(|(key, serving)| Some((self.lanes.get(key)?.first()?.0, key, serving.first()?)))
                .min_by_key(|(rank, ..)| *rank);
            if let Some((_, key, profile)) = best {
                return Some((key.clone(), profile.clone()));
            }
            lanes.namespaces.remove(&namespace);
        }
        None
    }
}

fn serves(profile: &Profile, key: &LaneKey) -> bool {
    profile.serves(key.namespace, &key.queue, &key.kind)
}

/// The lanes of one round, by namespace, with the profiles that serve each.
struct LanesInTurn {
    namespaces: BTreeMap<Namespace, Vec<(LaneKey, Vec<Profile>)>>,
    last: Namespace,
}

impl LanesInTurn {
    /// The namespaces, beginning behind the one that had the last turn.
    fn order(&self) -> Vec<Namespace> {
        let behind = self.namespaces.range((std::ops::Bound::Excluded(self.last), std::ops::Bound::Unbounded));
        let before = self.namespaces.range(..=self.last);
        behind.chain(before).map(|(namespace, _)| *namespace).collect()
    }

    fn had_turn(&mut self, namespace: Namespace) {
        self.last = namespace;
    }

    fn drop_profile(&mut self, key: &LaneKey, profile: &Profile) {
        let lanes = self.namespaces.get_mut(&key.namespace).into_iter().flatten();
        for (_, serving) in lanes.filter(|(known, _)| known == key) {
            serving.retain(|known| known != profile);
        }
    }
}
