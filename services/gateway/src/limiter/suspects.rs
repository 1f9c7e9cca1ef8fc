//! Addresses from which too many tokens of nobody came. What they show next is verified a few at a time: whoever guesses
//! gets a small part of the tasks service's time, and nobody who shares the address is turned away.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

/// Tokens from all of these addresses that are verified at once.
const TURNS: usize = 4;
/// Addresses that are remembered.
const KNOWN_MAX: usize = 10_000;

#[derive(Debug)]
pub(super) struct Suspects {
    until: Mutex<HashMap<IpAddr, Instant>>,
    turns: Semaphore,
}

impl Suspects {
    pub(super) fn new() -> Self {
        Self { until: Mutex::default(), turns: Semaphore::new(TURNS) }
    }

    /// An address is one of them for so long.
    pub(super) fn note(&self, address: IpAddr, life: Duration) {
        let now = Instant::now();
        let mut known = self.lock();
        if known.len() >= KNOWN_MAX {
            known.retain(|_, until| *until > now);
        }
        if known.len() < KNOWN_MAX {
            known.insert(address, now + life);
        }
    }

    /// Waits until a token from an address may be verified. None: it waits for nobody.
    pub(super) async fn turn(&self, address: IpAddr) -> Option<SemaphorePermit<'_>> {
        let is_one = self.lock().get(&address).is_some_and(|until| *until > Instant::now());
        if is_one { self.turns.acquire().await.ok() } else { None }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn suspects_take_turns_and_nobody_else_waits() {
        let suspects = Suspects::new();
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        suspects.note(one, Duration::from_secs(60));
        let mut turns = Vec::new();
        for _ in 0..TURNS {
            turns.push(suspects.turn(one).await.expect("a turn"));
        }
        assert!(suspects.turn(one).now_or_never().is_none(), "it waits");
        assert!(suspects.turn(other).now_or_never().is_some_and(|turn| turn.is_none()));
        turns.pop();
        assert!(suspects.turn(one).now_or_never().is_some());
        suspects.note(one, Duration::ZERO);
        assert!(suspects.turn(one).now_or_never().is_some_and(|turn| turn.is_none()), "its time is over");
    }
}
