//! Forms: fields that are checked while they are typed, and the change that they make.
//!
//! Owns editing of one row. Must not enter: drawing, sending. Invariant: a form that shows a fault sends nothing, and a
//! patch carries only the fields that were touched.

use serde_json::{Map, Value, json};
use tui_input::Input;
use yagi_api::{Category, Channel, ChannelSource, Locator, Setting, Source, User, paths, text};

use crate::{
    model::View,
    msg::{Change, Verb},
    when,
};

/// What a field takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// At least one character, or none.
    Text {
        needed: bool,
    },
    UserName,
    Number,
    /// `yes` or `no`; the space bar turns it.
    Flag,
    /// A date, `+30d`, or empty for never.
    Expiry,
    /// Names separated by commas; empty means all.
    Names,
    /// Addresses separated by blanks, best first.
    Addresses,
    /// `http://…`, `https://…` or an absolute path; optional where an address is there already.
    Place {
        needed: bool,
    },
    /// `playlist`, `guide`, or empty to be told by the content.
    SourceKind,
    /// Whatever the setting holds.
    Json,
}

#[derive(Clone, Debug)]
pub struct Field {
    pub key: &'static str,
    pub label: &'static str,
    pub input: Input,
    kind: Kind,
    before: String,
    pub hint: &'static str,
}

impl Field {
    fn new(key: &'static str, label: &'static str, kind: Kind, value: impl Into<String>, hint: &'static str) -> Self {
        let before = value.into();
        Self { key, label, input: Input::new(before.clone()), kind, before, hint }
    }

    pub fn is_flag(&self) -> bool {
        self.kind == Kind::Flag
    }

    pub fn turn(&mut self) {
        self.input = Input::new(if self.input.value() == "yes" { "no" } else { "yes" }.to_owned());
    }

    fn is_touched(&self) -> bool {
        self.input.value() != self.before
    }

    /// What is wrong, if so; said while typing.
    #[must_use]
    pub fn fault(&self, now: i64) -> Option<String> {
        self.value(now).err()
    }

    fn value(&self, now: i64) -> Result<Value, String> {
        let given = self.input.value().trim();
        match self.kind {
            Kind::Text { needed: true } if given.is_empty() => Err("must not be empty".into()),
            Kind::Text { .. } => Ok(json!(given)),
            Kind::UserName => text::user_name_fault(given).map_or(Ok(json!(given)), |why| Err(why.into())),
            Kind::Number if given.is_empty() => Ok(Value::Null),
            Kind::Number => given.parse::<u32>().map(|n| json!(n)).map_err(|_| "expected a whole number".into()),
            Kind::Flag => Ok(json!(given == "yes")),
            Kind::Expiry if given.is_empty() => Ok(Value::Null),
            Kind::Expiry => when::expiry(given, now).map(|at| json!(at)),
            Kind::Names => {
                let names: Vec<&str> = given.split(',').map(str::trim).filter(|n| !n.is_empty()).collect();
                Ok(if names.is_empty() { Value::Null } else { json!(names) })
            }
            Kind::Addresses => {
                let all: Vec<&str> = given.split_whitespace().collect();
                match all.iter().find_map(|url| Locator::parse(url).err()) {
                    Some(why) => Err(why.into()),
                    None if all.is_empty() => Err("expected at least one address".into()),
                    None => Ok(all.iter().map(|url| json!({"url": url})).collect()),
                }
            }
            Kind::Place { needed: false } if given.is_empty() => Ok(Value::Null),
            Kind::Place { .. } if ["/", "http://", "https://"].iter().any(|p| given.starts_with(p)) => Ok(json!(given)),
            Kind::Place { .. } => Err("expected http://…, https://… or an absolute path".into()),
            Kind::SourceKind => match given {
                "" => Ok(Value::Null),
                "playlist" | "guide" => Ok(json!(given)),
                _ => Err("expected playlist, guide, or nothing".into()),
            },
            Kind::Json if given.is_empty() => Ok(Value::Null),
            Kind::Json => Ok(serde_json::from_str(given).unwrap_or_else(|_| json!(given))),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Form {
    pub title: String,
    pub fields: Vec<Field>,
    pub focus: usize,
    /// What the daemon said of the last try.
    pub refused: Option<String>,
    /// Leaving it although something was typed needs a second Esc.
    pub leaving: bool,
    verb: Verb,
    path: String,
    version: Option<u32>,
    pub view: View,
    /// Save was pressed and the answer is awaited: not pressed twice, and closed by its own answer only.
    pub sent: bool,
    /// Request headers of the addresses that a channel has: kept with an address that stays.
    headers: Vec<ChannelSource>,
}

fn flag(on: bool) -> &'static str {
    if on { "yes" } else { "no" }
}

impl Form {
    fn new(title: String, view: View, verb: Verb, path: String, version: Option<u32>, fields: Vec<Field>) -> Self {
        Self {
            title,
            fields,
            focus: 0,
            refused: None,
            leaving: false,
            verb,
            path,
            version,
            view,
            sent: false,
            headers: Vec::new(),
        }
    }

    #[must_use]
    pub fn channel(of: Option<&Channel>, category: &str) -> Self {
        let urls =
            of.map(|c| c.sources.iter().map(|s| s.url.as_str()).collect::<Vec<_>>().join(" ")).unwrap_or_default();
        let fields = vec![
            Field::new("name", "Name", Kind::Text { needed: true }, of.map_or("", |c| &c.name), ""),
            Field::new("sources", "Sources", Kind::Addresses, urls, "http://… or acestream://ID, best first"),
            Field::new(
                "number",
                "Number",
                Kind::Number,
                of.map_or(String::new(), |c| c.number.to_string()),
                "empty: the next free one",
            ),
            Field::new(
                "category",
                "Category",
                Kind::Text { needed: false },
                category,
                "made if there is none of that name",
            ),
            Field::new(
                "guide_id",
                "Guide id",
                Kind::Text { needed: false },
                of.map_or("", |c| &c.guide_id),
                "tvg-id of the XMLTV guide",
            ),
            Field::new("logo", "Logo", Kind::Text { needed: false }, of.map_or("", |c| &c.logo), "http://…"),
            Field::new("enabled", "Enabled", Kind::Flag, flag(of.is_none_or(|c| c.enabled)), "space turns it"),
        ];
        let row = of.map(|c| (c.id.0, c.version, c.name.as_str()));
        let form = Self::of("channel", row, View::Channels, paths::CHANNELS, fields);
        Self { headers: of.map_or_else(Vec::new, |c| c.sources.clone()), ..form }
    }

    #[must_use]
    pub fn category(of: Option<&Category>) -> Self {
        let fields = vec![
            Field::new("name", "Name", Kind::Text { needed: true }, of.map_or("", |c| &c.name), ""),
            Field::new(
                "position",
                "Position",
                Kind::Number,
                of.map_or(String::new(), |c| c.position.to_string()),
                "lower comes first",
            ),
        ];
        Self::of(
            "category",
            of.map(|c| (c.id.0, c.version, c.name.as_str())),
            View::Categories,
            paths::CATEGORIES,
            fields,
        )
    }

    #[must_use]
    pub fn user(of: Option<&User>) -> Self {
        let expires = of.and_then(|u| u.expires_at).map_or(String::new(), when::date);
        let categories = of.and_then(|u| u.categories.as_ref()).map_or(String::new(), |c| c.join(", "));
        let limit = of.map_or("1".to_owned(), |u| u.max_connections.to_string());
        let fields = vec![
            Field::new("name", "Name", Kind::UserName, of.map_or("", |u| &u.name), "the password is generated"),
            Field::new("max_connections", "Max streams", Kind::Number, limit, "0: no limit"),
            Field::new("expires_at", "Expires", Kind::Expiry, expires, "YYYY-MM-DD, +30d; empty: never"),
            Field::new("categories", "Categories", Kind::Names, categories, "names with commas; empty: all"),
            Field::new("enabled", "Enabled", Kind::Flag, flag(of.is_none_or(|u| u.enabled)), "space turns it"),
            Field::new("trial", "Trial", Kind::Flag, flag(of.is_some_and(|u| u.trial)), "space turns it"),
            Field::new("note", "Note", Kind::Text { needed: false }, of.map_or("", |u| &u.note), ""),
        ];
        Self::of("user", of.map(|u| (u.id.0, u.version, u.name.as_str())), View::Users, paths::USERS, fields)
    }

    #[must_use]
    pub fn source(of: Option<&Source>) -> Self {
        let mut fields = vec![
            // Lists mask the login of an address: it is never sent back, only replaced.
            match of {
                None => {
                    Field::new("url", "URL or file", Kind::Place { needed: true }, "", "http://… or /path/list.m3u")
                }
                Some(_) => Field::new("url", "New address", Kind::Place { needed: false }, "", "empty: stays as it is"),
            },
            Field::new(
                "name",
                "Name",
                Kind::Text { needed: of.is_some() },
                of.map_or("", |s| &s.name),
                "empty: made from the address",
            ),
            Field::new(
                "interval_s",
                "Every",
                Kind::Number,
                of.map_or(String::new(), |s| s.interval_s.to_string()),
                "seconds; 0: by hand",
            ),
            Field::new("enabled", "Enabled", Kind::Flag, flag(of.is_none_or(|s| s.enabled)), "space turns it"),
        ];
        if of.is_none() {
            fields.insert(
                1,
                Field::new("kind", "Kind", Kind::SourceKind, "", "playlist or guide; empty: told by the name"),
            );
        }
        Self::of("source", of.map(|s| (s.id.0, s.version, s.name.as_str())), View::Sources, paths::SOURCES, fields)
    }

    #[must_use]
    pub fn setting(of: &Setting) -> Self {
        // The key is the daemon's, the title carries it.
        let field = Field::new("value", "Value", Kind::Json, crate::cli::plain(&of.value), "empty: the default");
        Self::new(of.key.clone(), View::Settings, Verb::Patch, paths::SETTINGS.into(), None, vec![field])
    }

    fn of(noun: &str, row: Option<(u32, u32, &str)>, view: View, path: &str, fields: Vec<Field>) -> Self {
        match row {
            Some((id, version, name)) => Self::new(
                format!("Edit {noun}: {name}"),
                view,
                Verb::Patch,
                format!("{path}/{id}"),
                Some(version),
                fields,
            ),
            None => Self::new(format!("New {noun}"), view, Verb::Post, path.into(), None, fields),
        }
    }

    /// Of a row that is there.
    #[must_use]
    pub fn is_edit(&self) -> bool {
        self.verb == Verb::Patch
    }

    #[must_use]
    pub fn is_touched(&self) -> bool {
        self.fields.iter().any(Field::is_touched)
    }

    /// Puts pasted text at the cursor: one line, bounded.
    pub fn paste(&mut self, text: &str) {
        let field = &mut self.fields[self.focus];
        if !field.is_flag() {
            insert(&mut field.input, text);
        }
    }

    /// The change to send, or the first field that is not right.
    ///
    /// # Errors
    /// Index of the field, which takes the focus.
    pub fn change(&self, now: i64) -> Result<Change, usize> {
        let mut body = Map::new();
        for (i, field) in self.fields.iter().enumerate() {
            let value = field.value(now).map_err(|_| i)?;
            let left_out = self.verb == Verb::Post && (value.is_null() || value == json!(""));
            if !left_out && (self.verb == Verb::Post || field.is_touched()) {
                body.insert(field.key.to_owned(), value);
            }
        }
        if let Some(sources) = body.get_mut("sources").and_then(Value::as_array_mut) {
            for source in sources {
                let known = self.headers.iter().find(|k| k.url == source["url"] && !k.headers.is_empty());
                if let Some(known) = known {
                    source["headers"] = json!(known.headers);
                }
            }
        }
        if self.view == View::Settings
            && let Some(value) = body.remove("value")
        {
            body.insert(self.title.clone(), value);
        }
        if let Some(version) = self.version {
            body.insert("version".to_owned(), json!(version));
        }
        Ok(Change {
            verb: self.verb,
            path: self.path.clone(),
            body: Some(Value::Object(body)),
            said: "saved".into(),
            destructive: false,
            view: self.view,
            urls: self.view == View::Users && self.verb == Verb::Post,
        })
    }
}

/// The longest text a field takes, in bytes: an address with its query.
const MAX_INPUT: usize = 4096;

/// Puts pasted text at the cursor of any input.
pub fn insert(input: &mut Input, text: &str) {
    let room = MAX_INPUT.saturating_sub(input.value().len());
    for c in text::clean(text, room).chars() {
        input.handle(tui_input::InputRequest::InsertChar(c));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_stay_with_their_address_and_masked_logins_are_not_sent_back() {
        let channel: Channel =
            serde_json::from_value(json!({"id": 7, "version": 1, "number": 7, "name": "A", "category": 1,
            "logo": "", "guide_id": "", "sources": [{"url": "http://h/1.ts", "headers": [["User-Agent", "x"]]}],
            "enabled": true, "added_at": 0}))
            .unwrap();
        let mut form = Form::channel(Some(&channel), "");
        form.focus = 1;
        form.fields[1].input = Input::new("http://h/1.ts testcard:".into());
        let body = form.change(0).unwrap().body.unwrap();
        let kept = json!([{"url": "http://h/1.ts", "headers": [["User-Agent", "x"]]}, {"url": "testcard:"}]);
        assert_eq!(body, json!({"sources": kept, "version": 1}));

        let source: Source = serde_json::from_value(json!({"id": 1, "version": 4, "name": "p", "kind": "playlist",
            "url": "http://h/get.php?username=****&password=****", "enabled": true, "interval_s": 0}))
        .unwrap();
        let mut form = Form::source(Some(&source));
        assert!(form.fields.iter().all(|f| !f.input.value().contains("****")));
        form.fields[1].input = Input::new("q".into());
        assert_eq!(form.change(0).unwrap().body.unwrap(), json!({"name": "q", "version": 4}));
    }

    #[test]
    fn a_form_sends_only_what_is_right_and_touched() {
        let mut form = Form::user(None);
        assert_eq!(form.change(0).unwrap_err(), 0);
        form.fields[0].input = Input::new("live".into());
        assert!(form.fields[0].fault(0).unwrap().contains("reserved"));
        form.fields[0].input = Input::new("alice".into());
        let body = form.change(0).unwrap().body.unwrap();
        assert_eq!(body, json!({"name": "alice", "max_connections": 1, "enabled": true, "trial": false}));
        let category = Category { id: yagi_api::CategoryId(3), version: 7, name: "A".into(), position: 1, channels: 0 };
        let mut form = Form::category(Some(&category));
        assert!(!form.is_touched());
        form.fields[0].input = Input::new("B".into());
        let change = form.change(0).unwrap();
        assert_eq!(
            (change.path.as_str(), change.body.unwrap()),
            ("/api/categories/3", json!({"name": "B", "version": 7}))
        );
    }
}
