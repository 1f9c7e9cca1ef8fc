//! Task ids: UUIDv7, so that they sort by time of creation and a partition is found by the id alone.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use uuid::{Uuid, Variant};

use crate::{Error, Result, limits};

/// A new task id.
#[must_use]
pub fn new_task_id() -> Uuid {
    Uuid::now_v7()
}

/// Reads a task id that a client sent.
///
/// # Errors
/// If it is not a UUID.
pub fn parse_task_id(field: &str, text: &str) -> Result<Uuid> {
    Uuid::try_parse(text).map_err(|_| Error::invalid(field, format!("`{}` is not a UUID", limits::shorten(text, 60))))
}

/// The time that a UUIDv7 carries.
#[must_use]
pub fn time_of(id: Uuid) -> Option<DateTime<Utc>> {
    if id.get_version_num() != 7 || id.get_variant() != Variant::RFC4122 {
        return None;
    }
    let (seconds, nanos) = id.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanos)
}

/// The smallest UUID of a time: a bound for ranges over ids.
#[must_use]
pub fn lower_bound(time: DateTime<Utc>) -> Uuid {
    let millis = u64::try_from(time.timestamp_millis()).unwrap_or(0).min((1 << 48) - 1);
    Uuid::from_u128(u128::from(millis) << 80)
}

/// Checks an id that a client chose for a new task: a UUIDv7 of about now.
///
/// # Errors
/// If it is of another kind or time.
pub fn check_new_task_id(field: &str, id: Uuid, now: DateTime<Utc>) -> Result<()> {
    let Some(time) = time_of(id) else {
        return Err(Error::invalid(field, "must be a UUID of version 7"));
    };
    let ahead = TimeDelta::from_std(limits::ID_AHEAD_MAX).unwrap_or_default();
    let behind = TimeDelta::from_std(limits::ID_BEHIND_MAX).unwrap_or_default();
    if time > now + ahead {
        return Err(Error::invalid(field, format!("its time is more than {} ahead", minutes(limits::ID_AHEAD_MAX))));
    }
    if time < now - behind {
        return Err(Error::invalid(field, "its time is more than 7 days back"));
    }
    Ok(())
}

fn minutes(duration: Duration) -> String {
    format!("{} minutes", duration.as_secs() / 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_enclose_the_ids_of_their_time() {
        let id = new_task_id();
        let time = time_of(id).expect("version 7");
        assert!(lower_bound(time) <= id);
        assert!(id < lower_bound(time + TimeDelta::milliseconds(1)));
    }

    #[test]
    fn only_fresh_version_7_ids_are_taken() {
        let now = Utc::now();
        assert!(check_new_task_id("id", new_task_id(), now).is_ok());
        assert!(check_new_task_id("id", Uuid::new_v4(), now).is_err());
        assert!(check_new_task_id("id", Uuid::nil(), now).is_err());
        assert!(check_new_task_id("id", Uuid::max(), now).is_err());
        assert!(check_new_task_id("id", new_task_id(), now - TimeDelta::minutes(6)).is_err());
        assert!(check_new_task_id("id", new_task_id(), now + TimeDelta::days(8)).is_err());
    }
}
