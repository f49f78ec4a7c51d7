//! The forms of each noun: one row, or many at once.
//!
//! Must not enter: keys, drawing.

use serde_json::json;
use yagi_api::{Category, Channel, Setting, Source, User, paths, rules};

use super::{Field, Form, Kind, field, field::flag};
use crate::{
    model::{Target, View},
    msg::Verb,
    when,
};

const ANY: Kind = Kind::Text { needed: false };
/// Families of players, as `PlayerFamily` spells them.
const PLAYERS: &[&str] = &["auto", "standard", "smarters", "xui"];
const SOME: Kind = Kind::Text { needed: true };

impl Form {
    #[must_use]
    pub fn channel(of: Option<&Channel>, category: &str) -> Self {
        let text = |get: fn(&Channel) -> &str| of.map_or("", get);
        let urls =
            of.map(|c| c.sources.iter().map(|s| s.url.as_str()).collect::<Vec<_>>().join(" ")).unwrap_or_default();
        let number = of.map_or(String::new(), |c| c.number.to_string());
        let fields = vec![
            Field::new("name", "Name", SOME, text(|c| &c.name), ""),
            Field::new("sources", "Sources", Kind::Addresses, urls, "http://… or acestream://ID, best first"),
            Field::new("number", "Number", Kind::Number(rules::number), number, "empty: the next free one"),
            Field::new("category", "Category", Kind::Category, category, "Enter: pick; made if there is none"),
            Field::new("guide_id", "Guide id", ANY, text(|c| &c.guide_id), "tvg-id of the XMLTV guide"),
            Field::new("logo", "Logo", Kind::Url, text(|c| &c.logo), "http://…"),
            Field::new("enabled", "Enabled", Kind::Flag, flag(of.is_none_or(|c| c.enabled)), "Space turns it"),
            Field::new("radio", "Radio", Kind::Flag, flag(of.is_some_and(|c| c.radio)), "Space turns it"),
        ];
        let row = of.map(|c| (c.id.0, c.version, c.name.as_str()));
        let form = Self::of("channel", row, View::Channels, fields);
        Self { headers: of.map_or_else(Vec::new, |c| c.sources.clone()), ..form }
    }

    #[must_use]
    pub fn category(of: Option<&Category>) -> Self {
        let position = of.map_or(String::new(), |c| c.position.to_string());
        let fields = vec![
            Field::new("name", "Name", SOME, of.map_or("", |c| &c.name), ""),
            Field::new("position", "Position", Kind::Number(field::any), position, "lower comes first; empty: last"),
        ];
        Self::of("category", of.map(|c| (c.id.0, c.version, c.name.as_str())), View::Categories, fields)
    }

    #[must_use]
    pub fn user(of: Option<&User>) -> Self {
        let expires = of.and_then(|u| u.expires_at).map_or(String::new(), when::date);
        let categories = of.and_then(|u| u.categories.as_ref()).map_or(String::new(), |c| crate::names::join(c, ';'));
        let limit = of.map_or("1".to_owned(), |u| u.max_connections.to_string());
        let formats = of
            .map_or_else(|| "ts m3u8".to_owned(), |u| u.formats.iter().map(|f| f.word()).collect::<Vec<_>>().join(" "));
        let password =
            if of.is_some() { "empty: stays as it is; ^G a new one" } else { "empty: generated; ^G shows one" };
        let fields = vec![
            Field::new("name", "Name", Kind::UserName, of.map_or("", |u| &u.name), ""),
            Field::new("password", "Password", Kind::Password, "", password),
            Field::new("enabled", "Enabled", Kind::Flag, flag(of.is_none_or(|u| u.enabled)), "Space turns it"),
            Field::new("expires_at", "Expires", Kind::Expiry, expires, "YYYY-MM-DD, +30d; empty: never"),
            Field::new("max_connections", "Max streams", Kind::Number(rules::max_connections), limit, "0: no limit"),
            Field::new("categories", "Categories", Kind::Categories, categories, "Enter: pick; empty: all"),
            Field::new("formats", "Outputs", Kind::Formats, formats, "ts m3u8"),
            Field::new("player", "Player", Kind::Choice(PLAYERS), of.map_or("auto", |u| u.player.word()), ""),
            Field::new("trial", "Trial", Kind::Flag, flag(of.is_some_and(|u| u.trial)), "Space turns it"),
            Field::new("note", "Note", ANY, of.map_or("", |u| &u.note), ""),
        ];
        Self::of("user", of.map(|u| (u.id.0, u.version, u.name.as_str())), View::Users, fields)
    }

    #[must_use]
    pub fn source(of: &Source) -> Self {
        // Whoever may not see a login gets it masked: it is never sent back, only replaced.
        let masked = of.url.contains("****");
        let (address, hint) = if masked { ("", "hidden; empty: stays as it is") } else { (of.url.as_str(), "") };
        let fields = vec![
            Field::new("name", "Name", SOME, of.name.as_str(), ""),
            Field::new("url", "Address", Kind::Place { needed: !masked }, address, hint),
            Field::new(
                "interval_s",
                "Every",
                Kind::Number(rules::interval),
                of.interval_s.to_string(),
                "seconds; 0: by hand",
            ),
            Field::new("enabled", "Enabled", Kind::Flag, flag(of.enabled), "Space turns it"),
        ];
        Self::of("source", Some((of.id.0, of.version, of.name.as_str())), View::Sources, fields)
    }

    #[must_use]
    pub fn setting(of: &Setting) -> Self {
        // The key is the daemon's, the title carries it.
        let kind = match of.key.as_str() {
            "lag_policy" => Kind::Choice(&["skip", "drop"]),
            "limit_policy" => Kind::Choice(&["take_over", "refuse"]),
            _ if of.value.is_u64() => Kind::Number(field::any),
            _ if of.value.is_boolean() => Kind::Flag,
            _ => Kind::Json,
        };
        let hint = if matches!(kind, Kind::Choice(_) | Kind::Flag) { "Space turns it" } else { "empty: the default" };
        let field = Field::new("value", "Value", kind, crate::cli::plain(&of.value), hint);
        let mut form =
            Self::new(of.key.clone(), View::Settings, Verb::Patch, paths::SETTINGS.into(), None, vec![field]);
        form.about.clone_from(&of.help);
        form
    }

    /// Many rows at once: only fields that are touched change.
    #[must_use]
    pub fn bulk(view: View, target: &Target, count: usize) -> Option<Self> {
        let kept = "empty: as they are";
        let turned = "Space turns it; empty: as they are";
        let fields = match view {
            View::Channels => vec![
                Field::new("category", "Category", Kind::Category, "", "Enter: pick; empty: as they are"),
                Field::new("enabled", "Enabled", Kind::Flag, "", turned),
                Field::new("radio", "Radio", Kind::Flag, "", turned),
                Field::new("logo", "Logo", Kind::Url, "", kept),
            ],
            View::Users => vec![
                Field::new("enabled", "Enabled", Kind::Flag, "", turned),
                Field::new("expires_at", "Expires", Kind::Expiry, "", "YYYY-MM-DD, +30d, never; empty: as they are"),
                Field::new("max_connections", "Max streams", Kind::Number(rules::max_connections), "", kept),
                Field::new("categories", "Categories", Kind::Categories, "", "Enter: pick; all; empty: as they are"),
                Field::new("trial", "Trial", Kind::Flag, "", turned),
            ],
            View::Sources => vec![
                Field::new("enabled", "Enabled", Kind::Flag, "", turned),
                Field::new("interval_s", "Every", Kind::Number(rules::interval), "", "seconds; empty: as they are"),
            ],
            _ => return None,
        };
        let title = format!("Edit {count} {}", view.nouns().1);
        let path = format!("{}{}", view.path(), paths::BULK);
        let mut form = Self::new(title, view, Verb::Post, path, None, fields);
        form.bulk = Some(target.body());
        form.about = "Only the fields that you touch change.".into();
        Some(form)
    }

    fn of(noun: &str, row: Option<(u32, u32, &str)>, view: View, fields: Vec<Field>) -> Self {
        let path = view.path();
        match row {
            Some((id, version, name)) => {
                let title = format!("Edit {noun}: {name}");
                let mut form = Self::new(title, view, Verb::Patch, crate::client::row(path, id), Some(version), fields);
                form.row = Some((id, name.to_owned()));
                form
            }
            None => Self::new(format!("New {noun}"), view, Verb::Post, path.into(), None, fields),
        }
    }

    /// What a row holds under a field's key, as the field would show it.
    #[must_use]
    pub fn text_of(field: &Field, row: &serde_json::Value, category: &str) -> String {
        match field.kind {
            Kind::Category => category.to_owned(),
            Kind::Password => String::new(),
            kind => kind.write(row.get(field.key).unwrap_or(&json!(null))),
        }
    }
}
