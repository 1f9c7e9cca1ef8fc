//! Label selectors as they stand in a URL: `queue=mail,kind in (http, noop)`.

use std::collections::BTreeMap;

/// All of its parts must hold. Empty: everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    label: String,
    test: Test,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    IsMissing,
}

impl Selector {
    /// Reads a selector over these labels.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, labels: &[&str]) -> Result<Self, String> {
        let parts = split(text)?.into_iter().map(|part| parse(part.trim())).collect::<Result<Vec<_>, _>>()?;
        match parts.iter().find(|part| !labels.contains(&part.label.as_str())) {
            Some(part) => Err(format!("there is no label `{}`; the labels are {}", part.label, labels.join(", "))),
            None => Ok(Self(parts)),
        }
    }

    /// Whether it chooses what has these labels.
    pub fn matches(&self, labels: &BTreeMap<&str, &str>) -> bool {
        self.0.iter().all(|part| {
            let value = labels.get(part.label.as_str());
            let is_among = |values: &[String]| value.is_some_and(|value| values.iter().any(|known| known == value));
            match &part.test {
                Test::In(values) => is_among(values),
                Test::NotIn(values) => !is_among(values),
                Test::Exists => value.is_some(),
                Test::IsMissing => value.is_none(),
            }
        })
    }
}

/// At the commas that are not in parentheses.
fn split(text: &str) -> Result<Vec<&str>, String> {
    let mut parts = Vec::new();
    let (mut begin, mut is_inside) = (0, false);
    for (at, character) in text.char_indices() {
        match character {
            '(' if !is_inside => is_inside = true,
            ')' if is_inside => is_inside = false,
            '(' | ')' => return Err(format!("the parentheses of `{text}` do not fit")),
            ',' if !is_inside => {
                parts.push(&text[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    if is_inside {
        return Err(format!("the parentheses of `{text}` do not fit"));
    }
    if !text.trim().is_empty() {
        parts.push(&text[begin..]);
    }
    Ok(parts)
}

fn parse(part: &str) -> Result<Part, String> {
    let one = |value: &str| vec![value.trim().to_owned()];
    let (label, test) = if let Some((label, values)) = part.strip_suffix(')').and_then(|part| part.split_once('(')) {
        let values = values.split(',').map(|value| value.trim().to_owned()).collect();
        match label.trim().rsplit_once(char::is_whitespace) {
            Some((label, "in")) => (label, Test::In(values)),
            Some((label, "notin")) => (label, Test::NotIn(values)),
            _ => return Err(format!("`{part}` must be `LABEL in (VALUE, …)` or `LABEL notin (VALUE, …)`")),
        }
    } else if let Some((label, value)) = part.split_once("!=") {
        (label, Test::NotIn(one(value)))
    } else if let Some((label, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        (label, Test::In(one(value)))
    } else if let Some(label) = part.strip_prefix('!') {
        (label, Test::IsMissing)
    } else {
        (part, Test::Exists)
    };
    let label = label.trim().to_owned();
    if label.is_empty() { Err(format!("`{part}` names no label")) } else { Ok(Part { label, test }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(selector: &str, queue: &str, kind: &str) -> bool {
        let labels = BTreeMap::from([("queue", queue), ("kind", kind)]);
        Selector::parse(selector, &["queue", "kind"]).unwrap().matches(&labels)
    }

    #[test]
    fn what_it_chooses() {
        for (selector, mail_http, mail_noop, cron_noop) in [
            ("", true, true, true),
            ("queue=mail", true, true, false),
            ("queue == mail , kind != http", false, true, false),
            ("queue in (mail,cron)", true, true, true),
            ("kind in ( http , sleep ),queue=mail", true, false, false),
            ("queue notin (mail)", false, false, true),
            ("queue,!kind", false, false, false),
            ("kind", true, true, true),
            ("queue=", false, false, false),
        ] {
            let found = [("mail", "http"), ("mail", "noop"), ("cron", "noop")]
                .map(|(queue, kind)| matches(selector, queue, kind));
            assert_eq!(found, [mail_http, mail_noop, cron_noop], "{selector}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (selector, told) in [
            ("que=mail", "there is no label `que`; the labels are queue, kind"),
            ("queue in (a", "parentheses"),
            ("queue in a)", "parentheses"),
            ("queue within (a)", "must be `LABEL in (VALUE, …)`"),
            ("=mail", "names no label"),
            ("queue=a,,kind=b", "names no label"),
        ] {
            let error = Selector::parse(selector, &["queue", "kind"]).unwrap_err();
            assert!(error.contains(told), "{selector}: {error}");
        }
    }
}
