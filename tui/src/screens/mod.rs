//! From the model to the screen.
//!
//! Owns the frame around every view: title, tabs, filter, detail, message, hints. Must not enter: changes of the model.
//! Invariant: pure; foreign text reaches a cell only through `printable`; any size can be drawn.

pub mod columns;
mod dialogs;
pub mod facts;
mod form;
mod lists;
mod logs;
pub mod reading;
mod review;
mod side;
mod start;

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use crate::{
    model::{Link, Mode, Model, PromptKind, View},
    palette,
    rows::pages,
    text::{count, fit, lay, printable, width},
    update, when,
};

/// Cells before the first column: cursor, mark, blank.
pub const MARGIN: usize = 3;
/// Of the categories beside the channels, with the line that separates them.
pub const TREE_WIDTH: u16 = 29;

/// Draws everything.
pub fn view(model: &Model, frame: &mut Frame<'_>) {
    let area = frame.area();
    if area.width < 10 || area.height < 5 {
        frame.render_widget(Paragraph::new("enlarge"), area);
        return;
    }
    line(frame, area, 0, title(model, area.width));
    line(frame, area, 1, tabs(model, area.width));
    let detail = pages::detail_lines(model);
    let body = Rect { y: area.y + 2, height: area.height.saturating_sub(4 + detail), ..area };
    if model.is_new_house() && model.view == View::Streams {
        start::card(model, frame, body);
    } else if pages::has_side(model) {
        let left = Rect { width: side_left(area.width), ..body };
        let right = Rect { x: left.right() + 1, width: area.width - left.width - 1, ..body };
        lists::draw(model, frame, left);
        side::rule(
            model,
            frame,
            Rect { x: left.right(), width: 1, y: body.y + 1, height: body.height.saturating_sub(1) },
        );
        side::draw(model, frame, Rect { x: right.x + 1, width: right.width.saturating_sub(1), ..right });
    } else if pages::has_tree(model) {
        let head = Rect { height: 1, ..body };
        lists::head(model, frame, head);
        let rest = Rect { y: body.y + 1, height: body.height - 1, ..body };
        let left = Rect { width: TREE_WIDTH - 1, ..rest };
        side::tree(model, frame, left);
        side::rule(model, frame, Rect { x: left.right(), width: 1, ..rest });
        lists::rows(model, frame, Rect { x: left.right() + 1, width: area.width - TREE_WIDTH, ..rest });
    } else {
        lists::draw(model, frame, body);
    }
    if detail > 0 {
        let at = area.height - 2 - detail;
        for (i, fact) in facts::short(model, area.width.into()).into_iter().enumerate() {
            let text = model.theme.spell(&lay(&fact, area.width.into()));
            line(frame, area, at + u16::try_from(i).unwrap_or(0), Line::styled(text, model.theme.dim()));
        }
    }
    line(frame, area, area.height - 2, message(model, area.width));
    line(frame, area, area.height - 1, hints(model, area.width));
    over(model, frame);
}

/// What lies over the list.
fn over(model: &Model, frame: &mut Frame<'_>) {
    match &model.mode {
        Mode::Browse => {}
        Mode::Prompt(prompt) => {
            let area = frame.area();
            let label = prompt.kind.label();
            let at = u16::try_from(width(label) + prompt.input.visual_cursor()).unwrap_or(u16::MAX);
            frame.set_cursor_position((at.min(area.width - 1), area.height - 2));
        }
        Mode::Form(form) => form::draw(model, form, frame),
        Mode::Confirm(confirm) => dialogs::confirm(model, confirm, frame),
        Mode::Urls(dialog) => dialogs::urls(model, dialog, frame),
        Mode::Choose(choose) => dialogs::choose(model, choose, frame),
        Mode::Detail { scroll } => dialogs::reading(model, model.view.nouns().0, &facts::long(model), *scroll, frame),
        Mode::Page(page) => dialogs::reading(model, &page.title, &page.lines, page.scroll, frame),
        Mode::Help(help) => dialogs::help(model, help, frame),
        Mode::Review(review) => review::draw(model, review, frame),
        Mode::Wizard(wizard) => start::wizard(model, wizard, frame),
    }
}

/// Width of the list beside which the facts stand.
#[must_use]
pub fn side_left(width: u16) -> u16 {
    (width * 3 / 5).max(80)
}

fn line(frame: &mut Frame<'_>, area: Rect, y: u16, line: Line<'_>) {
    frame.render_widget(Paragraph::new(line), Rect { y: area.y + y.min(area.height - 1), height: 1, ..area });
}

fn title(model: &Model, wide: u16) -> Line<'static> {
    let theme = model.theme;
    let badge = match &model.link {
        Link::Live => Span::styled("[live]", theme.good()),
        Link::Opening => Span::styled("[connecting]", theme.warn()),
        Link::Down { retry_at, .. } if retry_at > &model.now => {
            Span::styled(format!("[offline, again in {} s]", retry_at - model.now), theme.bad())
        }
        Link::Down { .. } => Span::styled("[offline, reconnecting]", theme.bad()),
    };
    let roomy = wide >= pages::WIDE;
    let version = |v: &str| if roomy { format!(" ({})", printable(v, 20)) } else { String::new() };
    let host = match &model.hello {
        Some(hello) => theme.spell(&format!("yagid {}{}", printable(&hello.host, 20), version(&hello.version))),
        None => "yagid".to_owned(),
    };
    let glue = if roomy { "   " } else { " " };
    let mut spans = vec![Span::styled(host, theme.bold()), Span::raw(" "), badge];
    if model.frozen {
        spans.push(Span::styled(" FROZEN", theme.warn()));
    }
    if let Some(s) = &model.status {
        let rate = |bits| if roomy { when::rate(bits) } else { when::short_rate(bits) };
        let mut parts = vec![count(s.streams, "stream"), count(s.clients, "client")];
        parts.push(format!("in {}", rate(s.in_bits_per_s)));
        parts.push(format!("out {}", rate(s.out_bits_per_s)));
        if roomy {
            parts.push(format!("cpu {} %", s.cpu_permille.div_ceil(10)));
            parts.push(format!("rss {}", when::bytes(s.rss_bytes)));
        }
        parts.push(format!("up {}", when::uptime(s.uptime_s)));
        parts.push(model.rights().to_owned());
        if model.link != Link::Live {
            // The age of what is shown is what counts now.
            parts.insert(0, format!("{} old", when::span(model.now - model.fresh_at)));
        }
        let mut used: usize = spans.iter().map(|s| width(&s.content)).sum();
        for part in parts.into_iter().filter(|p| !p.is_empty()) {
            used += width(&part) + glue.len();
            if used > usize::from(wide) {
                break;
            }
            spans.push(Span::raw(format!("{glue}{part}")));
        }
    }
    Line::from(spans)
}

/// Texts of the tabs, and whether each is the current view.
fn tab_texts(model: &Model, wide: u16) -> Vec<(String, bool)> {
    let name = |v: View| if wide >= 100 { v.name() } else { v.short() };
    // Where there is no room for all names, only the current one is spelled out.
    let narrow = wide < 78;
    let tabs = View::ALL.into_iter().zip(1..).map(|(v, number)| {
        if v == model.view {
            (format!("[{number} {}] ", name(v)), true)
        } else if narrow {
            (format!("{number} "), false)
        } else {
            (format!("{number} {} ", name(v)), false)
        }
    });
    tabs.collect()
}

fn tabs(model: &Model, wide: u16) -> Line<'static> {
    let style = |current| if current { model.theme.bold() } else { model.theme.plain() };
    Line::from(
        tab_texts(model, wide)
            .into_iter()
            .map(|(text, current)| Span::styled(text, style(current)))
            .collect::<Vec<_>>(),
    )
}

/// The view whose tab is at a cell.
#[must_use]
pub fn tab_at(model: &Model, x: u16) -> Option<View> {
    let mut at = 0;
    for ((text, _), view) in tab_texts(model, model.size.0).iter().zip(View::ALL) {
        at += width(text);
        if usize::from(x) < at {
            return Some(view);
        }
    }
    None
}

fn message(model: &Model, wide: u16) -> Line<'static> {
    let theme = model.theme;
    let cells = usize::from(wide);
    let told = |text: &str, style| Line::styled(theme.spell(&fit(text, cells, false)), style);
    if let Mode::Prompt(prompt) = &model.mode {
        let text = format!("{}{}", prompt.kind.label(), prompt.input.value());
        return match &prompt.fault {
            Some(fault) => told(&format!("{text}   ! {fault}"), theme.bad()),
            None => told(&text, theme.bold()),
        };
    }
    if let Some(count) = model.count {
        return told(&format!("{count}_   (j k g G move by it)"), theme.bold());
    }
    if let Some(toast) = &model.toast {
        return told(&toast.text, if toast.bad { theme.bad() } else { theme.good() });
    }
    if let Link::Down { fault, .. } = &model.link {
        let hint = fault.hint().map_or(String::new(), |h| format!("; {h}"));
        return told(&format!("{fault}{hint}"), theme.bad());
    }
    let marked = model.marked();
    if marked > 0 {
        return told(&format!("{marked} marked; Esc clears the marks"), theme.plain());
    }
    if model.list().anchor.is_some() {
        return told("v at the other end marks the range", theme.plain());
    }
    if let Some(job) = model.jobs.iter().rev().find(|j| !j.state.is_over()) {
        return told(&facts::progress(job, model.now), theme.accent());
    }
    Line::raw("")
}

fn hints(model: &Model, wide: u16) -> Line<'static> {
    let fixed = |words: &[(&'static str, &'static str)]| -> Vec<(String, String)> {
        words.iter().map(|(k, w)| ((*k).to_owned(), (*w).to_owned())).collect()
    };
    let words = match &model.mode {
        Mode::Browse => model.keymap.hints(model.view).map(|(k, w)| (k.to_owned(), w.to_owned())).collect(),
        Mode::Prompt(prompt) => match prompt.kind {
            PromptKind::Filter => fixed(&[
                ("Enter", "keep"),
                ("Esc", "drop"),
                ("Up", "earlier"),
                ("C-w", "word"),
                ("C-u", "empty"),
                ("", "term !not field:text"),
            ]),
            PromptKind::Command => {
                let found = palette::candidates(model, prompt.input.value()).join(" ");
                vec![("Tab".to_owned(), theme_safe(model, &found))]
            }
            PromptKind::Move => {
                let found = update::categories(model, prompt.input.value()).join("; ");
                vec![("Tab".to_owned(), theme_safe(model, &found))]
            }
            _ => fixed(&[("Enter", "do it"), ("Esc", "leave")]),
        },
        Mode::Form(form) if form.picker.is_some() => {
            fixed(&[("Space", "choose"), ("Enter", "done"), ("Esc", "leave"), ("", "type to narrow")])
        }
        Mode::Form(form) => {
            let mut words = fixed(&[("Tab", "field"), ("Space", "turn"), ("Enter", "pick"), ("C-s", "save")]);
            if form.view == View::Users && form.row.is_some() {
                words.extend(fixed(&[("C-u", "urls")]));
            }
            if form.fields.iter().any(crate::form::Field::is_secret) {
                words.extend(fixed(&[("C-g", "new password"), ("C-t", "show")]));
            }
            words.extend(fixed(&[("Esc", "leave")]));
            words
        }
        Mode::Confirm(confirm) if confirm.number.is_some() => {
            fixed(&[("Enter", "when the number is right"), ("Esc", "no")])
        }
        Mode::Confirm(_) => fixed(&[("y", "yes"), ("Esc", "no")]),
        Mode::Urls(_) => fixed(&[
            ("j k", "choose"),
            ("y", "copy"),
            ("Y", "copy all"),
            ("t", "show secrets"),
            ("Q", "bigger code"),
            ("T", "short link"),
            ("b", "other address"),
            ("Esc", "close"),
        ]),
        Mode::Choose(_) => fixed(&[("j k", "choose"), ("Enter", "take"), ("Esc", "close")]),
        Mode::Help(help) if help.typing => fixed(&[("Enter", "keep"), ("Esc", "all keys")]),
        Mode::Help(_) => fixed(&[("j k", "scroll"), ("/", "search"), ("Esc", "close")]),
        Mode::Detail { .. } | Mode::Page(_) => fixed(&[("j k", "scroll"), ("Esc", "close")]),
        Mode::Review(_) => fixed(&[("y", "apply"), ("e", "edit again"), ("j k", "scroll"), ("Esc", "drop")]),
        Mode::Wizard(_) => fixed(&[("Enter", "next"), ("Esc", "leave")]),
    };
    let mut spans = Vec::new();
    let mut used = 0;
    for (i, (key, word)) in words.into_iter().enumerate() {
        let room = usize::from(wide).saturating_sub(used + width(&key) + 1);
        if width(&word) > room && i > 0 {
            break;
        }
        let word = printable(&word, room).into_owned();
        used += width(&key) + width(&word) + 2;
        spans.push(Span::styled(key, model.theme.accent()));
        spans.push(Span::raw(format!(" {word} ")));
    }
    Line::from(spans)
}

fn theme_safe(model: &Model, text: &str) -> String {
    model.theme.spell(&printable(text, 400))
}
