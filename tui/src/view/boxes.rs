//! What lies over the list: forms, questions, addresses, help, the start card.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::{Clear, Paragraph},
};

use super::{detail as facts, qr};
use crate::{
    form::Form,
    keys,
    model::{Confirm, Model, UrlDialog},
    text::{fit, masked, printable, width},
};

/// Draws a box of this size in the middle and says where its inside is.
fn boxed(model: &Model, frame: &mut Frame<'_>, title: &str, size: (u16, u16)) -> Rect {
    let all = frame.area();
    let area = {
        let (w, h) = (size.0.min(all.width), size.1.min(all.height));
        Rect { x: (all.width - w) / 2, y: (all.height - h) / 2, width: w, height: h }
    };
    frame.render_widget(Clear, area);
    let [tl, tr, bl, br, h, v] = model.theme.frame();
    let wide = usize::from(area.width.saturating_sub(2));
    let title = format!("{h} {} ", printable(title, wide.saturating_sub(4)));
    let rest = wide.saturating_sub(width(&title));
    let mut lines = vec![Line::styled(format!("{tl}{title}{}{tr}", h.repeat(rest)), model.theme.bold())];
    lines.extend((2..area.height).map(|_| Line::raw(format!("{v}{}{v}", " ".repeat(wide)))));
    lines.push(Line::raw(format!("{bl}{}{br}", h.repeat(wide))));
    frame.render_widget(Paragraph::new(lines), area);
    Rect { x: area.x + 2, y: area.y + 1, width: area.width.saturating_sub(4), height: area.height.saturating_sub(2) }
}

pub fn form(model: &Model, form: &Form, frame: &mut Frame<'_>) {
    let height = u16::try_from(form.fields.len() * 2 + 4).unwrap_or(24);
    let title = format!("{}{}", form.title, if form.is_touched() { " (modified)" } else { "" });
    let inside = boxed(model, frame, &title, (76, height));
    let wide = usize::from(inside.width);
    let theme = model.theme;
    let mut lines = Vec::new();
    let mut cursor = None;
    // On a low screen the focused field stays visible.
    let room = usize::from(inside.height.saturating_sub(1));
    let first = if form.fields.len() * 2 > room { form.focus.saturating_sub(room / 4) } else { 0 };
    for (i, field) in form.fields.iter().enumerate().skip(first) {
        let focused = i == form.focus;
        let room = wide.saturating_sub(17);
        let scroll = field.input.visual_scroll(room.saturating_sub(1));
        let shown: String = field.input.value().chars().skip(scroll).collect();
        if focused {
            let at = field.input.visual_cursor().saturating_sub(scroll);
            cursor = Some((u16::try_from(15 + at).unwrap_or(0), u16::try_from(lines.len()).unwrap_or(0)));
        }
        let style = if focused { theme.bold() } else { theme.plain() };
        lines.push(Line::from(vec![
            Span::styled(fit(field.label, 14, false), style),
            Span::styled(format!("[{}]", fit(&shown, room, false)), style),
        ]));
        let fault = field.fault(model.now).filter(|_| focused || !field.input.value().is_empty());
        lines.push(match fault {
            Some(fault) => {
                Line::styled(format!("               ! {}", printable(&fault, wide.saturating_sub(17))), theme.bad())
            }
            None => {
                Line::styled(format!("               {}", fit(field.hint, wide.saturating_sub(15), false)), theme.dim())
            }
        });
    }
    lines.truncate(inside.height.saturating_sub(1).into());
    let last = match (&form.refused, form.leaving) {
        (_, true) => Line::styled("Esc again leaves and forgets what was typed", theme.warn()),
        (Some(why), _) => Line::styled(printable(why, wide).into_owned(), theme.bad()),
        _ => Line::raw("Ctrl-s saves"),
    };
    frame.render_widget(Paragraph::new(lines), inside);
    let foot = Rect { y: inside.bottom().saturating_sub(1), height: 1, ..inside };
    frame.render_widget(Paragraph::new(last), foot);
    if let Some((x, y)) = cursor {
        frame.set_cursor_position((inside.x + x.min(inside.width.saturating_sub(1)), inside.y + y));
    }
}

pub fn confirm(model: &Model, confirm: &Confirm, frame: &mut Frame<'_>) {
    let inside = boxed(model, frame, &confirm.title, (70, u16::try_from(confirm.lines.len() + 5).unwrap_or(8)));
    let wide = usize::from(inside.width);
    let mut lines: Vec<Line<'_>> =
        confirm.lines.iter().map(|l| Line::raw(model.theme.spell(&printable(l, wide)))).collect();
    lines.push(Line::raw(""));
    let (yes, no) = ("[ yes: y ]", "[ cancel: Esc ]");
    let chosen = model.theme.selected();
    lines.push(Line::from(vec![
        Span::styled(yes, if confirm.on_yes { chosen } else { model.theme.bad() }),
        Span::raw("   "),
        Span::styled(no, if confirm.on_yes { model.theme.plain() } else { chosen }),
    ]));
    frame.render_widget(Paragraph::new(lines), inside);
}

pub fn urls(model: &Model, dialog: &UrlDialog, frame: &mut Frame<'_>) {
    let all = frame.area();
    let choices = dialog.choices();
    let (_, text) = choices[dialog.choice];
    let screen = (usize::from(all.width.saturating_sub(4)), usize::from(all.height.saturating_sub(2)));
    if dialog.large {
        let inside = boxed(
            model,
            frame,
            &format!("{} of {}", choices[dialog.choice].0, dialog.urls.name),
            (all.width, all.height),
        );
        let lines = qr::lines(text, screen)
            .unwrap_or_else(|| vec![Line::raw("this screen is too small for the code: enlarge it")]);
        frame.render_widget(Paragraph::new(lines), inside);
        return;
    }
    let code = qr::lines(text, (screen.0.saturating_sub(36), screen.1.saturating_sub(2)));
    let code_height = code.as_ref().map_or(0, Vec::len);
    let height = (choices.len() + 5).max(code_height + 2);
    let inside = boxed(
        model,
        frame,
        &format!("Addresses of {}", dialog.urls.name),
        (all.width.min(130), u16::try_from(height).unwrap_or(24)),
    );
    let mut left = 0;
    if let Some(code) = code {
        left = u16::try_from(code.first().map_or(0, Line::width)).unwrap_or(0) + 2;
        frame.render_widget(Paragraph::new(code), inside);
    }
    let right = Rect { x: inside.x + left, width: inside.width.saturating_sub(left), ..inside };
    let wide = usize::from(right.width);
    let mut lines: Vec<Line<'_>> = Vec::new();
    for (i, (label, text)) in choices.iter().enumerate() {
        let shown = match *label {
            "Password" if !dialog.shown => "****".to_owned(),
            _ if dialog.shown => (*text).to_owned(),
            _ => masked(text),
        };
        let line = format!(
            "{} {}{}",
            if i == dialog.choice { ">" } else { " " },
            fit(label, 10, false),
            printable(&shown, wide.saturating_sub(12))
        );
        lines.push(if i == dialog.choice { Line::styled(line, model.theme.selected()) } else { Line::raw(line) });
    }
    lines.push(Line::raw(""));
    if dialog.fresh {
        lines.push(Line::styled("a new password: the old one no longer works", model.theme.warn()));
    }
    lines.push(Line::raw(fit("y copies the chosen one, t shows secrets, Q makes the code larger", wide, false)));
    frame.render_widget(Paragraph::new(lines), right);
}

pub fn detail(model: &Model, scroll: u16, frame: &mut Frame<'_>) {
    let facts = facts::long(model);
    let inside = boxed(model, frame, model.view.name(), (100, u16::try_from(facts.len() + 2).unwrap_or(24).max(4)));
    let wide = usize::from(inside.width);
    let lines: Vec<Line<'_>> = facts
        .iter()
        .map(|(label, value)| {
            Line::raw(model.theme.spell(&format!(
                "{} {}",
                fit(label, 12, false),
                printable(value, wide.saturating_sub(13))
            )))
        })
        .collect();
    frame.render_widget(Paragraph::new(lines).scroll((scroll, 0)), inside);
}

pub fn help(model: &Model, scroll: u16, frame: &mut Frame<'_>) {
    let all = frame.area();
    let title = format!("Keys of {}", model.view.name());
    let inside = boxed(model, frame, &title, (all.width.min(76), all.height.saturating_sub(2)));
    let lines: Vec<Line<'_>> = keys::help(model.view)
        .into_iter()
        .map(|(key, help)| Line::from(vec![Span::styled(fit(&key, 16, false), model.theme.accent()), Span::raw(help)]))
        .collect();
    let most = u16::try_from(lines.len()).unwrap_or(0).saturating_sub(inside.height);
    frame.render_widget(Paragraph::new(lines).scroll((scroll.min(most), 0)), inside);
}

pub fn start_card(frame: &mut Frame<'_>, area: Rect) {
    let lines = [
        "Nothing is here yet. From nothing to a picture in three steps:",
        "",
        "  1  add a source: press 6, then n, and paste the address of a playlist",
        "  2  add a user:   press 5, then n; the password is generated",
        "  3  its addresses and a QR code for the player come up by themselves (U shows them again)",
        "",
        "The same from a shell:",
        "  yagi sources add http://provider.example/list.m3u --wait",
        "  yagi users add alice && yagi url alice",
    ];
    let wide = usize::from(area.width);
    let shown: Vec<Line<'_>> = lines.iter().map(|l| Line::raw(fit(l, wide, false))).collect();
    frame.render_widget(
        Paragraph::new(shown),
        Rect { y: area.y + 1.min(area.height), height: area.height.saturating_sub(1), ..area },
    );
}
