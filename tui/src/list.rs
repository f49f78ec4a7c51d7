//! Cursor, filter, order and marks of a list, and rows that are held page by page.
//!
//! Invariant: at most one request for a page is under way for each list, so that fast typing cannot flood the daemon.

use std::{cmp::Ordering, collections::BTreeSet};

use yagi_api::{Page, Query};

/// Rows asked for at once: some screens, so that scrolling rarely waits.
pub const PAGE: u32 = 300;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    pub selected: usize,
    /// First row on the screen.
    pub top: usize,
    pub filter: String,
    /// Which of the view's sort keys.
    pub sort: usize,
    pub descending: bool,
    /// Columns behind the first that are scrolled away.
    pub shift: usize,
    /// Ids of marked rows.
    pub marks: BTreeSet<u64>,
    /// Where `v` began a range.
    pub anchor: Option<usize>,
    /// Filters that were kept, the newest last.
    pub history: Vec<String>,
}

impl List {
    /// Keeps the cursor on a row and the row on the screen.
    pub fn settle(&mut self, count: usize, height: usize) {
        self.selected = self.selected.min(count.saturating_sub(1));
        let height = height.max(1);
        if self.selected < self.top {
            self.top = self.selected;
        } else if self.selected >= self.top + height {
            self.top = self.selected + 1 - height;
        }
        self.top = self.top.min(count.saturating_sub(height));
    }

    #[must_use]
    pub fn directed(&self, order: Ordering) -> Ordering {
        if self.descending { order.reverse() } else { order }
    }

    /// Marks or unmarks a row.
    pub fn turn(&mut self, id: u64) {
        if !self.marks.remove(&id) {
            self.marks.insert(id);
        }
    }

    pub fn unmark(&mut self) {
        self.marks.clear();
        self.anchor = None;
    }

    /// A filter that was kept; each once.
    pub fn remember(&mut self) {
        const MOST: usize = 50;
        if !self.filter.is_empty() {
            let filter = self.filter.clone();
            self.history.retain(|f| *f != filter);
            self.history.push(filter);
            let over = self.history.len().saturating_sub(MOST);
            self.history.drain(..over);
        }
    }
}

/// A window of rows that the daemon pages.
#[derive(Clone, Debug)]
pub struct Paged<T> {
    pub rows: Vec<T>,
    pub offset: usize,
    pub total: usize,
    /// Fetch again although the window is there.
    pub stale: bool,
    pub loaded: bool,
    asked: Option<Query>,
    /// What the rows are the answer to.
    shown: Query,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self { rows: Vec::new(), offset: 0, total: 0, stale: true, loaded: false, asked: None, shown: Query::default() }
    }
}

impl<T> Paged<T> {
    #[must_use]
    pub fn at(&self, index: usize) -> Option<&T> {
        self.rows.get(index.checked_sub(self.offset)?)
    }

    /// Whether the rows are those of this filter and order; else they are shown until the others come, and no key acts on them.
    #[must_use]
    pub fn is_of(&self, q: &str, sort: &str) -> bool {
        self.shown.q == q && self.shown.sort == sort
    }

    /// What to ask for, if anything is missing and nothing is under way.
    pub fn need(&mut self, list: &List, q: &str, sort: &str, height: usize) -> Option<Query> {
        if self.asked.is_some() {
            return None;
        }
        let other = self.shown.q != q || self.shown.sort != sort;
        let end = (list.top + height).min(self.total);
        let outside = list.top < self.offset || end > self.offset + self.rows.len();
        if !self.stale && !other && !outside {
            return None;
        }
        let middle = if other { 0 } else { list.top };
        let query = Query {
            q: q.to_owned(),
            sort: sort.to_owned(),
            offset: u32::try_from(middle).unwrap_or(u32::MAX).saturating_sub(PAGE / 3),
            limit: PAGE,
        };
        self.stale = false;
        self.asked = Some(query.clone());
        Some(query)
    }

    pub fn take(&mut self, query: &Query, page: Page<T>) {
        self.asked = None;
        self.offset = query.offset as usize;
        self.total = page.total as usize;
        self.rows = page.rows;
        // A page beyond the end of a list that shrank: ask again from where the list now ends.
        self.stale |= self.rows.is_empty() && self.total > 0;
        self.loaded = true;
        self.shown = query.clone();
    }

    /// The request failed: it may be asked again after the next change or reconnect. Rows of another filter are not its answer.
    pub fn failed(&mut self) {
        if let Some(query) = self.asked.take() {
            if !self.is_of(&query.q, &query.sort) {
                (self.rows, self.offset, self.total) = (Vec::new(), 0, 0);
            }
            self.shown = query;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_at_a_time_and_only_for_what_is_missing() {
        let mut paged: Paged<u32> = Paged::default();
        let mut list = List::default();
        let query = paged.need(&list, &list.filter, "number", 20).unwrap();
        assert!(paged.need(&list, &list.filter, "number", 20).is_none(), "one is under way");
        paged.take(&query, Page { rev: 1, total: 5000, rows: (0..300).collect() });
        assert!(paged.need(&list, &list.filter, "number", 20).is_none(), "all there");
        list.selected = 4000;
        list.settle(5000, 20);
        let query = paged.need(&list, &list.filter, "number", 20).unwrap();
        assert!(query.offset <= 3981 && query.offset + query.limit >= 4001);
        paged.take(&query, Page { rev: 1, total: 5000, rows: (query.offset..query.offset + 300).collect() });
        assert_eq!(paged.at(4000), Some(&4000));
        list.filter = "x".into();
        assert_eq!(paged.need(&list, &list.filter, "number", 20).unwrap().offset, 0);
        paged.failed();
        assert!(paged.need(&list, &list.filter, "number", 20).is_none(), "a failed request is not repeated in a loop");
        assert_eq!(
            (paged.at(4000), paged.total),
            (None, 0),
            "rows of another filter do not stay under one that was refused"
        );
    }
}
