//! The tokens that lead from one page of a search to the next.

use sha2::{Digest, Sha256};
use taskyard_core::{
    Error, Result,
    task::{Filter, Namespace},
};
use uuid::Uuid;

use crate::store::search_find::Match;

/// Where a search goes on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Similar words are searched instead.
    pub is_corrected: bool,
    /// Among tasks with lower numbers than this.
    pub to: i64,
    /// Within the part from this number on, behind this match; in a new part if none.
    pub behind: Option<(i64, Match)>,
}

/// To which search a token belongs.
pub fn digest(namespace: Namespace, query: &str, filter: &Filter) -> String {
    let hash = Sha256::digest(format!("{namespace} {query:?} {filter:?}"));
    hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a token.
pub fn write(place: &Place, digest: &str) -> String {
    let kind = if place.is_corrected { 's' } else { 'e' };
    let behind = place.behind.map(|(from, last)| format!("{from}.{:08x}.{}", last.rank.to_bits(), last.id.simple()));
    format!("{digest}.{kind}.{}.{}", place.to, behind.unwrap_or_default())
}

/// Reads a token of the same search.
pub fn read(token: &str, digest: &str) -> Result<Place> {
    let wrong = || Error::invalid("page_token", "is not a token of this API");
    let mut parts = token.splitn(4, '.');
    let mut part = || parts.next().ok_or_else(wrong);
    let (of, kind, to, behind) = (part()?, part()?, part()?, part()?);
    if of != digest {
        return Err(Error::invalid("page_token", "belongs to another query or filter"));
    }
    let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= 0).ok_or_else(wrong);
    let is_corrected = match kind {
        "s" => true,
        "e" => false,
        _ => return Err(wrong()),
    };
    let to = number(to)?;
    if behind.is_empty() {
        return Ok(Place { is_corrected, to, behind: None });
    }
    let mut parts = behind.split('.');
    let (Some(from), Some(rank), Some(id), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(wrong());
    };
    let rank = f32::from_bits(u32::from_str_radix(rank, 16).map_err(|_| wrong())?);
    let id = Uuid::try_parse(id).map_err(|_| wrong())?;
    let from = number(from)?;
    if rank.is_nan() || from >= to {
        return Err(wrong());
    }
    Ok(Place { is_corrected, to, behind: Some((from, Match { id, rank })) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_token_is_read_or_refused(token in "(abc)?[.]?.{0,60}") {
            let _ = read(&token, "abc");
        }

        #[test]
        fn what_is_written_is_read(is_corrected: bool, from in 0..1_000i64, more in 1..1_000i64, rank in 0.0..1.0f32) {
            let behind = Some((from, Match { id: Uuid::now_v7(), rank }));
            for place in [Place { is_corrected, to: from + more, behind }, Place { is_corrected, to: from, behind: None }] {
                prop_assert_eq!(read(&write(&place, "abc"), "abc").unwrap(), place);
                prop_assert!(read(&write(&place, "abd"), "abc").is_err());
            }
        }
    }
}
