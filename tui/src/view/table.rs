//! A table that is given its visible rows only.
//!
//! Owns the widths of columns and what goes first when there is no room. Must not enter: what the cells mean.

use ratatui::{
    Frame,
    layout::Rect,
    style::Style,
    text::{Line, Span},
    widgets::Paragraph,
};

use crate::{model::Model, text::fit};

/// A column: heading, width, alignment, and how early it goes when room is short (0 stays).
pub struct Column {
    pub title: &'static str,
    pub width: usize,
    pub right: bool,
    pub goes: u8,
}

pub const fn col(title: &'static str, width: usize, goes: u8) -> Column {
    Column { title, width, right: false, goes }
}

pub const fn num(title: &'static str, width: usize, goes: u8) -> Column {
    Column { title, width, right: true, goes }
}

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

/// Draws the heading and the rows; the first column takes the room that is left, at least its width.
pub fn draw(
    model: &Model,
    frame: &mut Frame<'_>,
    area: Rect,
    columns: &[Column],
    rows: impl Iterator<Item = (bool, Vec<Cell>)>,
) {
    if area.height == 0 {
        return;
    }
    let widths = widths(columns, area.width.into());
    let mut heading = String::from(" ");
    for (column, width) in columns.iter().zip(&widths).filter(|(_, w)| **w > 0) {
        heading.push_str(&fit(column.title, *width, column.right));
        heading.push(' ');
    }
    let mut lines = vec![Line::styled(heading, model.theme.head())];
    for (selected, cells) in rows.take(usize::from(area.height) - 1) {
        let mut spans = vec![Span::raw(if selected { ">" } else { " " })];
        for ((cell, column), width) in cells.into_iter().zip(columns).zip(&widths).filter(|(_, w)| **w > 0) {
            spans.push(Span::styled(model.theme.spell(&fit(&cell.0, *width, column.right)), cell.1));
            spans.push(Span::raw(" "));
        }
        let line = Line::from(spans);
        lines.push(if selected { line.style(model.theme.selected()) } else { line });
    }
    frame.render_widget(Paragraph::new(lines), area);
}

fn widths(columns: &[Column], room: usize) -> Vec<usize> {
    let mut widths: Vec<usize> = columns.iter().map(|c| c.width).collect();
    let needed = |widths: &[usize]| 1 + widths.iter().filter(|w| **w > 0).map(|w| w + 1).sum::<usize>();
    while needed(&widths) > room {
        let next = columns.iter().enumerate().filter(|(i, c)| widths[*i] > 0 && c.goes > 0).max_by_key(|(_, c)| c.goes);
        match next {
            Some((i, _)) => widths[i] = 0,
            None => break,
        }
    }
    let spare = room.saturating_sub(needed(&widths));
    widths[0] += spare;
    widths[0] = widths[0].min(room.saturating_sub(2).max(1));
    widths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_go_in_order_and_the_first_takes_what_is_left() {
        let columns = [col("NAME", 10, 0), num("A", 5, 2), num("B", 5, 1)];
        assert_eq!(widths(&columns, 40), [26, 5, 5]);
        assert_eq!(widths(&columns, 20), [12, 0, 5]);
        assert_eq!(widths(&columns, 8), [6, 0, 0]);
    }
}
