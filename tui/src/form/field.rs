//! One field: what may be typed into it, and the value it stands for.
//!
//! The rules are the daemon's own (`yagi_api::rules`). Must not enter: drawing. Invariant: any text can be looked at.

use serde_json::{Value, json};
use tui_input::Input;
use yagi_api::{ApiError, ChannelSource, OutputFormat, rules, text};

use crate::{names, when};

/// What a field takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// At least one character, or none.
    Text {
        needed: bool,
    },
    UserName,
    /// Empty: generated, or as it is.
    Password,
    /// A number that passes the daemon's rule; empty: the default.
    Number(fn(u32) -> Result<u32, ApiError>),
    /// `yes` or `no`; the space bar turns it. Of many rows also empty: as they are.
    Flag,
    /// One of a few words; the space bar turns it.
    Choice(&'static [&'static str]),
    /// A date, `+30d`, or empty for never.
    Expiry,
    /// A name of a category.
    Category,
    /// Names of categories separated by semicolons, one that has some in quotes; empty or `all`: all.
    Categories,
    /// Words of output formats.
    Formats,
    /// Addresses separated by blanks, best first.
    Addresses,
    /// `http://…`, `https://…` or an absolute path; optional where an address is there already.
    Place {
        needed: bool,
    },
    /// Empty or `http(s)://…`.
    Url,
    /// Whatever the setting holds.
    Json,
}

/// Any number.
pub fn any(n: u32) -> Result<u32, ApiError> {
    Ok(n)
}

impl Kind {
    /// The value of a text.
    ///
    /// # Errors
    /// Says what was expected.
    pub fn read(self, given: &str, now: i64) -> Result<Value, String> {
        let given = given.trim();
        let told = |e: ApiError| e.message;
        match self {
            Self::Text { needed: true } => rules::name("", given).map(|n| json!(n)).map_err(told),
            Self::Text { .. } | Self::Category => Ok(json!(rules::text(given))),
            Self::UserName => text::user_name_fault(given).map_or(Ok(json!(given)), |why| Err(why.into())),
            Self::Password if given.is_empty() => Ok(Value::Null),
            Self::Password => rules::password(given).map(|()| json!(given)).map_err(told),
            Self::Number(_) if given.is_empty() => Ok(Value::Null),
            Self::Number(rule) => {
                let number: u32 = given.parse().map_err(|_| "expected a whole number".to_owned())?;
                rule(number).map(|n| json!(n)).map_err(told)
            }
            Self::Flag => match given {
                "yes" | "on" | "true" | "1" => Ok(json!(true)),
                "no" | "off" | "false" | "0" => Ok(json!(false)),
                "" => Ok(Value::Null),
                _ => Err("expected yes or no".into()),
            },
            Self::Choice(words) if words.contains(&given) => Ok(json!(given)),
            Self::Choice(words) => Err(format!("expected one of {}", words.join(", "))),
            Self::Expiry if given.is_empty() => Ok(Value::Null),
            Self::Expiry => {
                let at = when::expiry(given, now)?;
                rules::expires_at(at).map(|at| json!(at)).map_err(told)
            }
            Self::Categories => {
                Ok(names::split(given, ';').filter(|names| !names.is_empty()).map_or(Value::Null, Value::from))
            }
            Self::Formats => {
                let asked: Result<Vec<OutputFormat>, String> = given
                    .split([' ', ',', ';'])
                    .filter(|w| !w.is_empty())
                    .map(|w| {
                        let known = OutputFormat::ALL.into_iter().find(|f| f.word() == w);
                        known.ok_or_else(|| format!("`{w}` is none of ts, m3u8"))
                    })
                    .collect();
                rules::formats(&asked?).map(|f| json!(f)).map_err(told)
            }
            Self::Addresses => {
                let list: Vec<ChannelSource> = given
                    .split_whitespace()
                    .map(|url| ChannelSource { url: url.to_owned(), headers: Vec::new() })
                    .collect();
                rules::sources(&list, |field, url| rules::http_words(field, url).map(drop))
                    .map(|_| list.iter().map(|s| json!({"url": s.url})).collect())
                    .map_err(told)
            }
            Self::Place { needed: false } if given.is_empty() => Ok(Value::Null),
            Self::Place { .. } => rules::place(given).map(|p| json!(p)).map_err(told),
            Self::Url if given.is_empty() => Ok(json!("")),
            Self::Url => rules::http_words("", given).map(|u| json!(u)).map_err(told),
            Self::Json if given.is_empty() => Ok(Value::Null),
            Self::Json => Ok(serde_json::from_str(given).unwrap_or_else(|_| json!(given))),
        }
    }

    /// The text of a value, so that reading it again gives the value.
    #[must_use]
    pub fn write(self, value: &Value) -> String {
        match (self, value) {
            (Self::Flag, Value::Bool(on)) => flag(*on).to_owned(),
            (Self::Expiry, Value::Number(at)) => at.as_i64().map_or_else(String::new, when::date),
            (Self::Categories, Value::Array(names)) => names::join(&words(names), ';'),
            (Self::Formats, Value::Array(formats)) => words(formats).join(" "),
            (Self::Addresses, Value::Array(list)) => {
                list.iter().filter_map(|s| s["url"].as_str()).collect::<Vec<_>>().join(" ")
            }
            (_, Value::Null) => String::new(),
            (_, Value::String(text)) => text.clone(),
            (_, other) => other.to_string(),
        }
    }
}

fn words(list: &[Value]) -> Vec<&str> {
    list.iter().filter_map(Value::as_str).collect()
}

#[must_use]
pub fn flag(on: bool) -> &'static str {
    if on { "yes" } else { "no" }
}

#[derive(Clone, Debug)]
pub struct Field {
    pub key: &'static str,
    pub label: &'static str,
    pub input: Input,
    pub kind: Kind,
    pub before: String,
    pub hint: &'static str,
}

impl Field {
    #[must_use]
    pub fn new(
        key: &'static str,
        label: &'static str,
        kind: Kind,
        value: impl Into<String>,
        hint: &'static str,
    ) -> Self {
        let before = value.into();
        Self { key, label, input: Input::new(before.clone()), kind, before, hint }
    }

    /// The space bar turns it; nothing is typed.
    #[must_use]
    pub fn is_turned(&self) -> bool {
        matches!(self.kind, Kind::Flag | Kind::Choice(_))
    }

    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Password)
    }

    /// Its names can be picked from a list.
    #[must_use]
    pub fn is_picked(&self) -> bool {
        matches!(self.kind, Kind::Category | Kind::Categories)
    }

    pub fn turn(&mut self) {
        let value = self.input.value();
        let next = match self.kind {
            Kind::Choice(words) => {
                let at = words.iter().position(|w| *w == value).map_or(0, |at| at + 1);
                words[at % words.len()]
            }
            _ => flag(value != "yes"),
        };
        self.input = Input::new(next.to_owned());
    }

    pub fn set(&mut self, text: impl Into<String>) {
        self.input = Input::new(text.into());
    }

    #[must_use]
    pub fn is_touched(&self) -> bool {
        self.input.value() != self.before
    }

    /// What is wrong, if so; said while typing.
    #[must_use]
    pub fn fault(&self, now: i64) -> Option<String> {
        self.value(now).err()
    }

    /// # Errors
    /// Says what was expected.
    pub fn value(&self, now: i64) -> Result<Value, String> {
        self.kind.read(self.input.value(), now)
    }

    /// What the text means, beside it.
    #[must_use]
    pub fn aside(&self, now: i64) -> String {
        match (self.kind, self.value(now)) {
            (Kind::Expiry, Ok(Value::Number(at))) => at.as_i64().map_or_else(String::new, |at| {
                if at > now { format!("in {}", when::span(at - now)) } else { "past".into() }
            }),
            (Kind::Expiry, Ok(_)) => "never".into(),
            (Kind::Number(_), Ok(Value::Number(n))) if self.key == "interval_s" => match n.as_i64() {
                Some(0) => "by hand".into(),
                Some(n) => format!("every {}", when::span(n)),
                None => String::new(),
            },
            _ => String::new(),
        }
    }
}
