//! Which pod is asked next.

use std::{net::SocketAddr, sync::Arc};

use tokio::time::Instant;
use tonic::transport::Channel;

use super::pod::{Pod, Standing};

/// What a caller does next.
pub(super) enum Choice {
    /// Use this connection. If all connected pods are busy, one more may be connected to meanwhile.
    Use { pod: Arc<Pod>, channel: Channel, number: u64, also_connect: Option<Arc<Pod>> },
    /// Nothing to use yet: connect to this pod, and look again.
    Connect(Arc<Pod>),
    /// Look again when something has changed, at the latest at this time.
    Wait(Option<Instant>),
}

/// Chooses for one call among `pods`, which are asked in turns beginning with `first`.
///
/// A connected pod that answers is best, of several the one with the fewest requests in flight; then one that can be
/// connected to; then one that was avoided, as a failing pod is better than none.
pub(super) fn for_call(pods: &[Arc<Pod>], first: usize, now: Instant) -> Choice {
    let candidates = Candidates::of(pods, first, now);
    if let Some((in_flight, pod, channel, number)) = candidates.connected {
        let also_connect = candidates.disconnected.filter(|_| in_flight > 0 && !candidates.connecting);
        return Choice::Use { pod, channel, number, also_connect };
    }
    if let Some(pod) = candidates.disconnected {
        return Choice::Connect(pod);
    }
    candidates.poor()
}

/// Chooses for a stream that will stay: the first pod from `first` on that is not avoided, connected or not, so that
/// streams spread over all pods, new ones included. One at `except` is used only if no other will do.
pub(super) fn for_stream(pods: &[Arc<Pod>], first: usize, except: &[SocketAddr], now: Instant) -> Choice {
    let is_except = |pod: &&Arc<Pod>| except.contains(&pod.address);
    for pod in in_turns(pods, first).filter(|pod| !is_except(pod)).chain(in_turns(pods, first).filter(is_except)) {
        match pod.standing(now) {
            (_, Some(_)) => {}
            (Standing::Connecting, None) => return Choice::Wait(None),
            (Standing::Connected { channel, number }, None) => {
                return Choice::Use { pod: Arc::clone(pod), channel, number, also_connect: None };
            }
            (Standing::Disconnected, None) => return Choice::Connect(Arc::clone(pod)),
        }
    }
    Candidates::of(pods, first, now).poor()
}

fn in_turns(pods: &[Arc<Pod>], first: usize) -> impl Iterator<Item = &Arc<Pod>> {
    let (head, tail) = pods.split_at(first.checked_rem(pods.len()).unwrap_or(0));
    tail.iter().chain(head)
}

#[derive(Default)]
struct Candidates {
    connected: Option<(usize, Arc<Pod>, Channel, u64)>,
    disconnected: Option<Arc<Pod>>,
    connecting: bool,
    // The avoided pods whose time ends first.
    avoided_connected: Option<(Instant, Arc<Pod>, Channel, u64)>,
    avoided_disconnected: Option<(Instant, Arc<Pod>)>,
}

impl Candidates {
    fn of(pods: &[Arc<Pod>], first: usize, now: Instant) -> Self {
        let mut found = Self::default();
        for pod in in_turns(pods, first) {
            let pod = Arc::clone(pod);
            match pod.standing(now) {
                (Standing::Connecting, _) => found.connecting = true,
                (Standing::Connected { channel, number }, None) => {
                    let in_flight = pod.in_flight();
                    if found.connected.as_ref().is_none_or(|best| in_flight < best.0) {
                        found.connected = Some((in_flight, pod, channel, number));
                    }
                }
                (Standing::Connected { channel, number }, Some(until)) => {
                    if found.avoided_connected.as_ref().is_none_or(|best| until < best.0) {
                        found.avoided_connected = Some((until, pod, channel, number));
                    }
                }
                (Standing::Disconnected, None) => {
                    found.disconnected.get_or_insert(pod);
                }
                (Standing::Disconnected, Some(until)) => {
                    if found.avoided_disconnected.as_ref().is_none_or(|best| until < best.0) {
                        found.avoided_disconnected = Some((until, pod));
                    }
                }
            }
        }
        found
    }

    /// What is left when every pod is avoided.
    fn poor(self) -> Choice {
        if self.connecting {
            return Choice::Wait(None);
        }
        if let Some((_, pod, channel, number)) = self.avoided_connected {
            return Choice::Use { pod, channel, number, also_connect: None };
        }
        Choice::Wait(self.avoided_disconnected.map(|(until, _)| until))
    }
}
