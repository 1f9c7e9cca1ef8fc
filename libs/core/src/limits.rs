//! Every limit of the API in one place, with the checks that enforce them. `docs/limits.md` is the same table for
//! people; a test compares the two.

use std::{collections::BTreeMap, time::Duration};

use crate::{Error, Result};

/// Bytes of a queue's, kind's or schedule's name.
pub const NAME_BYTES_MAX: usize = 64;
/// Bytes of a title.
pub const TITLE_BYTES_MAX: usize = 1_000;
/// Bytes of a description.
pub const DESCRIPTION_BYTES_MAX: usize = 65_536;
/// Labels of a task.
pub const LABELS_MAX: usize = 32;
/// Bytes of a label's key.
pub const LABEL_KEY_BYTES_MAX: usize = 64;
/// Bytes of a label's value.
pub const LABEL_VALUE_BYTES_MAX: usize = 256;
/// Bytes of a payload.
pub const PAYLOAD_BYTES_MAX: usize = 1_048_576;
/// Bytes of a result.
pub const RESULT_BYTES_MAX: usize = 1_048_576;
/// Levels of arrays and objects of a payload or result; what JSON libraries read at most by default.
pub const NESTING_MAX: usize = 127;
/// Bytes of an error; longer ones are cut.
pub const ERROR_BYTES_MAX: usize = 4_096;
/// Bytes of a progress message; longer ones are cut.
pub const PROGRESS_BYTES_MAX: usize = 512;
/// Bytes of an idempotency key.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 256;
/// How long an idempotency key is remembered.
pub const IDEMPOTENCY_KEY_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Tasks of one batch.
pub const BATCH_TASKS_MAX: usize = 1_000;
/// Bytes of one request, over gRPC and over HTTP.
pub const REQUEST_BYTES_MAX: usize = 16 * 1_048_576;
/// The highest priority.
pub const PRIORITY_MAX: u8 = 9;
/// The priority if none is given.
pub const PRIORITY_DEFAULT: u8 = 5;
/// The queue if none is given.
pub const QUEUE_DEFAULT: &str = "default";
/// Tasks of this kind are for people and never dispatched.
pub const KIND_MANUAL: &str = "manual";
/// Attempts of a task.
pub const ATTEMPTS_MAX: u32 = 100;
/// The shortest and the longest backoff before a first retry.
pub const BACKOFF_MIN: Duration = Duration::from_millis(1);
/// The longest backoff before a first retry.
pub const BACKOFF_MAX: Duration = Duration::from_secs(86_400);
/// The longest delay before any retry, a worker's retry-after included.
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(7 * 86_400);
/// The shortest timeout of a run.
pub const TIMEOUT_MIN: Duration = Duration::from_secs(1);
/// The longest timeout of a run.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(7 * 86_400);
/// The timeout if none is given.
pub const TIMEOUT_DEFAULT: Duration = Duration::from_secs(3_600);
/// How far ahead a start can lie.
pub const DUE_AHEAD_MAX: Duration = Duration::from_secs(366 * 86_400);
/// How far ahead the time of a chosen id can lie.
pub const ID_AHEAD_MAX: Duration = Duration::from_secs(300);
/// How far back the time of a chosen id can lie.
pub const ID_BEHIND_MAX: Duration = Duration::from_secs(7 * 86_400);
/// Tasks, queues or attempts on one page.
pub const PAGE_SIZE_MAX: u32 = 500;
/// Tasks on a page if nothing is said.
pub const PAGE_SIZE_DEFAULT: u32 = 50;
/// Bytes of a search's query.
pub const SEARCH_QUERY_BYTES_MAX: usize = 1_000;
/// Words of a search's query.
pub const SEARCH_WORDS_MAX: usize = 32;
/// Tasks on one page of a search.
pub const SEARCH_PAGE_SIZE_MAX: u32 = 100;
/// Tasks on a page of a search if nothing is said.
pub const SEARCH_PAGE_SIZE_DEFAULT: u32 = 20;
/// The newest so many matches of a search, or a few more, are ranked together, before older ones.
pub const SEARCH_RANKED: usize = 1_000;
/// Bytes of the creator in a filter.
pub const CREATOR_BYTES_MAX: usize = 256;
/// Events on one page.
pub const EVENTS_PAGE_SIZE_MAX: u32 = 1_000;
/// Events on a page if nothing is said.
pub const EVENTS_PAGE_SIZE_DEFAULT: u32 = 100;
/// Queues of one namespace.
pub const QUEUES_MAX: u32 = 1_000;
/// The highest concurrency limit of a queue.
pub const QUEUE_CONCURRENCY_MAX: u32 = 100_000;
/// Slots of one worker.
pub const SLOTS_MAX: u32 = 10_000;
/// Bytes of payload that a worker holds if nothing is said.
pub const WORKER_BYTES_DEFAULT: u64 = 64 * 1_048_576;
/// Queues or kinds that one worker names.
pub const WORKER_NAMES_MAX: usize = 100;
/// Bytes of one chunk of a payload or result on a worker's stream.
pub const CHUNK_BYTES_MAX: usize = 65_536;
/// Returns of one task that count no attempt; every further one does.
pub const RETURNS_UNCOUNTED_MAX: i16 = 20;
/// Streams of events that one pod serves at once.
pub const WATCHES_MAX: usize = 1_000;
/// Events that a watch replays; with more between its position and now it is told to reload.
pub const WATCH_REPLAY_EVENTS_MAX: usize = 1_000;
/// Characters of a password, at least.
pub const PASSWORD_CHARS_MIN: usize = 12;
/// Characters of a password, at most.
pub const PASSWORD_CHARS_MAX: usize = 256;
/// Bytes of an e-mail address.
pub const EMAIL_BYTES_MAX: usize = 254;
/// Bytes of a user's or key's name.
pub const PERSON_NAME_BYTES_MAX: usize = 100;
/// Characters of a namespace's name, at least.
pub const NAMESPACE_NAME_BYTES_MIN: usize = 3;
/// Characters of a namespace's name, at most.
pub const NAMESPACE_NAME_BYTES_MAX: usize = 40;
/// Shared namespaces that one user owns.
pub const NAMESPACES_MAX: u32 = 100;
/// Keys of one namespace that are not revoked.
pub const KEYS_MAX: u32 = 1_000;
/// Invitations of one namespace that nobody has accepted yet.
pub const INVITATIONS_MAX: u32 = 500;
/// How long an invitation can be accepted.
pub const INVITATION_LIFE: Duration = Duration::from_secs(7 * 86_400);
/// Schedules of one namespace.
pub const SCHEDULES_MAX: u32 = 1_000;
/// Bytes of a cron expression.
pub const CRON_BYTES_MAX: usize = 200;
/// The shortest interval of a schedule.
pub const SCHEDULE_INTERVAL_MIN: Duration = Duration::from_secs(1);
/// The longest interval of a schedule.
pub const SCHEDULE_INTERVAL_MAX: Duration = Duration::from_secs(366 * 86_400);
/// Bytes of the payload that a schedule gives its tasks.
pub const SCHEDULE_PAYLOAD_BYTES_MAX: usize = 65_536;
/// Labels that a schedule gives its tasks; two of ours are added.
pub const SCHEDULE_LABELS_MAX: usize = LABELS_MAX - 2;
/// The longest random delay of a schedule's task.
pub const JITTER_MAX: Duration = Duration::from_secs(3_600);
/// A tick that is so late was missed; one that is less late is on time, so that no change of leader loses it.
pub const TICK_LATE_MAX: Duration = Duration::from_secs(30);
/// Missed ticks that are caught up.
pub const CATCH_UP_MAX: u32 = 100;
/// Missed ticks that are caught up if all shall be and nothing else is said.
pub const CATCH_UP_DEFAULT: u32 = 10;
/// Missed ticks of one outage that are passed over and go into the history; of more, the newest.
pub const TICKS_MISSED_SHOWN: u32 = 10;
/// Ticks of a schedule that its history keeps.
pub const TICKS_KEPT: u32 = 1_000;
/// Ticks that a schedule shows.
pub const TICKS_SHOWN: u32 = 10;
/// Next times that a schedule shows.
pub const NEXT_TIMES_SHOWN: u32 = 5;
/// Next times that can be asked for.
pub const NEXT_TIMES_MAX: u32 = 100;

/// Cuts a text at a character's border, at most `bytes_max` long.
#[must_use]
pub fn shorten(text: &str, bytes_max: usize) -> &str {
    if text.len() <= bytes_max {
        return text;
    }
    let mut end = bytes_max;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Cuts an error or progress message to its limit and takes out what Postgres cannot store.
#[must_use]
pub fn clean_message(text: &str, bytes_max: usize) -> String {
    shorten(text, bytes_max).replace('\0', "\u{fffd}")
}

/// Checks the name of a queue, a kind or a schedule.
///
/// # Errors
/// If it is empty, too long or has other characters than letters, digits, `.`, `_` and `-`.
pub fn check_name(field: &str, name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid(field, "is missing"));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(Error::invalid(field, format!("has {} bytes; at most {NAME_BYTES_MAX} are allowed", name.len())));
    }
    let first = name.as_bytes()[0];
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !first.is_ascii_alphanumeric() || !name.bytes().all(allowed) {
        return Err(Error::invalid(
            field,
            format!("`{name}` must begin with a letter or digit and hold only ASCII letters, digits, `.`, `_` and `-`"),
        ));
    }
    Ok(())
}

/// Checks the name of a namespace.
///
/// # Errors
/// If it has not 3 to 40 lower-case letters, digits and `-`, a letter first and no `-` at the end.
pub fn check_namespace_name(field: &str, name: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_name = (NAMESPACE_NAME_BYTES_MIN..=NAMESPACE_NAME_BYTES_MAX).contains(&name.len())
        && name.bytes().all(allowed)
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && !name.ends_with('-');
    if is_name {
        return Ok(());
    }
    let message = format!(
        "must have {NAMESPACE_NAME_BYTES_MIN} to {NAMESPACE_NAME_BYTES_MAX} lower-case letters, digits and `-`, begin \
         with a letter and not end with `-`"
    );
    Err(Error::invalid(field, message))
}

/// Checks a text field.
///
/// # Errors
/// If it is too long or holds the character U+0000, which cannot be stored.
pub fn check_text(field: &str, text: &str, bytes_max: usize) -> Result<()> {
    if text.len() > bytes_max {
        return Err(Error::invalid(field, format!("has {} bytes; at most {bytes_max} are allowed", text.len())));
    }
    if text.contains('\0') {
        return Err(Error::invalid(field, "holds the character U+0000, which cannot be stored"));
    }
    Ok(())
}

/// Checks labels.
///
/// # Errors
/// If there are too many, or a key or value breaks its limit.
pub fn check_labels(labels: &BTreeMap<String, String>) -> Result<()> {
    if labels.len() > LABELS_MAX {
        return Err(Error::invalid("labels", format!("are {}; at most {LABELS_MAX} are allowed", labels.len())));
    }
    for (key, value) in labels {
        if key.is_empty() {
            return Err(Error::invalid("labels", "hold an empty key"));
        }
        check_text("labels", key, LABEL_KEY_BYTES_MAX)?;
        check_text(&format!("labels.{key}"), value, LABEL_VALUE_BYTES_MAX)?;
    }
    Ok(())
}

/// Checks what is searched for.
///
/// # Errors
/// If it is empty, too long, or has too many words.
pub fn check_query(field: &str, query: &str) -> Result<()> {
    if query.trim().is_empty() {
        return Err(Error::invalid(field, "is missing; it says which words to search for"));
    }
    check_text(field, query, SEARCH_QUERY_BYTES_MAX)?;
    let words = query.split(|character: char| !character.is_alphanumeric()).filter(|word| !word.is_empty()).count();
    if words > SEARCH_WORDS_MAX {
        return Err(Error::invalid(field, format!("has {words} words; at most {SEARCH_WORDS_MAX} are allowed")));
    }
    Ok(())
}

/// Checks a JSON document of a given greatest size.
///
/// # Errors
/// If it is too large, not UTF-8, not JSON or nested deeper than [`NESTING_MAX`].
pub fn check_json(field: &str, bytes: &[u8], bytes_max: usize) -> Result<()> {
    if bytes.len() > bytes_max {
        return Err(Error::invalid(field, format!("has {} bytes; at most {bytes_max} are allowed", bytes.len())));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| Error::invalid(field, format!("is not UTF-8: {error}")))?;
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map_err(|error| Error::invalid(field, format!("is not a JSON document: {error}")))?;
    let nesting = nesting(bytes);
    if nesting > NESTING_MAX {
        return Err(Error::invalid(
            field,
            format!("is nested {nesting} levels deep; at most {NESTING_MAX} are allowed"),
        ));
    }
    Ok(())
}

/// How deep the arrays and objects of a JSON document are nested.
fn nesting(json: &[u8]) -> usize {
    let (mut level, mut deepest) = (0_usize, 0);
    let mut bytes = json.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                level += 1;
                deepest = deepest.max(level);
            }
            b']' | b'}' => level = level.saturating_sub(1),
            // A string: to its end.
            b'"' => {
                while let Some(byte) = bytes.next() {
                    match byte {
                        b'"' => break,
                        b'\\' => drop(bytes.next()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    deepest
}

/// Checks a page's size; 0 means the default.
///
/// # Errors
/// If it is above the greatest size.
pub fn check_page_size(size: u32, default: u32, max: u32) -> Result<u32> {
    match size {
        0 => Ok(default),
        size if size > max => Err(Error::invalid("page_size", format!("is {size}; at most {max} is allowed"))),
        size => Ok(size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "default", "e-mail.v2", "0", &"x".repeat(64)] {
            assert!(check_name("queue", good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".a", "a b", "ä", "a/b", "a\0", &"x".repeat(65)] {
            assert!(check_name("queue", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn documents() {
        assert!(check_json("payload", b"{\"a\":\"\\u0000\"}", 100).is_ok());
        assert!(check_json("payload", b"\"\xff\"", 100).is_err());
        assert!(check_json("payload", b"{", 100).is_err());
        assert!(check_json("payload", b"1 2", 100).is_err());
        assert!(check_json("payload", b"null", 3).is_err());
        let nested = |levels: usize| format!("{}\"[[\\\"[\"{}", "[".repeat(levels), "]".repeat(levels));
        assert!(check_json("payload", nested(127).as_bytes(), 10_000).is_ok());
        assert!(check_json("payload", nested(128).as_bytes(), 10_000).is_err());
        assert!(check_json("payload", b"[{}]", 10_000).is_ok());
    }

    #[test]
    fn queries() {
        assert!(check_query("query", "a \"b c").is_ok());
        for bad in ["", " \t", "a\0", &"x".repeat(1_001), &"a ".repeat(33), &"a-".repeat(33)] {
            assert!(check_query("query", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn texts_are_cut_at_a_border() {
        assert_eq!(shorten("größe", 3), "gr");
        assert_eq!(clean_message("a\0b", 10), "a\u{fffd}b");
    }
}
