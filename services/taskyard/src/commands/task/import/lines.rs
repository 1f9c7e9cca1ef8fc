//! Bytes as numbered lines of bounded length.

use std::io::{self, BufRead, BufReader, Read};

/// A line without its end.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Counted from 1.
    pub number: u64,
    /// None: it is longer than allowed.
    pub bytes: Option<&'a [u8]>,
}

/// Lines of an input. A line that is too long is read to its end and not kept.
#[derive(Debug)]
pub struct Lines<R> {
    input: BufReader<R>,
    bytes_max: usize,
    number: u64,
    line: Vec<u8>,
}

impl<R: Read> Lines<R> {
    /// Lines of at most `bytes_max` bytes.
    pub const fn new(input: BufReader<R>, bytes_max: usize) -> Self {
        Self { input, bytes_max, number: 0, line: Vec::new() }
    }

    /// The next line; none at the end. A last line needs no line break.
    pub fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let mut too_long = false;
        let mut begun = false;
        loop {
            let part = match self.input.fill_buf() {
                Ok(part) => part,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if part.is_empty() {
                if !begun {
                    return Ok(None);
                }
                break;
            }
            begun = true;
            let end = part.iter().position(|byte| *byte == b'\n');
            let kept = &part[..end.unwrap_or(part.len())];
            too_long |= self.line.len() + kept.len() > self.bytes_max;
            if !too_long {
                self.line.extend_from_slice(kept);
            }
            let consumed = end.map_or(part.len(), |end| end + 1);
            self.input.consume(consumed);
            if end.is_some() {
                break;
            }
        }
        self.number += 1;
        Ok(Some(Line { number: self.number, bytes: (!too_long).then_some(self.line.as_slice()) }))
    }

    /// The next line may have to be waited for.
    pub fn is_dry(&self) -> bool {
        self.input.buffer().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(bytes: &[u8], buffer_bytes: usize, bytes_max: usize) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut lines = Lines::new(BufReader::with_capacity(buffer_bytes, bytes), bytes_max);
        let mut all = Vec::new();
        while let Some(Line { number, bytes }) = lines.next().unwrap() {
            all.push((number, bytes.map(<[u8]>::to_vec)));
        }
        all
    }

    #[test]
    fn a_long_line_costs_only_itself() {
        let line = |number, text: &str| (number, Some(text.as_bytes().to_vec()));
        assert_eq!(lines(b"ab\nabcd\n\nabc", 2, 3), [line(1, "ab"), (2, None), line(3, ""), line(4, "abc")]);
        assert_eq!(lines(b"", 2, 3), []);
        assert_eq!(lines(b"\n", 2, 3), [line(1, "")]);
    }

    proptest! {
        #[test]
        fn every_line_comes_once_and_in_order(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>().prop_filter("no end", |b| *b != b'\n'), 0..9), 0..9),
            ended in any::<bool>(), buffer_bytes in 1..20usize, bytes_max in 0..9usize,
        ) {
            let mut bytes = parts.join(&b'\n');
            if ended && !parts.is_empty() {
                bytes.push(b'\n');
            }
            let mut expected: Vec<_> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            // What follows the last line break is a line only if there is something.
            expected.pop_if(|last| last.is_empty());
            let expected: Vec<_> = (1..).zip(expected.into_iter().map(|line| (line.len() <= bytes_max).then_some(line))).collect();
            prop_assert_eq!(lines(&bytes, buffer_bytes, bytes_max), expected);
        }
    }
}
