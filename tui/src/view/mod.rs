//! From the model to the screen.
//!
//! Owns the frame around every view: title, tabs, filter, detail, message, hints. Must not enter: changes of the model.
//! Invariant: pure; foreign text reaches a cell only through `printable`; any size can be drawn.

mod boxes;
mod detail;
pub(crate) mod qr;
mod table;
mod tables;

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use crate::{
    keys,
    model::{Link, Mode, Model, View},
    rows,
    text::{fit, printable, width},
    when,
};

/// Draws everything.
pub fn view(model: &Model, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < 10 || area.height < 4 {
        frame.render_widget(Paragraph::new("enlarge"), area);
        return;
    }
    let mut lines = Rows { area, next: area.y };
    line(frame, lines.take(1), title(model, area.width));
    line(frame, lines.take(1), tabs(model, area.width));
    let bottom = if area.height < rows::LOW || area.width >= rows::WIDE { 2 } else { 4 };
    let body = Rect { y: lines.next, height: area.bottom().saturating_sub(lines.next + bottom), ..area };
    if model.is_new_house() && model.view == View::Streams {
        boxes::start_card(frame, body);
    } else if area.width >= rows::WIDE {
        let left = Rect { width: area.width * 3 / 5, ..body };
        let right = Rect { x: left.right() + 1, width: area.width - left.width - 1, ..body };
        tables::draw(model, frame, left);
        side(model, frame, right);
    } else {
        tables::draw(model, frame, body);
    }
    let mut lines = Rows { area, next: area.bottom() - bottom };
    if bottom == 4 {
        let facts = detail::short(model);
        for fact in facts {
            line(frame, lines.take(1), Line::styled(fit(&fact, area.width.into(), false), model.theme.dim()));
        }
    }
    line(frame, lines.take(1), message(model, area.width));
    line(frame, lines.take(1), hints(model, area.width));
    match &model.mode {
        Mode::Browse | Mode::Filter { .. } => {}
        Mode::Form(form) => boxes::form(model, form, frame),
        Mode::Confirm(confirm) => boxes::confirm(model, confirm, frame),
        Mode::Urls(dialog) => boxes::urls(model, dialog, frame),
        Mode::Detail { scroll } => boxes::detail(model, *scroll, frame),
        Mode::Help { scroll } => boxes::help(model, *scroll, frame),
    }
}

struct Rows {
    area: Rect,
    next: u16,
}

impl Rows {
    fn take(&mut self, height: u16) -> Rect {
        let y = self.next.min(self.area.bottom());
        let height = height.min(self.area.bottom() - y);
        self.next = y + height;
        Rect { y, height, ..self.area }
    }
}

fn line(frame: &mut Frame<'_>, area: Rect, line: Line<'_>) {
    frame.render_widget(Paragraph::new(line), area);
}

/// The facts of the selected row beside the list.
fn side(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let facts = detail::long(model);
    let wide = usize::from(area.width);
    let mut out: Vec<Line<'_>> = Vec::new();
    for (label, value) in facts.into_iter().take(area.height.into()) {
        out.push(Line::from(vec![
            Span::styled(fit(&label, 12.min(wide), false), model.theme.dim()),
            Span::raw(model.theme.spell(&printable(&value, wide.saturating_sub(13)))),
        ]));
    }
    frame.render_widget(Paragraph::new(out), area);
}

fn title(model: &Model, wide: u16) -> Line<'static> {
    let theme = model.theme;
    let badge = match &model.link {
        Link::Live => Span::styled("[live]", theme.good()),
        Link::Opening => Span::styled("[connecting]", theme.warn()),
        Link::Down { since, retry_at, .. } if retry_at > &model.now => Span::styled(
            format!("[offline {}, again in {} s]", when::span(model.now - since), retry_at - model.now),
            theme.bad(),
        ),
        Link::Down { since, .. } => {
            Span::styled(format!("[offline {}, reconnecting]", when::span(model.now - since)), theme.bad())
        }
    };
    let host = model.hello.as_ref().map_or_else(|| "yagid".to_owned(), |h| format!("yagid {}", printable(&h.host, 20)));
    let mut spans = vec![Span::styled(host, theme.bold()), Span::raw(" "), badge];
    if model.frozen {
        spans.push(Span::styled(" FROZEN", theme.warn()));
    }
    if let Some(s) = &model.status {
        let rights = if model.read_only || model.hello.as_ref().is_some_and(|h| !h.write) { "read-only" } else { "" };
        let parts = [
            format!("{} streams", s.streams),
            format!("{} clients", s.clients),
            format!("in {}", when::rate(s.in_bits_per_s)),
            format!("out {}", when::rate(s.out_bits_per_s)),
            format!("up {}", when::uptime(s.uptime_s)),
            when::bytes(s.rss_bytes),
            rights.to_owned(),
        ];
        let mut used: usize = spans.iter().map(|s| width(&s.content)).sum();
        for part in parts.into_iter().filter(|p| !p.is_empty()) {
            used += width(&part) + 2;
            if used > usize::from(wide) {
                break;
            }
            spans.push(Span::raw(format!("  {part}")));
        }
    }
    Line::from(spans)
}

fn tabs(model: &Model, wide: u16) -> Line<'static> {
    let name = |v: View| match wide {
        100.. => v.name(),
        _ => v.short(),
    };
    let mut spans = Vec::new();
    // Where there is no room for all names, only the current one is spelled out.
    let narrow = wide < 78;
    for (i, v) in View::ALL.into_iter().enumerate() {
        let number = i + 1;
        if v == model.view {
            spans.push(Span::styled(format!("[{number} {}] ", name(v)), model.theme.bold()));
        } else if narrow {
            spans.push(Span::raw(format!("{number} ")));
        } else {
            spans.push(Span::raw(format!("{number} {} ", name(v))));
        }
    }
    Line::from(spans)
}

fn message(model: &Model, wide: u16) -> Line<'static> {
    let theme = model.theme;
    let cells = usize::from(wide);
    if let Some(toast) = &model.toast {
        let style = if toast.bad { theme.bad() } else { theme.good() };
        return Line::styled(fit(&toast.text, cells, false), style);
    }
    match &model.link {
        Link::Down { fault, .. } => {
            let hint = fault.hint().map_or(String::new(), |h| format!("; {h}"));
            Line::styled(fit(&format!("{fault}{hint}"), cells, false), theme.bad())
        }
        _ => Line::raw(""),
    }
}

fn hints(model: &Model, wide: u16) -> Line<'static> {
    let words: Vec<(&str, &str)> = match &model.mode {
        Mode::Browse => keys::hints(model.view).collect(),
        Mode::Filter { .. } => vec![("Enter", "keep"), ("Esc", "drop"), ("C-u", "empty")],
        Mode::Form(_) => vec![("Tab", "next field"), ("C-s", "save"), ("Space", "turn"), ("Esc", "leave")],
        Mode::Confirm(_) => vec![("y", "yes"), ("Esc", "no")],
        Mode::Urls(_) => {
            vec![("j k", "choose"), ("y", "copy"), ("t", "show secrets"), ("Q", "larger code"), ("Esc", "close")]
        }
        Mode::Detail { .. } | Mode::Help { .. } => vec![("j k", "scroll"), ("Esc", "close")],
    };
    let mut spans = Vec::new();
    let mut used = 0;
    for (key, word) in words {
        used += width(key) + width(word) + 3;
        if used > usize::from(wide) {
            break;
        }
        spans.push(Span::styled(key.to_owned(), model.theme.accent()));
        spans.push(Span::raw(format!(" {word}  ")));
    }
    Line::from(spans)
}
