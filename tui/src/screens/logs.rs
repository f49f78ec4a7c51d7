//! Log lines: cut to the width, or wrapped.

use ratatui::{Frame, layout::Rect, text::Line, widgets::Paragraph};

use crate::{
    model::Model,
    text::{fit, printable},
    when,
};

/// The longest line that is wrapped, in cells.
const MAX_WRAPPED: usize = 2000;

pub fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let all = model.shown_logs();
    let theme = model.theme;
    let wide = usize::from(area.width);
    let list = model.list();
    let mut lines = Vec::new();
    // Where the selected line ends: wrapped lines push it down.
    let mut end = 0;
    for (i, r) in all.iter().enumerate().skip(list.top).take(area.height.into()) {
        let selected = i == list.selected;
        let style = match r.level.as_str() {
            "ERROR" => theme.bad(),
            "WARN" => theme.warn(),
            "DEBUG" | "TRACE" => theme.dim(),
            _ => theme.plain(),
        };
        let style = if selected && !model.follow { theme.selected() } else { style };
        let fields: String = r.fields.iter().map(|(k, v)| format!(" {k}={v}")).collect();
        let target = if wide >= 100 {
            format!("{:22} ", printable(r.target.trim_start_matches("yagid::"), 22))
        } else {
            String::new()
        };
        let text = format!("{} {:5} {target}{}{fields}", when::clock(r.at_ms / 1000), r.level, r.message);
        if model.wrap {
            let shown = theme.spell(&printable(&text, MAX_WRAPPED));
            let mut rest = shown.as_str();
            while !rest.is_empty() {
                let cut = cells(rest, wide);
                lines.push(Line::styled(rest[..cut].to_owned(), style));
                rest = &rest[cut..];
            }
        } else {
            lines.push(Line::styled(theme.spell(&fit(&text, wide, false)), style));
        }
        if selected {
            end = lines.len();
        }
    }
    let height = usize::from(area.height);
    let over = if model.follow { lines.len().saturating_sub(height) } else { end.saturating_sub(height) };
    frame.render_widget(Paragraph::new(lines.split_off(over)), area);
}

/// How many bytes of a text fit into some cells; at least one character.
fn cells(text: &str, wide: usize) -> usize {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += crate::text::width(c.encode_utf8(&mut [0; 4]));
        if used > wide && at > 0 {
            return at;
        }
    }
    text.len()
}
