//! Answers of the fake daemon that depend on little but the request: bulk edits, undo, reload, backup.

use hyper::Method;
use serde_json::{Value, json};

use crate::fake::Rows;

/// Lists without a view, with a name that wants to break the screen.
pub fn aside(word: &str) -> Value {
    let foul = "\u{1b}[2Jevil\u{202e}";
    match word {
        "blocks" => {
            json!([{"ip": "203.0.113.9", "since": 1_795_499_000, "until": 1_795_500_300, "reason": format!("guesses {foul}"),
            "actor": "root(0)", "refused": 12}])
        }
        "rules" => json!([
            {"id": 4, "version": 2, "position": 1, "name": format!("no {foul}"), "source": null, "enabled": true,
                "when": [{"field": "group", "matches": "adult"}], "then": {"do": "exclude"}},
            {"id": 5, "version": 1, "position": 2, "name": "shorter names", "source": 1, "enabled": false, "then": {"do": "rename", "to": "$1"}}]),
        "lineup" => {
            json!([{"source": 1, "name": "prov-a", "generation": 12, "held": {"at": 1_795_499_000, "reason": "too few channels: 3 of 412", "kept": true},

            "generations": [{"number": 12, "at": 1_795_400_000, "cause": "refresh", "added": 2, "changed": 1, "retired": 0, "listed": 412},
                {"number": 11, "at": 1_795_300_000, "cause": format!("refresh {foul}"), "added": 0, "changed": 4, "retired": 1, "listed": 410}]}])
        }
        "jobs" => {
            json!([{"id": 7, "name": "prov-a", "source": 1, "state": "running", "step": "reading", "done": 1200, "total": 4120,
            "unit": "entries", "started_at": 1_795_499_990, "elapsed_ms": 10_000, "actor": "root(0)"}])
        }
        "engines" => {
            json!([{"id": 1, "name": "127.0.0.1:6878", "url": "http://127.0.0.1:6878", "state": "up", "version": "3.2", "sessions": 2,
            "capacity": 0, "last_error": null, "failures": 0, "resting_s": 0}])
        }
        "changes" => json!([
            {"id": 41, "at": 1_795_498_000, "actor": "root(0)", "noun": "channels", "change": "updated", "row": 1001, "name": "Rai 1 HD",
                "rows": 1, "summary": format!("number 7 -> 12 {foul}"), "undoable": true},
            {"id": 40, "at": 1_795_497_000, "actor": "schedule", "noun": "sources", "change": "bulk", "row": 1, "name": "prov-a",
                "rows": 12, "summary": "refreshed", "undoable": false}]),
        _ => json!([]),
    }
}

/// Channels in every state: watched, guessed, off, dead, gone.
pub fn channels() -> Vec<Value> {
    let channel = |id: u32, number: u32, name: &str, category: u32, enabled: bool| {
        json!({"id": id, "version": 1, "number": number, "name": name, "category": category, "logo": "", "guide_id": format!("{}.it", name.replace(' ', "")),
            "sources": [{"url": format!("http://prov-a.example/live/user/secret/{id}.ts")}], "enabled": enabled, "added_at": 1_790_000_000, "origin": 1})
    };
    let with = |mut row: Value, more: Value| {
        row.as_object_mut().expect("a row").extend(more.as_object().expect("an object").clone());
        row
    };
    let facts = |how: &str, score: f64, id: Value| {
        let now = json!({"start": 1_795_499_000, "stop": 1_795_502_600, "title": "News at eight", "subtitle": "", "description": "",
            "category": "", "icon": "", "lang": ""});
        json!({"how": how, "score": score, "matched_id": id, "now": now,
            "check": null, "stream": null, "clients": 0, "last_ok_at": 1_795_499_880})
    };
    let check = json!({"at": 1_795_499_900, "alive": false, "error": "404 Not Found", "video": "", "audio": "", "width": 0, "height": 0,
        "bits_per_s": 0, "first_byte_ms": 0});
    let dead = json!({"how": "none", "score": 0.0, "matched_id": null, "now": null, "stream": null, "clients": 0, "check": check,
        "last_ok_at": 1_795_400_000});
    vec![
        with(channel(1001, 1, "Rai 1 HD", 1, true), json!({"facts": facts("id", 1.0, json!("Rai1HD.it"))})),
        with(
            channel(1002, 2, "Das Erste", 2, true),
            json!({"facts": facts("name", 0.93, json!("daserste.de")), "catchup": {"mode": "xc", "days": 7, "source": ""}}),
        ),
        with(channel(1003, 3, "NHK World", 2, false), json!({"facts": facts("none", 0.0, Value::Null)})),
        with(
            channel(1004, 4, "Bike Channel", 2, true),
            json!({"facts": dead,
                "sources": [{"url": "http://prov-a.example/live/user/secret/4.ts"}, {"url": "http://prov-b.example/4.ts"}]}),
        ),
        with(channel(1005, 5, "SuperTennis HD", 2, true), json!({"retired_at": 1_795_300_000})),
    ]
}

/// None: the rows decide.
pub fn answer(rows: &Rows, method: &Method, path: &[&str], body: &str) -> Option<Value> {
    let ask: Value = serde_json::from_str(body).unwrap_or_default();
    Some(match (method.as_str(), path) {
        ("GET", [word @ ("blocks" | "rules" | "lineup" | "engines")]) => {
            let list = aside(word);
            json!({"rev": 7, "total": list.as_array().map_or(0, Vec::len), "rows": list})
        }
        ("POST", ["blocks"]) => {
            json!({"ip": ask["ip"], "since": 1_795_499_000, "until": 1_795_499_600, "reason": ask["reason"], "actor": "root(0)", "refused": 0})
        }
        ("POST", ["apply"]) => applied(&ask),
        ("POST", [noun, "bulk"]) => bulk(noun, &rows.lists[*noun], &ask),
        ("POST", ["undo" | "redo"]) => {
            applied(&json!({"operations": [{"op": "update", "noun": "channels", "id": 1001, "row": {"number": 7}}]}))
        }
        ("GET", ["changes", id]) => {
            let id: u64 = id.parse().ok()?;
            rows.lists.get("changes")?.iter().find(|r| r["id"] == id)?.clone()
        }
        ("POST", ["reload"]) => json!({"file": "/etc/yagid/yagid.toml", "changed": [
            {"key": "log.filter", "before": "info", "after": "debug", "applied": true},
            {"key": "server.listen", "before": ["[::]:8080"], "after": ["[::]:80"], "applied": false}]}),
        ("POST", ["backup"]) => json!({"path": "/var/lib/yagid/backups/a.db", "bytes": 48_000_000, "millis": 230}),
        ("GET", ["sources", _, "diff"]) => {
            json!({"at": 1_795_534_000, "added_total": 1, "changed_total": 1, "retired_total": 1,
                "added": [{"id": 5, "name": "New One"}], "changed": [{"id": 6, "name": "Six", "fields": ["name"]}],
                "retired": [{"id": 7, "name": "Old One"}]})
        }
        ("GET", ["lineup", id, "plan"]) => {
            json!({"source": id.trim_start_matches("id%3A").parse::<u32>().ok()?, "held": false, "before": 412, "after": 413, "added": 1,
            "removed": 0, "renamed": 0, "moved": 0, "resourced": 0, "touched": 0, "excluded": 0,
            "rows": [{"changes": ["added"], "number": 413, "before": "", "after": "New One", "group_before": "", "group_after": "World"}]})
        }
        ("POST", ["guide", "accept"]) => applied(&json!({"operations": [], "dry_run": true})),
        _ => return None,
    })
}

/// Every row is hit, whatever was asked for.
fn bulk(noun: &str, rows: &[Value], ask: &Value) -> Value {
    let change = if ask["delete"] == true { "deleted" } else { "updated" };
    let items: Vec<Value> = rows
        .iter()
        .map(|r| json!({"noun": noun, "change": change, "row": 1, "name": r["name"], "fields": []}))
        .collect();
    let count = |word: &str| if change == word { items.len() } else { 0 };
    json!({"dry_run": ask["dry_run"], "matched": items.len(), "created": 0, "updated": count("updated"),
        "deleted": count("deleted"), "change": 41, "items": items})
}

/// What the daemon would say to a list of operations; it knows no rows.
fn applied(ask: &Value) -> Value {
    let operations = ask["operations"].as_array().cloned().unwrap_or_default();
    let count = |op: &str| operations.iter().filter(|o| o["op"] == op).count();
    let item = |o: &Value| {
        let fields: Vec<Value> = o["row"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(k, v)| json!({"field": k, "before": null, "after": v}))
            .collect();
        json!({"noun": o["noun"], "change": format!("{}d", o["op"].as_str().unwrap_or_default()), "row": o["id"],
            "name": o["row"]["name"], "fields": fields})
    };
    let items: Vec<Value> = operations
        .iter()
        .map(item)
        .map(|mut i| {
            if i["name"].is_null() {
                i["name"] = json!("a row");
            }
            i
        })
        .collect();
    json!({"dry_run": ask["dry_run"] == true, "matched": operations.len(), "created": count("create"),
        "updated": count("update"), "deleted": count("delete"), "change": 41, "items": items})
}
