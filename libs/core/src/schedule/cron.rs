//! Cron expressions on the clock of a time zone.
//!
//! The library `croner` knows the calendar; what a mistake is called, and what happens when the clock is put forward or
//! back, is decided here:
//!
//! - An expression that **names hours** (`30 2 * * *`, `0 9-17 * * *`) goes by the clock on the wall, each of its times
//!   once: one that the clock jumps over comes at the jump (all that it jumps over come as one), one that the clock
//!   shows twice comes the first time.
//! - An expression **for every hour** (its hour begins with `*`) goes by the time that passes: it ticks whenever the
//!   clock shows one of its times, so never in an hour that there is not, and in both of two that are called the same.

mod field;
mod nickname;

use chrono::{DateTime, NaiveDateTime, Utc};
use chrono_tz::Tz;
use croner::{Cron, parser::CronParser};

use self::field::Field;
use super::clock::{first_at, shown_at};
use crate::{Error, Result, limits};

/// A cron expression and the time zone whose clock it goes by.
#[derive(Clone, Debug)]
pub struct CronExpression {
    text: String,
    zone: Tz,
    cron: Box<Cron>,
    /// It ticks in every hour, or in every so many: its hour begins with `*`.
    is_for_every_hour: bool,
}

impl PartialEq for CronExpression {
    fn eq(&self, other: &Self) -> bool {
        (&self.text, self.zone) == (&other.text, other.zone)
    }
}

impl Eq for CronExpression {}

impl CronExpression {
    /// Reads an expression of five fields, of six with seconds, or one like `@daily`.
    ///
    /// # Errors
    /// One for `name` whose text names the field of the expression that is wrong, and what would be right.
    pub fn parse(name: &str, text: &str, zone: Tz) -> Result<Self> {
        let wrong = |message: String| Error::invalid(name, message);
        limits::check_text(name, text, limits::CRON_BYTES_MAX)?;
        let text = text.trim();
        let expression = if text.starts_with('@') { nickname::expand(text).map_err(wrong)? } else { text };
        let fields: Vec<&str> = expression.split_whitespace().collect();
        for (field, given) in Field::of(fields.len()).map_err(wrong)?.iter().zip(&fields) {
            field.check(given).map_err(wrong)?;
        }
        let cron = CronParser::new().parse(&fields.join(" "));
        let cron = cron.map_err(|error| wrong(format!("`{text}` cannot be read: {error}")))?;
        let hour = fields[fields.len() - 4];
        let read = Self { text: text.to_owned(), zone, cron: Box::new(cron), is_for_every_hour: hour.starts_with('*') };
        if read.next_after(DateTime::UNIX_EPOCH).is_none() {
            return Err(wrong(format!("`{text}` names a day that never comes")));
        }
        Ok(read)
    }

    /// The expression as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The time zone whose clock it goes by.
    #[must_use]
    pub const fn zone(&self) -> Tz {
        self.zone
    }

    /// The first tick after a time.
    #[must_use]
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if self.is_for_every_hour {
            let next = self.cron.find_next_occurrence(&after.with_timezone(&self.zone), false).ok()?;
            return Some(next.to_utc());
        }
        let mut shown = shown_at(self.zone, after);
        loop {
            shown = self.next_shown(shown)?;
            let next = first_at(self.zone, shown);
            // In the second of two hours that are called the same, the first one's times have passed.
            if next > after {
                return Some(next);
            }
        }
    }

    /// The next time of the expression on a clock that is never changed.
    fn next_shown(&self, after: NaiveDateTime) -> Option<NaiveDateTime> {
        self.cron.find_next_occurrence(&after, false).ok()
    }
}

#[cfg(test)]
mod tests;
