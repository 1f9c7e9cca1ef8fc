//! What a person writes to search: words, "phrases", `-excluded` ones, and `or` between two.
//!
//! Every text is a query: a quote that is not closed goes to the end, an `or` without a word beside it says nothing.

use std::fmt;

/// All of these clauses have to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pub clauses: Vec<Clause>,
}

/// Any of these terms, or none of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clause {
    pub is_excluded: bool,
    pub terms: Vec<Term>,
}

/// What one looks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    pub text: String,
    pub kind: TermKind,
}

/// How a term is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TermKind {
    /// In any of its forms.
    Word,
    /// The last word of a query: perhaps not written to its end.
    Beginning,
    /// These words, one behind the other.
    Phrase,
}

impl Query {
    /// Reads any text.
    pub fn parse(text: &str) -> Self {
        let mut clauses: Vec<Clause> = Vec::new();
        let mut is_alternative = false;
        let mut rest = text.trim_start();
        while !rest.is_empty() {
            let (is_excluded, term, behind) = next_term(rest);
            rest = behind.trim_start();
            if term.kind == TermKind::Word && !is_excluded && term.text.eq_ignore_ascii_case("or") {
                is_alternative = true;
                continue;
            }
            let before = clauses.last_mut().filter(|before| is_alternative && !is_excluded && !before.is_excluded);
            is_alternative = false;
            if term.text.trim().is_empty() {
                continue;
            }
            // Whoever writes a space has written the word to its end.
            let is_last = behind.is_empty() && term.kind == TermKind::Word && !is_excluded;
            let term = Term { kind: if is_last { TermKind::Beginning } else { term.kind }, ..term };
            match before {
                Some(before) => before.terms.push(term),
                None => clauses.push(Clause { is_excluded, terms: vec![term] }),
            }
        }
        Self { clauses }
    }
}

/// The first term of a text that does not begin with a space, whether it is excluded, and what follows.
fn next_term(text: &str) -> (bool, Term, &str) {
    let (is_excluded, text) = match text.strip_prefix('-') {
        Some(rest) if !rest.starts_with(char::is_whitespace) => (true, rest),
        _ => (false, text),
    };
    if let Some(rest) = text.strip_prefix('"') {
        let (phrase, behind) = rest.split_once('"').unwrap_or((rest, ""));
        return (is_excluded, Term { text: phrase.to_owned(), kind: TermKind::Phrase }, behind);
    }
    let end = text.find(|character: char| character.is_whitespace() || character == '"').unwrap_or(text.len());
    let (word, behind) = text.split_at(end);
    (is_excluded, Term { text: word.to_owned(), kind: TermKind::Word }, behind)
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, clause) in self.clauses.iter().enumerate() {
            f.write_str(if place > 0 { " " } else { "" })?;
            f.write_str(if clause.is_excluded { "-" } else { "" })?;
            for (place, term) in clause.terms.iter().enumerate() {
                f.write_str(if place > 0 { " or " } else { "" })?;
                match term.kind {
                    TermKind::Phrase => write!(f, "\"{}\"", term.text)?,
                    TermKind::Word | TermKind::Beginning => f.write_str(&term.text)?,
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_query_is_read() {
        let shown = |text: &str| format!("{:?}", Query::parse(text));
        let term = |text: &str, kind: TermKind| Term { text: text.to_owned(), kind };
        let clause = |terms: Vec<Term>| Clause { is_excluded: false, terms };
        use TermKind::{Beginning, Phrase, Word};
        assert_eq!(
            Query::parse("deploy \"web server\" -draft a OR b or \"c d\" serv").clauses,
            [
                clause(vec![term("deploy", Word)]),
                clause(vec![term("web server", Phrase)]),
                Clause { is_excluded: true, terms: vec![term("draft", Word)] },
                clause(vec![term("a", Word), term("b", Word), term("c d", Phrase)]),
                clause(vec![term("serv", Beginning)]),
            ]
        );
        // With a space behind it the last word is a whole one.
        assert_eq!(Query::parse("serv ").clauses, [clause(vec![term("serv", Word)])]);
        assert_eq!(Query::parse("\"serv").clauses, [clause(vec![term("serv", Phrase)])]);
        assert_eq!(Query::parse("a\"b").clauses, [clause(vec![term("a", Word)]), clause(vec![term("b", Phrase)])]);
        for nothing in ["", " ", "or", "or or", "\"\"", "\"", "-\"\""] {
            assert_eq!(shown(nothing), shown(""), "{nothing:?}");
        }
        // Neither before nor behind what is excluded does `or` mean anything.
        assert_eq!(Query::parse("a or -b c ").to_string(), "a -b c");
        assert_eq!(Query::parse("-b or c ").to_string(), "-b c");
        assert_eq!(Query::parse("x - y ").clauses.len(), 3);
    }

    proptest! {
        #[test]
        fn any_text_is_a_query(text in "(or |-|\"|[a-я ]|.){0,40}") {
            let query = Query::parse(&text);
            prop_assert!(query.clauses.iter().all(|clause| !clause.terms.is_empty()));
            // What is shown is read as the same, but for the end of the last word.
            let again = Query::parse(&format!("{query} "));
            prop_assert_eq!(again.to_string(), query.to_string());
        }
    }
}
