//! Rows as comma-separated values (RFC 4180, with the line ends of this system).
//!
//! Owns quoting and the order of the fields: as the API writes them. Must not enter: which rows. Invariant: what is read back
//! is what the rows held; fields that are no text, number or switch stand as JSON.

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::Value;

/// An object with its fields in their order, which the map of serde_json does not keep.
#[derive(Debug)]
struct Fields(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(de: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Fields;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        de.deserialize_map(Reader)
    }
}

fn fields(row: &impl Serialize) -> serde_json::Result<Vec<(String, Value)>> {
    Ok(serde_json::from_str::<Fields>(&serde_json::to_string(row)?)?.0)
}

/// Rows with every field that any of them has.
///
/// # Errors
/// When a row is no JSON object.
pub fn write<T: Serialize>(rows: &[T], heading: bool) -> serde_json::Result<String> {
    let rows: Vec<Vec<(String, Value)>> = rows.iter().map(fields).collect::<Result<_, _>>()?;
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in rows.iter().flatten() {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let mut out = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = String>| {
        for (i, cell) in cells.enumerate() {
            if i > 0 {
                out.push(',');
            }
            out.push_str(&quoted(cell));
        }
        out.push('\n');
    };
    if heading && !names.is_empty() {
        line(&mut names.iter().map(|n| (*n).to_owned()));
    }
    for row in &rows {
        let value = |name: &&str| row.iter().find(|(n, _)| n == name).map_or_else(String::new, |(_, v)| plain(v));
        line(&mut names.iter().map(value));
    }
    Ok(out)
}

/// What a row is called by other verbs.
///
/// # Errors
/// When the row is no JSON object.
pub fn id(row: &impl Serialize) -> serde_json::Result<String> {
    let fields = fields(row)?;
    let of = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, v)| plain(v));
    Ok(["id", "key", "name", "seq"].into_iter().find_map(of).unwrap_or_default())
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn quoted(cell: String) -> String {
    if cell.contains([',', '"', '\n', '\r']) || cell.starts_with(' ') || cell.ends_with(' ') {
        format!("\"{}\"", cell.replace('"', "\"\""))
    } else {
        cell
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Serialize)]
    struct Row {
        id: u32,
        name: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<&'static str>,
        list: Vec<u8>,
    }

    #[test]
    fn fields_keep_their_order_and_text_its_commas() {
        let rows = [
            Row { id: 7, name: "Law, \"Order\"", note: None, list: vec![1, 2] },
            Row { id: 8, name: "line\nbreak", note: Some("x"), list: vec![] },
        ];
        let expected = "id,name,list,note\n7,\"Law, \"\"Order\"\"\",\"[1,2]\",\n8,\"line\nbreak\",[],x\n";
        assert_eq!(write(&rows, true).unwrap(), expected);
        assert_eq!(write(&rows[..0], true).unwrap(), "");
        assert_eq!(
            (id(&rows[0]).unwrap().as_str(), id(&json!({"key": "linger_s"})).unwrap().as_str()),
            ("7", "linger_s")
        );
        assert!(write(&[1], true).is_err());
    }
}
