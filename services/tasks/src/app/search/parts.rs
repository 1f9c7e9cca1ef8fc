//! Parts of the index: tasks are numbered in the order in which they came, and every 4,096, 65,536 and 1,048,576 of them
//! have a lexeme. So the newest part can be searched without going through all that matches in the whole.

use taskyard_core::task::Namespace;

/// Tasks of the smallest part.
pub const SMALLEST: i64 = 1 << 12;
/// The letters and sizes of the lexemes, as `store/search_write.rs` writes them; largest first.
const LEVELS: [(char, u32); 3] = [('c', 20), ('b', 16), ('a', 12)];

/// Where a part of about this size begins that ends at a number.
pub const fn begin(end: i64, size: i64) -> i64 {
    let from = end - size;
    if from <= 0 { 0 } else { from / SMALLEST * SMALLEST }
}

/// The query for the tasks of a part. It begins where [`begin`] says; a few behind its end may match too.
pub fn query(namespace: Namespace, from: i64, to: i64, numbered: i64) -> String {
    if from == 0 && to >= numbered {
        return format!("'#n{namespace}'");
    }
    let end = (to + SMALLEST - 1) / SMALLEST * SMALLEST;
    let mut lexemes = Vec::new();
    let mut number = from;
    while number < end {
        let fitting = |bits: &u32| number & ((1 << bits) - 1) == 0 && number + (1 << bits) <= end;
        let (letter, bits) = LEVELS.into_iter().find(|(_, bits)| fitting(bits)).unwrap_or(LEVELS[LEVELS.len() - 1]);
        lexemes.push(format!("'#{letter}{namespace}.{}'", number >> bits));
        number += 1 << bits;
    }
    format!("({})", lexemes.join(" | "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_part_is_written_with_few_lexemes() {
        assert_eq!(query(7, 0, 100, 100), "'#n7'");
        assert_eq!(query(7, 4_096, 8_200, 8_200), "('#a7.1' | '#a7.2')");
        assert_eq!(query(7, 0, 1 << 20, 1 << 30), "('#c7.0')");
        assert_eq!(query(7, 61_440, 131_072, 1 << 30), "('#a7.15' | '#b7.1')");
        assert_eq!(begin(10_000, 4_096), 4_096);
        assert_eq!(begin(4_000, 4_096), 0);
    }

    proptest! {
        #[test]
        fn a_part_has_all_its_numbers_and_no_others(end in 1..3_000_000i64, size in 1..3_000_000i64, number in 0..3_000_000i64) {
            let from = begin(end, size);
            let query = query(1, from, end, i64::MAX);
            let has = |letter: char, bits: u32| query.contains(&format!("'#{letter}1.{}'", number >> bits));
            let found = has('a', 12) || has('b', 16) || has('c', 20);
            let rounded = (end + SMALLEST - 1) / SMALLEST * SMALLEST;
            prop_assert_eq!(found, (from..rounded).contains(&number), "{}", query);
            prop_assert!(query.matches('|').count() < 64);
        }
    }
}
