//! JSON documents: as they are, from a file, or from standard input.

use std::{fs, io, io::Read as _, path::PathBuf, str::FromStr};

use anyhow::{Context, Result};
use taskyard_core::limits;

use crate::exit::Usage;

/// Where a JSON document comes from: `JSON`, `@FILE`, or `-` for standard input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// The document itself.
    Given(String),
    /// A file that holds it.
    File(PathBuf),
    /// Standard input.
    Input,
}

impl FromStr for Document {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match (text, text.strip_prefix('@')) {
            ("-", _) => Self::Input,
            (_, Some(file)) => Self::File(file.into()),
            _ => Self::Given(text.to_owned()),
        })
    }
}

impl Document {
    /// The document, checked. `flag` names it in errors; one byte more than `bytes_max` is read at most.
    pub fn read(&self, flag: &str, bytes_max: usize) -> Result<String> {
        let mut bytes = Vec::new();
        let most = bytes_max as u64 + 1;
        let place = match self {
            Self::Given(text) => {
                bytes.extend_from_slice(text.as_bytes());
                String::new()
            }
            Self::File(path) => {
                let file = fs::File::open(path).with_context(|| format!("{flag}: cannot open {}", path.display()))?;
                let read = file.take(most).read_to_end(&mut bytes);
                read.with_context(|| format!("{flag}: cannot read {}", path.display()))?;
                format!("{} ", path.display())
            }
            Self::Input => {
                let read = io::stdin().lock().take(most).read_to_end(&mut bytes);
                read.with_context(|| format!("{flag}: cannot read standard input"))?;
                "standard input ".to_owned()
            }
        };
        if bytes.len() > bytes_max {
            return Err(Usage::error(format!("{flag}: {place}has more than {bytes_max} bytes")));
        }
        limits::check_json("document", &bytes, bytes_max).map_err(|error| {
            let what = error.violations.first().map_or("is wrong", |wrong| wrong.message.as_str());
            Usage::error(format!("{flag}: {place}{what}; it must be JSON such as '{{\"ms\": 1000}}'"))
        })?;
        String::from_utf8(bytes).with_context(|| format!("{flag}: {place}is not UTF-8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_comes_from_the_line_or_a_file() {
        let read = |text: &str| text.parse::<Document>().unwrap().read("--payload", 20);
        assert_eq!(read("{\"a\": 1.00}").unwrap(), "{\"a\": 1.00}");
        let path = std::env::temp_dir().join(format!("taskyard-document-{}", std::process::id()));
        fs::write(&path, "[1, 2]\n").unwrap();
        assert_eq!(read(&format!("@{}", path.display())).unwrap(), "[1, 2]\n");
        fs::write(&path, b"\xff").unwrap();
        assert!(read(&format!("@{}", path.display())).unwrap_err().is::<Usage>());
        fs::remove_file(&path).unwrap();
        assert!(format!("{:#}", read(&format!("@{}", path.display())).unwrap_err()).contains("cannot open"));
        for bad in ["", "{", "{a: 1}", "\"012345678901234567890\""] {
            let error = read(bad).unwrap_err();
            assert!(error.is::<Usage>() && error.to_string().starts_with("--payload: "), "{error}");
        }
        assert_eq!("-".parse(), Ok(Document::Input));
    }
}
