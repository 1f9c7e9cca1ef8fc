//! Free slots of all workers in the leader's memory, exact in spite of late, doubled and reordered reports.
//!
//! A pod reports what its workers have free and which of the leader's work messages it had taken in by then; what was
//! started in later messages is subtracted here. A pod's report counts only once it has taken in a message of this
//! term, so that nothing of an earlier leader is still on its way to it.

use std::{
    collections::{HashMap, VecDeque},
    time::{Duration, Instant},
};

use taskyard_core::{identity::EVERY_NAMESPACE, task::Namespace};
use taskyard_proto::internal::{Demand, SessionDemand};
use uuid::Uuid;

/// What is not reported again for this long is void: two beacons, and some.
pub const REPORT_LIFE: Duration = Duration::from_secs(11);

/// A pod that has taken in nothing of this term is greeted again after this.
const GREETING_PAUSE: Duration = Duration::from_secs(1);

/// A worker that has room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    pub session: Uuid,
    pub connection: i32,
    pub pod: String,
}

/// Who asks for the same work: all workers with the same namespace, queues and kinds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Profile {
    pub namespace: Namespace,
    /// Sorted; every queue if empty.
    pub queues: Vec<String>,
    /// Sorted.
    pub kinds: Vec<String>,
}

impl Profile {
    /// Whether such a worker runs tasks of this queue and kind.
    pub fn serves(&self, namespace: Namespace, queue: &str, kind: &str) -> bool {
        let has = |names: &[String], name: &str| names.binary_search_by(|known| known.as_str().cmp(name)).is_ok();
        let is_of = self.namespace == namespace || self.namespace == EVERY_NAMESPACE;
        is_of && has(&self.kinds, kind) && (self.queues.is_empty() || has(&self.queues, queue))
    }
}

#[derive(Debug)]
struct Session {
    connection: i32,
    pod: String,
    profile: Profile,
    /// As reported.
    slots: u32,
    bytes: u64,
    is_idle: bool,
    /// What was started since the last work message that the report knew of: message, slots, bytes.
    started: VecDeque<(u64, u32, u64)>,
    reported_at: Instant,
    /// Its place in its profile's line; an entry with another ticket is void.
    ticket: Option<u64>,
}

impl Session {
    fn free_slots(&self) -> u32 {
        self.slots.saturating_sub(self.started.iter().map(|(_, slots, _)| slots).sum())
    }

    fn fits(&self, bytes: u64) -> bool {
        let started: u64 = self.started.iter().map(|(_, _, bytes)| bytes).sum();
        (self.is_idle && self.started.is_empty()) || self.bytes.saturating_sub(started) >= bytes
    }

    fn forget_until(&mut self, number: u64) {
        while self.started.front().is_some_and(|(message, ..)| *message <= number) {
            self.started.pop_front();
        }
    }
}

#[derive(Debug)]
struct Pod {
    /// The highest demand number seen.
    demand_number: u64,
    /// It has taken in a message of this term.
    is_caught_up: bool,
    /// The next work message's number.
    next_number: u64,
    /// The last message that it has taken in.
    taken_in: u64,
    /// When the oldest message that it has not taken in was sent.
    unseen_since: Option<Instant>,
}

/// All workers' free slots.
#[derive(Debug, Default)]
pub struct Slots {
    term: i64,
    pods: HashMap<String, Pod>,
    sessions: HashMap<Uuid, Session>,
    /// Sessions with free slots, of each profile, next one first.
    lines: HashMap<Profile, VecDeque<(Uuid, u64)>>,
    next_ticket: u64,
}

/// What the leader has to do after a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The report counts.
    Taken,
    /// The pod must first take in an empty work message.
    NeedsGreeting,
    /// It came late and is passed over.
    Late,
}

impl Slots {
    pub fn new(term: i64) -> Self {
        Self { term, ..Self::default() }
    }

    /// A pod's report.
    pub fn hear(&mut self, demand: &Demand, now: Instant) -> Heard {
        let pod = self.pods.entry(demand.pod.clone()).or_insert_with(|| Pod {
            demand_number: 0,
            is_caught_up: false,
            next_number: 0,
            taken_in: 0,
            unseen_since: None,
        });
        if demand.number <= pod.demand_number {
            return Heard::Late;
        }
        pod.demand_number = demand.number;
        if demand.term != self.term {
            // Once, and again if it seems to be lost.
            let is_greeted = pod.unseen_since.is_some_and(|since| now.duration_since(since) < GREETING_PAUSE);
            return if is_greeted { Heard::Late } else { Heard::NeedsGreeting };
        }
        pod.is_caught_up = true;
        pod.taken_in = pod.taken_in.max(demand.work_number);
        if pod.taken_in + 1 >= pod.next_number {
            pod.unseen_since = None;
        }
        for report in &demand.sessions {
            self.hear_session(&demand.pod, report, demand.work_number, now);
        }
        if demand.complete {
            let listed: Vec<&[u8]> = demand.sessions.iter().map(|report| report.session.as_ref()).collect();
            self.sessions.retain(|id, session| session.pod != demand.pod || listed.contains(&id.as_bytes().as_slice()));
        }
        Heard::Taken
    }

    fn hear_session(&mut self, pod: &str, report: &SessionDemand, as_of: u64, now: Instant) {
        let Ok(id) = Uuid::from_slice(&report.session) else { return };
        let mut profile =
            Profile { namespace: report.namespace, queues: report.queues.clone(), kinds: report.kinds.clone() };
        profile.queues.sort_unstable();
        profile.kinds.sort_unstable();
        let known = self.sessions.get_mut(&id);
        if known.as_ref().is_some_and(|known| known.connection > report.connection) {
            return;
        }
        match known {
            Some(known) if known.connection == report.connection && known.pod == pod && known.profile == profile => {
                known.slots = report.slots;
                known.bytes = report.bytes;
                known.is_idle = report.idle;
                known.reported_at = now;
                known.forget_until(as_of);
            }
            _ => {
                let session = Session {
                    connection: report.connection,
                    pod: pod.to_owned(),
                    profile,
                    slots: report.slots,
                    bytes: report.bytes,
                    is_idle: report.idle,
                    started: VecDeque::new(),
                    reported_at: now,
                    ticket: None,
                };
                self.sessions.insert(id, session);
            }
        }
        self.line_up(id);
    }

    fn line_up(&mut self, id: Uuid) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        if session.ticket.is_none() && session.free_slots() > 0 {
            self.next_ticket += 1;
            session.ticket = Some(self.next_ticket);
            match self.lines.get_mut(&session.profile) {
                Some(line) => line.push_back((id, self.next_ticket)),
                None => {
                    self.lines.insert(session.profile.clone(), VecDeque::from([(id, self.next_ticket)]));
                }
            }
        }
    }

    /// Profiles of workers with free slots.
    pub fn profiles(&self) -> impl Iterator<Item = &Profile> {
        self.lines.iter().filter(|(_, line)| !line.is_empty()).map(|(profile, _)| profile)
    }

    /// An upper bound of the slots that are free.
    pub fn free_max(&self) -> usize {
        self.lines
            .values()
            .flatten()
            .filter_map(|(id, _)| self.sessions.get(id))
            .map(|session| session.free_slots() as usize)
            .sum()
    }

    /// Takes a slot of a worker of this profile with room for a payload of so many bytes; the workers take turns.
    pub fn take(&mut self, profile: &Profile, bytes: u64) -> Option<Room> {
        let line = self.lines.get_mut(profile)?;
        let mut full = Vec::new();
        let mut room = None;
        while let Some((id, ticket)) = line.pop_front() {
            // Lines are tidied as they are used: who is gone, has moved or has nothing free leaves.
            let Some(session) = self.sessions.get_mut(&id).filter(|session| session.ticket == Some(ticket)) else {
                continue;
            };
            if session.free_slots() == 0 {
                session.ticket = None;
                continue;
            }
            if !session.fits(bytes) {
                full.push((id, ticket));
                continue;
            }
            let Some(pod) = self.pods.get(&session.pod) else {
                session.ticket = None;
                continue;
            };
            // Counted under the number of the message that will carry it.
            match session.started.back_mut() {
                Some((number, slots, sum)) if *number == pod.next_number => {
                    *slots += 1;
                    *sum += bytes;
                }
                _ => session.started.push_back((pod.next_number, 1, bytes)),
            }
            room = Some(Room { session: id, connection: session.connection, pod: session.pod.clone() });
            if session.free_slots() > 0 {
                line.push_back((id, ticket));
            } else {
                session.ticket = None;
            }
            break;
        }
        for entry in full.into_iter().rev() {
            line.push_front(entry);
        }
        room
    }

    /// Gives back a slot that was taken for the message to come: the task was not started.
    pub fn give_back(&mut self, session: Uuid, bytes: u64) {
        let Some(known) = self.sessions.get_mut(&session) else { return };
        let next = self.pods.get(&known.pod).map(|pod| pod.next_number);
        if let Some((number, slots, sum)) = known.started.back_mut()
            && Some(*number) == next
        {
            *slots = slots.saturating_sub(1);
            *sum = sum.saturating_sub(bytes);
            if *slots == 0 {
                known.started.pop_back();
            }
        }
        self.line_up(session);
    }

    /// The number of the next work message to a pod.
    pub fn next_message(&mut self, pod: &str, now: Instant) -> u64 {
        let Some(pod) = self.pods.get_mut(pod) else { return 0 };
        let number = pod.next_number;
        pod.next_number += 1;
        // The newest greeting counts; of work, the oldest that was not taken in.
        if pod.is_caught_up {
            pod.unseen_since.get_or_insert(now);
        } else {
            pod.unseen_since = Some(now);
        }
        number
    }

    /// Forgets a worker: the database says that it is gone or elsewhere.
    pub fn forget(&mut self, session: Uuid) {
        self.sessions.remove(&session);
    }

    /// Forgets what was not reported again. Pods stay for the term: their messages' numbers must go on.
    pub fn expire(&mut self, now: Instant) {
        self.sessions.retain(|_, session| now.duration_since(session.reported_at) < REPORT_LIFE);
        self.lines.retain(|_, line| !line.is_empty());
    }

    /// Pods that have not taken in a message for so long: it was lost, and with it the slots that it counts, until
    /// they take in a later one.
    pub fn pods_behind(&self, now: Instant, age: Duration) -> Vec<String> {
        let behind = |pod: &Pod| pod.unseen_since.is_some_and(|since| now.duration_since(since) >= age);
        self.pods.iter().filter(|(_, pod)| behind(pod)).map(|(name, _)| name.clone()).collect()
    }

    /// Whether a pod has taken in a message of this term.
    #[cfg(test)]
    pub fn is_caught_up(&self, pod: &str) -> bool {
        self.pods.get(pod).is_some_and(|pod| pod.is_caught_up)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const TERM: i64 = 7;

    /// A pod with one worker, as the pod sees it.
    #[derive(Clone, Debug, Default)]
    struct Worker {
        taken_in: Option<u64>,
        held: u32,
        demands: u64,
    }

    impl Worker {
        fn report(&mut self, pod: &str, session: Uuid, slots: u32) -> Demand {
            self.demands += 1;
            Demand {
                pod: pod.into(),
                number: self.demands,
                term: if self.taken_in.is_some() { TERM } else { TERM - 1 },
                work_number: self.taken_in.unwrap_or(0),
                complete: true,
                sessions: vec![SessionDemand {
                    session: session.as_bytes().to_vec().into(),
                    connection: 1,
                    namespace: 1,
                    queues: vec![],
                    kinds: vec!["k".into()],
                    slots: slots - self.held,
                    bytes: 1_000,
                    idle: self.held == 0,
                }],
            }
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Report(usize),
        /// The leader hears the n-th report that is under way (late, twice, out of order).
        Hear(usize, bool),
        /// The leader starts up to so many.
        Start(u32),
        /// A pod takes in its next work message.
        TakeIn(usize),
        /// A pod's worker finishes one.
        Finish(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..2usize).prop_map(Step::Report),
            (0..8usize, any::<bool>()).prop_map(|(n, twice)| Step::Hear(n, twice)),
            (1..5u32).prop_map(Step::Start),
            (0..2usize).prop_map(Step::TakeIn),
            (0..2usize).prop_map(Step::Finish),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        /// However late, doubled and reordered two pods' reports arrive: no run without a slot.
        #[test]
        fn no_worker_gets_more_than_its_slots(steps in prop::collection::vec(step(), 0..120)) {
            const SLOTS: u32 = 3;
            let names = ["a", "b"];
            let sessions = [Uuid::from_u128(1), Uuid::from_u128(2)];
            let mut workers = [Worker::default(), Worker::default()];
            let mut way_to_leader: Vec<Demand> = Vec::new();
            let mut way_to_pod: [VecDeque<(u64, u32)>; 2] = Default::default();
            let mut slots = Slots::new(TERM);
            let now = Instant::now();
            for step in steps {
                match step {
                    Step::Report(pod) => way_to_leader.push(workers[pod].report(names[pod], sessions[pod], SLOTS)),
                    Step::Hear(n, twice) => {
                        if n < way_to_leader.len() {
                            let demand = if twice { way_to_leader[n].clone() } else { way_to_leader.remove(n) };
                            if slots.hear(&demand, now) == Heard::NeedsGreeting {
                                let pod = names.iter().position(|name| *name == demand.pod).unwrap();
                                let number = slots.next_message(names[pod], now);
                                way_to_pod[pod].push_back((number, 0));
                            }
                        }
                    }
                    Step::Start(runs) => {
                        let mut started: BTreeMap<String, u32> = BTreeMap::new();
                        for _ in 0..runs {
                            let profile = slots.profiles().next().cloned();
                            let Some(room) = profile.and_then(|profile| slots.take(&profile, 1)) else { break };
                            *started.entry(room.pod).or_default() += 1;
                        }
                        for (name, runs) in started {
                            let pod = names.iter().position(|known| *known == name).unwrap();
                            prop_assert!(slots.is_caught_up(&name));
                            let number = slots.next_message(&name, now);
                            way_to_pod[pod].push_back((number, runs));
                        }
                    }
                    Step::TakeIn(pod) => {
                        if let Some((number, runs)) = way_to_pod[pod].pop_front() {
                            workers[pod].taken_in = Some(number);
                            workers[pod].held += runs;
                        }
                    }
                    Step::Finish(pod) => workers[pod].held = workers[pod].held.saturating_sub(1),
                }
                for pod in 0..2 {
                    let under_way: u32 = way_to_pod[pod].iter().map(|(_, runs)| runs).sum();
                    prop_assert!(workers[pod].held + under_way <= SLOTS, "{:?}", workers[pod]);
                }
            }
        }
    }

    #[test]
    fn a_large_payload_fits_an_idle_worker_only() {
        let mut slots = Slots::new(TERM);
        let mut worker = Worker { taken_in: Some(0), ..Worker::default() };
        slots.hear(&worker.report("a", Uuid::from_u128(1), 5), Instant::now());
        slots.next_message("a", Instant::now());
        let profile = slots.profiles().next().unwrap().clone();
        assert!(slots.take(&profile, 5_000).is_some(), "nothing is held: any size");
        assert!(slots.take(&profile, 1).is_none(), "no bytes are left");
    }
}
