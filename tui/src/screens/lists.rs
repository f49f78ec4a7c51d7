//! The list of each view: its cells.
//!
//! Must not enter: widths, keys.

use ratatui::{Frame, layout::Rect, style::Style, text::Line, widgets::Paragraph};
use yagi_api::{ClientState, GuideMatch, StreamRow, StreamState, UserStatus};

use super::{columns, facts, logs};
use crate::{
    cli::{channel_word, guide_word, plain, refresh_word, report},
    list::Paged,
    model::{Link, Mode, Model, PromptKind, View},
    text::{fit, lay, masked, printable},
    theme::Theme,
    when,
    widgets::{
        sparkline,
        table::{self, Cell, Row},
    },
};

pub fn draw(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    head(model, frame, Rect { height: 1.min(area.height), ..area });
    rows(model, frame, Rect { y: area.y + 1.min(area.height), height: area.height.saturating_sub(1), ..area });
}

/// Filter, order, how many of how many.
pub fn head(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let wide = usize::from(area.width);
    let list = model.list();
    let (count, total) = (model.count(), model.total());
    let (_, sort) = columns::sorted(model.view, list.sort);
    let right = match model.view {
        View::Guide => match &model.guide {
            Some(g) => format!("matched {} of {}   {count}/{total}", g.matched, g.matched + g.unmatched),
            None => String::new(),
        },
        View::Logs => format!(
            "{}level {}  {count}/{total}",
            if model.follow { "following  " } else { "" },
            ["", "error", "warn", "info", "debug", "trace"][usize::from(model.level.min(5))],
        ),
        View::Settings => format!("{count}/{total}"),
        _ => format!("sort: {sort} {}  {count:>3}/{total}", if list.descending { "v" } else { "^" }),
    };
    let typing = matches!(&model.mode, Mode::Prompt(p) if p.kind == PromptKind::Filter);
    let narrowed = match (model.view, &model.only_stream, &model.only_category) {
        (View::Clients, Some((_, name)), _) => format!("clients of {}  ", printable(name, 40)),
        (View::Channels, _, Some(name)) => format!("{}  ", printable(name, 40)),
        _ => String::new(),
    };
    let left = format!("{narrowed}filter: {}{}", list.filter, if typing { "_" } else { "" });
    let room = wide.saturating_sub(right.len() + 1);
    let text = model.theme.spell(&format!("{} {right}", fit(&left, room, false)));
    let style = if list.filter.is_empty() && !typing { model.theme.dim() } else { model.theme.plain() };
    frame.render_widget(Paragraph::new(Line::styled(lay(&text, wide), style)), area);
}

/// The heading and the visible rows.
pub fn rows(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    match model.view {
        View::Streams => streams(model, frame, area),
        View::Clients => clients(model, frame, area),
        View::Channels => channels(model, frame, area),
        View::Categories => categories(model, frame, area),
        View::Users => users(model, frame, area),
        View::Sources => sources(model, frame, area),
        View::Guide => guide(model, frame, area),
        View::Logs => logs::draw(model, frame, area),
        View::Settings => settings(model, frame, area),
    }
    if model.count() == 0 && area.height > 1 {
        let hint = Rect { y: area.y + 1, height: 1, ..area };
        let text = format!("   {}", nothing(model));
        frame.render_widget(Paragraph::new(Line::styled(lay(&text, area.width.into()), model.theme.dim())), hint);
    }
}

/// Why a list is empty, and what to do.
fn nothing(model: &Model) -> &'static str {
    if !model.list().filter.is_empty() {
        return "nothing matches; Esc clears the filter";
    }
    match model.view {
        View::Streams => "nothing is streamed now",
        View::Clients => "nobody watches now",
        View::Channels => "no channels yet: n makes one, 6 n adds a playlist",
        View::Categories => "no categories yet",
        View::Users => "no users yet: n makes one",
        View::Sources => "no sources yet: n adds a playlist or guide",
        View::Guide => "no channels yet",
        View::Logs => "no lines of this level",
        View::Settings => "",
    }
}

/// The visible rows of a list that is here as a whole.
fn window<'a, T>(model: &Model, all: &'a [T], area: Rect) -> impl Iterator<Item = (bool, &'a T)> + use<'a, T> {
    let list = model.list();
    let (top, selected) = (list.top, list.selected);
    all.iter().enumerate().skip(top).take(area.height.into()).map(move |(i, row)| (i == selected, row))
}

/// The visible rows of a list that the daemon pages; those that are not here yet are dots.
fn paged<'a, T: 'a>(
    model: &'a Model,
    pages: &'a Paged<T>,
    area: Rect,
    cells: impl Fn(&T) -> (u64, Vec<Cell>) + 'a,
) -> impl Iterator<Item = Row> + 'a {
    let list = model.list();
    let (top, at) = (list.top, list.selected);
    (top..pages.total).take(area.height.into()).map(move |i| match pages.at(i) {
        Some(row) => {
            let (id, cells) = cells(row);
            Row { selected: i == at, marked: model.is_marked(model.view, id), cells }
        }
        None => Row { selected: i == at, marked: false, cells: vec!["...".into()] },
    })
}

fn state_style(theme: Theme, state: StreamState) -> Style {
    match state {
        StreamState::Live => theme.good(),
        StreamState::Opening => theme.accent(),
        StreamState::Retrying => theme.bad(),
        StreamState::Lingering => theme.dim(),
    }
}

/// The word for a stream's state; a live one that gets less than it did is slow.
#[must_use]
pub fn stream_word(s: &yagi_api::StreamRow) -> (&'static str, bool) {
    let recent: Vec<u64> = s.history.iter().copied().filter(|v| *v > 0).collect();
    let usual = recent.iter().sum::<u64>().checked_div(recent.len() as u64).unwrap_or(0);
    let slow = s.state == StreamState::Live
        && (s.buffer_ms < 300 && s.uptime_s > 10 || recent.len() >= 6 && s.in_bits_per_s < usual / 2);
    let bad = s.state == StreamState::Live && s.health.as_ref().is_some_and(|h| h.fault.is_some());
    (
        if bad {
            "bad"
        } else if slow {
            "slow"
        } else {
            s.state.word()
        },
        slow || bad,
    )
}

fn seconds(ms: u32) -> String {
    format!("{}.{}s", ms / 1000, ms % 1000 / 100)
}

fn streams(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let all = model.shown_streams();
    let theme = model.theme;
    let old = model.link != Link::Live;
    let rows = window(model, &all, area).map(|(selected, s)| {
        let (word, slow) = stream_word(s);
        let style = if slow { theme.warn() } else { state_style(theme, s.state) };
        let plain = if old { theme.dim() } else { theme.plain() };
        let cell = |text: String| Cell(text, plain);
        let cells = vec![
            cell(s.name.clone()),
            Cell(word.into(), style),
            cell(s.clients.to_string()),
            cell(when::mbps(s.in_bits_per_s)),
            cell(when::mbps(s.out_bits_per_s)),
            Cell(sparkline::line(theme, &s.history, 10), theme.accent()),
            cell(if s.state == StreamState::Opening { "-".into() } else { seconds(s.buffer_ms) }),
            cell(when::uptime(s.uptime_s)),
            cell(facts::origin(s)),
        ];
        Row { selected, marked: model.is_marked(View::Streams, s.id), cells }
    });
    table::draw(model, frame, area, View::Streams, rows);
}

fn clients(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let all = model.shown_clients();
    let theme = model.theme;
    let plain = if model.link == Link::Live { theme.plain() } else { theme.dim() };
    let rows = window(model, &all, area).map(|(selected, c)| {
        let lag = match c.state {
            ClientState::Waiting => Cell("waits".into(), theme.accent()),
            ClientState::Lagging if c.lag_ms > 0 => Cell(seconds(c.lag_ms), theme.warn()),
            _ => Cell("0s".into(), plain),
        };
        let name = if c.name.is_empty() { "(network)" } else { &c.name };
        let cell = |text: &str| Cell(text.to_owned(), plain);
        let cells = vec![
            cell(name),
            cell(&c.ip),
            cell(&c.agent),
            cell(&c.channel_name),
            cell(&when::mbps(c.out_bits_per_s)),
            lag,
            cell(&when::uptime(c.since_s)),
        ];
        Row { selected, marked: model.is_marked(View::Clients, c.id.0), cells }
    });
    table::draw(model, frame, area, View::Clients, rows);
}

fn channels(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let theme = model.theme;
    let rows = paged(model, &model.channels, area, move |row| {
        let c = &row.channel;
        let facts = row.facts.as_ref();
        // One that lingers for nobody says nothing of the channel.
        let watched = |s: &&StreamRow| s.channel == Some(c.id) && s.state != StreamState::Lingering;
        let stream = model.streams.iter().find(watched);
        let (word, style) = match (stream, channel_word(row, model.now)) {
            // The stream's own word is newer than the row.
            (Some(s), _) => {
                let word = if stream_word(s).0 == "ok" { "live" } else { stream_word(s).0 };
                (format!("{word} {}", s.clients), state_style(theme, s.state))
            }
            (None, word) if word == "dead" => (word, theme.bad()),
            (None, word) if word.starts_with("gone") => (word, theme.warn()),
            (None, word) => (word, if c.is_listed() { theme.plain() } else { theme.dim() }),
        };
        let guide = facts.map_or("-", guide_word);
        let how = match guide {
            "none" => theme.warn(),
            "guess" => theme.accent(),
            _ => theme.good(),
        };
        let id = facts.and_then(|f| f.matched_id.as_deref()).unwrap_or(&c.guide_id);
        let origin = c.origin.and_then(|id| model.source_name(id)).unwrap_or(if c.origin.is_some() {
            "playlist"
        } else {
            "hand"
        });
        let more = if c.sources.len() > 1 { format!(" +{}", c.sources.len() - 1) } else { String::new() };
        let cells = vec![
            c.number.to_string().into(),
            c.name.as_str().into(),
            model.category_name(c.category).into(),
            Cell(guide.into(), how),
            if id.is_empty() { "-" } else { id }.into(),
            format!("{}{more}", printable(origin, 9 - more.len().min(9))).into(),
            Cell(word, style),
            facts.and_then(|f| f.last_ok_at).map_or_else(|| "-".into(), |at| when::short_span(model.now - at)).into(),
            c.sources.first().map_or_else(String::new, |s| masked(&s.url)).into(),
        ];
        (c.id.0.into(), cells)
    });
    table::draw(model, frame, area, View::Channels, rows);
}

fn categories(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let rows = paged(model, &model.categories, area, |c| {
        // Users without a list see every category.
        let seen =
            model.users.rows.iter().filter(|u| u.categories.as_ref().is_none_or(|l| l.contains(&c.name))).count();
        let seen = if model.users.loaded && model.users.rows.len() == model.users.total {
            seen.to_string()
        } else {
            "-".into()
        };
        let cells =
            vec![c.position.to_string().into(), c.name.as_str().into(), c.channels.to_string().into(), seen.into()];
        (c.id.0.into(), cells)
    });
    table::draw(model, frame, area, View::Categories, rows);
}

fn users(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let theme = model.theme;
    let rows = paged(model, &model.users, area, move |u| {
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
            when::ago(u.last_seen, model.now).into(),
            u.last_agent.as_str().into(),
            u.note.as_str().into(),
            u.categories.as_ref().map_or_else(|| "all".to_owned(), |c| c.join("; ")).into(),
        ];
        (u.id.0.into(), cells)
    });
    table::draw(model, frame, area, View::Users, rows);
}

/// Upstreams of the account in use, and how many it allows.
fn slots(s: &yagi_api::Source) -> String {
    match (s.kind, s.max_upstreams) {
        (yagi_api::SourceKind::Guide, _) => "-".to_owned(),
        (_, 0) => s.upstreams.to_string(),
        (_, most) => format!("{}/{most}", s.upstreams),
    }
}

fn sources(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let theme = model.theme;
    let rows = paged(model, &model.sources, area, move |s| {
        let job = model.job_of(s.id);
        let state = match job {
            Some(job) => Cell(job.state.word().into(), theme.accent()),
            None if s.enabled => Cell(refresh_word(s.state).into(), theme.plain()),
            None => Cell("off".into(), theme.dim()),
        };
        let last = s.last.as_ref();
        let next = match last {
            Some(last) if s.enabled && s.interval_s > 0 => {
                when::short_span((last.at + i64::from(s.interval_s) - model.now).max(0))
            }
            _ => "-".to_owned(),
        };
        let result = match (job, last) {
            (Some(job), _) => Cell(facts::progress(job, model.now), theme.accent()),
            (None, Some(last)) => Cell(report(last), if last.ok { theme.plain() } else { theme.bad() }),
            (None, None) => "never fetched".into(),
        };
        let cells = vec![
            s.name.as_str().into(),
            s.kind.word().into(),
            state,
            last.map_or_else(String::new, |l| l.seen.to_string()).into(),
            when::ago(last.map(|l| l.at), model.now).into(),
            slots(s).into(),
            next.into(),
            result,
        ];
        (s.id.0.into(), cells)
    });
    table::draw(model, frame, area, View::Sources, rows);
}

fn guide(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let theme = model.theme;
    let rows = paged(model, &model.guide_rows, area, move |g| {
        let style = match g.how {
            GuideMatch::None => theme.warn(),
            GuideMatch::Name | GuideMatch::Learned => theme.accent(),
            GuideMatch::Id | GuideMatch::Testcard => theme.good(),
        };
        let best = g.suggestions.first();
        let what = match (&g.now, best) {
            (Some(now), _) => now.title.clone(),
            (None, Some(s)) => format!("{} ({})", s.name, s.guide_id),
            (None, None) => g.matched_name.clone().unwrap_or_default(),
        };
        let score = match (g.how, best) {
            (GuideMatch::None, Some(s)) => format!("{:.2}", s.score),
            (GuideMatch::None, None) => "-".into(),
            _ => format!("{:.2}", g.score),
        };
        let id = g.matched_id.as_deref().unwrap_or(&g.guide_id);
        let cells = vec![
            g.number.to_string().into(),
            g.name.as_str().into(),
            if id.is_empty() { "-" } else { id }.into(),
            Cell(g.how.word().into(), style),
            what.into(),
            score.into(),
        ];
        (g.id.0.into(), cells)
    });
    table::draw(model, frame, area, View::Guide, rows);
}

fn settings(model: &Model, frame: &mut Frame<'_>, area: Rect) {
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
        Row { selected, marked: false, cells }
    });
    table::draw(model, frame, area, View::Settings, rows);
}
