//! Plain tables: a header, columns as wide as they need, two spaces between, no lines.

/// Whether colours are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    On,
    Off,
}

/// How many columns are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    Normal,
    Wide,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    Plain,
    Strong,
    Good,
    Bad,
}

impl Style {
    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Strong => "1",
            Self::Good => "32",
            Self::Bad => "31",
        }
    }
}

impl Paint {
    pub(crate) fn strong(self, text: &str) -> String {
        self.write(Style::Strong, text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.write(Style::Bad, text)
    }

    fn write(self, style: Style, text: &str) -> String {
        match self {
            Self::On if style != Style::Plain => format!("\x1b[{}m{text}\x1b[0m", style.code()),
            _ => text.to_owned(),
        }
    }
}

/// A field of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn good(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Style::Good }
    }

    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Style::Bad }
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(value: T) -> Self {
        Self { text: value.to_string(), style: Style::Plain }
    }
}

/// Where a column's text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

#[derive(Debug, Clone)]
struct Column {
    head: &'static str,
    align: Align,
    shown: bool,
}

/// Rows of equal columns.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    width: Width,
}

impl Table {
    pub(crate) fn new(width: Width) -> Self {
        Self { columns: Vec::new(), rows: Vec::new(), width }
    }

    /// A column of text.
    pub(crate) fn text(self, head: &'static str) -> Self {
        self.column(head, Align::Left, Width::Normal)
    }

    /// A column of numbers.
    pub(crate) fn number(self, head: &'static str) -> Self {
        self.column(head, Align::Right, Width::Normal)
    }

    /// A column of text that only a wide table shows.
    pub(crate) fn wide_text(self, head: &'static str) -> Self {
        self.column(head, Align::Left, Width::Wide)
    }

    /// A column of numbers that only a wide table shows.
    pub(crate) fn wide_number(self, head: &'static str) -> Self {
        self.column(head, Align::Right, Width::Wide)
    }

    fn column(mut self, head: &'static str, align: Align, from: Width) -> Self {
        let shown = from == Width::Normal || self.width == Width::Wide;
        self.columns.push(Column { head, align, shown });
        self
    }

    /// A row with a cell for every column, shown or not.
    pub(crate) fn row<const N: usize>(&mut self, cells: [Cell; N]) {
        debug_assert_eq!(N, self.columns.len(), "a row has a cell for each column");
        self.rows.push(cells.into());
    }

    /// The text, or `otherwise` if there is no row.
    pub(crate) fn render(&self, paint: Paint, otherwise: &str) -> String {
        if self.rows.is_empty() {
            return format!("{otherwise}\n");
        }
        let head: Vec<Cell> = self
            .columns
            .iter()
            .map(|c| Cell { text: c.head.to_owned(), style: Style::Strong })
            .collect();
        let widths: Vec<usize> = (0..self.columns.len())
            .map(|ix| {
                let cells = self.rows.iter().chain([&head]).filter_map(|row| row.get(ix));
                cells.map(|cell| cell.text.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in [&head].into_iter().chain(&self.rows) {
            text.push_str(&self.line(row, &widths, paint));
            text.push('\n');
        }
        text
    }

    fn line(&self, row: &[Cell], widths: &[usize], paint: Paint) -> String {
        let mut line = String::new();
        let mut owed = 0;
        for ((column, cell), width) in self.columns.iter().zip(row).zip(widths) {
            if !column.shown {
                continue;
            }
            let blank = width - cell.text.chars().count();
            let (before, after) = match column.align {
                Align::Left => (0, blank),
                Align::Right => (blank, 0),
            };
            // Spaces are written when something follows them, so that no line ends in any.
            owed += before;
            if !cell.text.is_empty() {
                line.push_str(&" ".repeat(owed));
                line.push_str(&paint.write(cell.style, &cell.text));
                owed = 0;
            }
            owed += after + 2;
        }
        line
    }
}

/// A count as a cell that stands out when it is not 0.
pub(crate) fn trouble(count: u64) -> Cell {
    if count == 0 { Cell::from(0) } else { Cell::bad(count.to_string()) }
}

/// The value, or `-`.
pub(crate) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// The values with a separator, or `-`.
pub(crate) fn joined<T: ToString>(values: impl IntoIterator<Item = T>, separator: &str) -> String {
    let texts: Vec<_> = values.into_iter().map(|value| value.to_string()).collect();
    if texts.is_empty() { "-".to_owned() } else { texts.join(separator) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(width: Width) -> Table {
        let mut table = Table::new(width).text("Port").wide_text("MAC").number("Label").text("Why");
        table.row(["db-1".into(), "02:00".into(), 16.into(), "".into()]);
        table.row([Cell::good("a-longer-one"), "02:01".into(), 104_857.into(), "no".into()]);
        table
    }

    #[test]
    fn columns_stand_below_their_heads_and_no_line_ends_in_spaces() {
        let want = "\
Port           Label  Why
db-1              16
a-longer-one  104857  no
";
        assert_eq!(table(Width::Normal).render(Paint::Off, ""), want);
    }

    #[test]
    fn a_wide_table_has_more_columns() {
        let text = table(Width::Wide).render(Paint::Off, "");
        assert!(text.starts_with("Port          MAC     Label  Why\n"), "{text}");
    }

    #[test]
    fn colours_do_not_move_columns() {
        let text = table(Width::Normal).render(Paint::On, "");
        assert!(text.contains("\x1b[32ma-longer-one\x1b[0m  104857  no\n"), "{text}");
        assert!(text.contains("\ndb-1              16\n"), "{text}");
    }

    #[test]
    fn an_empty_table_says_so() {
        assert_eq!(
            Table::new(Width::Normal).text("Port").render(Paint::Off, "no ports"),
            "no ports\n"
        );
    }
}
