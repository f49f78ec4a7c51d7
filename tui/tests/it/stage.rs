//! A model on a stage: it is given messages, its reads are answered from the fake's rows, and its screen can be read.

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::{Terminal, backend::TestBackend, buffer::Buffer};
use serde_json::{Value, from_value, json};
use yagi::{
    client::Fault,
    model::{Link, Model, View},
    msg::{Answer, Ask, Effect, Msg},
    screens::view,
    theme::Theme,
    update::update,
    when,
};
use yagi_api::{Channel, ChannelRow, GuideChannel, Page, Query};

use crate::fake::{self, Rows};

pub const NOW: i64 = 1_795_500_000;
/// Channels of the large house.
pub const HUGE: u32 = 200_000;

/// The kinds of houses that everything is drawn with.
pub const KINDS: [&str; 5] = ["typical", "empty", "hostile", "huge", "offline"];

pub struct Stage {
    pub model: Model,
    rows: Rows,
    huge: bool,
    /// The addresses of every channel, as they were checked last.
    pub checked: Vec<yagi_api::AddressCheck>,
    /// A short link that every user has.
    pub short: Option<String>,
    /// Of the last key: far from the next one, so that digits are views.
    at_ms: u64,
}

impl Stage {
    pub fn new(kind: &str, size: (u16, u16)) -> Self {
        Self::themed(kind, size, Theme::default())
    }

    pub fn themed(kind: &str, size: (u16, u16), theme: Theme) -> Self {
        when::fix_zone(jiff::tz::TimeZone::UTC);
        let rows = match kind {
            "empty" => fake::empty(),
            "hostile" => fake::hostile(),
            _ => fake::typical(),
        };
        let model = Model::new(theme, size, NOW);
        let mut stage = Self { model, rows, huge: kind == "huge", checked: Vec::new(), short: None, at_ms: 0 };
        let hello =
            json!({"version": "0.1.0", "api": 1, "boot_id": "b", "write": true, "host": "tv1", "actor": "root(0)"});
        stage.feed(Msg::Answer(Box::new(Answer::Hello(from_value(hello).unwrap()))));
        stage.feed(Msg::Link(Link::Live));
        if kind == "offline" {
            for n in '1'..='9' {
                stage.press(KeyCode::Char(n));
            }
            stage.press(KeyCode::Char('1'));
            let fault = Fault::Broken("the daemon closed the event stream".into());
            stage.feed(Msg::Link(Link::Down { since: NOW - 12, retry_at: NOW + 5, attempt: 5, fault }));
            stage.model.fresh_at = NOW - 12;
        }
        stage.model.toast = None;
        stage
    }

    /// Applies a message and answers every read, as the daemon would; says what else was asked for.
    pub fn feed(&mut self, msg: Msg) -> Vec<Effect> {
        let mut others = Vec::new();
        let mut waiting = update(&mut self.model, msg);
        for _ in 0..20 {
            let mut next = Vec::new();
            for effect in waiting {
                match effect {
                    Effect::Fetch(ask) => {
                        if let Some(answer) = self.answer(&ask) {
                            next.extend(update(&mut self.model, Msg::Answer(Box::new(answer))));
                        }
                    }
                    other => others.push(other),
                }
            }
            if next.is_empty() {
                break;
            }
            waiting = next;
        }
        others
    }

    pub fn key(&mut self, code: KeyCode, modifiers: KeyModifiers) -> Vec<Effect> {
        self.at_ms += 1000;
        self.feed(Msg::Key(KeyEvent::new(code, modifiers), self.at_ms))
    }

    pub fn press(&mut self, code: KeyCode) -> Vec<Effect> {
        self.key(code, KeyModifiers::NONE)
    }

    /// Each character as a key, slowly.
    pub fn keys(&mut self, keys: &str) -> Vec<Effect> {
        keys.chars().flat_map(|c| self.press(KeyCode::Char(c))).collect()
    }

    pub fn ctrl(&mut self, c: char) -> Vec<Effect> {
        self.key(KeyCode::Char(c), KeyModifiers::CONTROL)
    }

    pub fn buffer(&self) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(self.model.size.0, self.model.size.1)).unwrap();
        terminal.draw(|frame| view(&self.model, frame)).unwrap();
        terminal.backend().buffer().clone()
    }

    /// The screen as text.
    pub fn screen(&self) -> String {
        let buffer = self.buffer();
        let mut out = String::new();
        for y in 0..self.model.size.1 {
            let line: String = (0..self.model.size.0).map(|x| buffer[(x, y)].symbol()).collect();
            out.push_str(line.trim_end());
            out.push('\n');
        }
        out
    }

    fn list(&self, name: &str) -> Value {
        Value::Array(self.rows.lists.get(name).cloned().unwrap_or_default())
    }

    fn answer(&self, ask: &Ask) -> Option<Answer> {
        fn page<T: serde::de::DeserializeOwned>(rows: Value) -> Page<T> {
            let rows: Vec<T> = from_value(rows).unwrap();
            Page { rev: 1, total: u32::try_from(rows.len()).unwrap(), rows }
        }
        let row = |list: &str, id: u32| self.list(list).as_array()?.iter().find(|r| r["id"] == id).cloned();
        Some(match ask {
            Ask::Status => {
                let mut status = fake::status(&self.rows);
                if self.huge {
                    status["channels"] = json!(HUGE);
                }
                Answer::Status(from_value(status).unwrap())
            }
            Ask::Streams => Answer::Streams(from_value(self.list("streams")).unwrap()),
            Ask::Clients => Answer::Clients(from_value(self.list("clients")).unwrap()),
            Ask::Logs => Answer::Logs(from_value(self.list("logs")).unwrap()),
            Ask::Settings => Answer::Settings(from_value(self.list("settings")).unwrap()),
            Ask::Tree => Answer::Tree(from_value(self.groups()).unwrap()),
            Ask::Guide => Answer::Guide(from_value(fake::guide()).unwrap()),
            Ask::Jobs => Answer::Jobs(Vec::new()),
            Ask::Page(View::Channels, q) if self.huge => Answer::Channels(q.clone(), self.many(q)),
            Ask::Page(View::Channels, q) => Answer::Channels(q.clone(), page(self.list("channels"))),
            Ask::Page(View::Categories, q) => Answer::Categories(q.clone(), page(self.groups())),
            Ask::Page(View::Users, q) => Answer::Users(q.clone(), page(self.list("users"))),
            Ask::Page(View::Guide, q) if self.huge => Answer::GuideRows(q.clone(), self.many_guided(q)),
            Ask::Page(View::Guide, q) => Answer::GuideRows(q.clone(), page(self.list("guide"))),
            Ask::Page(_, q) => Answer::Sources(q.clone(), page(self.list("sources"))),
            Ask::Edit(view, id) => Answer::Edit(*view, row(view.nouns().1, *id)?),
            Ask::Urls { user, fresh, channel, .. } => {
                let mut urls = fake::urls(user);
                if let Some(id) = channel {
                    urls["stream"] = json!(format!("http://tv1.lan:8080/live/{user}/Xk3v9pQ2tW7m/{id}.ts"));
                }
                if let Some(short) = &self.short {
                    urls["short"] = json!(short);
                }
                Answer::Urls(from_value(urls).unwrap(), *fresh, *channel)
            }
            Ask::Viewers(channel) => Answer::Viewers(*channel, from_value(self.list("users")).unwrap()),
            Ask::Tested(id) => Answer::Tested(*id, self.checked.clone()),
            Ask::Aside(aside) => Answer::Aside(*aside, crate::canned::aside(aside.word())),
            Ask::Probe(url) => Answer::Probe(url.clone(), from_value(fake::probe(url)).unwrap()),
            Ask::LogFilter => Answer::LogFilter(from_value(json!({"filter": "info", "configured": "info"})).unwrap()),
            Ask::Detail(id) => Answer::Detail(from_value(fake::detail(&row("channels", *id)?)).unwrap()),
            Ask::Diff(_) => Answer::Diff(from_value(fake::difference()).unwrap()),
            Ask::History(_) => {
                let reports = self.list("sources").as_array()?.iter().map(|s| s["last"].clone()).collect();
                Answer::History(from_value(Value::Array(reports)).unwrap())
            }
            Ask::Theirs(_) | Ask::Desk(_) => return None,
        })
    }

    /// One page of very many channels.
    fn many(&self, q: &Query) -> Page<ChannelRow> {
        let proto: ChannelRow = from_value(self.list("channels")[0].clone()).unwrap();
        let of = |n: u32| Channel {
            id: yagi_api::ChannelId(n + 1),
            number: n + 1,
            name: format!("Channel {}", n + 1),
            ..proto.channel.clone()
        };
        let rows = (q.offset..HUGE.min(q.offset.saturating_add(q.limit)))
            .map(|n| ChannelRow { channel: of(n), facts: proto.facts.clone() })
            .collect();
        Page { rev: 1, total: HUGE, rows }
    }

    fn many_guided(&self, q: &Query) -> Page<GuideChannel> {
        let proto: GuideChannel = from_value(self.list("guide")[1].clone()).unwrap();
        let of = |n: u32| {
            let (id, name) = (yagi_api::ChannelId(n + 1), format!("Channel {}", n + 1));
            GuideChannel { id, number: n + 1, name, ..proto.clone() }
        };
        let rows = (q.offset..HUGE.min(q.offset.saturating_add(q.limit))).map(of).collect();
        Page { rev: 1, total: HUGE, rows }
    }

    /// The categories; in the large house one for each five hundred channels.
    fn groups(&self) -> Value {
        if !self.huge {
            return self.list("categories");
        }
        let of =
            |n: u32| json!({"id": n, "version": 1, "name": format!("|{n:03}| GROUP"), "position": n, "channels": 500});
        (1..=HUGE / 500).map(of).collect()
    }
}
