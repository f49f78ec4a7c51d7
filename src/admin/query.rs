//! The one language of lists: `q`, `sort`, `offset`, `limit`.
//!
//! Owns terms, matching, ordering and paging over tables of [`Column`]s. Must not enter: nouns, JSON, sockets. Invariant: a
//! list of any size costs one pass and at most one page of copies; a misspelt field is an error, never an empty list.

use std::{borrow::Borrow, borrow::Cow, cmp::Ordering};

use regex::{Regex, RegexBuilder};
use yagi_api::{ApiError, Page, Query, text::clean};

use super::input;
use crate::{http::Params, library::Catalog};

/// Rows of one page at most.
pub const MAX_LIMIT: u32 = 1000;
const MAX_TERMS: usize = 32;
const MAX_Q: usize = 1024;
/// Bytes of a compiled expression.
const MAX_EXPRESSION: usize = 1 << 18;

/// A field's value as a query sees it.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    Text(Cow<'a, str>),
    Number(i64),
    Flag(bool),
    Nothing,
}

impl<'a> Cell<'a> {
    pub fn text(text: &'a str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }

    pub fn some<N: Into<i64>>(number: Option<N>) -> Self {
        number.map_or(Self::Nothing, |n| Self::Number(n.into()))
    }

    pub fn big(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

/// A field of a noun.
pub struct Column<R> {
    /// The field's name in JSON first, then other words for it.
    pub names: &'static [&'static str],
    /// Whether a term without a field looks here.
    pub searched: bool,
    pub cell: for<'a> fn(&'a Catalog, &'a R) -> Cell<'a>,
}

/// Reads the parameters of a list; `also` are those that the route itself knows.
pub fn parse(params: &Params, also: &[&str]) -> Result<Query, ApiError> {
    let mut known = vec!["q", "sort", "offset", "limit"];
    known.extend(also);
    input::only(params, &known)?;
    let text = |key: &str| params.get(key).unwrap_or_default().trim().to_owned();
    let query = Query {
        q: text("q"),
        sort: text("sort"),
        offset: input::number(params, "offset", "a whole number of rows to skip")?.unwrap_or(0),
        limit: input::number(params, "limit", "a whole number from 0 to 1000")?.unwrap_or(Query::default().limit),
    };
    if query.limit > MAX_LIMIT {
        return Err(ApiError::invalid("limit", "expected a whole number from 0 to 1000")
            .with_hint("ask for further rows with offset"));
    }
    if query.q.len() > MAX_Q {
        return Err(ApiError::invalid("q", format!("expected at most {MAX_Q} bytes")));
    }
    Ok(query)
}

/// The rows of one page, in the order asked for or else in the given one.
pub fn page<R, S>(catalog: &Catalog, columns: &[Column<R>], rows: &[S], query: &Query) -> Result<Page<S>, ApiError>
where
    S: Borrow<R> + Clone,
{
    let terms = terms(columns, &query.q)?;
    let order = order(columns, &query.sort)?;
    let mut hits: Vec<u32> = (0_u32..)
        .zip(rows)
        .filter(|(_, row)| terms.iter().all(|term| term.matches(catalog, columns, (*row).borrow())))
        .map(|(index, _)| index)
        .collect();
    let total = u32::try_from(hits.len()).unwrap_or(u32::MAX);
    let (offset, limit) = (query.offset as usize, query.limit as usize);
    if let Some((column, descending)) = order {
        let by = |a: &u32, b: &u32| {
            let cell = |i: &u32| (column.cell)(catalog, rows[*i as usize].borrow());
            compare(&cell(a), &cell(b), descending).then(a.cmp(b))
        };
        // Only what the page shows is put in order.
        let end = offset.saturating_add(limit);
        if end < hits.len() {
            hits.select_nth_unstable_by(end, by);
            hits.truncate(end);
        }
        hits.sort_unstable_by(by);
    }
    let rows = hits.iter().skip(offset).take(limit).map(|i| rows[*i as usize].clone()).collect();
    Ok(Page { rev: catalog.rev, total, rows })
}

/// Every row that a `q` matches, in the given order.
pub fn select<'r, R, S>(
    catalog: &Catalog,
    columns: &[Column<R>],
    rows: &'r [S],
    q: &str,
) -> Result<Vec<&'r S>, ApiError>
where
    S: Borrow<R>,
{
    if q.len() > MAX_Q {
        return Err(ApiError::invalid("q", format!("expected at most {MAX_Q} bytes")));
    }
    let terms = terms(columns, q)?;
    Ok(rows.iter().filter(|row| terms.iter().all(|t| t.matches(catalog, columns, (*row).borrow()))).collect())
}

/// Column and direction of a `sort`.
fn order<'c, R>(columns: &'c [Column<R>], sort: &str) -> Result<Option<(&'c Column<R>, bool)>, ApiError> {
    let (name, descending) = sort.strip_prefix('-').map_or((sort, false), |name| (name, true));
    if name.is_empty() {
        return Ok(None);
    }
    match find(columns, name) {
        Some(column) => Ok(Some((column, descending))),
        None => Err(unknown("sort", name, columns)),
    }
}

fn find<'c, R>(columns: &'c [Column<R>], name: &str) -> Option<&'c Column<R>> {
    columns.iter().find(|c| c.names.contains(&name))
}

fn unknown<R>(parameter: &str, name: &str, columns: &[Column<R>]) -> ApiError {
    let known: Vec<&str> = columns.iter().map(|c| c.names[0]).collect();
    ApiError::invalid(parameter, format!("there is no field {}", clean(name, 64)))
        .with_hint(format!("fields are: {}", known.join(", ")))
}

/// Rows without a value come last in both directions.
fn compare(a: &Cell<'_>, b: &Cell<'_>, descending: bool) -> Ordering {
    let order = match (a, b) {
        (Cell::Nothing, Cell::Nothing) => Ordering::Equal,
        (Cell::Nothing, _) => return Ordering::Greater,
        (_, Cell::Nothing) => return Ordering::Less,
        (Cell::Number(a), Cell::Number(b)) => a.cmp(b),
        (Cell::Flag(a), Cell::Flag(b)) => a.cmp(b),
        (Cell::Text(a), Cell::Text(b)) if a.is_ascii() && b.is_ascii() => {
            a.bytes().map(|b| b.to_ascii_lowercase()).cmp(b.bytes().map(|b| b.to_ascii_lowercase()))
        }
        (Cell::Text(a), Cell::Text(b)) => {
            a.chars().flat_map(char::to_lowercase).cmp(b.chars().flat_map(char::to_lowercase))
        }
        // A column has one kind.
        _ => Ordering::Equal,
    };
    if descending { order.reverse() } else { order }
}

/// One term of a `q`.
struct Term<'c, R> {
    negated: bool,
    /// None: every searched column.
    column: Option<&'c Column<R>>,
    test: Test,
}

/// Texts are lower case.
enum Test {
    /// Part of a text, or the whole of a number or switch.
    Has(String),
    Equals(String),
    /// More or less than the number, or also equal to it.
    Compares(Ordering, bool, i64),
    /// `~EXPRESSION`, case ignored.
    Matches(Box<Regex>),
    Empty,
}

fn terms<'c, R>(columns: &'c [Column<R>], q: &str) -> Result<Vec<Term<'c, R>>, ApiError> {
    let mut terms = Vec::new();
    for word in words(q) {
        if terms.len() == MAX_TERMS {
            return Err(ApiError::invalid("q", format!("expected at most {MAX_TERMS} terms")));
        }
        let (body, negated) =
            word.text.strip_prefix('!').filter(|_| !word.quoted).map_or((word.text.as_str(), false), |t| (t, true));
        if body.is_empty() {
            continue;
        }
        let field = body.split_once(':').filter(|(name, value)| {
            !word.quoted
                && !name.is_empty()
                && !value.starts_with("//")
                && name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_')
        });
        let (column, test) = match field {
            Some((name, value)) => {
                let name = name.to_ascii_lowercase();
                let column = find(columns, &name).ok_or_else(|| {
                    let error = unknown("q", &name, columns);
                    let hint = format!(
                        "{}; put the term in quotes to search for it as text",
                        error.hint.clone().unwrap_or_default()
                    );
                    error.with_hint(hint)
                })?;
                (Some(column), value_test(value)?)
            }
            None => match body.strip_prefix('~').filter(|pattern| !word.quoted && !pattern.is_empty()) {
                Some(pattern) => (None, expression(pattern)?),
                None => (None, Test::Has(body.to_lowercase())),
            },
        };
        terms.push(Term { negated, column, test });
    }
    Ok(terms)
}

/// Linear in the text whatever it is; its size has a bound.
fn expression(pattern: &str) -> Result<Test, ApiError> {
    let built = RegexBuilder::new(pattern).case_insensitive(true).size_limit(MAX_EXPRESSION).build();
    built.map(|regex| Test::Matches(Box::new(regex))).map_err(|e| {
        let why = e.to_string();
        let last = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        ApiError::invalid("q", format!("~{}: {}", clean(pattern, 64), clean(last, 120)))
            .with_hint("expected a regular expression behind ~; put the term in quotes to search for it as text")
    })
}

fn value_test(value: &str) -> Result<Test, ApiError> {
    if value.is_empty() {
        return Ok(Test::Empty);
    }
    if let Some(text) = value.strip_prefix('=') {
        return Ok(Test::Equals(text.to_lowercase()));
    }
    if let Some(pattern) = value.strip_prefix('~').filter(|p| !p.is_empty()) {
        return expression(pattern);
    }
    for (sign, order, or_equal) in [
        (">=", Ordering::Greater, true),
        ("<=", Ordering::Less, true),
        (">", Ordering::Greater, false),
        ("<", Ordering::Less, false),
    ] {
        if let Some(Ok(n)) = value.strip_prefix(sign).map(str::parse) {
            return Ok(Test::Compares(order, or_equal, n));
        }
    }
    Ok(Test::Has(value.to_lowercase()))
}

#[derive(Default)]
struct Word {
    text: String,
    /// It began with a quote: text, whatever it contains.
    quoted: bool,
}

/// Splits at blanks outside of double quotes, within which `""` is one of them; a quote that is not closed reaches to the end.
fn words(q: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut inside = false;
    let mut chars = q.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '"' && inside && chars.next_if_eq(&'"').is_some() {
            word.get_or_insert_default().text.push(c);
        } else if c == '"' {
            let at_start = word.as_ref().is_none_or(|w| w.text.is_empty());
            let word = word.get_or_insert_default();
            word.quoted |= at_start && !inside;
            inside = !inside;
        } else if c.is_whitespace() && !inside {
            words.extend(word.take());
        } else {
            word.get_or_insert_default().text.push(c);
        }
    }
    words.extend(word);
    words
}

impl<R> Term<'_, R> {
    fn matches(&self, catalog: &Catalog, columns: &[Column<R>], row: &R) -> bool {
        let hit = match self.column {
            Some(column) => self.test.holds(&(column.cell)(catalog, row)),
            None => columns.iter().filter(|c| c.searched).any(|c| self.test.holds(&(c.cell)(catalog, row))),
        };
        hit != self.negated
    }
}

impl Test {
    fn holds(&self, cell: &Cell<'_>) -> bool {
        match (self, cell) {
            (Self::Empty, Cell::Nothing) => true,
            (Self::Empty, Cell::Text(text)) => text.is_empty(),
            (Self::Has(needle), Cell::Text(text)) => contains(text, needle),
            (Self::Equals(value), Cell::Text(text)) if value.is_ascii() => text.eq_ignore_ascii_case(value),
            (Self::Equals(value), Cell::Text(text)) => text.to_lowercase() == *value,
            (Self::Matches(regex), Cell::Text(text)) => regex.is_match(text),
            (Self::Matches(regex), Cell::Number(n)) => regex.is_match(&n.to_string()),
            (Self::Has(value) | Self::Equals(value), Cell::Number(n)) => value.parse() == Ok(*n),
            (Self::Compares(order, or_equal, value), Cell::Number(n)) => {
                n.cmp(value) == *order || (*or_equal && n == value)
            }
            (Self::Has(value) | Self::Equals(value), Cell::Flag(flag)) => match value.as_str() {
                "true" | "yes" | "1" | "on" => *flag,
                "false" | "no" | "0" | "off" => !*flag,
                _ => false,
            },
            (Self::Has(value) | Self::Equals(value), Cell::Nothing) => value == "none" || value == "null",
            _ => false,
        }
    }
}

/// Whether `text` contains `needle`, which is lower case; without a copy when the needle is ASCII.
fn contains(text: &str, needle: &str) -> bool {
    let Some(&first) = needle.as_bytes().first() else { return true };
    if !needle.is_ascii() {
        return text.to_lowercase().contains(needle);
    }
    let (text, needle) = (text.as_bytes(), needle.as_bytes());
    memchr::memchr2_iter(first, first.to_ascii_uppercase(), text)
        .any(|at| text.get(at..at + needle.len()).is_some_and(|part| part.eq_ignore_ascii_case(needle)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    struct Row(&'static str, Option<u32>, bool);

    const COLUMNS: &[Column<Row>] = &[
        Column { names: &["name", "title"], searched: true, cell: |_, r| Cell::text(r.0) },
        Column { names: &["number"], searched: true, cell: |_, r| Cell::some(r.1) },
        Column { names: &["enabled"], searched: false, cell: |_, r| Cell::Flag(r.2) },
    ];
    const ROWS: &[Row] = &[
        Row("BBC One", Some(1), true),
        Row("bbc Two HD", Some(102), true),
        Row("Ärte: Kultur", Some(3), false),
        Row("", None, true),
        Row("sky sport", Some(4), false),
    ];

    #[test]
    fn a_quote_within_quotes_is_written_twice() {
        let told = |q: &str| words(q).into_iter().map(|w| w.text).collect::<Vec<_>>();
        assert_eq!(told(r#"name:="|IT| ""VIP"";" x"#), [r#"name:=|IT| "VIP";"#, "x"]);
        assert_eq!(told(r#""""" name:="" "" a"#), [r#"""#, "name:=", "", "a"]);
    }

    fn ask(q: &str, sort: &str) -> Result<Vec<&'static str>, ApiError> {
        let rows: Vec<&'static Row> = ROWS.iter().collect();
        let query = Query { q: q.to_owned(), sort: sort.to_owned(), ..Query::default() };
        page::<Row, &Row>(&Catalog::default(), COLUMNS, &rows, &query).map(|p| p.rows.iter().map(|r| r.0).collect())
    }

    fn hits(q: &str) -> Vec<&'static str> {
        ask(q, "").unwrap()
    }

    #[test]
    fn terms_must_all_match_and_case_is_ignored() {
        assert_eq!(hits("BBC"), ["BBC One", "bbc Two HD"]);
        assert_eq!(hits("bbc !hd"), ["BBC One"]);
        assert_eq!(hits("ÄRTE"), ["Ärte: Kultur"]);
        assert_eq!(hits("\"bbc one\""), ["BBC One"]);
        assert_eq!(hits("\"ärte: k\""), ["Ärte: Kultur"]);
        assert_eq!(hits("102"), ["bbc Two HD"]);
        assert_eq!(hits("").len(), ROWS.len());
    }

    #[test]
    fn fields_are_asked_by_their_names() {
        assert_eq!(hits("title:sky"), ["sky sport"]);
        assert_eq!(hits("name:=\"BBC one\""), ["BBC One"]);
        assert_eq!(hits("number:4"), ["sky sport"]);
        assert_eq!(hits("number:>=3 number:<100"), ["Ärte: Kultur", "sky sport"]);
        assert_eq!(hits("enabled:no !number:4"), ["Ärte: Kultur"]);
        assert_eq!(hits("number:none"), [""]);
        assert_eq!(hits("!name: enabled:true"), ["BBC One", "bbc Two HD"]);
        assert!(hits("http://x").is_empty() && hits("\"nme:x\"").is_empty());
    }

    #[test]
    fn expressions_begin_with_a_tilde() {
        assert_eq!(hits("~^bbc.(one|two)$"), ["BBC One"]);
        assert_eq!(hits("name:~hd$ !~^sky"), ["bbc Two HD"]);
        assert_eq!(hits("number:~^10"), ["bbc Two HD"]);
        assert!(hits("\"~^bbc\"").is_empty() && hits("~").is_empty());
        let error = ask("name:~(", "").unwrap_err();
        assert!(error.field.as_deref() == Some("q") && error.message.contains("unclosed group"), "{error}");
        assert!(ask(&format!("~{}", "(a{1000}){1000}"), "").is_err(), "too large");
    }

    #[test]
    fn a_misspelt_field_is_an_error_that_names_the_others() {
        let error = ask("nme:x", "").unwrap_err();
        assert_eq!(error.field.as_deref(), Some("q"));
        assert!(error.hint.unwrap().contains("name, number, enabled"));
        assert_eq!(ask("", "-size").unwrap_err().field.as_deref(), Some("sort"));
    }

    #[test]
    fn rows_without_a_value_come_last_both_ways() {
        assert_eq!(ask("", "number").unwrap(), ["BBC One", "Ärte: Kultur", "sky sport", "bbc Two HD", ""]);
        assert_eq!(ask("", "-number").unwrap(), ["bbc Two HD", "sky sport", "Ärte: Kultur", "BBC One", ""]);
        assert_eq!(ask("", "-enabled").unwrap()[..3], ["BBC One", "bbc Two HD", ""], "ties keep their order");
    }

    #[test]
    fn parameters_have_bounds() {
        let parse = |text: &str| parse(&Params::parse(text), &["stream"]);
        assert_eq!(parse("").unwrap(), Query::default());
        assert_eq!(
            parse("q=a+b&limit=0&offset=7&stream=3").unwrap(),
            Query { q: "a b".into(), limit: 0, offset: 7, ..Query::default() }
        );
        for (text, field) in [("limit=1001", "limit"), ("limit=x", "limit"), ("offset=-1", "offset"), ("Q=a", "Q")] {
            assert_eq!(parse(text).unwrap_err().field.as_deref(), Some(field), "{text}");
        }
    }

    proptest! {
        #[test]
        fn pages_are_cuts_of_the_whole_order(offset in 0u32..8, limit in 0u32..8, back in any::<bool>()) {
            let rows: Vec<&Row> = ROWS.iter().collect();
            let sort = if back { "-name" } else { "name" };
            let query = Query { sort: sort.into(), offset, limit, ..Query::default() };
            let whole = ask("", sort).unwrap();
            let cut = page::<Row, &Row>(&Catalog::default(), COLUMNS, &rows, &query).unwrap();
            let expected: Vec<_> = whole.into_iter().skip(offset as usize).take(limit as usize).collect();
            prop_assert_eq!(cut.total, 5);
            prop_assert_eq!(cut.rows.iter().map(|r| r.0).collect::<Vec<_>>(), expected);
        }

        #[test]
        fn any_query_is_answered_or_refused(q in "\\PC{0,40}") {
            let _ = ask(&q, "");
        }

        #[test]
        fn contains_agrees_with_the_plain_way(text in "[a-cA-Cä]{0,12}", needle in "[a-c]{1,3}") {
            prop_assert_eq!(contains(&text, &needle), text.to_lowercase().contains(&needle));
        }
    }
}
