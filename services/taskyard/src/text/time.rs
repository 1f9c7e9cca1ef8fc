//! Times as people say them.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use taskyard_proto::convert;

const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")];

/// How far a time is from `now`: `3m ago`, `in 2h`, `now`.
pub fn relative(time: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - time).num_seconds();
    match seconds {
        0 => "now".to_owned(),
        1.. => format!("{} ago", coarse(seconds.unsigned_abs())),
        _ => format!("in {}", coarse(seconds.unsigned_abs())),
    }
}

/// How far a server's time is from `now`; `-` if there is none.
pub fn relative_or_dash(time: Option<prost_types::Timestamp>, now: DateTime<Utc>) -> String {
    read(time).map_or_else(|| "-".to_owned(), |time| relative(time, now))
}

/// A server's time in full, with how far it is from `now`.
pub fn full(time: Option<prost_types::Timestamp>, now: DateTime<Utc>) -> Option<String> {
    let time = read(time)?;
    Some(format!("{} ({})", time.to_rfc3339_opts(SecondsFormat::Millis, true), relative(time, now)))
}

/// The time of day of a server's time, in UTC.
pub fn clock(time: Option<prost_types::Timestamp>) -> String {
    read(time).map_or_else(|| "-".to_owned(), |time| time.format("%H:%M:%S%.3f").to_string())
}

/// A length of time, exactly: `1h30m`, `250ms`.
pub fn length(duration: Duration) -> String {
    let mut left = duration.as_secs();
    let mut text = String::new();
    for (seconds, unit) in UNITS {
        if left >= seconds {
            text.push_str(&format!("{}{unit}", left / seconds));
            left %= seconds;
        }
    }
    match duration.subsec_millis() {
        0 if text.is_empty() => "0s".to_owned(),
        0 => text,
        millis => format!("{text}{millis}ms"),
    }
}

/// The greatest unit only: what happened three days ago needs no minutes.
pub fn coarse(seconds: u64) -> String {
    let (size, unit) = UNITS.into_iter().find(|(size, _)| seconds >= *size).unwrap_or((1, "s"));
    format!("{}{unit}", seconds / size)
}

fn read(time: Option<prost_types::Timestamp>) -> Option<DateTime<Utc>> {
    convert::timestamp("time", time?).ok()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn times_are_said() {
        let now = Utc::now();
        for (seconds, said) in
            [(0, "now"), (1, "1s ago"), (59, "59s ago"), (60, "1m ago"), (7_300, "2h ago"), (900_000, "10d ago")]
        {
            assert_eq!(relative(now - TimeDelta::seconds(seconds), now), said);
        }
        assert_eq!(relative(now + TimeDelta::seconds(600), now), "in 10m");
        assert_eq!(relative_or_dash(None, now), "-");
        let time = Some(prost_types::Timestamp { seconds: 0, nanos: 250_000_000 });
        assert!(full(time, now).unwrap().starts_with("1970-01-01T00:00:00.250Z ("));
        assert_eq!(clock(time), "00:00:00.250");
    }

    #[test]
    fn lengths_are_exact() {
        for (millis, said) in [(0, "0s"), (250, "250ms"), (1_500, "1s500ms"), (5_400_000, "1h30m"), (86_400_000, "1d")]
        {
            assert_eq!(length(Duration::from_millis(millis)), said);
        }
    }
}
