//! All that is known of the selected row, as label and text.
//!
//! Must not enter: drawing. Invariant: credentials are masked.

use yagi_api::{Fault, Job, Programme, StreamHealth, StreamRow, Switch};

use super::{lists::stream_word, reading::checked};
use crate::{
    cli::{guide_word, report},
    model::{Model, View},
    text::{count, masked, printable, width},
    when,
};

pub type Facts = Vec<(String, String)>;

pub fn fact(label: &str, value: impl Into<String>) -> (String, String) {
    (label.to_owned(), value.into())
}

/// Two lines for narrow screens: as many facts as fit, the most telling first.
pub fn short(model: &Model, cells: usize) -> [String; 2] {
    let mut lines = [String::new(), String::new()];
    let mut at = 0;
    for (label, value) in long(model).into_iter().filter(|(_, v)| !v.is_empty() && v != "-") {
        let value = printable(&value, cells.saturating_sub(4)).into_owned();
        let word = if lines[0].is_empty() { value } else { format!("{} {value}", printable(&label, 16)) };
        let glue = if lines[at].is_empty() { 0 } else { 2 };
        if width(&lines[at]) + glue + width(&word) > cells {
            at += 1;
            if at == lines.len() {
                break;
            }
        }
        if !lines[at].is_empty() {
            lines[at].push_str("  ");
        }
        lines[at].push_str(&word);
    }
    lines
}

pub fn long(model: &Model) -> Facts {
    match model.view {
        View::Streams => model.selected_stream().map(stream).unwrap_or_default(),
        View::Clients => client(model),
        View::Channels => channel(model),
        View::Categories => category(model),
        View::Users => user(model),
        View::Sources => source(model),
        View::Guide => guide(model),
        View::Settings => setting(model),
        View::Logs => log(model),
    }
}

/// Where a stream comes from in one word: the first of the host's name, an address, a scheme.
pub fn origin(s: &StreamRow) -> String {
    // In as many cells as the column has.
    match s.source.split(':').next().unwrap_or_default() {
        "testcard" => return "card".to_owned(),
        "acestream" => return "ace".to_owned(),
        _ => {}
    }
    let Some((_, rest)) = s.source.split_once("://") else {
        return s.source.split(':').next().unwrap_or_default().to_owned();
    };
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    match host.split_once('.') {
        Some((first, _)) if !first.bytes().all(|b| b.is_ascii_digit()) => first.to_owned(),
        _ => host.to_owned(),
    }
}

/// `prov-a: reading 1200 of 4120 entries, 29 %, 3 s`.
pub fn progress(job: &Job, now: i64) -> String {
    let amount = |n: u64| if job.unit == "bytes" { when::bytes(n) } else { n.to_string() };
    let unit = if job.unit == "bytes" { String::new() } else { format!(" {}", job.unit) };
    let of = match job.total.filter(|t| *t > 0) {
        Some(total) => {
            let percent = job.done.min(total).saturating_mul(100) / total;
            format!(" {} of {}{unit}, {percent} %", amount(job.done), amount(total))
        }
        None if job.done > 0 => format!(" {}{unit}", amount(job.done)),
        None => String::new(),
    };
    let seconds = match job.started_at {
        _ if job.state.is_over() => i64::try_from(job.elapsed_ms / 1000).unwrap_or(i64::MAX),
        at if at > 0 => (now - at).max(0),
        _ => 0,
    };
    format!("{}: {}{of}, {}", job.name, job.step, when::span(seconds))
}

pub fn stream(s: &StreamRow) -> Facts {
    let since = format!("{}, since {}   reconnects {}", stream_word(s).0, when::uptime(s.uptime_s), s.reconnects);
    let of = if s.sources > 1 { format!(" of {}", s.sources) } else { String::new() };
    vec![
        fact("stream", s.name.clone()),
        fact("state", since),
        fact("source", format!("{} (number {}{of})", s.source, s.source_index + 1)),
        fact("moved", s.last_switch.as_ref().map(|last| moved(s, last)).unwrap_or_default()),
        fact("health", s.health.as_ref().map(health).unwrap_or_default()),
        fact("packets", s.health.as_ref().map(packets).unwrap_or_default()),
        fact("engine", s.engine.clone().unwrap_or_default()),
        fact("in", when::rate(s.in_bits_per_s)),
        fact(
            "buffer",
            format!("{}.{} s, {}", s.buffer_ms / 1000, s.buffer_ms % 1000 / 100, when::bytes(s.buffer_bytes)),
        ),
        fact("out", format!("{} to {}", when::rate(s.out_bits_per_s), count(s.clients, "client"))),
        fact("first byte", s.first_byte_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"))),
        fact("dropped", count(s.dropped_clients, "client")),
        fact("sent", when::bytes(s.out_bytes)),
        fact("last error", s.last_error.clone().unwrap_or_else(|| "-".into())),
    ]
}

/// `1 to 2 at 14:03, broke off, took 210 ms; 3 moves`
fn moved(s: &StreamRow, last: &Switch) -> String {
    let (from, to, at) = (last.from + 1, last.to + 1, when::minute(last.at));
    format!("{from} to {to}, {at}: {}, took {} ms; {} in all", last.cause.text(), last.took_ms, s.switches)
}

/// What is wrong, and how old the newest packets are.
fn health(h: &StreamHealth) -> String {
    let ms = |value: Option<u32>| value.map_or_else(|| "none".to_owned(), |ms| format!("{ms} ms"));
    let word = h.fault.map_or("good", Fault::text);
    let usual = h.usual_bits_per_s.map_or_else(String::new, |rate| format!(", usually {}", when::rate(rate)));
    let access = h.access_ms.zip(h.access_longest_ms);
    let access = access.map_or_else(String::new, |(last, most)| format!("; access every {last} ms, longest {most} ms"));
    format!("{word}{usual}; video {} ago, audio {} ago{access}", ms(h.video_age_ms), ms(h.audio_age_ms))
}

/// Counts since the stream began, and the largest PIDs.
fn packets(h: &StreamHealth) -> String {
    let jitter = h.pcr_jitter_us.map_or_else(String::new, |us| format!(", clock jitter {} ms", us / 1000));
    let mut words = format!("{} lost, {} scrambled{jitter}", h.continuity_errors, h.scrambled);
    for pid in h.pids.iter().take(4) {
        let kind = if pid.kind.is_empty() { "-" } else { &pid.kind };
        words.push_str(&format!("; {} {kind} {}", pid.pid, when::rate(pid.bits_per_s)));
    }
    words
}

fn client(model: &Model) -> Facts {
    let Some(c) = model.selected_client() else { return Facts::new() };
    vec![
        fact("user", &c.name),
        fact("channel", &c.channel_name),
        fact("ip", &c.ip),
        fact("agent", &c.agent),
        fact("since", when::uptime(c.since_s)),
        fact("sent", when::bytes(c.out_bytes)),
        fact("rate", when::rate(c.out_bits_per_s)),
        fact("lag", format!("{} ms", c.lag_ms)),
        fact("skips", c.skips.to_string()),
        fact("client", c.id.to_string()),
    ]
}

fn channel(model: &Model) -> Facts {
    let Some(row) = model.selected_channel_row() else { return Facts::new() };
    let c = &row.channel;
    let known = row.facts.clone().unwrap_or_default();
    let id = known.matched_id.as_ref().unwrap_or(&c.guide_id);
    let how = match (guide_word(&known), id.is_empty()) {
        ("guess", _) => format!("{id} (guessed {:.2})", known.score),
        ("none", true) => String::new(),
        ("none", false) => format!("{id} (no programmes)"),
        (word, _) => format!("{id} ({word})").trim_start().to_owned(),
    };
    let url = c.sources.first().map_or_else(String::new, |s| masked(&s.url));
    let check = known.check.as_ref().map_or_else(String::new, |check| checked(check, model.now));
    // Why nothing comes is what is looked for first.
    let (first, later) = if known.is_dead() { (check, String::new()) } else { (String::new(), check) };
    vec![
        fact("channel", c.name.clone()),
        fact("checked", first),
        fact("tvg-id", how),
        fact("catch-up", c.catchup.as_ref().map_or(String::new(), |u| format!("{}d {}", u.days, u.mode))),
        fact("addresses", c.sources.len().to_string()),
        fact("now", known.now.as_ref().map(programme).unwrap_or_default()),
        fact("address", url),
        fact("last ok", known.last_ok_at.map_or_else(String::new, |at| when::ago(Some(at), model.now))),
        fact("checked", later),
        fact("gone since", c.retired_at.map(when::date).unwrap_or_default()),
        fact("category", model.category_name(c.category)),
        fact("added", when::date(c.added_at)),
        fact("id", c.id.to_string()),
    ]
}

/// `F1 Qualifiche 15:30-17:00`
fn programme(p: &Programme) -> String {
    format!("{} {}-{}", printable(&p.title, 60), when::hour(p.start), when::hour(p.stop))
}

fn category(model: &Model) -> Facts {
    let Some(c) = model.selected_category() else { return Facts::new() };
    vec![fact("category", c.name.clone()), fact("channels", c.channels.to_string()), fact("id", c.id.to_string())]
}

fn user(model: &Model) -> Facts {
    let Some(u) = model.selected_user() else { return Facts::new() };
    let limit = if u.max_connections == 0 { "any number of".to_owned() } else { u.max_connections.to_string() };
    let mut facts = vec![
        fact("user", &u.name),
        fact("status", u.status(model.now).word().to_lowercase()),
        fact("expires", when::expires(u.expires_at, model.now)),
        fact("streams", format!("{} of {limit}", u.active)),
        fact("last seen", when::ago(u.last_seen, model.now)),
        fact("from", &u.last_ip),
        fact("agent", &u.last_agent),
        fact("trial", if u.trial { "yes" } else { "" }),
        fact("outputs", u.formats.iter().map(|f| f.word()).collect::<Vec<_>>().join(" ")),
        fact("categories", u.categories.as_ref().map_or_else(|| "all".to_owned(), |c| c.join("; "))),
        fact("note", &u.note),
        fact("created", when::date(u.created_at)),
    ];
    for c in model.clients.iter().filter(|c| c.user == Some(u.id)).take(20) {
        let agent = printable(&c.agent, 20);
        facts.push(fact("watches", format!("{}, {}, {agent}, {}", c.channel_name, c.ip, when::uptime(c.since_s))));
    }
    facts
}

fn source(model: &Model) -> Facts {
    let Some(s) = model.selected_source() else { return Facts::new() };
    let every = if s.interval_s == 0 { "by hand".to_owned() } else { when::span(i64::from(s.interval_s)) };
    let mut facts = vec![fact("source", &s.name), fact("address", masked(&s.url)), fact("every", every)];
    if s.max_upstreams > 0 {
        facts.push(fact("upstreams", format!("{} of {} at once", s.upstreams, s.max_upstreams)));
    }
    if let Some(job) = model.job_of(s.id) {
        facts.insert(1, fact("now", progress(job, model.now)));
    }
    if let Some(last) = &s.last {
        facts.push(fact("last", format!("{}, {} ms", when::minute(last.at), last.millis)));
        facts.push(fact("result", report(last)));
        facts.extend(last.notes.iter().map(|n| fact("skipped", n)));
    }
    facts
}

fn guide(model: &Model) -> Facts {
    let Some(g) = model.selected_guide() else { return Facts::new() };
    let mut facts = vec![
        fact("channel", &g.name),
        fact(
            "matched",
            match g.how {
                yagi_api::GuideMatch::None => "no programmes".to_owned(),
                how => format!(
                    "by {} to {}",
                    how.word(),
                    g.matched_name.as_deref().or(g.matched_id.as_deref()).unwrap_or("-")
                ),
            },
        ),
        fact("now", g.now.as_ref().map(programme).unwrap_or_default()),
        fact("next", g.next.as_ref().map(programme).unwrap_or_default()),
        fact("guide id", &g.guide_id),
        fact("category", &g.category),
    ];
    for s in &g.suggestions {
        facts.push(fact("suggested", format!("{:.2}  {} ({})", s.score, s.name, s.guide_id)));
    }
    if let Some(all) = &model.guide {
        facts.push(fact("programmes", format!("{} in {} channels", all.programmes, all.channels)));
        let at = |t: Option<i64>| t.map_or_else(|| "-".to_owned(), when::minute);
        facts.push(fact("span", format!("{} to {}", at(all.from), at(all.until))));
        facts.push(fact("built", when::ago(all.built_at, model.now)));
    }
    facts
}

fn setting(model: &Model) -> Facts {
    let Some(s) = model.selected_setting() else { return Facts::new() };
    let value = masked(&crate::cli::plain(&s.value));
    let applies = if s.applies_now { "at once" } else { "after a restart" };
    vec![
        fact("key", format!("{} = {value}", s.key)),
        fact("from", &s.origin),
        fact("applies", applies),
        fact("is", &s.help),
    ]
}

fn log(model: &Model) -> Facts {
    let Some(r) = model.selected_log() else { return Facts::new() };
    let at = format!("{}:{:02}", when::minute(r.at_ms / 1000), r.at_ms / 1000 % 60);
    let mut facts = vec![fact("at", at), fact("level", &r.level), fact("from", &r.target), fact("message", &r.message)];
    facts.extend(r.fields.iter().map(|(k, v)| fact(k, v)));
    facts
}
