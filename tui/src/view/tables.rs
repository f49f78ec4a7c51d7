//! The list of each view: its columns and its cells.
//!
//! Must not enter: widths, keys.

use ratatui::{Frame, layout::Rect, style::Style, text::Line, widgets::Paragraph};
use yagi_api::{ClientState, StreamState, UserStatus};

use super::table::{Cell, Column, col, draw as table, num};
use crate::{
    cli::{channel_word, plain, refresh_word, report, source_word},
    model::{Mode, Model, View},
    rows,
    text::{fit, masked, printable},
    theme::Theme,
    when,
};

pub fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let head = Rect { height: 1.min(area.height), ..area };
    frame.render_widget(Paragraph::new(filter_line(model, area.width.into())), head);
    let area = Rect { y: area.y + head.height, height: area.height - head.height, ..area };
    match model.view {
        View::Streams => streams(model, frame, area),
        View::Clients => clients(model, frame, area),
        View::Channels => channels(model, frame, area),
        View::Categories => categories(model, frame, area),
        View::Users => users(model, frame, area),
        View::Sources => sources(model, frame, area),
        View::Guide => guide(model, frame, area),
        View::Logs => logs(model, frame, area),
        View::Settings => settings(model, frame, area),
    }
}

fn filter_line(model: &Model, wide: usize) -> Line<'static> {
    let list = model.list();
    let place = |n: usize| if n == 0 { 0 } else { list.selected.min(n - 1) + 1 };
    let count = model.count();
    let right = match model.view {
        View::Guide => String::new(),
        View::Logs => format!(
            "{}level {}  {}/{count}",
            if model.follow { "following  " } else { "" },
            ["", "error", "warn", "info", "debug", "trace"][usize::from(model.level.min(5))],
            place(count)
        ),
        View::Settings => format!("{}/{count}", place(count)),
        _ => format!(
            "sort: {}{}  {}/{count}",
            rows::sort_name(model),
            if list.descending { " v" } else { " ^" },
            place(count)
        ),
    };
    let left = match (&model.mode, &model.only_stream) {
        (Mode::Filter { input, .. }, _) => format!("filter: {}_", input.value()),
        (_, Some((_, name))) if list.filter.is_empty() => format!("clients of {}", printable(name, 40)),
        _ if list.filter.is_empty() => String::new(),
        _ => format!("filter: {}", list.filter),
    };
    let room = wide.saturating_sub(right.len() + 1);
    Line::raw(model.theme.spell(&format!("{} {right}", fit(&left, room, false))))
}

/// The visible rows of a list that is here as a whole.
fn window<'a, T>(model: &Model, all: &'a [T], area: Rect) -> impl Iterator<Item = (bool, &'a T)> + use<'a, T> {
    let list = model.list();
    let (top, selected) = (list.top, list.selected);
    all.iter().enumerate().skip(top).take(area.height.into()).map(move |(i, row)| (i == selected, row))
}

fn state_style(theme: Theme, state: StreamState) -> Style {
    match state {
        StreamState::Live => theme.good(),
        StreamState::Opening => theme.accent(),
        StreamState::Retrying => theme.bad(),
        StreamState::Lingering => theme.dim(),
    }
}

/// Twelve five-second averages as bars.
pub fn sparkline(theme: Theme, history: &[u64]) -> String {
    let most = history.iter().copied().max().unwrap_or(0).max(1);
    history.iter().map(|v| theme.bars()[usize::try_from(v * 8 / most).unwrap_or(8).min(8)]).collect()
}

fn streams(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    const COLUMNS: &[Column] = &[
        col("CHANNEL", 16, 0),
        col("STATE", 5, 0),
        num("CLI", 4, 0),
        num("IN Mb/s", 7, 3),
        num("OUT Mb/s", 8, 1),
        col("60 s", 12, 4),
        num("BUF", 6, 5),
        num("UP", 8, 2),
        col("SOURCE", 6, 6),
    ];
    let all = model.shown_streams();
    let theme = model.theme;
    let rows = window(model, &all, area).map(|(selected, s)| {
        let cells = vec![
            s.name.as_str().into(),
            Cell(s.state.word().into(), state_style(theme, s.state)),
            s.clients.to_string().into(),
            when::mbps(s.in_bits_per_s).into(),
            when::mbps(s.out_bits_per_s).into(),
            sparkline(theme, &s.history).into(),
            format!("{}.{}s", s.buffer_ms / 1000, s.buffer_ms % 1000 / 100).into(),
            when::uptime(s.uptime_s).into(),
            s.source.split(':').next().unwrap_or_default().into(),
        ];
        (selected, cells)
    });
    table(model, frame, area, COLUMNS, rows);
    if all.is_empty() && area.height > 2 {
        let hint = Rect { y: area.y + 1, height: 1, ..area };
        frame.render_widget(Paragraph::new(" nothing is streamed now"), hint);
    }
}

fn clients(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    const COLUMNS: &[Column] = &[
        col("USER", 10, 0),
        col("IP", 15, 1),
        col("AGENT", 16, 5),
        col("CHANNEL", 18, 2),
        num("OUT Mb/s", 8, 3),
        num("LAG", 6, 4),
        num("SINCE", 8, 6),
    ];
    let all = model.shown_clients();
    let theme = model.theme;
    let rows = window(model, &all, area).map(|(selected, c)| {
        let lag = match c.state {
            ClientState::Waiting => Cell("waits".into(), theme.accent()),
            ClientState::Lagging if c.lag_ms > 0 => {
                Cell(format!("{}.{}s", c.lag_ms / 1000, c.lag_ms % 1000 / 100), theme.warn())
            }
            _ => "0s".into(),
        };
        let name = if c.name.is_empty() { "(network)" } else { &c.name };
        let cells = vec![
            name.into(),
            c.ip.as_str().into(),
            c.agent.as_str().into(),
            c.channel_name.as_str().into(),
            when::mbps(c.out_bits_per_s).into(),
            lag,
            when::uptime(c.since_s).into(),
        ];
        (selected, cells)
    });
    table(model, frame, area, COLUMNS, rows);
}

/// The visible rows of a list that the daemon pages; those that are not here yet are blank.
fn paged<'a, T>(
    model: &Model,
    pages: &'a crate::list::Paged<T>,
    area: Rect,
) -> impl Iterator<Item = (bool, Option<&'a T>)> + use<'a, T> {
    let list = model.list();
    let (top, selected) = (list.top, list.selected);
    (top..pages.total).take(area.height.into()).map(move |i| (i == selected, pages.at(i)))
}

fn channels(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    const COLUMNS: &[Column] = &[
        col("NAME", 20, 0),
        num("NO", 6, 1),
        col("CATEGORY", 18, 2),
        col("GUIDE", 16, 4),
        col("SOURCE", 8, 3),
        col("STATE", 5, 0),
    ];
    let theme = model.theme;
    let rows = paged(model, &model.channels, area).map(|(selected, c)| {
        let Some(c) = c else { return (selected, vec!["...".into()]) };
        let style = if c.is_listed() { theme.good() } else { theme.dim() };
        let guide = if c.guide_id.is_empty() { "-" } else { &c.guide_id };
        let cells = vec![
            c.name.as_str().into(),
            c.number.to_string().into(),
            rows::category_name(model, c.category).into(),
            guide.into(),
            source_word(c).into(),
            Cell(channel_word(c).into(), style),
        ];
        (selected, cells)
    });
    table(model, frame, area, COLUMNS, rows);
}

fn categories(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    const COLUMNS: &[Column] = &[col("NAME", 20, 0), num("ORDER", 7, 1), num("CHANNELS", 9, 0)];
    let rows = paged(model, &model.categories, area).map(|(selected, c)| {
        let cells = c.map_or(vec!["...".into()], |c| {
            vec![c.name.as_str().into(), c.position.to_string().into(), c.channels.to_string().into()]
        });
        (selected, cells)
    });
    table(model, frame, area, COLUMNS, rows);
}

fn users(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    const COLUMNS: &[Column] = &[
        col("NAME", 14, 0),
        col("STATUS", 8, 0),
        col("EXPIRES", 20, 2),
        num("STREAMS", 8, 1),
        col("CATEGORIES", 16, 4),
        col("NOTE", 16, 3),
    ];
    let theme = model.theme;
    let rows = paged(model, &model.users, area).map(|(selected, u)| {
        let Some(u) = u else { return (selected, vec!["...".into()]) };
        let status = u.status(model.now);
        let style = match status {
            UserStatus::Active => theme.good(),
            UserStatus::Expired => theme.warn(),
            UserStatus::Disabled => theme.dim(),
        };
        let most = if u.max_connections == 0 { "any".to_owned() } else { u.max_connections.to_string() };
        let cells = vec![
            u.name.as_str().into(),
            Cell(status.word().to_lowercase(), style),
            when::expires(u.expires_at, model.now).into(),
            format!("{}/{most}", u.active).into(),
            u.categories.as_ref().map_or_else(|| "all".to_owned(), |c| c.join(", ")).into(),
            u.note.as_str().into(),
        ];
        (selected, cells)
    });
    table(model, frame, area, COLUMNS, rows);
}

fn sources(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    const COLUMNS: &[Column] =
        &[col("NAME", 14, 0), col("KIND", 8, 2), col("STATE", 8, 0), col("LAST", 12, 1), col("RESULT", 30, 3)];
    let theme = model.theme;
    let rows = paged(model, &model.sources, area).map(|(selected, s)| {
        let Some(s) = s else { return (selected, vec!["...".into()]) };
        let state =
            if s.enabled { Cell(refresh_word(s.state).into(), theme.plain()) } else { Cell("off".into(), theme.dim()) };
        let ok = s.last.as_ref().is_none_or(|l| l.ok);
        let cells = vec![
            s.name.as_str().into(),
            s.kind.word().into(),
            state,
            when::ago(s.last.as_ref().map(|l| l.at), model.now).into(),
            Cell(s.last.as_ref().map_or_else(String::new, report), if ok { theme.plain() } else { theme.bad() }),
        ];
        (selected, cells)
    });
    table(model, frame, area, COLUMNS, rows);
}

fn guide(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let Some(g) = &model.guide else { return };
    let at = |t: Option<i64>| t.map_or_else(|| "-".to_owned(), when::minute);
    let facts = [
        ("programmes", g.programmes.to_string()),
        ("channels in the guide", g.channels.to_string()),
        ("channels with a guide", g.matched.to_string()),
        ("channels without", g.unmatched.to_string()),
        ("from", at(g.from)),
        ("until", at(g.until)),
        ("built", when::ago(g.built_at, model.now)),
        ("generation", g.generation.to_string()),
    ];
    let lines: Vec<Line<'_>> = facts.into_iter().map(|(k, v)| Line::raw(format!(" {k:24}{v}"))).collect();
    frame.render_widget(Paragraph::new(lines), area);
}

fn logs(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let all = model.shown_logs();
    let theme = model.theme;
    let wide = usize::from(area.width);
    let mut lines = Vec::new();
    for (selected, r) in window(model, &all, area) {
        let style = match r.level.as_str() {
            "ERROR" => theme.bad(),
            "WARN" => theme.warn(),
            _ => theme.plain(),
        };
        let fields: String = r.fields.iter().map(|(k, v)| format!(" {k}={v}")).collect();
        let text = format!("{} {:5} {}{fields}", when::clock(r.at_ms / 1000), r.level, r.message);
        let style = if selected && !model.follow { theme.selected() } else { style };
        if model.wrap {
            let shown = theme.spell(&printable(&text, 2000));
            let chars: Vec<char> = shown.chars().collect();
            lines.extend(chars.chunks(wide.max(1)).map(|c| Line::styled(c.iter().collect::<String>(), style)));
        } else {
            lines.push(Line::styled(theme.spell(&fit(&text, wide, false)), style));
        }
    }
    let over = lines.len().saturating_sub(area.height.into());
    frame.render_widget(Paragraph::new(lines.split_off(if model.follow { over } else { 0 })), area);
}

fn settings(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    const COLUMNS: &[Column] =
        &[col("KEY", 24, 0), col("VALUE", 18, 0), col("ORIGIN", 8, 1), col("APPLIES", 8, 2), col("WHAT", 40, 3)];
    let all = model.shown_settings();
    let theme = model.theme;
    let rows = window(model, &all, area).map(|(selected, s)| {
        let cells = vec![
            Cell(s.key.clone(), if s.editable { theme.plain() } else { theme.dim() }),
            masked(&plain(&s.value)).into(),
            s.origin.as_str().into(),
            if s.applies_now { "now" } else { "restart" }.into(),
            s.help.as_str().into(),
        ];
        (selected, cells)
    });
    table(model, frame, area, COLUMNS, rows);
}
