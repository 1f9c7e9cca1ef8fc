//! Points in time.

use chrono::{DateTime, TimeDelta, Utc};

use super::duration;

/// Reads a time of RFC 3339.
pub fn time(text: &str) -> Result<DateTime<Utc>, String> {
    DateTime::parse_from_rfc3339(text.trim())
        .map(|time| time.to_utc())
        .map_err(|_| format!("`{text}` is not a time; write it like 2026-01-31T12:00:00Z or 2026-01-31T12:00:00+02:00"))
}

/// Reads a time of RFC 3339, or how long ago it was.
pub fn ago_or_time(text: &str) -> Result<DateTime<Utc>, String> {
    let ago = duration(text).ok().and_then(|ago| Utc::now().checked_sub_signed(TimeDelta::from_std(ago).ok()?));
    ago.map_or_else(|| time(text).map_err(|error| format!("{error}, or how long ago it was, like 2h")), Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let read = time("2026-01-31T12:00:00+02:00").unwrap();
        assert_eq!(read.to_rfc3339(), "2026-01-31T10:00:00+00:00");
        for bad in ["", "tomorrow", "2026-01-31", "2026-13-31T12:00:00Z", "12:00"] {
            assert!(time(bad).is_err(), "{bad}");
        }
        let ago = Utc::now() - ago_or_time("2h").unwrap();
        assert!((7_199..=7_210).contains(&ago.num_seconds()), "{ago}");
        assert!(ago_or_time("2026-01-31T12:00:00Z").is_ok());
        assert!(ago_or_time("9999999999d").is_err());
    }
}
