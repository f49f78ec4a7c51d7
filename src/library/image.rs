//! Rows as the trail holds them: every field by its name, and the differences of two rows.
//!
//! Owns which fields a row has in the trail, and which of them are shown and how. Must not enter: SQL, applying. Invariant: a
//! field that holds a secret is shown masked.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::{Map, Value, json};
use yagi_api::{Category, Channel, Rule, Source};

use super::{catalog::Viewer, state::State};
use crate::{secret::redact, store::channels::Keys};

pub type Fields = Map<String, Value>;

fn value(of: &impl Serialize) -> Value {
    serde_json::to_value(of).unwrap_or_default()
}

/// A whole channel. `keys` are needed to bring a deleted one back.
pub fn channel(state: &State, c: &Channel, edited: u16, keys: Option<Keys>) -> Fields {
    let mut fields = Fields::new();
    let mut put = |key: &str, value: Value| drop(fields.insert(key.to_owned(), value));
    put("version", c.version.into());
    put("number", c.number.into());
    put("name", c.name.as_str().into());
    put("category", c.category.0.into());
    put("category_name", category_name(state, c));
    put("logo", c.logo.as_str().into());
    put("guide_id", c.guide_id.as_str().into());
    put("sources", value(&c.sources));
    put("enabled", c.enabled.into());
    put("radio", c.radio.into());
    put("catchup", value(&c.catchup));
    put("merge_key", c.merge_key.as_str().into());
    put("guide_shift_min", c.guide_shift_min.into());
    put("added_at", c.added_at.into());
    put("origin", value(&c.origin));
    put("retired_at", value(&c.retired_at));
    put("edited", edited.into());
    if let Some(keys) = keys {
        put("keys", json!([keys.path.to_string(), keys.name.to_string()]));
    }
    fields
}

fn category_name(state: &State, c: &Channel) -> Value {
    state.categories.get(&c.category).map_or("", |c| c.name.as_str()).into()
}

/// What differs, without making whole images: a bulk edit compares 200,000 rows.
pub fn channel_diff(state: &State, old: (&Channel, u16), new: (&Channel, u16)) -> (Fields, Fields) {
    let ((a, bits_a), (b, bits_b)) = (old, new);
    let (mut before, mut after) = (Fields::new(), Fields::new());
    let mut put = |key: &str, x: Value, y: Value| {
        before.insert(key.to_owned(), x);
        after.insert(key.to_owned(), y);
    };
    if a.number != b.number {
        put("number", a.number.into(), b.number.into());
    }
    if a.name != b.name {
        put("name", a.name.as_str().into(), b.name.as_str().into());
    }
    if a.category != b.category {
        put("category", a.category.0.into(), b.category.0.into());
        put("category_name", category_name(state, a), category_name(state, b));
    }
    if a.logo != b.logo {
        put("logo", a.logo.as_str().into(), b.logo.as_str().into());
    }
    if a.guide_id != b.guide_id {
        put("guide_id", a.guide_id.as_str().into(), b.guide_id.as_str().into());
    }
    if a.sources != b.sources {
        put("sources", value(&a.sources), value(&b.sources));
    }
    if a.enabled != b.enabled {
        put("enabled", a.enabled.into(), b.enabled.into());
    }
    if a.radio != b.radio {
        put("radio", a.radio.into(), b.radio.into());
    }
    if a.merge_key != b.merge_key {
        put("merge_key", a.merge_key.as_str().into(), b.merge_key.as_str().into());
    }
    if a.guide_shift_min != b.guide_shift_min {
        put("guide_shift_min", a.guide_shift_min.into(), b.guide_shift_min.into());
    }
    if bits_a != bits_b {
        put("edited", bits_a.into(), bits_b.into());
    }
    (before, after)
}

pub fn category(c: &Category) -> Fields {
    fields(json!({"version": c.version, "name": c.name, "position": c.position}))
}

/// `sealed` and `token` are stored secrets.
pub fn user(v: &Viewer, sealed: &[u8], token: Option<&[u8]>) -> Fields {
    let u = &v.user;
    fields(json!({
        "version": u.version, "name": u.name, "password": STANDARD.encode(sealed), "enabled": u.enabled,
        "expires_at": u.expires_at, "trial": u.trial, "max_connections": u.max_connections, "formats": u.formats,
        "categories": u.categories, "allowed": v.allowed, "note": u.note, "created_at": u.created_at, "player": u.player,
        "token": token.map(|t| STANDARD.encode(t)),
    }))
}

pub fn source(s: &Source) -> Fields {
    fields(json!({
        "version": s.version, "name": s.name, "kind": s.kind, "url": s.url, "enabled": s.enabled, "interval_s": s.interval_s, "max_upstreams": s.max_upstreams,
        "priority": s.options.priority, "zone": s.options.zone, "shift_min": s.options.shift_min,
    }))
}

pub fn rule(r: &Rule) -> Fields {
    fields(json!({
        "version": r.version, "position": r.position, "name": r.name, "source": r.source, "enabled": r.enabled, "when": r.when,
        "then": r.then,
    }))
}

fn fields(value: Value) -> Fields {
    match value {
        Value::Object(map) => map,
        _ => Fields::new(),
    }
}

/// The fields of two whole rows that differ; their versions always do.
pub fn diff(mut before: Fields, mut after: Fields) -> (Fields, Fields) {
    before.retain(|key, value| key != "version" && after.get(key) != Some(value));
    after.retain(|key, _| before.contains_key(key));
    (before, after)
}

/// The name under which a field is shown; none: it is not.
pub fn field(key: &str) -> Option<&str> {
    match key {
        "category" | "edited" | "keys" | "allowed" | "version" => None,
        "category_name" => Some("category"),
        other => Some(other),
    }
}

/// A field's value as it is shown.
pub fn shown(key: &str, value: &Value) -> Value {
    match (key, value) {
        ("password" | "token", Value::String(_)) => "****".into(),
        ("url", Value::String(url)) => redact(url).into(),
        ("catchup", Value::Object(catchup)) => {
            let mut catchup = catchup.clone();
            if let Some(Value::String(source)) = catchup.get_mut("source") {
                *source = redact(source);
            }
            catchup.into()
        }
        ("sources", Value::Array(list)) => list
            .iter()
            .map(|source| {
                let mut source = source.clone();
                if let Some(Value::String(url)) = source.get_mut("url") {
                    *url = redact(url);
                }
                for header in source.get_mut("headers").and_then(Value::as_array_mut).into_iter().flatten() {
                    if let Some(value) = header.get_mut(1) {
                        *value = "****".into();
                    }
                }
                source
            })
            .collect(),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_archives_are_shown_without_their_logins() {
        let source = "http://p.example/archive?username=bob&password=canary&utc={utc}";
        let image = shown("catchup", &json!({"mode": "default", "days": 7, "source": source}));
        assert_eq!((&image["mode"], &image["days"]), (&json!("default"), &json!(7)));
        let text = image["source"].as_str().unwrap();
        assert!(text.starts_with("http://p.example/archive?") && !text.contains("canary"), "{text}");
    }
}
