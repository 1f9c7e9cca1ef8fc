//! A rate limit that all processes share: at most so many in any window that ends now.
//!
//! The window is counted in 60 slots, the oldest one whole although part of it may be over: so a window never holds
//! more than the limit, and what was used is free again a sixtieth of the window late at most. Asking is one call, and
//! takes the same time whatever the limit; what is refused is not counted. The time is the server's, so gateways whose
//! clocks differ count alike.

use std::{sync::LazyLock, time::Duration};

use fred::types::scripts::Script;

use crate::{Redis, Spare};

/// Answers: 1 if it is admitted, how many are left, and in how many milliseconds the oldest slot is free.
static ADMIT: LazyLock<Script> = LazyLock::new(|| {
    Script::from_lua(
        "
local limit, window, slots = tonumber(ARGV[1]), tonumber(ARGV[2]), 60
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local width = math.ceil(window / slots)
local slot = math.floor(now / width)
-- What all slots hold together, and the first of them that holds something.
local known = redis.call('hmget', KEYS[1], 'used', 'first')
local used, first = tonumber(known[1] or 0), tonumber(known[2] or slot)
while first < slot do
    local count = redis.call('hget', KEYS[1], first)
    if count and first >= slot - slots then break end
    if count then
        used = used - count
        redis.call('hdel', KEYS[1], first)
    end
    first = first + 1
end
first = math.min(first, slot)
local admitted = 0
if used < limit then
    admitted, used = 1, used + 1
    redis.call('hincrby', KEYS[1], slot, 1)
    redis.call('pexpire', KEYS[1], window + 2 * width)
end
redis.call('hset', KEYS[1], 'used', used, 'first', first)
return {admitted, math.max(limit - used, 0), (first + slots + 1) * width - now}",
    )
});

/// How many in how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// So many at most.
    pub limit: u32,
    /// In any time of this length.
    pub window: Duration,
}

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// There was room for it.
    pub is_admitted: bool,
    /// How many more would be admitted now.
    pub left: u32,
    /// When the oldest that are counted are not counted any more.
    pub free_in: Duration,
}

impl Spare {
    /// Counts one more of `who`, if the rate has room for it. None: nobody knows, as Redis does not answer.
    pub async fn admit(&self, who: &str, rate: Rate) -> Option<Admission> {
        let window_ms = rate.window.as_millis().max(1).to_string();
        let Redis { client, prefix, .. } = self.redis();
        // The slots of another window, such as of the release before, have other lengths.
        let key = format!("{prefix}:rate:{window_ms}:{who}");
        let call = ADMIT.evalsha_with_reload(client, key, vec![rate.limit.to_string(), window_ms]);
        let (admitted, left, free_in_ms): (u32, u32, u64) = self.ask(call).await?;
        Some(Admission { is_admitted: admitted == 1, left, free_in: Duration::from_millis(free_in_ms) })
    }
}
