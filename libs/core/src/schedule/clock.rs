//! The clock on the wall of a time zone, which is put forward and back.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeDelta, TimeZone, Utc};
use chrono_tz::Tz;

use crate::{Error, Result, limits};

/// No offset is larger, and no clock is put forward or back by more.
const OFFSET_MAX: TimeDelta = TimeDelta::hours(26);

/// Reads the name of a time zone.
///
/// # Errors
/// If the IANA database has none of this name.
pub fn parse_zone(field: &str, name: &str) -> Result<Tz> {
    name.parse().map_err(|_| {
        let message =
            format!("`{}` is not a time zone of the IANA database, such as Europe/Berlin", limits::shorten(name, 60));
        Error::invalid(field, message)
    })
}

/// The name of a time zone.
#[must_use]
pub fn zone_name(zone: Tz) -> &'static str {
    zone.name()
}

/// What the clock shows at a time.
pub(super) fn shown_at(zone: Tz, time: DateTime<Utc>) -> NaiveDateTime {
    let naive = time.naive_utc();
    naive + zone.offset_from_utc_datetime(&naive).fix()
}

/// The first time at which the clock shows this or, if it jumps over it, at which it has jumped.
pub(super) fn first_at(zone: Tz, shown: NaiveDateTime) -> DateTime<Utc> {
    match zone.from_local_datetime(&shown) {
        MappedLocalTime::Single(time) => time.to_utc(),
        MappedLocalTime::Ambiguous(first, _) => first.to_utc(),
        MappedLocalTime::None => jump_over(zone, shown),
    }
}

/// The time at which the clock jumps over what it never shows.
fn jump_over(zone: Tz, never_shown: NaiveDateTime) -> DateTime<Utc> {
    // Offsets change at whole seconds.
    let mut before = never_shown.and_utc() - OFFSET_MAX;
    let mut behind = never_shown.and_utc() + OFFSET_MAX;
    while behind - before > TimeDelta::seconds(1) {
        let middle = before + TimeDelta::seconds((behind - before).num_seconds() / 2);
        if shown_at(zone, middle) < never_shown {
            before = middle;
        } else {
            behind = middle;
        }
    }
    behind
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(zone: &str, shown: &str) -> String {
        let zone = parse_zone("time_zone", zone).unwrap();
        first_at(zone, shown.parse().unwrap()).format("%FT%TZ").to_string()
    }

    #[test]
    fn a_time_that_does_not_exist_is_the_jump() {
        assert_eq!(first("Europe/Berlin", "2026-03-29T02:00:00"), "2026-03-29T01:00:00Z");
        assert_eq!(first("Europe/Berlin", "2026-03-29T02:59:59"), "2026-03-29T01:00:00Z");
        assert_eq!(first("Europe/Berlin", "2026-03-29T03:00:00"), "2026-03-29T01:00:00Z");
        assert_eq!(first("America/New_York", "2026-03-08T02:30:00"), "2026-03-08T07:00:00Z");
        assert_eq!(first("Australia/Lord_Howe", "2026-10-04T02:15:00"), "2026-10-03T15:30:00Z");
        // A whole day that there was not.
        assert_eq!(first("Pacific/Apia", "2011-12-30T12:00:00"), "2011-12-30T10:00:00Z");
    }

    #[test]
    fn a_time_that_comes_twice_is_the_first() {
        assert_eq!(first("Europe/Berlin", "2026-10-25T02:30:00"), "2026-10-25T00:30:00Z");
        assert_eq!(first("America/New_York", "2026-11-01T01:30:00"), "2026-11-01T05:30:00Z");
        assert_eq!(first("Australia/Lord_Howe", "2026-04-05T01:45:00"), "2026-04-04T14:45:00Z");
    }

    #[test]
    fn zones_are_named_as_in_the_database() {
        assert!(["UTC", "Europe/Berlin", "Etc/GMT+5", "Asia/Kolkata"].iter().all(|name| parse_zone("z", name).is_ok()));
        for bad in ["", "Europe/Berln", "CEST!", "+02:00", "europe/berlin"] {
            let error = parse_zone("time_zone", bad).unwrap_err();
            assert_eq!(error.violations[0].field, "time_zone", "{bad}");
        }
    }
}
