//! Tables for people: aligned columns, safe cells, and lines that fit the terminal.
//!
//! Knows nothing of what it shows. Only the last column is ever shortened, so put there what is long.

use crate::output::{Look, Tone, safe};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    Left,
    Right,
}

/// A piece of text that a terminal cannot obey.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    pub fn toned(tone: Tone, text: &str) -> Self {
        Cell { text: safe(text), tone }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Cell::toned(Tone::Plain, text.as_ref())
    }
}

pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub fn new(columns: &[(&'static str, Align)]) -> Self {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        self.rows.push(cells.into());
    }

    /// The table as text: its heads, and a line for each row.
    pub fn render(&self, look: Look) -> String {
        let heads: Vec<Cell> = self.columns.iter().map(|(head, _)| Cell::toned(Tone::Strong, head)).collect();
        let widths: Vec<usize> = (0..self.columns.len()).map(|column| self.width_of(column)).collect();
        let mut text = String::new();
        for row in std::iter::once(&heads).chain(&self.rows) {
            text.push_str(&self.render_row(row, &widths, look));
            text.push('\n');
        }
        text
    }

    fn width_of(&self, column: usize) -> usize {
        let head = self.columns.get(column).map_or(0, |(head, _)| width(head));
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| width(&cell.text)).fold(head, usize::max)
    }

    fn render_row(&self, row: &[Cell], widths: &[usize], look: Look) -> String {
        let mut line = String::new();
        let mut used = 0;
        for (index, ((cell, wide), (_, align))) in row.iter().zip(widths).zip(&self.columns).enumerate() {
            let last = index + 1 == row.len();
            if index > 0 {
                line.push_str("  ");
                used += 2;
            }
            let text = match look.width {
                Some(limit) if last => shorten(&cell.text, limit.saturating_sub(used)),
                _ => cell.text.clone(),
            };
            let padding = " ".repeat(wide.saturating_sub(width(&text)));
            match align {
                Align::Right => line.push_str(&format!("{padding}{}", look.paint(cell.tone, &text))),
                Align::Left if last => line.push_str(&look.paint(cell.tone, &text)),
                Align::Left => line.push_str(&format!("{}{padding}", look.paint(cell.tone, &text))),
            }
            used += wide;
        }
        line.trim_end().to_owned()
    }
}

/// Text that takes no more than so many columns; what is cut off is marked.
fn shorten(text: &str, limit: usize) -> String {
    if width(text) <= limit || limit == 0 {
        return text.to_owned();
    }
    let mut shown = String::new();
    let mut used = 1;
    for c in text.chars() {
        used += columns_of(c);
        if used > limit {
            break;
        }
        shown.push(c);
    }
    shown.push('…');
    shown
}

/// Columns that a text takes on a terminal.
pub fn width(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

/// Combining marks take none and East Asian wide characters two: near enough for names and topics.
fn columns_of(c: char) -> usize {
    match u32::from(c) {
        0x0300..=0x036f | 0x200b..=0x200d | 0x20d0..=0x20ff | 0xfe00..=0xfe0f | 0xfe20..=0xfe2f => 0,
        0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f => 2,
        0xff00..=0xff60 | 0xffe0..=0xffe6 | 0x1f300..=0x1faff | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&[("NAME", Align::Left), ("N", Align::Right), ("NOTE", Align::Left)]);
        table.row(["short".into(), "1".into(), Cell::from("")]);
        table.row(["冷蔵室".into(), "1,000".into(), Cell::toned(Tone::Bad, "trapped: \x1b[2J and a long story")]);
        table
    }

    #[test]
    fn columns_are_aligned_and_cells_are_harmless() {
        expect![[r#"
            NAME        N  NOTE
            short       1
            冷蔵室  1,000  trapped: \u{1b}[2J and a long story
        "#]]
        .assert_eq(&sample().render(Look::default()));
    }

    #[test]
    fn a_line_is_cut_to_the_terminal() {
        let text = sample().render(Look { colour: false, width: Some(30) });
        assert!(text.lines().all(|line| width(line) <= 30), "{text}");
        assert!(text.ends_with("…\n"), "{text}");
    }

    #[test]
    fn colour_does_not_disturb_the_alignment() {
        let text = sample().render(Look { colour: true, width: None });
        let plain = text.replace("\x1b[1m", "").replace("\x1b[31m", "").replace("\x1b[0m", "");
        let trimmed = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
        assert_eq!(trimmed(&plain), trimmed(&sample().render(Look::default())));
    }
}
