//! What a command says on standard output: progress, and its result.

use bytes::Bytes;
use taskyard_core::limits;

use super::document::{Found, last_document};

// The largest result, and room for words behind it.
const KEPT_BYTES_MAX: usize = limits::RESULT_BYTES_MAX + 64 * 1_024;
// A longer line is not progress.
const PROGRESS_LINE_BYTES_MAX: usize = 4_096;

/// Takes standard output in piece by piece, and keeps no more than its end.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// The line that has begun and may still turn out to be progress.
    line: Vec<u8>,
    /// The present line is none, and already kept.
    line_is_kept: bool,
    kept: Vec<u8>,
    cut: bool,
    // The line on which the kept text begins has lost its beginning, and a document was opened there.
    cut_in_document: bool,
}

/// What a command's output comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Result {
    /// The last JSON document; `null` if there is none.
    Json(Bytes),
    /// It is larger than a result can be.
    TooLarge,
}

impl Output {
    /// Takes in what came, and tells of progress.
    pub fn take(&mut self, mut bytes: &[u8], mut progress: impl FnMut(u8, &str)) {
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |end| end + 1);
            let (piece, rest) = bytes.split_at(end);
            bytes = rest;
            let ends = piece.ends_with(b"\n");
            if self.line_is_kept {
                self.keep(piece);
                self.line_is_kept = !ends;
                continue;
            }
            self.line.extend_from_slice(piece);
            if ends {
                self.end_line(&mut progress);
            } else if self.line.len() > PROGRESS_LINE_BYTES_MAX {
                let line = std::mem::take(&mut self.line);
                self.keep(&line);
                self.line_is_kept = true;
            }
        }
    }

    /// The end of the output: its last line may have no line end.
    pub fn end(&mut self, mut progress: impl FnMut(u8, &str)) {
        self.end_line(&mut progress);
    }

    /// What the output comes to.
    pub fn result(self) -> Result {
        match last_document(&self.kept, self.cut, self.cut_in_document) {
            Found::Nothing => Result::Json(Bytes::from_static(b"null")),
            Found::Document(range) if range.len() <= limits::RESULT_BYTES_MAX => {
                Result::Json(Bytes::copy_from_slice(&self.kept[range]))
            }
            Found::Document(_) | Found::Cut => Result::TooLarge,
        }
    }

    fn end_line(&mut self, progress: &mut impl FnMut(u8, &str)) {
        let line = std::mem::take(&mut self.line);
        match parse_progress(&line) {
            Some((percent, message)) => progress(percent, &message),
            None => self.keep(&line),
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.kept.extend_from_slice(bytes);
        // Twice as much for a moment, so that not every piece moves everything.
        if self.kept.len() > 2 * KEPT_BYTES_MAX {
            self.forget(self.kept.len() - KEPT_BYTES_MAX);
        }
    }

    /// Drops the oldest bytes.
    fn forget(&mut self, count: usize) {
        let first = match self.kept[..count].iter().rposition(|byte| *byte == b'\n') {
            Some(line_end) => Some(line_end + 1),
            // Still the line whose beginning went before, or the very first one.
            None if self.cut => None,
            None => Some(0),
        };
        if let Some(begin) = first {
            let opening = self.kept[begin..].iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r'));
            self.cut_in_document = begin < count && matches!(opening, Some(b'{' | b'[' | b'"'));
        }
        self.kept.drain(..count);
        self.cut = true;
    }
}

/// Reads `progress 40 message`.
fn parse_progress(line: &[u8]) -> Option<(u8, String)> {
    let line = String::from_utf8_lossy(line.strip_prefix(b"progress ")?);
    let line = line.trim();
    let (percent, message) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    if percent.is_empty() || !percent.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let percent = percent.parse().ok().filter(|percent| *percent <= 100)?;
    Some((percent, message.trim_start().to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8], piece_bytes: usize) -> (Vec<(u8, String)>, Result) {
        let mut output = Output::default();
        let mut seen = Vec::new();
        let mut bytes_max = 0;
        for piece in text.chunks(piece_bytes) {
            output.take(piece, |percent, message| seen.push((percent, message.to_owned())));
            bytes_max = bytes_max.max(output.kept.len() + output.line.len());
        }
        assert!(bytes_max <= 2 * KEPT_BYTES_MAX + PROGRESS_LINE_BYTES_MAX + piece_bytes);
        output.end(|percent, message| seen.push((percent, message.to_owned())));
        (seen, output.result())
    }

    fn json(text: &str) -> Result {
        Result::Json(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn progress_lines_are_told_and_are_not_output() {
        let text = "progress 0\nhello\n{\nprogress 40 half  way\r\n\"a\": 1}\nprogress 100 the end";
        for piece_bytes in [1, 3, 1_000] {
            let (seen, result) = read(text.as_bytes(), piece_bytes);
            let expected = [(0, ""), (40, "half  way"), (100, "the end")];
            assert_eq!(seen, expected.map(|(percent, message)| (percent, message.to_owned())));
            assert_eq!(result, json("{\n\"a\": 1}"), "a line of progress does not break a document");
        }
    }

    #[test]
    fn what_only_looks_like_progress_is_output() {
        for line in [
            "progress",
            "progress ",
            "progress x",
            "progress 101",
            "progress -1",
            "progress 4.5",
            " progress 4",
            "Progress 4",
        ] {
            assert_eq!(read(line.as_bytes(), 5), (vec![], json("null")), "{line}");
        }
        let (seen, _) = read(format!("progress 5 {}", "x".repeat(10_000)).as_bytes(), 100);
        assert_eq!(seen, []);
    }

    #[test]
    fn a_result_can_be_as_large_as_the_limit_and_no_larger() {
        let text = |bytes: usize| format!("\"{}\"", "x".repeat(bytes - 2));
        let noise = "words and words\n".repeat(200_000);
        let largest = text(limits::RESULT_BYTES_MAX);
        for output in [largest.clone(), format!("{noise}{largest}\n{}", &noise[..50_000])] {
            assert!(read(output.as_bytes(), 8_192).1 == json(&largest));
        }
        for bytes in [limits::RESULT_BYTES_MAX + 1, 4 * limits::RESULT_BYTES_MAX] {
            assert_eq!(read(text(bytes).as_bytes(), 8_192).1, Result::TooLarge);
            assert_eq!(read(format!("{noise}{}\nbye\n", text(bytes)).as_bytes(), 8_192).1, Result::TooLarge);
            assert_eq!(read(format!("{}\n7\n", text(bytes)).as_bytes(), 8_192).1, json("7"));
        }
        let pretty = format!("[\n{}  1\n]\n", "  1,\n".repeat(1_000_000));
        assert_eq!(read(pretty.as_bytes(), 8_192).1, Result::TooLarge);
        assert_eq!(read(noise.repeat(2).as_bytes(), 8_192).1, json("null"));
    }

    proptest! {
        #[test]
        fn any_output_in_any_pieces_is_the_same(text in prop::collection::vec(
            prop_oneof![Just("progress 5 a\n"), Just("{\"a\":"), Just("1}"), Just("\n"), Just("progress "), Just("x")], 0..30,
        ), piece_bytes in 1usize..20) {
            let text = text.concat();
            prop_assert_eq!(read(text.as_bytes(), piece_bytes), read(text.as_bytes(), 10_000));
        }
    }
}
