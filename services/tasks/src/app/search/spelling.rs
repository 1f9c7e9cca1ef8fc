//! Which word was meant.

/// Words that one may have been meant as.
const WORDS_MAX: usize = 3;

/// The nearest of these words, if they are so near that they may be meant; of many that are as near, the first.
pub fn nearest<'a>(word: &str, words: &'a [String]) -> Vec<&'a String> {
    let letters: Vec<char> = word.chars().collect();
    let allowed = match letters.len() {
        0..4 => return Vec::new(),
        4 | 5 => 1,
        _ => 2,
    };
    let distances = words.iter().map(|other| (distance(&letters, &other.chars().collect::<Vec<_>>()), other));
    let near: Vec<_> = distances.filter(|(distance, _)| *distance <= allowed).collect();
    let least = near.iter().map(|(distance, _)| *distance).min();
    near.into_iter().filter(|(distance, _)| Some(*distance) == least).map(|(_, word)| word).take(WORDS_MAX).collect()
}

/// How many letters have to be put in, left out, changed, or swapped with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (row, letter) in a.iter().enumerate() {
        let mut line = vec![row + 1];
        for (column, other) in b.iter().enumerate() {
            let changed = last[column] + usize::from(letter != other);
            let mut least = changed.min(last[column + 1] + 1).min(line[column] + 1);
            if row > 0 && column > 0 && *letter == b[column - 1] && a[row - 1] == *other {
                least = least.min(before_last[column - 1] + 1);
            }
            line.push(least);
        }
        before_last = std::mem::replace(&mut last, line);
    }
    last.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_put_in_left_out_changed_and_swapped() {
        let between = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        assert_eq!(between("deploy", "deploy"), 0);
        assert_eq!(between("depoly", "deploy"), 1);
        assert_eq!(between("сервр", "сервер"), 1);
        assert_eq!(between("kitten", "sitting"), 3);
        assert_eq!(between("", "ab"), 2);
    }

    #[test]
    fn the_nearest_is_meant_if_it_is_near() {
        let words: Vec<String> = ["server", "serve", "reserve"].map(str::to_owned).into();
        assert_eq!(nearest("servr", &words), [&words[0], &words[1]]);
        assert_eq!(nearest("serveer", &words), [&words[0]]);
        assert!(nearest("banana", &words).is_empty());
        assert!(nearest("ser", &words).is_empty(), "anything is near to a short word");
    }
}
