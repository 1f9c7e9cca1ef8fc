//! Names of common expressions.

use crate::limits;

const NICKNAMES: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// The expression that a name stands for, or what is wrong.
pub(super) fn expand(name: &str) -> Result<&'static str, String> {
    let known = NICKNAMES.iter().find(|(nickname, _)| nickname.eq_ignore_ascii_case(name));
    known.map(|(_, expression)| *expression).ok_or_else(|| {
        let names: Vec<&str> = NICKNAMES.iter().map(|(nickname, _)| *nickname).collect();
        format!("`{}` is no name of an expression; known are {}", limits::shorten(name, 60), names.join(", "))
    })
}
