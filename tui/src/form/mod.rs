//! Forms: fields that are checked while they are typed, and the change that they make.
//!
//! Owns editing of one row or of many. Must not enter: drawing, sending. Invariant: a form that shows a fault sends
//! nothing, a patch carries only the fields that were touched, and nothing that was typed is lost by a refusal.

pub mod field;
mod nouns;
mod picker;

use serde_json::{Map, Value, json};
use tui_input::Input;
use yagi_api::{ChannelSource, text};

pub use field::{Field, Kind};
pub use picker::Picker;

use crate::{
    model::View,
    msg::{Change, Then, Verb},
};

/// The longest text of a field.
const MAX_INPUT: usize = 16 * 1024;

#[derive(Clone, Debug)]
pub struct Form {
    pub title: String,
    /// A sentence below the title.
    pub about: String,
    pub fields: Vec<Field>,
    /// A field, or one of the buttons behind the last: save, cancel.
    pub focus: usize,
    /// What the daemon said of the last try.
    pub refused: Option<String>,
    /// Leaving it although something was typed needs a second Esc.
    pub leaving: bool,
    /// Somebody changed the row meanwhile: which fields, and to what.
    pub theirs: Vec<(&'static str, String)>,
    /// Names that are being picked for the focused field.
    pub picker: Option<Picker>,
    /// Secrets shown.
    pub shown: bool,
    verb: Verb,
    pub path: String,
    version: Option<u32>,
    pub view: View,
    /// Id and name of the row that is edited.
    pub row: Option<(u32, String)>,
    /// Which rows, when it is for many.
    bulk: Option<Value>,
    /// Save was pressed and the answer is awaited: not pressed twice, and closed by its own answer only.
    pub sent: bool,
    /// Request headers of the addresses that a channel has: kept with an address that stays.
    headers: Vec<ChannelSource>,
}

impl Form {
    fn new(title: String, view: View, verb: Verb, path: String, version: Option<u32>, fields: Vec<Field>) -> Self {
        Self {
            title,
            about: String::new(),
            fields,
            focus: 0,
            refused: None,
            leaving: false,
            theirs: Vec::new(),
            picker: None,
            shown: false,
            verb,
            path,
            version,
            view,
            row: None,
            bulk: None,
            sent: false,
            headers: Vec::new(),
        }
    }

    /// Of a row that is there.
    #[must_use]
    pub fn is_edit(&self) -> bool {
        self.verb == Verb::Patch || self.bulk.is_some()
    }

    #[must_use]
    pub fn is_touched(&self) -> bool {
        self.fields.iter().any(Field::is_touched)
    }

    /// The focused field; none on a button.
    pub fn focused(&mut self) -> Option<&mut Field> {
        self.fields.get_mut(self.focus)
    }

    /// Fields and the two buttons.
    #[must_use]
    pub fn stops(&self) -> usize {
        self.fields.len() + 2
    }

    /// Labels of the fields that are not right.
    #[must_use]
    pub fn faults(&self, now: i64) -> Vec<&'static str> {
        let faulty = |f: &&Field| f.fault(now).is_some() && (f.is_touched() || !f.input.value().is_empty());
        self.fields.iter().filter(faulty).map(|f| f.label).collect()
    }

    /// Puts pasted text at the cursor: one line, bounded.
    pub fn paste(&mut self, text: &str) {
        if let Some(field) = self.focused().filter(|f| !f.is_turned()) {
            insert(&mut field.input, text);
        }
    }

    /// The row as it is now, after a conflict: saving again means this version. Fields that only they changed are taken.
    pub fn meanwhile(&mut self, row: &Value, category: &str) {
        self.version = row["version"].as_u64().and_then(|v| u32::try_from(v).ok());
        self.theirs.clear();
        if let Ok(channel) = serde_json::from_value::<yagi_api::Channel>(row.clone()) {
            self.headers = channel.sources;
        }
        for field in &mut self.fields {
            let now = Self::text_of(field, row, category);
            if now == field.before {
                continue;
            }
            if field.is_touched() {
                self.theirs.push((field.key, now.clone()));
            } else {
                field.set(now.clone());
            }
            field.before = now;
        }
    }

    /// The change to send, or the first field that is not right.
    ///
    /// # Errors
    /// Index of the field, which takes the focus.
    pub fn change(&self, now: i64) -> Result<Change, usize> {
        let mut body = Map::new();
        for (i, field) in self.fields.iter().enumerate() {
            if self.bulk.is_some() && !field.is_touched() {
                continue;
            }
            let value = field.value(now).map_err(|_| i)?;
            let left_out = self.verb == Verb::Post && self.bulk.is_none() && (value.is_null() || value == json!(""));
            let left_out = left_out || value.is_null() && field.is_secret();
            // A masked address that is left empty, a number without a default: nothing to say.
            let stays = value.is_null() && matches!(field.kind, Kind::Place { .. })
                || value.is_null() && matches!(field.kind, Kind::Number(_)) && self.view != View::Settings;
            if !left_out && !stays && (self.verb == Verb::Post || field.is_touched()) {
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
        let mut body = Value::Object(body);
        if let Some(bulk) = &self.bulk {
            let set = body;
            body = bulk.clone();
            body["set"] = set;
        }
        let new_user = self.view == View::Users && self.verb == Verb::Post && self.bulk.is_none();
        let then = if new_user { Then::FormAndUrls } else { Then::Form };
        let name = self.fields.iter().find(|f| f.key == "name").map(|f| f.input.value().trim().to_owned());
        let said = match name.filter(|n| !n.is_empty()) {
            Some(name) => format!("{name} saved"),
            None => "saved".into(),
        };
        Ok(Change::new(self.verb, self.path.clone(), self.view, said).body(body).then(then))
    }
}

/// Puts foreign text at the cursor: cleaned, one line, bounded.
pub fn insert(input: &mut Input, text: &str) {
    let room = MAX_INPUT.saturating_sub(input.value().len());
    for c in text::clean(text, room).chars() {
        input.handle(tui_input::InputRequest::InsertChar(c));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use yagi_api::{Category, Channel, Source};

    fn row<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    fn channel() -> Channel {
        row(json!({"id": 7, "version": 1, "number": 7, "name": "A", "category": 1,
            "logo": "", "guide_id": "", "sources": [{"url": "http://h/1.ts", "headers": [["User-Agent", "x"]]}],
            "enabled": true, "added_at": 0}))
    }

    #[test]
    fn headers_stay_with_their_address_and_masked_logins_are_not_sent_back() {
        let mut form = Form::channel(Some(&channel()), "");
        form.fields[1].set("http://h/1.ts testcard:");
        let body = form.change(0).unwrap().body.unwrap();
        let kept = json!([{"url": "http://h/1.ts", "headers": [["User-Agent", "x"]]}, {"url": "testcard:"}]);
        assert_eq!(body, json!({"sources": kept, "version": 1}));

        let source: Source = row(json!({"id": 1, "version": 4, "name": "p", "kind": "playlist",
            "url": "http://h/get.php?username=****&password=****", "enabled": true, "interval_s": 0}));
        let mut form = Form::source(&source);
        assert!(form.fields.iter().all(|f| !f.input.value().contains("****")));
        form.fields[0].set("q");
        assert_eq!(form.change(0).unwrap().body.unwrap(), json!({"name": "q", "version": 4}));
    }

    #[test]
    fn a_form_sends_only_what_is_right_and_touched() {
        let mut form = Form::user(None);
        assert_eq!(form.change(0).unwrap_err(), 0);
        form.fields[0].set("live");
        assert!(form.fields[0].fault(0).unwrap().contains("reserved"));
        form.fields[0].set("alice");
        let body = form.change(0).unwrap().body.unwrap();
        assert_eq!(
            body,
            json!({"name": "alice", "max_connections": 1, "enabled": true, "trial": false, "formats": ["ts", "m3u8"],
                "player": "auto"})
        );
        form.fields[4].set("10001");
        assert!(form.fields[4].fault(0).unwrap().contains("10000"), "the daemon's own rule");
        let category = Category { id: yagi_api::CategoryId(3), version: 7, name: "A".into(), position: 1, channels: 0 };
        let mut form = Form::category(Some(&category));
        assert!(!form.is_touched());
        form.fields[0].set("B");
        let change = form.change(0).unwrap();
        assert_eq!(
            (change.path.as_str(), change.body.unwrap()),
            ("/api/categories/id:3", json!({"name": "B", "version": 7}))
        );
    }

    #[test]
    fn many_rows_get_only_what_was_touched() {
        let target = crate::model::Target::Ids(vec![3, 4]);
        let mut form = Form::bulk(View::Users, &target, 2).unwrap();
        form.fields[1].set("never");
        let change = form.change(0).unwrap();
        assert_eq!(change.path, "/api/users/bulk");
        assert_eq!(change.body.unwrap(), json!({"ids": [3, 4], "set": {"expires_at": null}}));
    }

    #[test]
    fn a_conflict_keeps_what_was_typed_and_takes_what_was_not() {
        let mut form = Form::channel(Some(&channel()), "News");
        form.fields[0].set("mine");
        let theirs = json!({"id": 7, "version": 5, "number": 12, "name": "theirs", "category": 1, "logo": "",
            "guide_id": "", "sources": [{"url": "http://h/1.ts"}], "enabled": true, "added_at": 0});
        form.meanwhile(&theirs, "News");
        assert_eq!(form.theirs, [("name", "theirs".to_owned())]);
        assert_eq!((form.fields[0].input.value(), form.fields[2].input.value()), ("mine", "12"));
        assert_eq!(form.change(0).unwrap().body.unwrap(), json!({"name": "mine", "version": 5}));
    }
}
