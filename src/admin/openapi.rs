//! `/api/openapi.json`: the admin API as an OpenAPI 3.1 document, made from the route table and the types themselves.
//!
//! Owns which types each request takes and gives. Must not enter: what routes do. Invariant: a route without a line here does not
//! compile, and every method of the table is in the document.

use hyper::Method;
use schemars::{JsonSchema, SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use yagi_api::*;

use super::{Answer, Ask, Route, TABLE, input, ok, roles};

/// What a route takes and gives, for one method.
struct Operation {
    summary: &'static str,
    body: Option<Value>,
    status: u16,
    reply: Option<Value>,
    media: &'static str,
    parameters: &'static [(&'static str, &'static str)],
}

const LIST: &[(&str, &str)] = &[
    ("q", "terms that all must match"),
    ("sort", "a field, descending with a leading -"),
    ("offset", "rows to skip"),
    ("limit", "rows to answer: at most 1000"),
];
const CLIENTS: &[(&str, &str)] = &[
    ("q", "terms that all must match"),
    ("sort", "a field, descending with a leading -"),
    ("offset", "rows to skip"),
    ("limit", "rows to answer: at most 1000"),
    ("stream", "only this stream's"),
    ("user", "only this user's"),
];
const GUIDE: &[(&str, &str)] = &[
    ("q", "terms that all must match"),
    ("sort", "a field, descending with a leading -"),
    ("offset", "rows to skip"),
    ("limit", "rows to answer: at most 1000"),
    ("now", "true: with the present programme and the next"),
];
const CHANNELS: &[(&str, &str)] = &[
    ("q", "terms that all must match"),
    ("sort", "a field, descending with a leading -"),
    ("offset", "rows to skip"),
    ("limit", "rows to answer: at most 1000"),
    ("facts", "true: with guide match, present programme, last check and stream of each"),
];
const LOGS: &[(&str, &str)] = &[
    ("n", "records: at most 2000"),
    ("level", "this level and above"),
    ("since", "behind this seq"),
    ("target", "of targets that begin so"),
    ("q", "with this text"),
];

struct Types(SchemaGenerator);

impl Types {
    fn of<T: JsonSchema>(&mut self) -> Value {
        self.0.subschema_for::<T>().to_value()
    }

    fn get<T: JsonSchema>(&mut self, summary: &'static str) -> Operation {
        Operation { summary, body: None, status: 200, reply: Some(self.of::<T>()), media: JSON, parameters: &[] }
    }

    fn list<T: JsonSchema>(&mut self, summary: &'static str) -> Operation {
        Operation { parameters: LIST, ..self.get::<Page<T>>(summary) }
    }

    /// A request with a body.
    fn send<B: JsonSchema, T: JsonSchema>(&mut self, status: u16, summary: &'static str) -> Operation {
        Operation { body: Some(self.of::<B>()), status, ..self.get::<T>(summary) }
    }

    fn done(&mut self, summary: &'static str) -> Operation {
        Operation { summary, body: None, status: 204, reply: None, media: JSON, parameters: &[] }
    }

    fn operation(&mut self, route: Route, method: &str) -> Operation {
        let is = |m: &str| m == method;
        match route {
            Route::AceStats => self.get::<Value>("Counts, in the shape of the replaced system"),
            Route::AceStream if is("DELETE") => self.get::<Value>("Ends a stream, in the shape of the replaced system"),
            Route::AceStream => self.get::<Value>("One stream, in the shape of the replaced system"),
            Route::AceStreams => self.get::<Value>("Streams, in the shape of the replaced system"),
            Route::Apply => self.send::<Apply, Applied>(200, "Applies a list of operations, all or nothing"),
            Route::Backup => self.send::<BackupRequest, Backup>(200, "Copies the database into a new file"),
            Route::Block => self.done("Lets an address ask again"),
            Route::Blocks if is("POST") => self.send::<BlockDraft, Block>(201, "Blocks an address for a while"),
            Route::Blocks => self.list::<Block>("Blocked addresses"),
            Route::BulkCategories => self.send::<CategoryBulk, Applied>(200, "Deletes many categories"),
            Route::BulkChannels => {
                self.send::<ChannelBulk, Applied>(200, "Changes, renumbers or deletes many channels")
            }
            Route::BulkSources => self.send::<SourceBulk, Applied>(200, "Changes, refreshes or deletes many sources"),
            Route::BulkUsers => self.send::<UserBulk, Applied>(200, "Changes, extends or deletes many users"),
            Route::Categories if is("POST") => self.send::<CategoryDraft, Category>(201, "Makes a category"),
            Route::Categories => self.list::<Category>("Categories, in their order"),
            Route::Category if is("PATCH") => self.send::<CategoryPatch, Category>(200, "Changes a category"),
            Route::Category if is("DELETE") => self.done("Deletes a category; its channels become Uncategorised"),
            Route::Category => self.get::<Category>("One category, by id or name"),
            Route::CategoryOrder => self.send::<CategoryOrder, Applied>(200, "Puts categories in order"),
            Route::Change => self.get::<ChangeRow>("One step of the trail with what it changed"),
            Route::Changes => self.list::<ChangeRow>("Steps of the trail, newest first"),
            Route::Channel if is("PATCH") => self.send::<ChannelPatch, Channel>(200, "Changes a channel"),
            Route::Channel if is("DELETE") => self.done("Deletes a channel"),
            Route::Channel => self.get::<Channel>("One channel"),
            Route::Channels if is("POST") => self.send::<ChannelDraft, Channel>(201, "Makes a channel"),
            Route::Channels => Operation { parameters: CHANNELS, ..self.list::<ChannelRow>("Channels, by number") },
            Route::Checks if is("POST") => self.send::<CheckRequest, Value>(200, "Queues checks of channels"),
            Route::Checks if is("DELETE") => self.get::<Value>("Forgets the checks that wait"),
            Route::Checks => Operation {
                parameters: &[("offset", "rows to skip"), ("limit", "rows to answer")],
                ..self.get::<Checks>("Results of checks")
            },
            Route::Client if is("DELETE") => self.done("Ends a connection"),
            Route::Client => self.get::<ClientRow>("One connection"),
            Route::ClientBlock => self.send::<ClientBlock, Block>(201, "Ends a connection and blocks its address"),
            Route::Clients => Operation { parameters: CLIENTS, ..self.list::<ClientRow>("Connections, oldest first") },
            Route::Detail => self.get::<ChannelDetail>("One channel with its guide, stream and last error"),
            Route::Diff => self.get::<SourceDiff>("What the last refresh that changed anything changed"),
            Route::Engines => self.list::<EngineRow>("AceStream engines"),
            Route::Events => Operation {
                media: "application/x-ndjson",
                parameters: &[("since", "a revision: resync when it is not the present one")],
                ..self.get::<Event>("What happens, one object a line")
            },
            Route::Explain => self.get::<Explain>("Where a channel and its programmes come from, and why"),
            Route::Extend => self.send::<UserExtend, User>(200, "Lets an account live longer"),
            Route::Failover => self
                .send::<FailoverRequest, StreamRow>(200, "Moves a stream to another of its sources; viewers are kept"),
            Route::Guide => self.get::<GuideStatus>("The guide in one look"),
            Route::GuideAccept => self.send::<GuideAccept, Applied>(200, "Takes good suggestions as guide ids"),
            Route::GuideChannels => Operation {
                parameters: GUIDE,
                ..self.list::<GuideChannel>("Listed channels and how they find their programmes")
            },
            Route::GuideRefresh => self.get::<Page<Job>>("Refreshes every enabled guide"),
            Route::Health => self.get::<Value>("Whether all is well, in the shape of the replaced system"),
            Route::Hello => self.get::<Hello>("Who answers, and what the caller may do"),
            Route::History => self.get::<Page<RefreshReport>>("The last reports of a source, newest first"),
            Route::Job if is("DELETE") => self.done("Cancels a refresh"),
            Route::Job => self.get::<Job>("One refresh"),
            Route::Jobs => self.list::<Job>("Refreshes that wait, run, or ended a short while ago"),
            Route::Lineup => self.get::<Lineup>("Generations of a playlist, and what is held back"),
            Route::Lineups => self.get::<Page<Lineup>>("Playlists with their generations"),
            Route::LineupAccept => self.get::<LineupDone>("Applies the held download"),
            Route::LineupPlan => Operation {
                parameters: &[("fetch", "true: download now and plan that")],
                ..self.get::<LineupPlan>("What applying the held download would change")
            },
            Route::LineupRollback => self.send::<Rollback, LineupDone>(200, "Goes back to an earlier generation"),
            Route::LogFilter if is("PUT") => self.send::<LogFilter, LogFilter>(200, "Changes what is logged"),
            Route::LogFilter => self.get::<LogFilter>("What is logged"),
            Route::LogTail => Operation {
                parameters: &[("lines", "lines to answer")],
                ..self.get::<Value>("The last lines, in the shape of the replaced system")
            },
            Route::Logs => {
                Operation { parameters: LOGS, ..self.get::<Vec<LogRecord>>("The last records, oldest first") }
            }
            Route::Merge => self.send::<CategoryMerge, Category>(200, "Moves all of a category to another one"),
            Route::OpenApi => self.get::<Value>("This document"),
            Route::Password => self.get::<NewUser>("Gives an account a new password"),
            Route::Probe => self.send::<ProbeRequest, Probe>(200, "Looks at a URL before it becomes a source"),
            Route::Programmes => Operation {
                parameters: &[
                    ("from", "epoch seconds; now when absent"),
                    ("until", "epoch seconds; a day later when absent"),
                ],
                ..self.get::<Vec<Programme>>("Programmes of a channel, oldest first")
            },
            Route::Ready => self.get::<Value>("Answered once everything is served"),
            Route::Redo => self.send::<UndoRequest, Applied>(200, "Makes a step again that was taken back"),
            Route::Refresh => Operation {
                parameters: &[("wait", "true: answer when it has ended")],
                ..self.get::<Source>("Refreshes a source")
            },
            Route::Reload => self.get::<Reload>("Reads the configuration again"),
            Route::Rule if is("PATCH") => self.send::<RulePatch, Rule>(200, "Changes a rule"),
            Route::Rule if is("DELETE") => self.done("Deletes a rule"),
            Route::Rule => self.get::<Rule>("One rule"),
            Route::RulePreview => self.send::<RulePreview, PreviewDone>(200, "What rules would do"),
            Route::Rules if is("POST") => Operation {
                parameters: &[("wait", "true: answer when it has run")],
                ..self.send::<RuleDraft, Rule>(201, "Makes a rule")
            },
            Route::Rules => self.list::<Rule>("Rules, in their order"),
            Route::Settings if is("PATCH") => self.send::<Value, Vec<Setting>>(200, "Changes settings, all or none"),
            Route::Settings => self.get::<Vec<Setting>>("Every setting and every key of the configuration"),
            Route::Source if is("PATCH") => self.send::<SourcePatch, Source>(200, "Changes a source"),
            Route::Source if is("DELETE") => self.done("Deletes a source and its channels"),
            Route::Source => self.get::<Source>("One source, by id or name"),
            Route::Sources if is("POST") => Operation {
                parameters: &[("wait", "true: answer when its refresh has ended")],
                ..self.send::<SourceDraft, Source>(201, "Makes a source and refreshes it")
            },
            Route::Sources => self.list::<Source>("Sources"),
            Route::Stats => self.get::<Value>("Counts, in the shape of the replaced system"),
            Route::Status => self.get::<Status>("The daemon in one look"),
            Route::Stream if is("DELETE") => self.done("Ends a stream and its clients"),
            Route::Stream => self.get::<StreamRow>("One running stream"),
            Route::Streams => self.list::<StreamRow>("Running streams"),
            Route::Token if is("DELETE") => self.done("Takes an account's token away"),
            Route::Token => Operation {
                parameters: &[("base", "another address for the links")],
                ..self.get::<UserUrls>("Gives an account a new token, and its links")
            },
            Route::Undo => self.send::<UndoRequest, Applied>(200, "Takes a step back"),
            Route::Urls => Operation {
                parameters: &[
                    ("base", "another address for the links"),
                    ("channel", "id of the channel that `stream` is of; else the first one"),
                ],
                ..self.get::<UserUrls>("Links of a viewer, with the password")
            },
            Route::User if is("PATCH") => self.send::<UserPatch, User>(200, "Changes an account"),
            Route::User if is("DELETE") => self.done("Deletes an account"),
            Route::User => self.get::<User>("One account, by id or name"),
            Route::Users if is("POST") => self.send::<UserDraft, NewUser>(201, "Makes an account"),
            Route::Users => self.list::<User>("Accounts"),
        }
    }
}

const JSON: &str = "application/json";

/// The whole document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.definitions_path = "/components/schemas".into());
    let mut types = Types(settings.into_generator());
    let error = types.of::<ErrorBody>();
    let mut paths = Map::new();
    for (path, methods, route) in TABLE {
        let mut item = Map::new();
        for method in methods.split(", ") {
            let role = roles::wanted(*route, &method.parse().unwrap_or(Method::GET));
            let operation = types.operation(*route, method);
            item.insert(method.to_ascii_lowercase(), told(path, role, &operation, &error));
        }
        paths.insert((*path).to_owned(), item.into());
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "yagid admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "JSON over HTTP on a Unix socket; docs/API.md tells it in words.",
        },
        "paths": paths,
        "components": {"schemas": types.0.take_definitions(true)},
    })
}

fn told(path: &str, role: Role, operation: &Operation, error: &Value) -> Value {
    let content = |media: &str, schema: &Value| json!({ media: { "schema": schema } });
    let mut parameters: Vec<Value> = Vec::new();
    if path.contains("{id}") {
        parameters.push(json!({"name": "id", "in": "path", "required": true, "schema": {"type": "string"},
            "description": "An id, or where rows have unique names a name, which comes first; `id:7` is an id and nothing else"}));
    }
    for (name, words) in operation.parameters {
        parameters.push(json!({"name": name, "in": "query", "description": words, "schema": {"type": "string"}}));
    }
    let mut done = json!({"description": if operation.reply.is_some() { "done" } else { "done, nothing to tell" }});
    if let Some(reply) = &operation.reply {
        done["content"] = content(operation.media, reply);
    }
    let mut out = json!({
        "summary": operation.summary,
        "x-role": role,
        "responses": {
            operation.status.to_string(): done,
            "default": {"description": "refused", "content": content(JSON, error)},
        },
    });
    if !parameters.is_empty() {
        out["parameters"] = parameters.into();
    }
    if let Some(body) = &operation.body {
        out["requestBody"] = json!({"content": content(JSON, body)});
    }
    out
}

pub(super) fn serve(ask: &Ask<'_>) -> Answer {
    input::only(&ask.request.query, &[])?;
    ok(&document())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_is_in_the_document_and_back() {
        let document = document();
        let told: BTreeSet<String> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, item)| {
                item.as_object().unwrap().keys().map(move |m| format!("{} {path}", m.to_uppercase()))
            })
            .collect();
        let served: BTreeSet<String> = TABLE
            .iter()
            .flat_map(|(path, methods, _)| methods.split(", ").map(move |m| format!("{m} {path}")))
            .collect();
        assert_eq!(told, served);
    }

    #[test]
    fn every_reference_leads_to_a_schema() {
        fn refs<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
            match value {
                Value::Object(map) => map.iter().for_each(|(key, value)| match value {
                    Value::String(to) if key == "$ref" => found.push(to),
                    other => refs(other, found),
                }),
                Value::Array(list) => list.iter().for_each(|value| refs(value, found)),
                _ => {}
            }
        }
        let document = document();
        let mut found = Vec::new();
        refs(&document, &mut found);
        assert!(found.len() > 50);
        for to in found {
            let pointer = to.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{to}");
        }
        let fields = &document["components"]["schemas"]["Channel"]["properties"];
        assert!(fields["guide_id"]["description"].as_str().unwrap().contains("XMLTV"), "{fields}");
    }
}
