//! Answers that are kept for whoever asks the same again: cache-aside, correct after every change.
//!
//! | under a task's key        | means                                                                     |
//! |---------------------------|---------------------------------------------------------------------------|
//! | nothing                   | nobody asked lately                                                       |
//! | `L` and a token           | who found nothing reads the source, and may fill with it; others wait     |
//! | `V`, version, shape, body | an answer; who reads another shape finds nothing                          |
//! | `T` and a version         | it has changed to this version; whoever read before may not fill          |
//! | `N`                       | what the source says cannot be kept: nobody need wait                     |
//!
//! A change overwrites what is there, leases too, and leaves nothing where there was nothing: so it costs next to nothing
//! for tasks that nobody reads. An answer about many tasks has its namespace's generation as its version: every change in
//! the namespace raises it, and the answer is worth nothing once it has moved on.
//!
//! All keys begin with an epoch; a new one puts everything that was kept out of reach. A leader that could not tell of a
//! change begins one. So does whoever finds that the server does not know how to look: it was started anew, or took
//! another's place, and what it read from its disk, or had copied, can be older than changes that were told.

use std::{mem, sync::LazyLock, time::Duration};

use fred::{
    error::Error,
    prelude::{ClientLike, KeysInterface, TransactionInterface},
    types::{CustomCommand, Value, scripts::Script},
};
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::{Redis, Spare};

/// How long a filler has the right to itself.
const LEASE: Duration = Duration::from_secs(2);
/// For so long a change is remembered that found somebody waiting.
const TOMBSTONE: Duration = Duration::from_secs(10);
/// How long others wait for a filler, and how soon they look first.
const WAIT: Duration = Duration::from_millis(500);
const WAIT_STEP: Duration = Duration::from_millis(10);
/// Longer bodies are not kept.
const BODY_BYTES_MAX: usize = 256 * 1_024;
/// Changes of one script.
const CHANGES_MAX: usize = 500;

/// Common to the scripts: what all keys begin with.
const PLACES: &str = "
local prefix = KEYS[1]
local function padded(number)
    return string.rep('0', 20 - #number) .. number
end
local function number(name)
    local held = redis.call('get', name)
    if held then return held end
    local time = redis.call('time')
    local new = time[1] .. string.format('%06d', time[2])
    redis.call('set', name, new, 'PX', 86400000)
    return new
end
local base = prefix .. ':' .. number(prefix .. ':epoch') .. ':'
";

/// Answers what is kept, or the place that the caller may fill; nothing of both while another one fills.
static LOOK: LazyLock<Script> = LazyLock::new(|| {
    with_places(
        "
local namespace, kind, name, token, lease, shape = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local place = base .. namespace .. ':' .. kind .. ':' .. name
local generation = kind == 'task' and '' or padded(number(base .. namespace .. ':generation'))
local held = redis.call('get', place) or ''
local first = string.sub(held, 1, 1)
local is_current = generation == '' or string.sub(held, 2, 21) == generation
if first == 'V' and is_current and string.sub(held, 22, 29) == shape then return {held, '', ''} end
if first == 'L' then return {'', '', ''} end
if first == 'N' then return {'', 'N', ''} end
local floor = first == 'T' and string.sub(held, 2) or ''
redis.call('set', place, 'L' .. token .. floor, 'PX', lease)
return {'', place, generation}
",
    )
});

/// Keeps an answer, if its task has not changed since its place was given out. One about many tasks has the generation
/// as it stood then.
static FILL: LazyLock<Script> = LazyLock::new(|| {
    Script::from_lua(
        "
local place, token, version, shape, body, life = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local held = redis.call('get', place) or ''
if string.sub(held, 1, 33) ~= 'L' .. token then return 0 end
if life == '0' then redis.call('set', place, 'N', 'PX', 1000) return 0 end
if version < string.sub(held, 34) then redis.call('del', place) return 0 end
redis.call('set', place, 'V' .. version .. shape .. body, 'PX', life)
return 1
",
    )
});

/// Gives a lease back.
static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::from_lua(
        "
if redis.call('getrange', KEYS[1], 0, 32) == 'L' .. ARGV[1] then redis.call('del', KEYS[1]) end
return 1
",
    )
});

/// Notes changes: namespace, id, version each.
static OUTDATE: LazyLock<Script> = LazyLock::new(|| {
    with_places(
        "
local raised = {}
for at = 2, #ARGV, 3 do
    local namespace, version = ARGV[at], ARGV[at + 2]
    local place = base .. namespace .. ':task:' .. ARGV[at + 1]
    local held = redis.call('getrange', place, 0, 20)
    local is_older = string.sub(held, 1, 1) == 'L' or version == '' or string.sub(held, 2) < version
    if held ~= '' and is_older then
        redis.call('set', place, 'T' .. version, 'PX', ARGV[1])
    end
    if not raised[namespace] then
        raised[namespace] = true
        local generation = base .. namespace .. ':generation'
        if redis.call('exists', generation) == 1 then redis.call('incr', generation) end
    end
end
return 1
",
    )
});

fn with_places(script: &str) -> Script {
    Script::from_lua([PLACES, script].concat())
}

/// Kept answers of the whole installation.
#[derive(Clone, Debug)]
pub struct Cache {
    spare: Spare,
    prefix: String,
    shape: u32,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept<'a> {
    /// A task, by its id.
    Task(Uuid),
    /// Something about many tasks: what kind of thing, and which one.
    Many(&'a str, &'a str),
}

/// What is there.
#[derive(Debug)]
pub enum Found {
    /// This answer.
    Answer(Answer),
    /// Nothing; whoever reads the source now may fill it in.
    Nothing(Place),
    /// The source has to be read, for its own sake alone.
    Unknown,
}

/// A kept answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The task's; 0 for whatever has none.
    pub version: u32,
    /// As it was filled in.
    pub body: Vec<u8>,
}

/// The right to fill something in. It ends by itself, with the next change, and when it is dropped.
#[derive(Debug)]
pub struct Place {
    cache: Cache,
    key: String,
    token: String,
    /// How it stood; empty for a task.
    generation: String,
    is_used: bool,
}

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its namespace.
    pub namespace: i32,
    /// Its id; none if something else of the namespace has changed, such as a queue.
    pub id: Option<Uuid>,
    /// What it changed to, where that is known.
    pub version: Option<u32>,
}

impl Cache {
    /// Kept in this server.
    #[must_use]
    pub fn new(spare: Spare) -> Self {
        let prefix = format!("{}:cache", spare.redis().prefix);
        Self { spare, prefix, shape: 0 }
    }

    /// The same for answers of a shape: those of another one, such as of another release, are not read.
    #[must_use]
    pub fn of_shape(self, shape: u32) -> Self {
        Self { shape, ..self }
    }

    /// Looks for an answer; waits a little while another one fills it in.
    pub async fn look(&self, namespace: i32, kept: Kept<'_>) -> Found {
        let began = tokio::time::Instant::now();
        let mut step = WAIT_STEP;
        loop {
            match self.look_once(namespace, kept).await {
                Some(Look::Held(answer)) => return Found::Answer(answer),
                Some(Look::Given(place)) => return Found::Nothing(place),
                Some(Look::Awaited) if began.elapsed() < WAIT => {
                    tokio::time::sleep(step).await;
                    step *= 2;
                }
                Some(Look::Awaited | Look::Vain) | None => return Found::Unknown,
            }
        }
    }

    async fn look_once(&self, namespace: i32, kept: Kept<'_>) -> Option<Look> {
        let (kind, name) = match kept {
            Kept::Task(id) => ("task", id.simple().to_string()),
            Kept::Many(kind, name) => (kind, name.to_owned()),
        };
        let token = Uuid::new_v4().simple().to_string();
        let lease = LEASE.as_millis().to_string();
        let shape = self.shape_text();
        let arguments = [namespace.to_string(), kind.to_owned(), name, token.clone(), lease, shape];
        let (held, key, generation) = self.spare.ask(self.run_look(arguments)).await?;
        if key == "N" {
            return Some(Look::Vain);
        }
        if !key.is_empty() {
            let cache = self.clone();
            return Some(Look::Given(Place { cache, key, token, generation, is_used: false }));
        }
        if held.is_empty() {
            return Some(Look::Awaited);
        }
        // A generation is no version.
        let version = match kept {
            Kept::Task(_) => str::from_utf8(held.get(1..21)?).ok()?.parse().ok()?,
            Kept::Many(..) => 0,
        };
        Some(Look::Held(Answer { version, body: held.get(29..)?.to_vec() }))
    }

    /// A server that does not know the script has not looked since it was started.
    async fn run_look(&self, arguments: [String; 6]) -> Result<(Vec<u8>, String, String), Error> {
        let client = &self.redis().client;
        match LOOK.evalsha(client, self.prefix.as_str(), arguments.to_vec()).await {
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                let both = client.multi();
                let () = both.del(self.epoch()).await?;
                let load = CustomCommand::new_static("SCRIPT", None, false);
                let () = both.custom(load, vec!["LOAD".into(), LOOK.lua().cloned().unwrap_or_default()]).await?;
                let () = both.exec(true).await?;
                LOOK.evalsha(client, self.prefix.as_str(), arguments.to_vec()).await
            }
            answer => answer,
        }
    }

    /// Says what has changed. False: Redis does not know of all of it.
    pub async fn outdate(&self, changes: &[Change]) -> bool {
        for changes in changes.chunks(CHANGES_MAX) {
            let mut arguments = Vec::with_capacity(1 + 3 * changes.len());
            arguments.push(TOMBSTONE.as_millis().to_string());
            for Change { namespace, id, version } in changes {
                let version = version.map(|version| format!("{version:020}")).unwrap_or_default();
                let id = id.map(|id| id.simple().to_string()).unwrap_or_default();
                arguments.extend([namespace.to_string(), id, version]);
            }
            let call = OUTDATE.evalsha_with_reload(&self.redis().client, self.prefix.as_str(), arguments);
            let done: Option<i64> = self.spare.ask(call).await;
            if done.is_none() {
                return false;
            }
        }
        true
    }

    /// Puts everything that is kept out of reach. False: Redis does not know of it.
    pub async fn begin_epoch(&self) -> bool {
        let done: Option<i64> = self.spare.ask(self.redis().client.del(self.epoch())).await;
        done.is_some()
    }

    fn epoch(&self) -> String {
        format!("{}:epoch", self.prefix)
    }

    fn redis(&self) -> &Redis {
        self.spare.redis()
    }

    fn shape_text(&self) -> String {
        format!("{:08x}", self.shape)
    }
}

impl Place {
    /// Keeps an answer for so long, unless something has changed since.
    pub async fn fill(mut self, answer: &Answer, life: Duration) {
        let life = if answer.body.len() > BODY_BYTES_MAX { Duration::ZERO } else { life };
        let version =
            if self.generation.is_empty() { format!("{:020}", answer.version) } else { self.generation.clone() };
        let arguments: Vec<Value> = vec![
            self.token.as_str().into(),
            version.into(),
            self.cache.shape_text().into(),
            Value::Bytes(answer.body.clone().into()),
            (life.as_millis() as i64).into(),
        ];
        let call = FILL.evalsha_with_reload(&self.cache.redis().client, self.key.as_str(), arguments);
        let _: Option<i64> = self.cache.spare.ask(call).await;
        self.is_used = true;
    }

    /// Lets nobody wait: the source had no answer that can be kept.
    pub async fn give_up(self) {
        self.fill(&Answer { version: 0, body: Vec::new() }, Duration::ZERO).await;
    }
}

impl Drop for Place {
    /// Its request has ended in the middle. Others wait for it, so one of them takes its place.
    fn drop(&mut self) {
        if self.is_used {
            return;
        }
        let Ok(runtime) = Handle::try_current() else { return };
        let (cache, key, token) = (self.cache.clone(), mem::take(&mut self.key), mem::take(&mut self.token));
        runtime.spawn(async move {
            let call = RELEASE.evalsha_with_reload(&cache.redis().client, key, token);
            let _: Option<i64> = cache.spare.ask(call).await;
        });
    }
}

enum Look {
    Held(Answer),
    Given(Place),
    /// Another one fills.
    Awaited,
    /// What the source says cannot be kept.
    Vain,
}
