//! Aligned columns.

/// A table that comes in parts: its columns are as wide as the first part needs, and grow if a later one needs more.
#[derive(Debug)]
pub struct Table<const N: usize> {
    heads: [&'static str; N],
    widths: [usize; N],
    begun: bool,
}

impl<const N: usize> Table<N> {
    /// A table with these heads. The last column is not padded.
    pub fn new(heads: [&'static str; N]) -> Self {
        Self { heads, widths: heads.map(str::len), begun: false }
    }

    /// The lines of these rows, after the heads where they are the first. Empty without rows.
    pub fn lines(&mut self, rows: &[[String; N]]) -> Option<String> {
        for row in rows {
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        if rows.is_empty() {
            return None;
        }
        let mut lines = Vec::with_capacity(rows.len() + 1);
        if !std::mem::replace(&mut self.begun, true) {
            lines.push(self.line(&self.heads));
        }
        lines.extend(rows.iter().map(|row| self.line(row)));
        Some(lines.join("\n"))
    }

    fn line(&self, cells: &[impl AsRef<str>; N]) -> String {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(self.widths) {
            line.push_str(&format!("{:width$}  ", cell.as_ref()));
        }
        line.truncate(line.trim_end().len());
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_over_parts() {
        let mut table = Table::new(["NAME", "X"]);
        assert_eq!(table.lines(&[]), None);
        let row = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        assert_eq!(table.lines(&[row("größer", "1"), row("b", "")]).unwrap(), "NAME    X\ngrößer  1\nb");
        assert_eq!(table.lines(&[row("c", "2")]).unwrap(), "c       2");
    }
}
