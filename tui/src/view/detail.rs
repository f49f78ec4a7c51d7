//! All that is known of the selected row.

use crate::{
    cli::report,
    model::{Model, View},
    rows,
    text::masked,
    when,
};

type Facts = Vec<(String, String)>;

fn fact(label: &str, value: impl Into<String>) -> (String, String) {
    (label.to_owned(), value.into())
}

/// Two lines for narrow screens.
pub fn short(model: &Model) -> [String; 2] {
    let facts = long(model);
    let words: Vec<String> =
        facts.iter().filter(|(_, v)| !v.is_empty() && v != "-").map(|(k, v)| format!("{k} {v}")).collect();
    let half = words.len().div_ceil(2);
    [words[..half].join("  "), words[half..].join("  ")]
}

pub fn long(model: &Model) -> Facts {
    match model.view {
        View::Streams => stream(model),
        View::Clients => client(model),
        View::Channels => channel(model),
        View::Users => user(model),
        View::Sources => source(model),
        View::Settings => {
            model.selected_setting().map(|s| vec![fact("key", &s.key), fact("is", &s.help)]).unwrap_or_default()
        }
        View::Logs => log(model),
        View::Categories | View::Guide => Vec::new(),
    }
}

fn stream(model: &Model) -> Facts {
    let Some(s) = model.selected_stream() else { return Facts::new() };
    let mut facts = vec![
        fact("stream", &s.name),
        fact("source", format!("{} (number {})", s.source, s.source_index + 1)),
        fact("first byte", s.first_byte_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"))),
        fact("buffer", format!("{} ms, {}", s.buffer_ms, when::bytes(s.buffer_bytes))),
        fact("reconnects", s.reconnects.to_string()),
        fact("dropped", s.dropped_clients.to_string()),
        fact("sent", when::bytes(s.out_bytes)),
        fact("engine", s.engine.clone().unwrap_or_default()),
        fact("last error", s.last_error.clone().unwrap_or_else(|| "-".into())),
        fact("in, 60 s", super::tables::sparkline(model.theme, &s.history)),
    ];
    if model.size.0 >= rows::WIDE {
        facts.push(fact("", ""));
        facts.push(fact("clients", s.clients.to_string()));
        for c in model.clients.iter().filter(|c| c.stream == Some(s.id)).take(40) {
            facts.push(fact(
                &c.name,
                format!(
                    "{:15} {:12} {} Mb/s",
                    c.ip,
                    crate::text::printable(&c.agent, 12),
                    when::mbps(c.out_bits_per_s)
                ),
            ));
        }
    }
    facts
}

fn client(model: &Model) -> Facts {
    let Some(c) = model.selected_client() else { return Facts::new() };
    vec![
        fact("user", &c.name),
        fact("channel", &c.channel_name),
        fact("ip", &c.ip),
        fact("agent", &c.agent),
        fact("sent", when::bytes(c.out_bytes)),
        fact("skips", c.skips.to_string()),
        fact("client", c.id.to_string()),
    ]
}

fn channel(model: &Model) -> Facts {
    let Some(c) = model.selected_channel() else { return Facts::new() };
    let mut facts = vec![
        fact("channel", format!("{} (id {})", c.name, c.id)),
        fact("category", rows::category_name(model, c.category)),
        fact("guide id", &c.guide_id),
        fact("logo", &c.logo),
        fact("added", when::date(c.added_at)),
        fact("gone since", c.retired_at.map(when::date).unwrap_or_default()),
    ];
    facts.extend(c.sources.iter().enumerate().map(|(i, s)| fact(&format!("source {}", i + 1), masked(&s.url))));
    facts
}

fn user(model: &Model) -> Facts {
    let Some(u) = model.selected_user() else { return Facts::new() };
    let mut facts = vec![
        fact("user", &u.name),
        fact("expires", when::expires(u.expires_at, model.now)),
        fact("trial", if u.trial { "yes" } else { "no" }),
        fact("created", when::date(u.created_at)),
        fact("categories", u.categories.as_ref().map_or_else(|| "all".to_owned(), |c| c.join(", "))),
        fact("note", &u.note),
    ];
    for c in model.clients.iter().filter(|c| c.user == Some(u.id)).take(20) {
        facts.push(fact("watches", format!("{} from {} for {}", c.channel_name, c.ip, when::uptime(c.since_s))));
    }
    facts
}

fn source(model: &Model) -> Facts {
    let Some(s) = model.selected_source() else { return Facts::new() };
    let every = if s.interval_s == 0 { "by hand".to_owned() } else { when::span(i64::from(s.interval_s)) };
    let mut facts = vec![fact("source", &s.name), fact("address", masked(&s.url)), fact("every", every)];
    if let Some(last) = &s.last {
        facts.push(fact("last", format!("{}, {} ms", when::minute(last.at), last.millis)));
        facts.push(fact("result", report(last)));
        facts.extend(last.notes.iter().map(|n| fact("skipped", n)));
    }
    facts
}

fn log(model: &Model) -> Facts {
    let Some(r) = model.selected_log() else { return Facts::new() };
    let mut facts =
        vec![fact("at", when::minute(r.at_ms / 1000)), fact("from", &r.target), fact("message", &r.message)];
    facts.extend(r.fields.iter().map(|(k, v)| fact(k, v)));
    facts
}
