//! What the verbs print.
//!
//! Owns tables for people, JSON for programs, and the question before destructive verbs. Must not enter: the API.
//! Invariant: foreign text in a table has gone through `printable`; JSON is exact.

use std::io::{self, BufRead, IsTerminal, Write};

use clap::ValueEnum;
use serde::Serialize;

use super::csv;
use crate::{
    client::Fault,
    text::{printable, width},
};

/// The widest a column grows.
const MAX_CELL: usize = 60;

/// How rows are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people
    #[default]
    Table,
    /// The rows of the API as one JSON value
    Json,
    /// One JSON object a line
    Jsonl,
    /// Every field of the rows, with a heading
    Csv,
    /// Only ids, one a line, for other verbs
    Ids,
}

/// How to print.
#[derive(Clone, Copy, Debug, Default)]
pub struct Out {
    pub format: Format,
    pub no_headers: bool,
    pub yes: bool,
}

/// One column: heading, and whether it is aligned to the right.
pub type Column = (&'static str, bool);

impl Out {
    /// For people: names are looked up and sentences said.
    #[must_use]
    pub fn is_table(self) -> bool {
        self.format == Format::Table
    }

    /// For rows that are printed again and again: people see tables, programs one object a line.
    #[must_use]
    pub fn for_watch(self) -> Self {
        let format = match self.format {
            Format::Table if !io::stdout().is_terminal() => Format::Jsonl,
            other => other,
        };
        Self { format, ..self }
    }

    /// One object.
    pub fn object(
        self,
        value: &impl Serialize,
        human: impl FnOnce() -> Vec<(&'static str, String)>,
    ) -> Result<(), Fault> {
        match self.format {
            Format::Table => pairs(&human()),
            Format::Json | Format::Jsonl => json(value),
            Format::Csv | Format::Ids => self.lines(std::slice::from_ref(value)),
        }
    }

    /// Rows of one kind.
    pub fn rows<T: Serialize>(
        self,
        rows: &[T],
        columns: &[Column],
        cells: impl Fn(&T) -> Vec<String>,
    ) -> Result<(), Fault> {
        match self.format {
            Format::Table => {
                let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
                table(columns, &cells, !self.no_headers, &mut io::stdout().lock()).map_err(failed)
            }
            Format::Json => json(&rows),
            Format::Jsonl | Format::Csv | Format::Ids => self.lines(rows),
        }
    }

    fn lines<T: Serialize>(self, rows: &[T]) -> Result<(), Fault> {
        let mut text = String::new();
        match self.format {
            Format::Csv => text = csv::write(rows, !self.no_headers).map_err(|e| Fault::own(1, e.to_string()))?,
            Format::Ids => {
                for row in rows {
                    text += &csv::id(row).map_err(|e| Fault::own(1, e.to_string()))?;
                    text.push('\n');
                }
            }
            _ => {
                for row in rows {
                    text += &serde_json::to_string(row).map_err(|e| Fault::own(1, e.to_string()))?;
                    text.push('\n');
                }
            }
        }
        whole(&json_line(&text))
    }

    /// One line for a person; nothing for programs.
    pub fn say(self, line: impl AsRef<str>) -> Result<(), Fault> {
        if self.is_table() { line_out(line.as_ref()) } else { Ok(()) }
    }

    /// What a verb did to which rows, for programs; people were told by [`Out::say`].
    pub fn done(self, what: &str, which: &[impl Serialize]) -> Result<(), Fault> {
        match self.format {
            Format::Table => Ok(()),
            Format::Json | Format::Jsonl => json(&serde_json::json!({ what: which })),
            Format::Csv | Format::Ids => which.iter().try_for_each(|w| {
                let value = serde_json::to_value(w).map_err(|e| Fault::own(1, e.to_string()))?;
                line_out(&json_line(&super::settings::plain(&value)))
            }),
        }
    }

    /// Asks on a terminal, needs `--yes` elsewhere.
    pub fn confirm(self, what: &str) -> Result<(), Fault> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(Fault::Own {
                exit: 2,
                message: format!("{what} needs a confirmation"),
                hint: Some("add --yes".into()),
            });
        }
        let mut stderr = io::stderr();
        let asked = write!(stderr, "{} [y/N] ", printable(what, 300)).and_then(|()| stderr.flush());
        asked.map_err(failed)?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).map_err(failed)?;
        if matches!(answer.trim(), "y" | "Y" | "yes") { Ok(()) } else { Err(Fault::own(1, "nothing was changed")) }
    }
}

/// A value as one line of JSON.
pub fn json(value: &impl Serialize) -> Result<(), Fault> {
    line_out(&json_line(&serde_json::to_string(value).map_err(|e| Fault::own(1, e.to_string()))?))
}

/// JSON that is about to be printed: on a terminal, what could steer it is escaped as `\uXXXX` (the same value to a
/// program); elsewhere nothing is touched.
#[must_use]
pub fn json_line(text: &str) -> std::borrow::Cow<'_, str> {
    if io::stdout().is_terminal() { escaped(text) } else { text.into() }
}

/// In JSON such characters stand within strings only, where the escape means the same.
fn escaped(text: &str) -> std::borrow::Cow<'_, str> {
    let foul = |c: char| yagi_api::text::is_foul(c) && c != '\n';
    if !text.chars().any(foul) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len() + 32);
    for c in text.chars() {
        if foul(c) {
            // All of them lie in the basic plane.
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out.into()
}

/// Lines that are ready, on standard output.
pub fn whole(text: &str) -> Result<(), Fault> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(failed)
}

/// One line on standard output, flushed, so that a pipe sees it at once.
pub fn line_out(line: &str) -> Result<(), Fault> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(failed)
}

fn failed(error: io::Error) -> Fault {
    // A reader that went away (`| head`) is no failure worth words.
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Fault::own(0, "");
    }
    Fault::own(1, format!("standard output: {error}"))
}

fn pairs(rows: &[(&'static str, String)]) -> Result<(), Fault> {
    let wide = rows.iter().map(|(k, _)| k.len()).max().unwrap_or(0);
    for (key, value) in rows {
        line_out(format!("{key:wide$}  {}", printable(value, 1000)).trim_end())?;
    }
    Ok(())
}

fn table(columns: &[Column], rows: &[Vec<String>], heading: bool, out: &mut impl Write) -> io::Result<()> {
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| printable(cell, MAX_CELL).into_owned()).collect()).collect();
    let widths: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(i, (head, _))| {
            rows.iter().filter_map(|r| r.get(i)).map(|c| width(c)).max().unwrap_or(0).max(if heading {
                head.len()
            } else {
                0
            })
        })
        .collect();
    let mut put = |cells: &mut dyn Iterator<Item = &str>| -> io::Result<()> {
        let mut line = String::new();
        for ((cell, wide), (_, right)) in cells.zip(&widths).zip(columns) {
            let fill = " ".repeat(wide.saturating_sub(width(cell)));
            if !line.is_empty() {
                line.push_str("  ");
            }
            if *right {
                line += &fill;
                line += cell;
            } else {
                line += cell;
                line += &fill;
            }
        }
        writeln!(out, "{}", line.trim_end())
    };
    if heading {
        put(&mut columns.iter().map(|(head, _)| *head))?;
    }
    for row in &rows {
        put(&mut row.iter().map(String::as_str))?;
    }
    out.flush()
}

/// The error and its hint, on standard error.
pub fn complain(fault: &Fault) {
    let text = fault.to_string();
    if text.is_empty() {
        return;
    }
    let mut err = io::stderr().lock();
    // Nothing is left to do when standard error is closed.
    let _ = writeln!(err, "error: {}", printable(&text, 2000));
    if let Some(hint) = fault.hint() {
        let _ = writeln!(err, "hint: {}", printable(&hint, 2000));
    }
}

#[must_use]
pub fn yes_no(value: bool) -> String {
    if value { "yes" } else { "no" }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_for_a_terminal_cannot_steer_it_and_means_the_same() {
        let text = serde_json::to_string("a\u{7f}\u{9b}31m\u{202e}b").unwrap();
        let safe = escaped(&text);
        assert!(!safe.chars().any(yagi_api::text::is_foul), "{safe}");
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), "a\u{7f}\u{9b}31m\u{202e}b");
    }

    #[test]
    fn a_table_is_aligned_and_clean() {
        let mut out = Vec::new();
        let rows = vec![vec!["日本\u{1b}[2J".to_owned(), "1".into()], vec!["abc".into(), "12345".into()]];
        table(&[("NAME", false), ("N", true)], &rows, true, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "NAME          N\n日本·[2J      1\nabc       12345\n");
    }
}
