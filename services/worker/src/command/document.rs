//! The last JSON document in a text.

use std::{fmt, ops::Range};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// No document.
    Nothing,
    /// The last document is here.
    Document(Range<usize>),
    /// The last document began before this text.
    Cut,
}

/// The last JSON document in `text`: it begins on a line of its own, and only blanks or further documents follow on
/// the line on which it ends. What is in a document that never ends is none.
///
/// `cut` says that the text's beginning is missing. A line that closes what no line here has opened then ends a document
/// that began before; so does the rest of a line in whose missing part a document was opened, which the caller knows
/// (`cut_in_document`).
pub(super) fn last_document(text: &[u8], cut: bool, cut_in_document: bool) -> Found {
    let mut found = Found::Nothing;
    let mut at = 0;
    if cut {
        // The rest of a line is not a line.
        at = line_end(text, 0) + 1;
        if cut_in_document {
            found = Found::Cut;
        }
    }
    while at < text.len() {
        let end = line_end(text, at);
        let line = text[at..end].trim_ascii_start();
        let begin = end - line.len();
        match documents(&text[begin..]) {
            Read::Documents { last, length } => {
                found = Found::Document(begin + last.start..begin + last.end);
                at = line_end(text, begin + length) + 1;
            }
            Read::Unfinished if !line.is_empty() => break,
            Read::Unfinished | Read::Other => {
                if cut && matches!(line.first(), Some(b'}' | b']')) {
                    found = Found::Cut;
                }
                at = end + 1;
            }
        }
    }
    found
}

/// What a line begins with.
enum Read {
    /// Documents: where the last one is, and where reading stopped.
    Documents { last: Range<usize>, length: usize },
    /// A document that has no end.
    Unfinished,
    /// Something else.
    Other,
}

/// The documents at the beginning of `text`, up to the end of the line on which one of them ends.
///
/// Each line can be the beginning of a long document that turns out not to be one; the limit of depth keeps that to
/// about 128 readings of the text at the worst.
fn documents(text: &[u8]) -> Read {
    let mut stream = serde_json::Deserializer::from_slice(text).into_iter::<Any>();
    loop {
        let before = stream.byte_offset();
        match stream.next() {
            Some(Ok(Any)) => {}
            Some(Err(error)) if error.is_eof() => return Read::Unfinished,
            Some(Err(_)) | None => return Read::Other,
        }
        let length = stream.byte_offset();
        let blanks = text[before..length].len() - text[before..length].trim_ascii_start().len();
        if text[length..line_end(text, length)].trim_ascii().is_empty() {
            return Read::Documents { last: before + blanks..length, length };
        }
    }
}

/// Any JSON value of at most 127 levels, as the server takes it. (`IgnoredAny` reads any depth, and bytes that are not
/// UTF-8.)
struct Any;

impl<'de> Deserialize<'de> for Any {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Any {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self, A::Error> {
        while elements.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        while entries.next_entry::<Self, Self>()?.is_some() {}
        Ok(self)
    }
}

fn line_end(text: &[u8], from: usize) -> usize {
    text[from..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |length| from + length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn last(text: &str) -> Option<&str> {
        match last_document(text.as_bytes(), false, false) {
            Found::Document(range) => Some(&text[range]),
            Found::Nothing => None,
            Found::Cut => panic!("cut"),
        }
    }

    #[test]
    fn the_last_document_counts() {
        for (text, expected) in [
            ("", None),
            ("\n\n", None),
            ("done", None),
            ("done\n", None),
            ("5 items", None),
            ("truely", None),
            ("'a'", None),
            ("{a: 1}", None),
            ("{\"a\": 1", None),
            ("{\"a\": 1} done", None),
            ("result: {\"a\": 1}", None),
            ("[INFO] begun", None),
            ("[INFO]", None),
            ("NaN", None),
            ("1", Some("1")),
            ("  null \r\n", Some("null")),
            ("\"text\"", Some("\"text\"")),
            ("{\"a\": 1}\n{\"b\": 2}\n", Some("{\"b\": 2}")),
            ("{\"a\": 1} {\"b\": 2}", Some("{\"b\": 2}")),
            ("{\"a\": 1}\nbye\n", Some("{\"a\": 1}")),
            ("begun\n{\n  \"a\": [\n    1\n  ]\n}\nbye", Some("{\n  \"a\": [\n    1\n  ]\n}")),
            ("{\"a\": 1}\n{\n \"b\":", Some("{\"a\": 1}")),
            ("{ not yet\n1\n", Some("1")),
            ("1\n[\n2\n", Some("1")),
            ("1\n{\"a\": [\n2\n]\n", Some("1")),
            ("[1/3] begun\n[2/3] more\n{\"a\": \"}\\n{\"}\n", Some("{\"a\": \"}\\n{\"}")),
            ("{\"a\": 1}\n}\n", Some("{\"a\": 1}")),
            ("\u{fffd}\n\"ä\"", Some("\"ä\"")),
        ] {
            assert_eq!(last(text), expected, "{text:?}");
        }
        assert_eq!(last_document(b"1\n\"\xff\"\n", false, false), Found::Document(0..1), "not UTF-8");
    }

    #[test]
    fn what_began_before_the_text_is_not_mistaken() {
        let find = |text: &str, in_document| last_document(text.as_bytes(), true, in_document);
        assert_eq!(find("12, 13]\n", true), Found::Cut);
        assert_eq!(find("lots of words\n", false), Found::Nothing);
        assert_eq!(find("   1,\n   2\n ]\n}\n", false), Found::Cut, "2 is not the result");
        assert_eq!(find("   2\n]\n{\"a\": 1}\n", false), Found::Document(7..15));
        assert_eq!(find("no line end", true), Found::Cut);
    }

    #[test]
    fn the_worst_text_takes_a_moment() {
        let text = format!("[{}\n", "1,".repeat(200)).repeat(270);
        let began = std::time::Instant::now();
        assert_eq!(last(&text), None);
        assert!(began.elapsed() < std::time::Duration::from_secs(30), "{:?}", began.elapsed());
    }

    proptest! {
        #[test]
        fn any_value_is_found_behind_any_words(
            words in "[a-zA-Z .:\n]{0,40}", after in "[b-eg-mo-su-z .:\n]{0,20}",
            value in prop::collection::vec(("[a-z]{1,4}", any::<i32>()), 0..5), pretty in any::<bool>(),
        ) {
            let value: serde_json::Value = value.into_iter().collect::<std::collections::BTreeMap<_, _>>().into_iter()
                .map(|(key, number)| (key, serde_json::json!([number, {"x": []}]))).collect();
            let json = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            let text = format!("{words}\n{json}\n{after}");
            prop_assert_eq!(last(&text), Some(json.as_str()));
        }

        #[test]
        fn any_bytes_are_read(text in prop::collection::vec(any::<u8>(), 0..200), cut in any::<bool>(), within in any::<bool>()) {
            if let Found::Document(range) = last_document(&text, cut, within) {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&text[range]).is_ok());
            }
        }
    }
}
