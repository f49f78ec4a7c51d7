//! Questions, choices, addresses, and what is only read.

use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::Paragraph,
};

use crate::{
    model::{Choose, Confirm, Help, Model, UrlDialog},
    text::{fit, lay, masked, printable, width},
    widgets::{boxed, qr},
};

fn height(lines: usize) -> u16 {
    u16::try_from(lines).unwrap_or(u16::MAX)
}

pub fn confirm(model: &Model, confirm: &Confirm, frame: &mut Frame<'_>) {
    let inside = boxed::draw(model, frame, &confirm.title, "", (70, height(confirm.lines.len() + 5)));
    let wide = usize::from(inside.width);
    // On a low screen the buttons stay.
    let room = usize::from(inside.height.saturating_sub(2));
    let mut lines: Vec<Line<'_>> =
        confirm.lines.iter().take(room).map(|l| Line::raw(model.theme.spell(&printable(l, wide)))).collect();
    lines.push(Line::raw(""));
    let chosen = model.theme.selected();
    lines.push(match confirm.number {
        Some(number) => Line::from(vec![
            Span::styled(format!("Type {number} and Enter to do it: "), model.theme.bad()),
            Span::raw(format!("[{}_]", fit(confirm.input.value(), 8, false).trim_end())),
        ]),
        None => Line::from(vec![
            Span::styled("[ yes: y ]", if confirm.on_yes { chosen } else { model.theme.bad() }),
            Span::raw("   "),
            Span::styled("[ cancel: Esc ]", if confirm.on_yes { model.theme.plain() } else { chosen }),
        ]),
    });
    frame.render_widget(Paragraph::new(lines), inside);
}

pub fn choose(model: &Model, choose: &Choose, frame: &mut Frame<'_>) {
    let inside = boxed::draw(model, frame, &choose.title, "", (76, height(choose.items.len() + 2)));
    let wide = usize::from(inside.width);
    let top = choose.at.saturating_sub(usize::from(inside.height.saturating_sub(1)));
    let lines: Vec<Line<'_>> = choose
        .items
        .iter()
        .enumerate()
        .skip(top)
        .map(|(i, (label, _))| {
            let chosen = i == choose.at;
            let label = printable(label, wide.saturating_sub(2));
            let text = lay(&format!("{} {label}", if chosen { ">" } else { " " }), wide);
            Line::styled(model.theme.spell(&text), if chosen { model.theme.selected() } else { model.theme.plain() })
        })
        .collect();
    frame.render_widget(Paragraph::new(lines), inside);
}

/// Labels and texts that are scrolled.
pub fn reading(model: &Model, title: &str, facts: &[(String, String)], scroll: u16, frame: &mut Frame<'_>) {
    let all = frame.area();
    let label = facts.iter().map(|(l, _)| width(l)).max().unwrap_or(0).clamp(1, 16) + 1;
    let inside = boxed::draw(model, frame, title, "", (all.width.min(110), height(facts.len() + 2).max(4)));
    let wide = usize::from(inside.width);
    let lines: Vec<Line<'_>> = facts
        .iter()
        .map(|(name, value)| {
            let text = model.theme.spell(&printable(value, wide.saturating_sub(label)));
            Line::from(vec![Span::styled(fit(name, label, false), model.theme.dim()), Span::raw(text)])
        })
        .collect();
    let most = height(lines.len()).saturating_sub(inside.height);
    frame.render_widget(Paragraph::new(lines).scroll((scroll.min(most), 0)), inside);
}

pub fn help(model: &Model, help: &Help, frame: &mut Frame<'_>) {
    let all = frame.area();
    let title = format!("Keys of {}", model.view.name());
    let search = help.search.value();
    let right = if help.typing {
        format!("search: {search}_")
    } else if search.is_empty() {
        "/ searches".to_owned()
    } else {
        format!("search: {search}")
    };
    let inside = boxed::draw(model, frame, &title, &right, (all.width.min(86), all.height.saturating_sub(2)));
    let wide = usize::from(inside.width);
    let word = search.to_lowercase();
    let mut lines: Vec<Line<'_>> = model
        .keymap
        .help(model.view)
        .into_iter()
        .filter(|(key, help, name)| {
            word.is_empty() || [key.as_str(), help, name].iter().any(|t| t.to_lowercase().contains(&word))
        })
        .map(|(key, help, name)| {
            let text = if wide >= 78 { fit(help, wide - 34, false) + " " + &name } else { help.to_owned() };
            Line::from(vec![
                Span::styled(fit(&key, 16, false), model.theme.accent()),
                Span::raw(printable(&text, wide.saturating_sub(16)).into_owned()),
            ])
        })
        .collect();
    if word.is_empty() {
        let about = |text: String| Line::styled(model.theme.spell(&printable(&text, wide)), model.theme.dim());
        lines.push(Line::raw(""));
        lines.push(about(format!("yagi {}", env!("CARGO_PKG_VERSION"))));
        if let Some(hello) = &model.hello {
            lines.push(about(format!("yagid {} on {}; you are {}", hello.version, hello.host, hello.actor)));
        }
        if let Some(status) = &model.status {
            let listen = status.listen.join(", ");
            lines.push(about(format!("up {}, players connect to {listen}", crate::when::uptime(status.uptime_s))));
        }
        lines.push(about("Names of actions are those of [keys] in ~/.config/yagi/config.toml".into()));
    }
    let most = height(lines.len()).saturating_sub(inside.height);
    frame.render_widget(Paragraph::new(lines).scroll((help.scroll.min(most), 0)), inside);
}

pub fn urls(model: &Model, dialog: &UrlDialog, frame: &mut Frame<'_>) {
    let all = frame.area();
    let choices = dialog.choices();
    let (label, text) = choices[dialog.choice];
    let name = printable(&dialog.urls.name, 40).into_owned();
    let screen = (usize::from(all.width), usize::from(all.height));
    if dialog.large {
        return large(model, frame, text, &format!("{label} of {name}"));
    }
    // Beside the code there is room for the addresses, else they stand alone.
    let code = qr::lines(text, (screen.0.saturating_sub(4 + 30), screen.1.saturating_sub(2)));
    let code_height = code.as_ref().map_or(0, Vec::len);
    let rows = (choices.len() + 7).max(code_height + 2);
    let title = format!("Addresses of {name}");
    let inside = boxed::draw(model, frame, &title, "", (all.width.min(130), height(rows)));
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
        let cursor = if i == dialog.choice { ">" } else { " " };
        let line = format!("{cursor} {}{}", fit(label, 9, false), printable(&shown, wide.saturating_sub(11)));
        let style = if i == dialog.choice { model.theme.selected() } else { model.theme.plain() };
        lines.push(Line::styled(lay(&line, wide), style));
    }
    lines.push(Line::raw(""));
    if dialog.fresh {
        lines.push(Line::styled(fit("a new password: keep it, it is shown once", wide, false), model.theme.warn()));
    }
    if dialog.bases.len() > 1 {
        let base = format!("b address {} of {}: {}", dialog.base + 1, dialog.bases.len(), dialog.bases[dialog.base]);
        lines.push(Line::styled(fit(&base, wide, false), model.theme.dim()));
    }
    if dialog.urls.short.is_none() {
        lines.push(Line::styled(fit("T makes a short link, without the password", wide, false), model.theme.dim()));
    }
    lines.push(Line::raw(fit("y copies, Y copies all, t shows secrets", wide, false)));
    if left == 0 {
        lines.push(Line::styled(fit("Q shows the code", wide, false), model.theme.dim()));
    }
    frame.render_widget(Paragraph::new(lines), right);
}

/// The code alone, on the whole screen.
fn large(model: &Model, frame: &mut Frame<'_>, text: &str, title: &str) {
    let all = frame.area();
    let room = (usize::from(all.width), usize::from(all.height));
    let Some(code) = qr::lines(text, room) else {
        let inside = boxed::draw(model, frame, title, "", (60, 4));
        let said = "this screen is too small for the code: enlarge it, or choose a shorter one with j";
        frame.render_widget(Paragraph::new(vec![Line::raw(fit(said, inside.width.into(), false))]), inside);
        return;
    };
    frame.render_widget(ratatui::widgets::Clear, all);
    let (w, h) = (u16::try_from(code.first().map_or(0, Line::width)).unwrap_or(0), height(code.len()));
    let area =
        Rect { x: (all.width - w.min(all.width)) / 2, y: (all.height - h.min(all.height)) / 2, width: w, height: h };
    frame.render_widget(Paragraph::new(code), area.intersection(all));
}
