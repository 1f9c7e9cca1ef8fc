//! The fields of an expression: what they may hold, and what a mistake is called.

use crate::limits;

/// A field of an expression.
#[derive(Debug)]
pub(super) struct Field {
    name: &'static str,
    least: u32,
    most: u32,
    /// Names of the numbers from `least` on.
    names: &'static [&'static str],
    /// What only this field can hold.
    special: Special,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Special {
    None,
    /// `L`, `LW`, `15W`, `?`.
    DayOfMonth,
    /// `FRI#2`, `FRIL`, `?`.
    DayOfWeek,
}

const FIELDS: [Field; 6] = [
    Field { name: "second", least: 0, most: 59, names: &[], special: Special::None },
    Field { name: "minute", least: 0, most: 59, names: &[], special: Special::None },
    Field { name: "hour", least: 0, most: 23, names: &[], special: Special::None },
    Field { name: "day of month", least: 1, most: 31, names: &[], special: Special::DayOfMonth },
    Field {
        name: "month",
        least: 1,
        most: 12,
        names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
        special: Special::None,
    },
    Field {
        name: "day of week",
        least: 0,
        // Both 0 and 7 are Sunday.
        most: 7,
        names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
        special: Special::DayOfWeek,
    },
];

impl Field {
    /// The fields of an expression that has so many.
    pub(super) fn of(count: usize) -> Result<&'static [Self], String> {
        match count {
            0 => Err("is empty; write five fields such as `0 9 * * MON-FRI`".to_owned()),
            5 => Ok(&FIELDS[1..]),
            6 => Ok(&FIELDS),
            count => Err(format!(
                "has {count} fields; it must have five (minute, hour, day of month, month, day of week), or six with \
                 the second before them"
            )),
        }
    }

    /// Checks what was given for the field: entries with commas between.
    pub(super) fn check(&self, given: &str) -> Result<(), String> {
        given.split(',').try_for_each(|entry| {
            self.check_entry(entry).map_err(|what| format!("{} `{}`: {what}", self.name, limits::shorten(given, 60)))
        })
    }

    fn check_entry(&self, entry: &str) -> Result<(), String> {
        let upper = entry.to_ascii_uppercase();
        if upper.is_empty() {
            return Err("there is nothing between two commas, or at an end".to_owned());
        }
        if self.is_special(&upper)? {
            return Ok(());
        }
        let (base, step) = match upper.split_once('/') {
            Some((base, step)) => (base, Some(step)),
            None => (upper.as_str(), None),
        };
        let is_many = base == "*" || base.contains('-');
        if let Some((from, to)) = base.split_once('-') {
            let (from, to) = (self.value(from, false)?, self.value(to, true)?);
            if from > to {
                return Err(format!(
                    "the range `{base}` goes backwards; write it as two, such as `{from}-{},{}-{to}`",
                    self.most, self.least
                ));
            }
        } else if base != "*" {
            self.value(base, false)?;
        }
        match step {
            Some(_) if !is_many => Err(format!("a step needs a range; write `{base}-{}` or `*` before it", self.most)),
            Some(step) => self.check_step(step),
            None => Ok(()),
        }
    }

    /// Whether it is something that only this field can hold.
    fn is_special(&self, entry: &str) -> Result<bool, String> {
        Ok(match self.special {
            Special::None => false,
            Special::DayOfMonth if matches!(entry, "L" | "LW" | "?") => true,
            Special::DayOfMonth => match entry.strip_suffix('W') {
                Some(day) => self.value(day, false).map(|_| true)?,
                None => false,
            },
            Special::DayOfWeek if entry == "?" => true,
            Special::DayOfWeek => match (entry.split_once('#'), entry.strip_suffix('L')) {
                (Some((day, "1" | "2" | "3" | "4" | "5")), _) | (None, Some(day)) => {
                    self.value(day, false).map(|_| true)?
                }
                (Some((_, number)), _) => return Err(format!("`#{number}` must be #1 to #5, the week of the month")),
                (None, None) => false,
            },
        })
    }

    fn value(&self, text: &str, is_end: bool) -> Result<u32, String> {
        if let Some(at) = self.names.iter().position(|name| *name == text) {
            let number = self.least + u32::try_from(at).unwrap_or_default();
            // `SAT-SUN`: Sunday ends the week.
            return Ok(if is_end && text == "SUN" { self.most } else { number });
        }
        let number = digits(text).filter(|number| (self.least..=self.most).contains(number));
        number.ok_or_else(|| {
            let names = match self.names {
                [first, .., last] => format!(", or {first} to {last}"),
                _ => String::new(),
            };
            format!("`{text}` must be a number from {} to {}{names}", self.least, self.most)
        })
    }

    fn check_step(&self, step: &str) -> Result<(), String> {
        let number = digits(step).filter(|number| (1..=self.most).contains(number));
        number.map(drop).ok_or_else(|| format!("the step `{step}` must be a number from 1 to {}", self.most))
    }
}

fn digits(text: &str) -> Option<u32> {
    text.parse().ok().filter(|_| text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit()))
}
