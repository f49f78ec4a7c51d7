//! A form: fields with what is wrong below them, buttons, and names to pick from.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use crate::{
    form::{Field, Form, Kind},
    model::{Model, View},
    text::{fit, lay, printable, width},
    when,
    widgets::boxed,
};

const LABEL: usize = 13;

pub fn draw(model: &Model, form: &Form, frame: &mut Frame<'_>) {
    let theme = model.theme;
    let (lines, cursor) = fields(model, form, usize::from(frame.area().width.min(78)) - 4);
    let sessions = sessions(model, form);
    let about = usize::from(!form.about.is_empty());
    let rows = about + lines.len() + sessions.len() + 3;
    let size = (78, u16::try_from(rows + 2).unwrap_or(24));
    let word = if form.is_touched() { "modified" } else { "" };
    let inside = boxed::draw(model, frame, &form.title, word, size);
    let wide = usize::from(inside.width);
    let mut shown: Vec<Line<'_>> = Vec::new();
    if about > 0 {
        shown.push(Line::styled(theme.spell(&printable(&form.about, wide)), theme.dim()));
    }
    shown.extend(lines);
    shown.extend(sessions.into_iter().map(|s| Line::styled(theme.spell(&lay(&s, wide)), theme.dim())));
    // On a low screen the focused field stays visible, and so do the buttons.
    let room = usize::from(inside.height.saturating_sub(2));
    let at = about + cursor.map_or(0, |(_, y)| usize::from(y));
    let top = if shown.len() > room { at.saturating_sub(room / 2).min(shown.len() - room) } else { 0 };
    let body = Rect { height: inside.height.saturating_sub(2), ..inside };
    frame.render_widget(Paragraph::new(shown).scroll((u16::try_from(top).unwrap_or(0), 0)), body);
    let foot = Rect { y: inside.bottom().saturating_sub(2), height: 2.min(inside.height), ..inside };
    frame.render_widget(Paragraph::new(vec![buttons(model, form), said(model, form, wide)]), foot);
    if let Some((x, _)) = cursor
        && let Some(y) = at.checked_sub(top).and_then(|y| u16::try_from(y).ok())
        && y < body.height
    {
        frame.set_cursor_position((inside.x + x.min(inside.width.saturating_sub(1)), inside.y + y));
    }
    if let Some(picker) = &form.picker {
        picked(model, picker, frame);
    }
}

/// The lines of all fields, and where the cursor is among them.
fn fields(model: &Model, form: &Form, wide: usize) -> (Vec<Line<'static>>, Option<(u16, u16)>) {
    let theme = model.theme;
    let mut lines = Vec::new();
    let mut cursor = None;
    for (i, field) in form.fields.iter().enumerate() {
        let focused = i == form.focus;
        let style = if focused { theme.bold() } else { theme.plain() };
        let aside = field.aside(model.now);
        let note = if aside.is_empty() { field.hint.to_owned() } else { aside };
        let room = wide.saturating_sub(LABEL + 2);
        let mut spans = vec![Span::styled(fit(field.label, LABEL, false), style)];
        if field.is_turned() {
            spans.push(Span::styled(switch(field), if focused { theme.selected() } else { style }));
            spans.push(Span::styled(format!("  {}", printable(field.hint, room / 2)), theme.dim()));
            if focused {
                cursor = Some((u16::try_from(LABEL + 1).unwrap_or(0), u16::try_from(lines.len()).unwrap_or(0)));
            }
        } else {
            let short = matches!(field.kind, Kind::Number(_) | Kind::Expiry | Kind::Password | Kind::Formats);
            let cells = if short { room.min(22) } else { room };
            let scroll = field.input.visual_scroll(cells.saturating_sub(1));
            let hidden = field.is_secret() && !form.shown;
            let text: String = if hidden {
                "*".repeat(field.input.value().chars().count())
            } else {
                field.input.value().chars().skip(scroll).collect()
            };
            if focused {
                let at = field.input.visual_cursor().saturating_sub(scroll);
                let x = u16::try_from(LABEL + 1 + at).unwrap_or(0);
                cursor = Some((x, u16::try_from(lines.len()).unwrap_or(0)));
            }
            spans.push(Span::styled(format!("[{}]", theme.spell(&fit(&text, cells, false))), style));
            // A long field has no room for a note beside it: it stands inside while the field is empty.
            if short {
                spans
                    .push(Span::styled(format!("  {}", printable(&note, room.saturating_sub(cells + 2))), theme.dim()));
            } else if text.is_empty() && !note.is_empty() {
                spans.pop();
                spans.push(Span::styled("[", style));
                spans.push(Span::styled(fit(&note, cells, false), theme.dim()));
                spans.push(Span::styled("]", style));
            }
        }
        lines.push(Line::from(spans));
        if let Some(fault) =
            field.fault(model.now).filter(|_| focused && field.is_touched() || !field.input.value().is_empty())
        {
            let text = format!("{}! {}", " ".repeat(LABEL), printable(&fault, room));
            lines.push(Line::styled(text, theme.bad()));
        }
        if let Some((_, theirs)) = form.theirs.iter().find(|(key, _)| *key == field.key) {
            let theirs = if theirs.is_empty() { "(empty)" } else { theirs };
            let text = format!("{}! now: {}", " ".repeat(LABEL), printable(theirs, room.saturating_sub(7)));
            lines.push(Line::styled(theme.spell(&text), theme.warn()));
        }
    }
    (lines, cursor)
}

fn switch(field: &Field) -> String {
    let value = field.input.value();
    match field.kind {
        Kind::Choice(words) => words
            .iter()
            .map(|w| format!("({}) {w} ", if *w == value { "o" } else { " " }))
            .collect::<String>()
            .trim_end()
            .to_owned(),
        _ => match value {
            "yes" => "[x] yes".into(),
            "no" => "[ ] no ".into(),
            _ => "[-] as they are".into(),
        },
    }
}

/// What a user watches at this moment.
fn sessions(model: &Model, form: &Form) -> Vec<String> {
    let Some((id, _)) = form.row.as_ref().filter(|_| form.view == View::Users) else { return Vec::new() };
    let mine: Vec<_> = model.clients.iter().filter(|c| c.user.is_some_and(|u| u.0 == *id)).collect();
    let line = |c: &&yagi_api::ClientRow| {
        let agent = printable(&c.agent, 16);
        format!(
            "{}{}, {}, {agent}, {}",
            fit("watches", LABEL, false),
            printable(&c.channel_name, 20),
            printable(&c.ip, 40),
            when::uptime(c.since_s)
        )
    };
    mine.iter().take(2).map(line).collect()
}

fn buttons(model: &Model, form: &Form) -> Line<'static> {
    let theme = model.theme;
    let clean = form.faults(model.now).is_empty();
    let style = |at: usize| match (form.focus == form.fields.len() + at, at == 0 && !clean) {
        (true, _) => theme.selected(),
        (_, true) => theme.dim(),
        _ => theme.bold(),
    };
    Line::from(vec![Span::styled("[ Save ^S ]", style(0)), Span::raw("    "), Span::styled("[ Cancel Esc ]", style(1))])
}

fn said(model: &Model, form: &Form, wide: usize) -> Line<'static> {
    let theme = model.theme;
    let faults = form.faults(model.now);
    if form.leaving {
        return Line::styled(fit("Esc again leaves and forgets what was typed; ^S saves", wide, false), theme.warn());
    }
    if let Some(why) = &form.refused {
        return Line::styled(theme.spell(&printable(why, wide)), theme.bad());
    }
    if form.sent {
        return Line::styled("saving ...", theme.dim());
    }
    if faults.is_empty() {
        return Line::raw("");
    }
    let what = if faults.len() == 1 { "1 field to fix" } else { "fields to fix" };
    Line::styled(printable(&format!("{what}: {}", faults.join(", ")), wide).into_owned(), theme.bad())
}

fn picked(model: &Model, picker: &crate::form::Picker, frame: &mut Frame<'_>) {
    let all = frame.area();
    let shown = picker.shown();
    let height = u16::try_from(shown.len() + 2).unwrap_or(u16::MAX).clamp(4, all.height.saturating_sub(4).max(4));
    let filter = if picker.filter.is_empty() { "type to narrow".to_owned() } else { picker.filter.clone() };
    let inside = boxed::draw(model, frame, "Categories", &printable(&filter, 20), (50, height));
    let wide = usize::from(inside.width);
    let room = usize::from(inside.height);
    let top = picker.at.saturating_sub(room.saturating_sub(1));
    let lines: Vec<Line<'_>> = shown
        .iter()
        .enumerate()
        .skip(top)
        .take(room)
        .map(|(i, (name, chosen))| {
            let mark = match (picker.is_many(), chosen) {
                (true, true) => "[x]",
                (true, false) => "[ ]",
                (false, true) => "(o)",
                (false, false) => "( )",
            };
            let text = format!("{mark} {}", printable(name, wide.saturating_sub(4)));
            let text = model.theme.spell(&lay(&text, wide));
            debug_assert!(width(&text) <= wide);
            Line::styled(text, if i == picker.at { model.theme.selected() } else { model.theme.plain() })
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), inside);
}
