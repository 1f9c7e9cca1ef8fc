//! The pods behind one or more URLs.
//!
//! A host that stands for several pods (a headless Service) is resolved again every 5 s; each address has a connection
//! of its own, made when it is first needed. Whoever asks gets a connected pod that is not failing, the one with the
//! fewest requests in flight; more pods are connected to as load needs them.

mod channel;
mod choice;
mod connect;
mod health;
mod pod;
mod resolver;
mod tried;

use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use taskyard_core::{Error, ErrorCode, Result};
use taskyard_proto::status::from_status;
use tokio::{sync::Notify, task::AbortHandle, time::Instant};
use tonic::{Response, Status};

pub use self::channel::PodChannel;
pub(crate) use self::tried::Tried;
use self::{choice::Choice, pod::Pod};
use crate::{
    Token,
    endpoint::{self, Endpoint},
    error,
};

// While one pod is being connected to, another is tried after this time.
const STAGGER: Duration = Duration::from_millis(250);
const REPEAT_FIRST: Duration = Duration::from_millis(25);
const REPEAT_MAX: Duration = Duration::from_secs(1);

/// The pods behind one or more URLs. Cheap to clone; connections are shared.
#[derive(Clone)]
pub struct Pods {
    shared: Arc<Shared>,
}

struct Shared {
    endpoints: Vec<Arc<Endpoint>>,
    token: Token,
    state: Mutex<State>,
    // Addresses or connections have changed.
    changed: Notify,
    // Asks for an early lookup.
    look: Arc<Notify>,
    resolver: Mutex<Option<AbortHandle>>,
}

#[derive(Default)]
struct State {
    pods: Vec<Arc<Pod>>,
    next: usize,
    lookup_error: Option<String>,
}

impl Pods {
    /// The pods behind `urls` (`http://host:port` or `https://…`; each text may hold several, separated by commas).
    /// Connections are made when they are needed, so this succeeds while no pod is there. Call it inside a tokio
    /// runtime.
    ///
    /// # Errors
    /// If a URL cannot be used, or TLS is asked for on a machine without root certificates.
    pub fn connect<I>(urls: I, token: Token) -> Result<Self>
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let endpoints: Vec<_> = endpoint::parse(urls)?.into_iter().map(Arc::new).collect();
        for endpoint in &endpoints {
            connect::check(endpoint)?;
        }
        let shared = Arc::new(Shared {
            endpoints,
            token,
            state: Mutex::default(),
            changed: Notify::new(),
            look: Arc::default(),
            resolver: Mutex::default(),
        });
        let resolver = tokio::spawn(resolver::run(Arc::downgrade(&shared), Arc::clone(&shared.look)));
        *lock(&shared.resolver) = Some(resolver.abort_handle());
        Ok(Self { shared })
    }

    /// A connection to a pod, for one call.
    ///
    /// # Errors
    /// `UNAVAILABLE` if there is none until the deadline.
    pub async fn pick(&self, deadline: Instant) -> Result<PodChannel> {
        self.choose(deadline, |state, _, now| {
            let first = state.next;
            state.next = first.wrapping_add(1);
            choice::for_call(&state.pods, first, now)
        })
        .await
    }

    /// A connection to a pod, for a stream that will stay: to any of them, so that streams spread, but not to one
    /// at `except` while there is another.
    ///
    /// # Errors
    /// `UNAVAILABLE` if there is none until the deadline.
    pub async fn pick_for_stream(&self, except: &[SocketAddr], deadline: Instant) -> Result<PodChannel> {
        let first: usize = rand::random_range(0..1 << 20);
        self.choose(deadline, |state, waited, now| choice::for_stream(&state.pods, first + waited, except, now)).await
    }

    /// Makes a call, and repeats it, elsewhere if there is another pod, while it fails with `UNAVAILABLE` or a broken
    /// connection, until the deadline. Every command of the API may be repeated. The deadline travels along as
    /// `grpc-timeout`.
    ///
    /// # Errors
    /// What the server answered; `DEADLINE_EXCEEDED` if it did not answer in time; `UNAVAILABLE` if no pod could.
    pub async fn call<T, F, A>(&self, deadline: Instant, mut attempt: A) -> Result<T>
    where
        A: FnMut(PodChannel) -> F,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut failures = 0;
        loop {
            let channel = self.pick(deadline).await?.with_deadline(deadline);
            let began = Instant::now();
            let status = match tokio::time::timeout_at(deadline, attempt(channel.clone())).await {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => status,
                Err(_) => return Err(deadline_exceeded()),
            };
            if Instant::now() >= deadline && status.code() == tonic::Code::Cancelled {
                return Err(deadline_exceeded());
            }
            if !error::is_unavailable(&status) {
                return Err(from_status(&status));
            }
            channel.avoid(began, status.message());
            self.shared.look.notify_one();
            let longest = REPEAT_FIRST.saturating_mul(1 << failures.min(10)).min(REPEAT_MAX);
            let again_at = Instant::now() + longest.mul_f64(rand::random());
            if again_at >= deadline {
                return Err(from_status(&status));
            }
            tracing::debug!(pod = %channel.address(), error = status.message(), "A call is repeated");
            failures += 1;
            tokio::time::sleep_until(again_at).await;
        }
    }

    /// Asks `choose` until it has a connection. It is told how often a pod was waited for in vain.
    async fn choose(
        &self,
        deadline: Instant,
        mut choose: impl FnMut(&mut State, usize, Instant) -> Choice,
    ) -> Result<PodChannel> {
        let mut waited = 0;
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            let now = Instant::now();
            let choice = choose(&mut lock(&self.shared.state), waited, now);
            let look_again_at = match choice {
                Choice::Use { pod, channel, number, also_connect } => {
                    if let Some(other) = also_connect {
                        self.connect_to(&other);
                    }
                    let token = self.shared.token.clone();
                    return Ok(PodChannel { pod, channel, number, token, deadline: None });
                }
                Choice::Connect(pod) => {
                    self.connect_to(&pod);
                    now + STAGGER
                }
                Choice::Wait(until) => until.unwrap_or(now + STAGGER),
            };
            tokio::select! {
                () = changed => {}
                () = tokio::time::sleep_until(look_again_at) => waited += 1,
                () = tokio::time::sleep_until(deadline) => return Err(self.shared.unreachable()),
            }
        }
    }

    fn connect_to(&self, pod: &Arc<Pod>) {
        if !pod.begin_connecting() {
            return;
        }
        let (shared, pod) = (Arc::clone(&self.shared), Arc::clone(pod));
        tokio::spawn(async move {
            let began = Instant::now();
            let connected = connect::connect(&pod.endpoint, pod.address).await;
            if let Err(status) = &connected {
                tracing::debug!(pod = %pod.address, error = status.message(), "A pod cannot be reached");
                shared.look.notify_one();
            }
            pod.end_connecting(began, connected);
            shared.changed.notify_waiters();
        });
    }
}

impl fmt::Debug for Pods {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses: Vec<_> = lock(&self.shared.state).pods.iter().map(|pod| pod.address).collect();
        f.debug_struct("Pods").field("addresses", &addresses).finish_non_exhaustive()
    }
}

impl Shared {
    /// Replaces the addresses of one endpoint. Pods that stay keep their connection; who still uses one that goes
    /// may finish.
    fn set_addresses(&self, endpoint: &Arc<Endpoint>, addresses: &[SocketAddr]) {
        let mut state = lock(&self.state);
        let before: Vec<_> = state.pods.iter().map(|pod| pod.address).collect();
        state.pods.retain(|pod| pod.endpoint != *endpoint || addresses.contains(&pod.address));
        for address in addresses {
            if !state.pods.iter().any(|pod| pod.address == *address) {
                // At a random place: else every client would begin with the same pod.
                let place = rand::random_range(0..=state.pods.len());
                state.pods.insert(place, Arc::new(Pod::new(*address, Arc::clone(endpoint))));
            }
        }
        state.lookup_error = None;
        let changed = before.len() != state.pods.len() || state.pods.iter().any(|pod| !before.contains(&pod.address));
        drop(state);
        if changed {
            tracing::debug!(host = endpoint.host, ?addresses, "The pods have changed");
            self.changed.notify_waiters();
        }
    }

    fn set_lookup_error(&self, endpoint: &Endpoint, error: String) {
        tracing::debug!(host = endpoint.host, error, "A name cannot be resolved");
        lock(&self.state).lookup_error = Some(error);
    }

    fn unreachable(&self) -> Error {
        let state = lock(&self.state);
        let mut reasons: Vec<_> =
            state.pods.iter().filter_map(|pod| Some(format!("{}: {}", pod.address, pod.error()?))).collect();
        reasons.extend(state.lookup_error.clone());
        if reasons.is_empty() {
            return Error::unavailable("no pod can be reached");
        }
        Error::unavailable(format!("no pod can be reached ({})", reasons.join("; ")))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(resolver) = lock(&self.resolver).take() {
            resolver.abort();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn deadline_exceeded() -> Error {
    Error::new(ErrorCode::DeadlineExceeded, "the deadline passed before an answer came")
}
