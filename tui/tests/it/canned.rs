//! Answers of the fake daemon that depend on little but the request: bulk edits, undo, reload, backup.

use hyper::Method;
use serde_json::{Value, json};

use crate::fake::Rows;

/// None: the rows decide.
pub fn answer(rows: &Rows, method: &Method, path: &[&str], body: &str) -> Option<Value> {
    let ask: Value = serde_json::from_str(body).unwrap_or_default();
    Some(match (method.as_str(), path) {
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
