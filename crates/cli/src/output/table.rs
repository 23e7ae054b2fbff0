//! Tables that fit the terminal: a row is one line, or whole where nothing may be lost. Pure: text in, text out.

use comfy_table::{Attribute, Cell as TableCell, Color, ColumnConstraint, ContentArrangement, Row};

use crate::output::harmless::harmless;

/// Between two columns.
const GAP: u16 = 2;

/// A column that may be cut off or wrapped is at least as wide as this, or as what stands in it.
const COLUMN_MIN: usize = 5;

/// What a colour means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tint {
    /// Nothing.
    Plain,
    /// As it should be.
    Good,
    /// On its way.
    Busy,
    /// In trouble.
    Bad,
    /// Less important.
    Faint,
}

/// One field.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    tint: Tint,
}

impl Cell {
    /// With a meaning.
    pub(crate) fn tinted(text: impl Into<String>, tint: Tint) -> Self {
        Self { text: text.into(), tint }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::tinted(text, Tint::Plain)
    }
}

/// What becomes of a cell that does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Overflow {
    /// It is cut off, and `…` says so.
    Cut,
    /// It goes on in the next line.
    Wrap,
}

/// Rows and their headers.
#[derive(Debug)]
pub(crate) struct Table {
    headers: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    overflow: Overflow,
    breaks: bool,
    indent: u16,
    kept: &'static [usize],
}

impl Table {
    /// For lists: a line per row; what does not fit the terminal is cut off.
    pub(crate) fn of_lines(headers: &[&'static str]) -> Self {
        Self {
            headers: headers.to_vec(),
            rows: Vec::new(),
            overflow: Overflow::Cut,
            breaks: false,
            indent: 0,
            kept: &[],
        }
    }

    /// For facts: whole, with their line breaks.
    pub(crate) fn of_facts() -> Self {
        Self { overflow: Overflow::Wrap, breaks: true, indent: 2, kept: &[0], ..Self::of_lines(&[]) }
    }

    /// What does not fit the terminal goes on in the next line; elsewhere a row stays a line.
    pub(crate) fn wrapping(self) -> Self {
        Self { overflow: Overflow::Wrap, ..self }
    }

    /// Columns that are as wide as what stands in them: cut off or wrapped, it would be of no use.
    pub(crate) fn keeping(self, kept: &'static [usize]) -> Self {
        Self { kept, ..self }
    }

    /// How far from the left edge it stands.
    pub(crate) fn indented(self, indent: u16) -> Self {
        Self { indent, ..self }
    }

    /// Whether there is nothing to show.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The text, without a line break at its end. No rows give no text.
    pub(crate) fn render(&self, width: Option<u16>, headers: bool, colour: bool) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING).force_no_tty().set_truncation_indicator("…");
        if colour {
            table.enforce_styling();
        }
        match width {
            Some(width) => {
                table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width.max(self.least_width()))
            }
            None => table.set_content_arrangement(ContentArrangement::Disabled),
        };
        if headers && !self.headers.is_empty() {
            let mut names = Row::from(self.headers.iter().map(TableCell::new).collect::<Vec<_>>());
            names.max_height(1);
            table.set_header(names);
        }
        for row in &self.rows {
            let mut cells = Row::from(row.iter().map(|cell| self.cell(cell)).collect::<Vec<_>>());
            if self.overflow == Overflow::Cut {
                cells.max_height(1);
            }
            table.add_row(cells);
        }
        for (index, column) in table.column_iter_mut().enumerate() {
            column.set_padding((if index == 0 { self.indent } else { 0 }, GAP));
            if self.kept.contains(&index) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
        table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
    }

    /// Below this width columns would be a letter wide; the terminal's own wrapping is easier to read.
    fn least_width(&self) -> u16 {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let of_cells = |index: usize| {
            self.rows.iter().filter_map(|row| row.get(index)).map(|cell| cell.text.chars().count()).max().unwrap_or(0)
        };
        let of_column = |index: usize| {
            let header = self.headers.get(index).map_or(COLUMN_MIN, |header| header.len());
            let content = if self.kept.contains(&index) { of_cells(index) } else { of_cells(index).min(COLUMN_MIN) };
            usize::from(GAP) + header.max(content)
        };
        u16::try_from(usize::from(self.indent) + (0..columns).map(of_column).sum::<usize>()).unwrap_or(u16::MAX)
    }

    fn cell(&self, cell: &Cell) -> TableCell {
        let lines = cell.text.lines().map(harmless);
        let text = lines.collect::<Vec<_>>().join(if self.breaks { "\n" } else { " " });
        let shown = TableCell::new(text);
        match cell.tint {
            Tint::Plain => shown,
            Tint::Good => shown.fg(Color::DarkGreen),
            Tint::Busy => shown.fg(Color::DarkYellow),
            Tint::Bad => shown.fg(Color::DarkRed),
            Tint::Faint => shown.add_attribute(Attribute::Dim),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Table {
        let mut table = Table::of_lines(&["NAME", "STATUS", "WHAT"]);
        table.row(["demo".into(), Cell::tinted("Running", Tint::Good), "".into()]);
        let cause = "run_failed: the chart could not be found in any of the repositories that were asked for it";
        table.row(["pr-1".into(), Cell::tinted("Failure", Tint::Bad), cause.into()]);
        table
    }

    #[test]
    fn a_list_fits_the_terminal() {
        insta::assert_snapshot!(list().render(Some(60), true, false), @r"
        NAME  STATUS   WHAT
        demo  Running
        pr-1  Failure  run_failed: the chart could not be found i…
        ");
    }

    #[test]
    fn without_a_terminal_nothing_is_cut_off() {
        insta::assert_snapshot!(list().render(None, false, false), @r"
        demo  Running
        pr-1  Failure  run_failed: the chart could not be found in any of the repositories that were asked for it
        ");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 30..140 {
            let text = list().render(Some(width), true, false);
            assert_eq!(text.lines().count(), 3, "at width {width}:\n{text}");
            assert!(text.lines().all(|line| line.chars().count() <= usize::from(width)), "at width {width}:\n{text}");
        }
    }

    #[test]
    fn columns_stay_readable_where_not_all_can_fit() {
        let mut table = Table::of_lines(&["RUN", "VERB", "WHAT"]).keeping(&[0, 1]);
        table.row(["0193669f-0001-7000-8000-000000000000".into(), "create".into(), "run_failed: no such chart".into()]);
        insta::assert_snapshot!(table.render(Some(40), true, false), @"
        RUN                                   VERB    WHAT
        0193669f-0001-7000-8000-000000000000  create  run_…
        ");
    }

    #[test]
    fn colours_are_there_only_where_they_are_wanted() {
        assert!(!list().render(Some(80), true, false).contains('\x1b'));
        assert!(list().render(Some(80), true, true).contains('\x1b'));
    }

    #[test]
    fn no_rows_are_no_text() {
        assert_eq!(Table::of_lines(&["NAME"]).render(Some(80), true, true), "");
    }

    #[test]
    fn facts_are_shown_whole_and_harmless() {
        let mut table = Table::of_facts();
        table.row(["cause".into(), "first line\nsecond \x1b[31mline".into()]);
        insta::assert_snapshot!(table.render(Some(40), true, false), @r"
        cause  first line
               second ^[[31mline
        ");
    }
}
