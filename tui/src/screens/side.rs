//! What stands beside a list on a wide screen: the facts of the row, a stream's rate, clients and events; categories.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use super::facts;
use crate::{
    model::{Model, Pane, View},
    rows::pages,
    text::{fit, lay, printable},
    when,
    widgets::sparkline,
};

/// A line between two panes.
pub fn rule(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let [_, _, _, _, _, bar] = model.theme.frame();
    let lines: Vec<Line<'_>> = (0..area.height).map(|_| Line::styled(bar, model.theme.dim())).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

fn heading(model: &Model, text: &str, wide: usize) -> Line<'static> {
    Line::styled(lay(text, wide), model.theme.head())
}

/// The facts of the selected row.
pub fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let wide = usize::from(area.width);
    let all = facts::long(model);
    let mut lines: Vec<Line<'_>> = Vec::new();
    let mut rest = all.into_iter();
    // The first fact is the row's name.
    if let Some((_, name)) = rest.next() {
        lines.push(Line::raw(""));
        lines.push(Line::styled(model.theme.spell(&printable(&name, wide)), model.theme.bold()));
    }
    for (label, value) in rest.filter(|(_, v)| !v.is_empty()) {
        for (i, part) in wrapped(&value, wide.saturating_sub(12)).into_iter().enumerate().take(4) {
            let label = if i == 0 { label.as_str() } else { "" };
            lines.push(Line::from(vec![
                Span::styled(fit(label, 12.min(wide), false), model.theme.dim()),
                Span::raw(model.theme.spell(&part)),
            ]));
        }
    }
    if model.view == View::Streams {
        stream(model, wide, usize::from(area.height), &mut lines);
    }
    lines.truncate(area.height.into());
    frame.render_widget(Paragraph::new(lines), area);
}

/// A text in lines of some cells, broken between words where that is possible.
fn wrapped(text: &str, cells: usize) -> Vec<String> {
    let cells = cells.max(1);
    let text = printable(text, cells * 4);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        if used > 0 && used + crate::text::width(word.trim_end()) > cells {
            lines.push(String::new());
            used = 0;
        }
        for c in word.chars() {
            let w = crate::text::width(c.encode_utf8(&mut [0; 4]));
            if used + w > cells && c != ' ' {
                lines.push(String::new());
                used = 0;
            }
            used += w;
            if let Some(line) = lines.last_mut() {
                line.push(c);
            }
        }
    }
    lines.iter().map(|line| line.trim_end().to_owned()).collect()
}

/// Rate, clients and events of a stream.
fn stream(model: &Model, wide: usize, height: usize, lines: &mut Vec<Line<'static>>) {
    const GRAPH: usize = 5;
    let Some(s) = model.selected_stream() else { return };
    let theme = model.theme;
    lines.push(Line::raw(""));
    lines.push(heading(model, "Mb/s in, 10 min", wide));
    let values: Vec<u64> =
        model.rates.get(&s.id).map_or_else(|| s.history.clone(), |r| r.values.iter().copied().collect());
    lines.extend(sparkline::graph(theme, &values, wide, GRAPH).into_iter().map(|l| Line::styled(l, theme.accent())));
    let events: Vec<_> =
        model.logs.iter().rev().filter(|r| r.fields.iter().any(|(_, v)| *v == s.name)).take(5).collect();
    let room = height.saturating_sub(lines.len() + 5 + events.len()).max(3);
    let clients: Vec<_> = model.clients.iter().filter(|c| c.stream == Some(s.id)).collect();
    let title = format!("CLIENTS ({})", clients.len());
    lines.push(Line::raw(""));
    let name = wide.saturating_sub(16 + 11 + 7 + 6).max(6);
    lines.push(heading(
        model,
        &format!(
            "{} {} {} {:>6} {:>5}",
            fit(&title, name, false),
            fit("IP", 15, false),
            fit("AGENT", 10, false),
            "OUT",
            "LAG"
        ),
        wide,
    ));
    for c in clients.iter().take(room) {
        let text = format!(
            "{} {} {} {:>6} {:>4}s",
            fit(&c.name, name, false),
            fit(&c.ip, 15, false),
            fit(&c.agent, 10, false),
            when::mbps(c.out_bits_per_s),
            c.lag_ms / 1000
        );
        lines.push(Line::raw(theme.spell(&lay(&text, wide))));
    }
    if clients.len() > room {
        lines.push(Line::styled(format!("... {} more, Enter lists them all", clients.len() - room), theme.dim()));
    }
    if !events.is_empty() {
        lines.push(Line::raw(""));
        lines.push(heading(model, "EVENTS", wide));
        for r in events.iter().rev() {
            let said = |key: &str| r.fields.iter().find(|(k, v)| k == key && !v.is_empty()).map(|(_, v)| v);
            let who = said("user").map_or(String::new(), |user| format!(": {user}"));
            let why = said("reason").or_else(|| said("error")).map_or(String::new(), |why| format!(", {why}"));
            let text = format!("{} {}{who}{why}", when::clock(r.at_ms / 1000), r.message);
            let text = printable(&text, wide);
            lines.push(Line::raw(theme.spell(&lay(&text, wide))));
        }
    }
}

/// The categories, with how many channels each has.
pub fn tree(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let wide = usize::from(area.width);
    let theme = model.theme;
    let focused = model.pane == Pane::Side;
    let title = format!("CATEGORIES ({})", model.tree.len());
    let mut lines = vec![heading(model, &title, wide)];
    let rows = usize::from(area.height).saturating_sub(1).min(pages::height(model) + 1);
    // The cursor stays in the middle, so that both neighbours are seen.
    let count = model.tree.len() + 1;
    let top = model.tree_at.saturating_sub(rows / 2).min(count.saturating_sub(rows));
    let total = model.totals[View::Channels.index()];
    for at in (top..count).take(rows) {
        let (name, channels) = match at.checked_sub(1).and_then(|i| model.tree.get(i)) {
            Some(c) => (c.name.as_str(), c.channels as usize),
            None => ("all", total.max(model.channels.total)),
        };
        let cursor = if at == model.tree_at { ">" } else { " " };
        let text = format!("{cursor} {} {channels:>6}", fit(name, wide.saturating_sub(9), false));
        let style = match (at == model.tree_at, focused) {
            (true, true) => theme.selected(),
            (true, false) => theme.bold(),
            _ => theme.plain(),
        };
        lines.push(Line::styled(theme.spell(&lay(&text, wide)), style));
    }
    frame.render_widget(Paragraph::new(lines), area);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words_and_long_words_anywhere() {
        assert_eq!(wrapped("audio 147 ms ago; access", 12), ["audio 147 ms", "ago; access"]);
        assert_eq!(wrapped("a abcdefghij", 5), ["a", "abcde", "fghij"]);
        assert_eq!(wrapped("abc 日本", 5), ["abc", "日本"]);
        assert_eq!(wrapped("", 5), [""]);
    }
}
