//! The callers that a process has verified.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use chrono::Utc;
use futures::future::BoxFuture;
use sha2::{Digest, Sha256};
use taskyard_core::{ErrorCode, Identity, Result};
use tokio::{
    sync::broadcast,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{Change, Concerns};

/// Verified callers that a process remembers.
const KNOWN_MAX: usize = 20_000;
/// How often the revision is asked for.
const LOOK_INTERVAL: Duration = Duration::from_millis(2_500);
/// How long an answer may take.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

/// Where callers are verified: the database at the tasks service, the tasks service elsewhere.
pub trait Ask: Send + Sync + 'static {
    /// Whose token it is.
    fn identify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Identity>>;
    /// The number that rises whenever anybody loses a right.
    fn revision(&self) -> BoxFuture<'_, Result<i64>>;
    /// A verified caller has made a call.
    fn used(&self, _identity: &Identity) {}
}

/// Verifies callers and remembers them. Cheap to clone.
#[derive(Clone)]
pub struct Identities(Arc<Shared>);

struct Shared {
    ask: Box<dyn Ask>,
    known: Mutex<Known>,
    changes: broadcast::Sender<Concerns>,
}

/// A token is known by its hash, so that none lies in memory for longer than its request.
type TokenHash = [u8; 32];

#[derive(Default)]
struct Known {
    callers: HashMap<TokenHash, Arc<Identity>>,
    /// None: it is not known, so nobody is remembered.
    revision: Option<i64>,
    /// Rises with everything that is forgotten, so that a caller who was verified before it is not remembered after it.
    generation: u64,
}

impl Identities {
    /// Nobody is known yet.
    pub fn new(ask: impl Ask) -> Self {
        let changes = broadcast::Sender::new(256);
        Self(Arc::new(Shared { ask: Box::new(ask), known: Mutex::default(), changes }))
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// If it is nobody's, or that cannot be found out now.
    pub async fn of(&self, token: &str) -> Result<Arc<Identity>> {
        let hash = hash(token);
        let generation = {
            let mut known = self.lock();
            if let Some(identity) = known.get(&hash) {
                return Ok(identity);
            }
            known.generation
        };
        let identity = Arc::new(self.0.ask.identify(token).await?);
        let mut known = self.lock();
        if known.revision.is_some() && known.generation == generation {
            if known.callers.len() >= KNOWN_MAX {
                known.make_room();
            }
            known.callers.insert(hash, identity.clone());
        }
        Ok(identity)
    }

    /// Whose token it is, if it was verified before.
    #[must_use]
    pub fn known(&self, token: &str) -> Option<Arc<Identity>> {
        self.lock().get(&hash(token))
    }

    /// Takes note of a call.
    pub fn used(&self, identity: &Identity) {
        self.0.ask.used(identity);
    }

    /// Resolves when a token that was this caller's is so no more, or gives other rights.
    pub async fn lost(&self, token: &str, mut identity: Arc<Identity>) {
        let mut changes = self.0.changes.subscribe();
        loop {
            // What was said before the subscription is not heard, so it is looked at first, each time.
            match self.of(token).await {
                Ok(now) if now.caller == identity.caller && now.namespace == identity.namespace => {
                    if !now.scopes.has_all(identity.scopes) || now.queues != identity.queues {
                        return;
                    }
                    identity = now;
                }
                Ok(_) => return,
                Err(error) if matches!(error.code, ErrorCode::Unauthenticated | ErrorCode::Forbidden) => return,
                // Not to be known is not to be lost.
                Err(_) => {
                    sleep(Duration::from_secs(1)).await;
                    continue;
                }
            }
            let end = identity.expires_at.map(|end| (end - Utc::now()).to_std().unwrap_or_default());
            let ended = async {
                match end {
                    Some(left) => sleep(left).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = concerning(&mut changes, &identity) => {}
                () = ended => {}
            }
        }
    }

    /// Takes note of a change that was told.
    pub fn hear(&self, change: Change) {
        let mut known = self.lock();
        let concerns = match known.revision {
            // It was asked for since, and everybody forgotten.
            Some(revision) if change.revision <= revision => return,
            Some(revision) if change.revision == revision + 1 => change.concerns,
            // One was missed.
            _ => Concerns::Everybody,
        };
        if let Some(revision) = &mut known.revision {
            *revision = change.revision;
        }
        known.forget(concerns);
        drop(known);
        // Nobody may wait for it; here and below.
        let _ = self.0.changes.send(concerns);
    }

    /// Takes note of what was heard over Redis; what is no change of identities is passed over.
    pub fn hear_message(&self, message: &str) {
        if let Ok(change) = message.parse() {
            self.hear(change);
        }
    }

    /// Asks for the revision, again and again, until `stop`.
    pub async fn look(&self, stop: CancellationToken) {
        loop {
            match timeout(ASK_TIMEOUT, self.0.ask.revision()).await {
                Ok(Ok(revision)) => self.found(revision),
                Ok(Err(_)) | Err(_) => self.forget_revision(),
            }
            tokio::select! {
                () = sleep(LOOK_INTERVAL) => {}
                () = stop.cancelled() => return,
            }
        }
    }

    fn found(&self, revision: i64) {
        let mut known = self.lock();
        if known.revision == Some(revision) {
            return;
        }
        // A message may have been heard while the question was under way.
        if known.revision.is_some_and(|heard| heard > revision) {
            return;
        }
        let is_first = known.revision.replace(revision).is_none();
        known.forget(Concerns::Everybody);
        drop(known);
        if !is_first {
            let _ = self.0.changes.send(Concerns::Everybody);
        }
    }

    fn forget_revision(&self) {
        let mut known = self.lock();
        if known.revision.take().is_some() {
            known.forget(Concerns::Everybody);
            drop(known);
            let _ = self.0.changes.send(Concerns::Everybody);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Identities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identities").field("known", &self.lock().callers.len()).finish_non_exhaustive()
    }
}

impl Known {
    fn get(&mut self, hash: &TokenHash) -> Option<Arc<Identity>> {
        let identity = self.callers.get(hash)?.clone();
        if identity.has_expired(Utc::now()) {
            self.callers.remove(hash);
            return None;
        }
        Some(identity)
    }

    fn forget(&mut self, concerns: Concerns) {
        self.generation += 1;
        self.callers.retain(|_, identity| !concerns.includes(identity));
    }

    /// Forgets those whose time is over, or else anybody.
    fn make_room(&mut self) {
        let now = Utc::now();
        self.callers.retain(|_, identity| !identity.has_expired(now));
        if self.callers.len() >= KNOWN_MAX {
            let mut kept = 0;
            self.callers.retain(|_, _| {
                kept += 1;
                kept <= KNOWN_MAX / 2
            });
        }
    }
}

async fn concerning(changes: &mut broadcast::Receiver<Concerns>, identity: &Identity) {
    loop {
        match changes.recv().await {
            Ok(concerns) if !concerns.includes(identity) => {}
            // Some were missed, and one of them may concern it. The sender lives as long as this process.
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => return,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

fn hash(token: &str) -> TokenHash {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

    use chrono::{DateTime, TimeDelta};
    use taskyard_core::{
        Error,
        identity::{Caller, Role},
    };
    use uuid::Uuid;

    use super::*;

    /// The database: whose tokens there are.
    #[derive(Clone, Default)]
    struct Database(Arc<Inner>);

    #[derive(Default)]
    struct Inner {
        callers: Mutex<HashMap<String, Identity>>,
        revision: AtomicI64,
        asked: AtomicUsize,
    }

    impl Ask for Database {
        fn identify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Identity>> {
            Box::pin(async move {
                self.0.asked.fetch_add(1, Ordering::Relaxed);
                let found = self.0.callers.lock().unwrap().get(token).cloned();
                found.ok_or_else(|| Error::new(ErrorCode::Unauthenticated, "no"))
            })
        }

        fn revision(&self) -> BoxFuture<'_, Result<i64>> {
            Box::pin(async move {
                match self.0.revision.load(Ordering::Relaxed) {
                    -1 => Err(Error::unavailable("cut off")),
                    revision => Ok(revision),
                }
            })
        }
    }

    impl Database {
        fn add(&self, token: &str, id: Uuid, expires_at: Option<DateTime<Utc>>) {
            let identity = Identity {
                caller: Caller::Key { id },
                name: token.into(),
                namespace: 1,
                namespace_name: "default".into(),
                scopes: Role::Editor.scopes(),
                queues: Vec::new(),
                expires_at,
            };
            self.0.callers.lock().unwrap().insert(token.into(), identity);
        }

        fn asked(&self) -> usize {
            self.0.asked.load(Ordering::Relaxed)
        }
    }

    fn open() -> (Database, Identities) {
        let database = Database::default();
        let identities = Identities::new(database.clone());
        identities.found(0);
        (database, identities)
    }

    #[tokio::test]
    async fn a_caller_is_verified_once_and_forgotten_when_it_is_told() {
        let (database, identities) = open();
        let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
        database.add("one", one, None);
        database.add("two", two, None);
        for _ in 0..3 {
            identities.of("one").await.unwrap();
            identities.of("two").await.unwrap();
        }
        assert_eq!(database.asked(), 2);
        identities.hear(Change { revision: 1, concerns: Concerns::Key(one) });
        identities.of("one").await.unwrap();
        identities.of("two").await.unwrap();
        assert_eq!(database.asked(), 3);
        // The same again changes nothing.
        identities.hear(Change { revision: 1, concerns: Concerns::Key(one) });
        identities.of("one").await.unwrap();
        assert_eq!(database.asked(), 3);
    }

    #[tokio::test]
    async fn a_missed_message_makes_it_forget_everybody() {
        let (database, identities) = open();
        database.add("one", Uuid::now_v7(), None);
        identities.of("one").await.unwrap();
        identities.hear(Change { revision: 2, concerns: Concerns::Key(Uuid::now_v7()) });
        identities.of("one").await.unwrap();
        assert_eq!(database.asked(), 2);
        identities.found(3);
        identities.of("one").await.unwrap();
        assert_eq!(database.asked(), 3);
        // An answer that is older than what was heard.
        identities.found(2);
        identities.of("one").await.unwrap();
        assert_eq!(database.asked(), 3);
    }

    #[tokio::test]
    async fn without_the_revision_nobody_is_remembered() {
        let (database, identities) = open();
        database.add("one", Uuid::now_v7(), None);
        identities.of("one").await.unwrap();
        identities.forget_revision();
        for _ in 0..2 {
            identities.of("one").await.unwrap();
        }
        assert_eq!(database.asked(), 3);
    }

    #[tokio::test]
    async fn whoever_is_verified_while_something_changes_is_not_remembered() {
        let (database, identities) = open();
        let id = Uuid::now_v7();
        database.add("one", id, None);
        let asking = identities.of("one");
        tokio::pin!(asking);
        // Held up in the middle, as far as anybody can tell: the answer is there, and not yet remembered.
        let generation = identities.lock().generation;
        identities.hear(Change { revision: 1, concerns: Concerns::Key(id) });
        assert_ne!(identities.lock().generation, generation);
        asking.await.unwrap();
        assert_eq!(database.asked(), 1);
    }

    #[tokio::test]
    async fn an_expired_one_is_asked_for_again() {
        let (database, identities) = open();
        database.add("one", Uuid::now_v7(), Some(Utc::now() - TimeDelta::seconds(1)));
        for _ in 0..2 {
            identities.of("one").await.unwrap();
        }
        assert_eq!(database.asked(), 2);
    }

    #[tokio::test]
    async fn the_memory_is_bounded() {
        let (database, identities) = open();
        for number in 0..KNOWN_MAX + 10 {
            let token = number.to_string();
            database.add(&token, Uuid::now_v7(), None);
            identities.of(&token).await.unwrap();
        }
        assert!(identities.lock().callers.len() <= KNOWN_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_learns_that_its_caller_is_lost() {
        let (database, identities) = open();
        let id = Uuid::now_v7();
        database.add("one", id, None);
        let identity = identities.of("one").await.unwrap();
        let lost = identities.lost("one", identity);
        tokio::pin!(lost);
        assert!(timeout(Duration::from_secs(60), &mut lost).await.is_err());
        // Somebody else's.
        identities.hear(Change { revision: 1, concerns: Concerns::Key(Uuid::now_v7()) });
        assert!(timeout(Duration::from_secs(60), &mut lost).await.is_err());
        database.0.callers.lock().unwrap().clear();
        identities.hear(Change { revision: 2, concerns: Concerns::Key(id) });
        timeout(Duration::from_secs(1), &mut lost).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn the_look_finds_what_was_not_told() {
        let (database, identities) = open();
        let id = Uuid::now_v7();
        database.add("one", id, None);
        let stop = CancellationToken::new();
        let looking = tokio::spawn({
            let (identities, stop) = (identities.clone(), stop.clone());
            async move { identities.look(stop).await }
        });
        let identity = identities.of("one").await.unwrap();
        let lost = identities.lost("one", identity);
        tokio::pin!(lost);
        assert!(timeout(Duration::from_secs(60), &mut lost).await.is_err());
        database.0.callers.lock().unwrap().clear();
        database.0.revision.store(5, Ordering::Relaxed);
        timeout(Duration::from_secs(5), &mut lost).await.unwrap();
        // Cut off, it remembers nobody.
        database.add("one", id, None);
        identities.of("one").await.unwrap();
        database.0.revision.store(-1, Ordering::Relaxed);
        sleep(Duration::from_secs(5)).await;
        assert!(identities.lock().callers.is_empty());
        stop.cancel();
        looking.await.unwrap();
    }
}
