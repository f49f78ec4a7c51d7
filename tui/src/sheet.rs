//! Rows as a table of text that an editor changes: one line a row, tabs between the cells.
//!
//! Owns the columns, the escapes and the comparison with what was read. Must not enter: editors, the API's transport.
//! Invariant: a cell that was not touched is not part of any operation, so nothing that text cannot hold is lost; every
//! fault names its line and column.

use serde_json::{Map, Value, json};
use yagi_api::{Category, Channel, ChannelSource, Locator, Noun, Op, Operation, Source, User};

use crate::when;

const CHANNEL_COLUMNS: &[&str] =
    &["id", "number", "name", "category", "enabled", "radio", "guide_id", "logo", "sources"];
const USER_COLUMNS: &[&str] = &["id", "name", "enabled", "expires", "max_connections", "trial", "categories", "note"];
const CATEGORY_COLUMNS: &[&str] = &["id", "position", "name"];
const SOURCE_COLUMNS: &[&str] = &["id", "name", "enabled", "interval_s"];

/// Rows as they were read.
#[derive(Clone, Debug, PartialEq)]
pub struct Sheet {
    noun: Noun,
    columns: &'static [&'static str],
    lines: Vec<Line>,
}

#[derive(Clone, Debug, PartialEq)]
struct Line {
    id: u32,
    version: u32,
    /// In the order of the columns.
    cells: Vec<String>,
    /// Of channels, with the headers that the text does not show.
    sources: Vec<ChannelSource>,
}

/// What is wrong with one line of the edited text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFault {
    /// From 1.
    pub line: usize,
    pub why: String,
}

impl std::fmt::Display for LineFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl Sheet {
    #[must_use]
    pub fn channels(rows: &[Channel], groups: &[Category]) -> Self {
        let group =
            |c: &Channel| groups.iter().find(|g| g.id == c.category).map_or_else(String::new, |g| g.name.clone());
        let line = |c: &Channel| Line {
            id: c.id.0,
            version: c.version,
            cells: vec![
                c.id.to_string(),
                c.number.to_string(),
                c.name.clone(),
                group(c),
                switch(c.enabled),
                switch(c.radio),
                c.guide_id.clone(),
                c.logo.clone(),
                c.sources.iter().map(|s| s.url.as_str()).collect::<Vec<_>>().join(" "),
            ],
            sources: c.sources.clone(),
        };
        Self { noun: Noun::Channels, columns: CHANNEL_COLUMNS, lines: rows.iter().map(line).collect() }
    }

    #[must_use]
    pub fn users(rows: &[User]) -> Self {
        let line = |u: &User| Line {
            id: u.id.0,
            version: u.version,
            cells: vec![
                u.id.to_string(),
                u.name.clone(),
                switch(u.enabled),
                u.expires_at.map_or_else(|| "never".into(), when::date),
                u.max_connections.to_string(),
                switch(u.trial),
                u.categories.as_ref().map_or_else(|| "all".into(), |c| crate::names::join(c, ',')),
                u.note.clone(),
            ],
            sources: Vec::new(),
        };
        Self { noun: Noun::Users, columns: USER_COLUMNS, lines: rows.iter().map(line).collect() }
    }

    #[must_use]
    pub fn categories(rows: &[Category]) -> Self {
        let line = |c: &Category| Line {
            id: c.id.0,
            version: c.version,
            cells: vec![c.id.to_string(), c.position.to_string(), c.name.clone()],
            sources: Vec::new(),
        };
        Self { noun: Noun::Categories, columns: CATEGORY_COLUMNS, lines: rows.iter().map(line).collect() }
    }

    /// Without their addresses: lists hide the credentials of those.
    #[must_use]
    pub fn sources(rows: &[Source]) -> Self {
        let line = |s: &Source| Line {
            id: s.id.0,
            version: s.version,
            cells: vec![s.id.to_string(), s.name.clone(), switch(s.enabled), s.interval_s.to_string()],
            sources: Vec::new(),
        };
        Self { noun: Noun::Sources, columns: SOURCE_COLUMNS, lines: rows.iter().map(line).collect() }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The text for an editor.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::from(
            "# One row a line, tabs between the cells. A line that is removed deletes its row; a line with the id + makes a\n\
             # new one. Save and leave to see what would change; nothing is changed before you agree.\n",
        );
        out.push_str(match self.noun {
            Noun::Users => "# expires: YYYY-MM-DD, +30d or never; categories: names between commas (one with a comma in quotes), or all.\n",
            Noun::Channels => "# sources: addresses, best first, blanks between them.\n",
            Noun::Sources => "# interval_s: seconds, 0 only by hand.\n",
            _ => "",
        });
        out.push_str(&self.columns.join("\t"));
        out.push('\n');
        for line in &self.lines {
            out.push_str(&line.cells.iter().map(|c| escape(c)).collect::<Vec<_>>().join("\t"));
            out.push('\n');
        }
        out
    }

    /// What makes the rows what the text says.
    ///
    /// # Errors
    /// Everything that cannot be read.
    pub fn read(&self, text: &str) -> Result<Vec<Operation>, Vec<LineFault>> {
        let (mut operations, mut faults) = (Vec::new(), Vec::new());
        let mut seen = std::collections::HashSet::new();
        let mut order: Option<Vec<usize>> = None;
        for (at, raw) in (1..).zip(text.lines()) {
            let raw = raw.strip_suffix('\r').unwrap_or(raw);
            if raw.trim().is_empty() || raw.starts_with('#') {
                continue;
            }
            let fault = |why: String| LineFault { line: at, why };
            let cells: Vec<&str> = raw.split('\t').collect();
            let Some(order) = &order else {
                match self.heading(&cells) {
                    Ok(found) => order = Some(found),
                    // Without the heading no line means anything.
                    Err(why) => return Err(vec![fault(why)]),
                }
                continue;
            };
            if cells.len() != order.len() {
                faults.push(fault(format!("expected {} cells between tabs, found {}", order.len(), cells.len())));
                continue;
            }
            let cells = order.iter().zip(&cells).map(|(column, cell)| (*column, unescape(cell)));
            match self.line(cells.collect(), &mut seen) {
                Ok(operation) => operations.extend(operation),
                Err(why) => faults.push(fault(why)),
            }
        }
        if order.is_none() {
            faults.push(LineFault { line: 1, why: format!("expected the heading {}", self.columns.join(" ")) });
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        for line in self.lines.iter().filter(|l| !seen.contains(&l.id)) {
            operations.push(self.operation(Op::Delete, Some(line), None));
        }
        Ok(operations)
    }

    /// Which of our columns each cell is.
    fn heading(&self, cells: &[&str]) -> Result<Vec<usize>, String> {
        let expected = || format!("expected the heading {}", self.columns.join(" "));
        let column = |c: &&str| self.columns.iter().position(|name| name == &c.trim()).ok_or_else(expected);
        let order: Vec<usize> = cells.iter().map(column).collect::<Result<_, _>>()?;
        let twice = (1..order.len()).any(|i| order[..i].contains(&order[i]));
        // Other columns may be left out; without ids no row is known.
        if twice || !order.contains(&0) { Err(expected()) } else { Ok(order) }
    }

    fn line(
        &self,
        cells: Vec<(usize, String)>,
        seen: &mut std::collections::HashSet<u32>,
    ) -> Result<Option<Operation>, String> {
        let id = cells.iter().find(|(c, _)| *c == 0).map(|(_, id)| id.trim()).unwrap_or_default();
        let old = match id {
            "" | "+" | "new" => None,
            id => {
                let known = id.parse().ok().and_then(|n: u32| self.lines.iter().find(|l| l.id == n));
                let known = known.ok_or_else(|| format!("id: `{id}` was not in the table; a new row has the id +"))?;
                if !seen.insert(known.id) {
                    return Err(format!("id: {id} stands in the table twice"));
                }
                Some(known)
            }
        };
        let mut row = Map::new();
        for (column, cell) in &cells {
            let untouched = old.map_or(cell.is_empty(), |old| old.cells[*column] == *cell);
            if *column > 0 && !untouched {
                let name = self.columns[*column];
                let (field, value) = self.value(name, cell, old).map_err(|why| format!("{name}: {why}"))?;
                row.insert(field.to_owned(), value);
            }
        }
        Ok(match old {
            None if row.is_empty() => None,
            None => Some(self.operation(Op::Create, None, Some(row))),
            Some(_) if row.is_empty() => None,
            Some(old) => Some(self.operation(Op::Update, Some(old), Some(row))),
        })
    }

    fn operation(&self, op: Op, line: Option<&Line>, row: Option<Map<String, Value>>) -> Operation {
        Operation {
            op,
            noun: self.noun,
            id: line.map(|l| l.id),
            version: line.map(|l| l.version),
            row: row.map(Value::Object),
        }
    }

    /// A cell as a field of the row's patch or draft.
    fn value(&self, column: &'static str, cell: &str, old: Option<&Line>) -> Result<(&'static str, Value), String> {
        Ok(match column {
            "number" | "max_connections" | "position" | "interval_s" => {
                let n: u32 = cell.trim().parse().map_err(|_| format!("`{cell}` is no number"))?;
                (column, n.into())
            }
            "enabled" | "radio" | "trial" => match cell.trim().to_ascii_lowercase().as_str() {
                "yes" | "y" | "true" | "on" | "1" => (column, true.into()),
                "no" | "n" | "false" | "off" | "0" => (column, false.into()),
                _ => return Err(format!("`{cell}` is neither yes nor no")),
            },
            "expires" => ("expires_at", when::expiry(cell, when::now())?.map_or(Value::Null, Value::from)),
            "categories" => (column, crate::names::split(cell, ',').map_or(Value::Null, Value::from)),
            "sources" => {
                let known = |url: &str| old?.sources.iter().find(|s| s.url == url);
                let sources = cell.split_whitespace().map(|url| {
                    if let Some(source) = known(url) {
                        return Ok(json!(source));
                    }
                    Locator::parse(url).map(|l| json!({"url": l.to_string()})).map_err(|why| format!("`{url}` {why}"))
                });
                (column, Value::Array(sources.collect::<Result<_, _>>()?))
            }
            _ => (column, cell.into()),
        })
    }
}

fn switch(on: bool) -> String {
    if on { "yes" } else { "no" }.into()
}

/// Text within one cell.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            // An editor that shows them would be steered.
            c if c.is_control() => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

fn unescape(cell: &str) -> String {
    let mut out = String::with_capacity(cell.len());
    let mut rest = cell;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let coded = after.strip_prefix("u{").and_then(|hex| {
            let (hex, tail) = hex.split_once('}')?;
            Some((char::from_u32(u32::from_str_radix(hex, 16).ok()?)?, tail))
        });
        let (c, tail) = match (coded, after.chars().next()) {
            (Some(coded), _) => coded,
            (None, Some('t')) => ('\t', &after[1..]),
            (None, Some('n')) => ('\n', &after[1..]),
            (None, Some('r')) => ('\r', &after[1..]),
            (None, Some('\\')) => ('\\', &after[1..]),
            // A backslash that escapes nothing is one.
            (None, _) => ('\\', after),
        };
        out.push(c);
        rest = tail;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use yagi_api::{CategoryId, ChannelId};

    use super::*;

    fn channel(id: u32, name: &str) -> Channel {
        Channel {
            id: ChannelId(id),
            version: 3,
            number: id,
            name: name.into(),
            category: CategoryId(1),
            logo: String::new(),
            guide_id: "x.tv".into(),
            sources: vec![
                ChannelSource { url: "http://a/1.ts".into(), headers: vec![("User-Agent".into(), "x".into())] },
                ChannelSource { url: "http://b/1.ts".into(), headers: vec![] },
            ],
            enabled: true,
            radio: false,
            catchup: None,
            added_at: 0,
            origin: None,
            retired_at: None,
            merge_key: String::new(),
            merged_into: None,
            guide_shift_min: 0,
        }
    }

    fn sheet() -> Sheet {
        let groups = vec![Category { id: CategoryId(1), version: 1, name: "News".into(), position: 1, channels: 2 }];
        Sheet::channels(&[channel(1, "One"), channel(2, "Tab\tbed \\n")], &groups)
    }

    #[test]
    fn untouched_text_changes_nothing() {
        assert_eq!(sheet().read(&sheet().text()), Ok(vec![]));
        let crlf = sheet().text().replace('\n', "\r\n");
        assert_eq!(sheet().read(&crlf), Ok(vec![]), "an editor may write other line ends");
    }

    #[test]
    fn only_touched_cells_are_sent_with_the_version_that_was_read() {
        let text = sheet().text().replace("1\t1\tOne", "1\t12\tOne HD");
        let operations = sheet().read(&text).unwrap();
        assert_eq!(
            serde_json::to_value(&operations).unwrap(),
            json!([{"op": "update", "noun": "channels", "id": 1, "version": 3, "row": {"name": "One HD", "number": 12}}])
        );
    }

    #[test]
    fn lines_make_and_delete_rows_and_sources_keep_their_headers() {
        let text = sheet().text();
        let mut lines: Vec<&str> = text.lines().filter(|l| !l.starts_with("2\t")).collect();
        lines.push("+\t\tNew\tNews\t\t\t\t\thttp://c/1.ts");
        let swapped = lines.join("\n").replace("http://a/1.ts http://b/1.ts", "http://b/1.ts http://a/1.ts");
        let operations = serde_json::to_value(sheet().read(&swapped).unwrap()).unwrap();
        assert_eq!(operations[0]["row"]["sources"][1]["headers"], json!([["User-Agent", "x"]]));
        assert_eq!(
            operations[1],
            json!({"op": "create", "noun": "channels",
            "row": {"name": "New", "category": "News", "sources": [{"url": "http://c/1.ts"}]}})
        );
        assert_eq!(operations[2], json!({"op": "delete", "noun": "channels", "id": 2, "version": 3}));
    }

    #[test]
    fn every_fault_names_its_line() {
        let text = "id\tnumber\tenabled\n1\tx\tyes\n7\t1\tyes\n2\t1\tmaybe\n2\t1\n";
        let faults: Vec<String> = sheet().read(text).unwrap_err().iter().map(ToString::to_string).collect();
        assert_eq!(
            faults,
            [
                "line 2: number: `x` is no number",
                "line 3: id: `7` was not in the table; a new row has the id +",
                "line 4: enabled: `maybe` is neither yes nor no",
                "line 5: expected 3 cells between tabs, found 2",
            ]
        );
        assert!(sheet().read("").unwrap_err()[0].why.contains("heading"));
        assert!(sheet().read("id\tid\n").is_err() && sheet().read("name\n").is_err());
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in any::<String>()) {
            let cell = escape(&text);
            prop_assert!(!cell.chars().any(char::is_control));
            prop_assert_eq!(unescape(&cell), text);
        }

        #[test]
        fn no_text_breaks_the_reader(text in "(id|name|number|[\t\n\\\\+1 x])*") {
            let _ = sheet().read(&text);
        }
    }
}
