//! The last JSON document in a text.

use std::ops::Range;

use serde::de::IgnoredAny;

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
/// the line on which it ends.
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
            Some((last, length)) => {
                found = Found::Document(begin + last.start..begin + last.end);
                at = line_end(text, begin + length) + 1;
            }
            None => {
                if cut && matches!(line.first(), Some(b'}' | b']')) {
                    found = Found::Cut;
                }
                at = end + 1;
            }
        }
    }
    found
}

/// The documents at the beginning of `text`, up to the end of the line on which one of them ends: where the last one
/// is, and where reading stopped. None if something else is on those lines.
///
/// Each line can be the beginning of a long document that turns out not to be one; JSON's depth limit keeps that to
/// about 128 readings of the text at the worst.
fn documents(text: &[u8]) -> Option<(Range<usize>, usize)> {
    let mut stream = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    loop {
        let before = stream.byte_offset();
        stream.next()?.ok()?;
        let after = stream.byte_offset();
        let document = before + (text[before..after].len() - text[before..after].trim_ascii_start().len())..after;
        // What is skipped is not checked as it is read.
        std::str::from_utf8(&text[document.clone()]).ok()?;
        if text[after..line_end(text, after)].trim_ascii().is_empty() {
            return Some((document, after));
        }
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
        let text = format!("[{}\n", "1,".repeat(200)).repeat(2_700);
        assert!(text.len() > 1 << 20);
        let began = std::time::Instant::now();
        assert_eq!(last(&text), None);
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
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
