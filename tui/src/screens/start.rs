//! The start card of an empty house, and the steps from an address to a link.

use ratatui::{Frame, layout::Rect, text::Line, widgets::Paragraph};

use super::facts;
use crate::{
    model::{Model, Step, Wizard},
    text::{fit, lay, masked, printable},
    when,
    widgets::boxed,
};

pub fn card(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let lines = [
        "Nothing is here yet. From nothing to a picture in three answers:",
        "",
        "  1  the address of a playlist, or a file of this machine",
        "  2  yes, that is the one (channels and groups are shown first)",
        "  3  a name for the first viewer; the password is generated",
        "",
        "Then its playlist link and a QR code for the player come up.",
        "",
        "Enter begins; or paste the address right here.",
        "",
        "The same from a shell:",
        "  yagi sources add http://provider.example/list.m3u --wait",
        "  yagi users add tv && yagi url tv",
    ];
    let wide = usize::from(area.width);
    let shown: Vec<Line<'_>> = lines
        .iter()
        .enumerate()
        .map(|(i, l)| Line::styled(lay(l, wide), if i == 8 { model.theme.bold() } else { model.theme.plain() }))
        .collect();
    let down = if area.height > 14 { 1 } else { 0 };
    frame.render_widget(
        Paragraph::new(shown),
        Rect { y: area.y + down, height: area.height.saturating_sub(down), ..area },
    );
}

pub fn wizard(model: &Model, wizard: &Wizard, frame: &mut Frame<'_>) {
    let title = match (wizard.whole, wizard.step) {
        (true, Step::Address) => "1 of 3: a source",
        (true, Step::Found) => "2 of 3: this is there",
        (true, Step::User) => "3 of 3: the first viewer",
        (false, Step::Address) => "New source",
        (false, _) => "New source: this is there",
    };
    let theme = model.theme;
    let width = frame.area().width.min(78);
    let wide = usize::from(width.saturating_sub(4));
    let mut cursor = None;
    let mut lines: Vec<Line<'_>> = Vec::new();
    let typed = |lines: &mut Vec<Line<'_>>, cursor: &mut Option<(u16, u16)>| {
        let room = wide.saturating_sub(2);
        let scroll = wizard.input.visual_scroll(room.saturating_sub(1));
        let text: String = wizard.input.value().chars().skip(scroll).collect();
        let x = u16::try_from(1 + wizard.input.visual_cursor().saturating_sub(scroll)).unwrap_or(0);
        *cursor = Some((x, u16::try_from(lines.len()).unwrap_or(0)));
        lines.push(Line::styled(format!("[{}]", theme.spell(&fit(&text, room, false))), theme.bold()));
    };
    match wizard.step {
        Step::Address => {
            lines.push(Line::raw("The address of a playlist (M3U) or a guide (XMLTV):"));
            lines.push(Line::styled("http://…, https://… or a file of the daemon's machine", theme.dim()));
            typed(&mut lines, &mut cursor);
            lines.push(Line::styled(
                if wizard.waits { "looking at it ..." } else { "Enter looks at it; nothing is changed yet" },
                theme.dim(),
            ));
        }
        Step::Found => {
            found(model, wizard, wide, &mut lines);
            let next = if wizard.waits { "adding it ..." } else { "Enter adds it, Esc goes back" };
            lines.push(Line::styled(next, theme.bold()));
        }
        Step::User => {
            if let Some(job) = model.jobs.last() {
                let text = match &job.report {
                    Some(report) => format!("{}: {}", job.name, crate::cli::report(report)),
                    None => facts::progress(job, model.now),
                };
                lines.push(Line::styled(theme.spell(&printable(&text, wide)), theme.accent()));
            }
            lines.push(Line::raw("A name for the viewer; players are given it with a generated password:"));
            typed(&mut lines, &mut cursor);
            lines.push(Line::styled("Enter makes it and shows the links", theme.dim()));
        }
    }
    lines.push(match &wizard.fault {
        Some(fault) => {
            Line::styled(theme.spell(&format!("! {}", printable(fault, wide.saturating_sub(2)))), theme.bad())
        }
        None => Line::raw(""),
    });
    let inside = boxed::draw(model, frame, title, "", (width, u16::try_from(lines.len() + 2).unwrap_or(12)));
    frame.render_widget(Paragraph::new(lines), inside);
    if let Some((x, y)) = cursor.filter(|(_, y)| *y < inside.height) {
        frame.set_cursor_position((inside.x + x.min(inside.width.saturating_sub(1)), inside.y + y));
    }
}

fn found(model: &Model, wizard: &Wizard, wide: usize, lines: &mut Vec<Line<'_>>) {
    let theme = model.theme;
    let Some(probe) = &wizard.probe else { return };
    let push = |lines: &mut Vec<Line<'_>>, text: String| lines.push(Line::raw(theme.spell(&printable(&text, wide))));
    push(lines, masked(wizard.input.value()));
    let size = format!("{}, {} ms", when::bytes(probe.bytes), probe.millis);
    if probe.programmes > 0 || probe.guide_channels > 0 {
        push(lines, format!("a guide: {} programmes of {} channels ({size})", probe.programmes, probe.guide_channels));
    } else {
        push(lines, format!("a playlist: {} channels in {} groups ({size})", probe.entries, probe.group_total));
    }
    if probe.skipped > 0 {
        push(
            lines,
            format!("{} entries are passed over: {}", probe.skipped, probe.notes.first().map_or("", String::as_str)),
        );
    }
    let groups: Vec<String> =
        probe.groups.iter().take(6).map(|g| format!("{} {}", printable(&g.name, 24), g.channels)).collect();
    if !groups.is_empty() {
        push(lines, format!("groups: {}", groups.join(", ")));
    }
    if !probe.sample.is_empty() {
        push(lines, format!("such as: {}", probe.sample.join(", ")));
    }
    push(lines, format!("its name: {}", probe.name));
    if !probe.guide_urls.is_empty() {
        let mark = if wizard.guides { "[x]" } else { "[ ]" };
        push(lines, format!("{mark} also its guide: {} (Space turns it)", masked(&probe.guide_urls[0])));
    }
}
