//! A table that is given its visible rows only.
//!
//! Must not enter: what the cells mean. Invariant: one line a row, foreign text goes through `fit`.

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use crate::{
    model::{Model, View},
    rows::pages,
    screens::columns::{self, Column},
    text::fit,
};

#[derive(Clone, Debug)]
pub struct Cell(pub String, pub Style);

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self(text, Style::new())
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self(text.to_owned(), Style::new())
    }
}

/// A row: whether the cursor is on it, whether it is marked, its cells in the order of the view's columns.
pub struct Row {
    pub selected: bool,
    pub marked: bool,
    pub cells: Vec<Cell>,
}

/// The columns in the order that the configuration asks for, with their places among the view's cells.
#[must_use]
pub fn picked(model: &Model, view: View) -> Vec<(usize, Column)> {
    let all = columns::of(view);
    match &model.columns[view.index()] {
        Some(names) => names
            .iter()
            .filter_map(|name| all.iter().position(|c| c.title.eq_ignore_ascii_case(name)).map(|i| (i, all[i])))
            .collect(),
        // The categories stand beside the list.
        None if view == View::Channels && pages::has_tree(model) => {
            all.iter().copied().enumerate().filter(|(_, c)| c.sort != "category").collect()
        }
        None => all.iter().copied().enumerate().collect(),
    }
}

/// Draws the heading and the rows.
pub fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect, view: View, rows: impl Iterator<Item = Row>) {
    if area.height == 0 {
        return;
    }
    let theme = model.theme;
    let list = &model.lists[view.index()];
    let picked = picked(model, view);
    let shown: Vec<Column> = picked.iter().map(|(_, c)| *c).collect();
    let widths = columns::widths(&shown, area.width.into(), list.shift);
    let (sort, _) = columns::sorted(view, list.sort);
    let mut heading = vec![Span::raw("   ")];
    for (column, width) in shown.iter().zip(&widths).filter(|(_, w)| **w > 0) {
        let style =
            if column.sort == sort && !sort.is_empty() { theme.head().patch(theme.bold()) } else { theme.head() };
        heading.push(Span::styled(fit(column.title, *width, column.right), style));
        heading.push(Span::raw(" "));
    }
    let mut lines = vec![Line::from(heading)];
    for row in rows.take(usize::from(area.height) - 1) {
        let mut spans = vec![Span::raw(match (row.selected, row.marked) {
            (true, true) => ">* ",
            (true, false) => ">  ",
            (false, true) => " * ",
            (false, false) => "   ",
        })];
        // A row that is not here yet is one word.
        let alone = row.cells.len() == 1;
        for ((at, column), width) in picked.iter().zip(&widths).filter(|(_, w)| **w > 0) {
            let cell = match (alone, column.flex) {
                (true, true) => row.cells.first(),
                (true, false) => None,
                (false, _) => row.cells.get(*at),
            };
            let (text, style) = cell.map_or(("", Style::new()), |c| (c.0.as_str(), c.1));
            spans.push(Span::styled(theme.spell(&fit(text, *width, column.right)), style));
            spans.push(Span::raw(" "));
        }
        let mut line = Line::from(spans);
        if row.marked {
            line = line.style(theme.bold());
        }
        lines.push(if row.selected { line.style(theme.selected()) } else { line });
    }
    frame.render_widget(Paragraph::new(lines), area);
}
