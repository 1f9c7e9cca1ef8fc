//! Texts of others, made safe for a terminal.

/// A text in one line: control characters, which could move a terminal's cursor or worse, become spaces.
pub fn clean(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// The same, with at most `most` characters.
pub fn shorten(text: &str, most: usize) -> String {
    let cleaned = clean(text);
    match cleaned.char_indices().nth(most) {
        None => cleaned,
        Some(_) => cleaned.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_command_reaches_the_terminal() {
        assert_eq!(clean("a\x1b[2J\nb\u{9b}c"), "a [2J b c");
        assert_eq!(shorten("größer", 4), "grö…");
        assert_eq!(shorten("größ", 4), "größ");
    }
}
