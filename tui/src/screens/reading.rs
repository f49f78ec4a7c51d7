//! Answers as lines to read: a channel's detail, the history of a source, what a refresh changed.

use yagi_api::{AddressCheck, ChannelDetail, Check, DiffRow, GuideMatch, Programme, RefreshReport, SourceDiff};

use super::facts::{Facts, fact};
use crate::{
    cli::report,
    model::{Model, Test},
    text::{count, masked, printable},
    when,
};

/// Rows of each kind that are read at once.
const SHOWN: usize = 200;

fn programme(p: &Programme) -> String {
    format!("{}-{}  {}", when::hour(p.start), when::hour(p.stop), p.title)
}

/// A channel: title and lines.
pub fn channel(model: &Model, detail: &ChannelDetail) -> (String, Facts) {
    let c = &detail.channel;
    let mut lines = vec![
        fact("number", c.number.to_string()),
        fact("category", &detail.category_name),
        fact("from", detail.origin_name.as_deref().unwrap_or("made by hand")),
        fact(
            "state",
            match (c.retired_at, c.enabled) {
                (Some(at), _) => format!("gone from its playlist since {}", when::minute(at)),
                (None, true) => "on".into(),
                (None, false) => "off".into(),
            },
        ),
    ];
    for (i, s) in c.sources.iter().enumerate() {
        let headers = if s.headers.is_empty() { String::new() } else { format!("  with {} headers", s.headers.len()) };
        lines.push(fact(&format!("address {}", i + 1), format!("{}{headers}", masked(&s.url))));
        let known = detail.addresses.get(i).and_then(|a| a.check.as_ref());
        lines.extend(known.map(|check| fact("checked", checked(check, model.now))));
    }
    if let Some(s) = &detail.stream {
        lines.push(fact(
            "stream",
            format!("{}, {}, {} in", s.state.word(), count(s.clients, "client"), when::rate(s.in_bits_per_s)),
        ));
    }
    lines.push(fact(
        "last ok",
        detail.last_ok_at.map_or_else(|| "not since the daemon's start".into(), |at| when::ago(Some(at), model.now)),
    ));
    if let Some(error) = &detail.last_error {
        lines.push(fact("last error", format!("{error} ({})", when::ago(detail.last_error_at, model.now))));
    }
    let g = &detail.guide;
    lines.push(fact(
        "guide",
        match g.how {
            GuideMatch::None => format!("no programmes for `{}`", c.guide_id),
            how => format!(
                "by {} to {} ({:.2})",
                how.word(),
                g.matched_name.as_deref().or(g.matched_id.as_deref()).unwrap_or("-"),
                g.score
            ),
        },
    ));
    lines.extend(
        g.suggestions.iter().map(|s| fact("suggested", format!("{:.2}  {} ({})", s.score, s.name, s.guide_id))),
    );
    lines.extend(detail.now.iter().map(|p| fact("now", programme(p))));
    lines.extend(detail.next.iter().map(|p| fact("next", programme(p))));
    if let Some(u) = &c.catchup {
        lines.push(fact("catch-up", format!("{} days ({})", u.days, u.mode)));
    }
    lines.push(fact("logo", &c.logo));
    lines.push(fact("added", when::date(c.added_at)));
    lines.push(fact("id", format!("{}, version {}", c.id, c.version)));
    lines.retain(|(_, v)| !v.is_empty());
    (c.name.clone(), lines)
}

/// A test of a channel: each address, and what came of it so far.
pub fn test(test: &Test, addresses: &[AddressCheck]) -> Facts {
    let mut lines = Facts::new();
    for (at, address) in addresses.iter().enumerate() {
        lines.push(fact(&format!("address {}", at + 1), masked(&address.url)));
        match address.check.as_ref().filter(|_| test.is_new(at, address)) {
            Some(check) => lines.extend(found(check)),
            None => lines.push(fact("result", "is being opened, or waits for its turn ...")),
        }
    }
    if test.done == addresses.len() {
        lines.push(fact("", "U gives the address for a player"));
    }
    lines
}

/// What was found at one address.
fn found(check: &Check) -> Facts {
    let or = |text: &str| if text.is_empty() { "not told in time".to_owned() } else { text.to_owned() };
    if !check.alive {
        return vec![fact("result", "nothing comes"), fact("because", or(&check.error))];
    }
    let size = if check.height > 0 { format!(" {}x{}", check.width, check.height) } else { String::new() };
    vec![
        fact("result", "it plays"),
        fact("picture", format!("{}{size}", or(&check.video))),
        fact("sound", or(&check.audio)),
        fact("rate", when::rate(check.bits_per_s)),
        fact("first byte", format!("{} ms", check.first_byte_ms)),
    ]
}

/// A check in one line: `dead: 404 Not Found, 2 min ago`.
pub fn checked(check: &Check, now: i64) -> String {
    let words = if check.alive { check.words() } else { format!("dead: {}", check.error) };
    format!("{words}, {}", when::ago(Some(check.at), now))
}

/// A source: title and lines, with its reports, the newest first.
pub fn source(model: &Model, reports: &[RefreshReport]) -> (String, Facts) {
    let mut lines = Facts::new();
    let mut title = "source".to_owned();
    if let Some(s) = model.selected_source() {
        title.clone_from(&s.name);
        let every = if s.interval_s == 0 { "by hand".to_owned() } else { when::span(i64::from(s.interval_s)) };
        lines.extend([fact("kind", s.kind.word()), fact("address", masked(&s.url)), fact("every", every)]);
    }
    lines.push(fact("", ""));
    for r in reports {
        let word = if r.ok { "ok" } else { "FAILED" };
        lines.push(fact(&when::minute(r.at), format!("{word}  {}  ({} ms)", report(r), r.millis)));
    }
    if let Some(last) = reports.first().filter(|r| !r.notes.is_empty()) {
        lines.push(fact("", ""));
        lines.push(fact("passed over", format!("{} entries; the first:", last.skipped)));
        lines.extend(last.notes.iter().map(|n| fact("", n)));
    }
    if reports.is_empty() {
        lines.push(fact("", "it was never fetched"));
    }
    (title, lines)
}

/// What a refresh added, changed and retired.
pub fn difference(diff: &SourceDiff) -> Facts {
    let Some(at) = diff.at else { return vec![fact("", "no refresh has changed anything yet")] };
    let mut lines = vec![fact("at", when::minute(at))];
    let kinds: [(&str, u32, &Vec<DiffRow>); 3] = [
        ("added", diff.added_total, &diff.added),
        ("changed", diff.changed_total, &diff.changed),
        ("gone", diff.retired_total, &diff.retired),
    ];
    for (word, total, rows) in kinds {
        lines.push(fact(word, format!("{total} channels")));
        for row in rows.iter().take(SHOWN) {
            let fields = if row.fields.is_empty() { String::new() } else { format!("  ({})", row.fields.join(", ")) };
            let sign = match word {
                "added" => "+",
                "gone" => "-",
                _ => "~",
            };
            lines.push(fact("", format!("{sign} {}{fields}", printable(&row.name, 60))));
        }
        let more = (total as usize).saturating_sub(rows.len().min(SHOWN));
        if more > 0 {
            lines.push(fact("", format!("  and {more} more")));
        }
    }
    lines
}
