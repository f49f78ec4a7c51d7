//! The columns of every view: headings, widths, what goes first when there is no room, and the orders they stand for.
//!
//! Must not enter: cells, drawing. Invariant: the name of an order is the daemon's where the daemon sorts.

use crate::model::View;

/// A column: heading, width, alignment, how early it goes when room is short (0 stays), and the order it stands for.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub title: &'static str,
    pub width: usize,
    pub right: bool,
    pub goes: u8,
    /// Empty: the list cannot be sorted by it.
    pub sort: &'static str,
    /// Takes the room that is left.
    pub flex: bool,
}

const fn col(title: &'static str, width: usize, goes: u8, sort: &'static str) -> Column {
    Column { title, width, right: false, goes, sort, flex: false }
}

const fn num(title: &'static str, width: usize, goes: u8, sort: &'static str) -> Column {
    Column { title, width, right: true, goes, sort, flex: false }
}

const fn flex(title: &'static str, width: usize, sort: &'static str) -> Column {
    Column { title, width, right: false, goes: 0, sort, flex: true }
}

const STREAMS: &[Column] = &[
    flex("CHANNEL", 12, "name"),
    col("STATE", 5, 0, "state"),
    num("CLI", 4, 0, "clients"),
    num("IN Mb/s", 7, 4, "in"),
    num("OUT Mb/s", 8, 2, "out"),
    col("60 s", 10, 3, ""),
    num("BUF", 5, 5, "buffer"),
    num("UP", 8, 1, "uptime"),
    col("SRC", 6, 6, "source"),
];

const CLIENTS: &[Column] = &[
    flex("USER", 8, "user"),
    col("IP", 15, 1, "ip"),
    col("AGENT", 12, 5, "agent"),
    col("CHANNEL", 16, 2, "channel"),
    num("OUT Mb/s", 8, 3, "out"),
    num("LAG", 6, 4, "lag"),
    num("SINCE", 8, 6, "since"),
];

const CHANNELS: &[Column] = &[
    num("NO", 7, 1, "number"),
    flex("NAME", 16, "name"),
    col("CATEGORY", 14, 2, "category"),
    col("EPG", 5, 3, ""),
    col("GUIDE ID", 14, 5, "guide_id"),
    col("SOURCE", 9, 4, "origin"),
    col("STATE", 8, 0, "enabled"),
    num("LAST OK", 7, 6, ""),
    col("ADDRESS", 20, 7, ""),
];

const CATEGORIES: &[Column] = &[
    num("ORDER", 6, 1, "position"),
    flex("NAME", 16, "name"),
    num("CHANNELS", 8, 0, "channels"),
    num("USERS", 6, 2, ""),
];

const USERS: &[Column] = &[
    flex("NAME", 10, "name"),
    col("STATUS", 8, 0, "status"),
    col("EXPIRES", 18, 2, "expires_at"),
    num("STREAMS", 7, 1, "active"),
    col("LAST SEEN", 11, 3, "last_seen"),
    col("LAST AGENT", 12, 5, ""),
    col("NOTE", 12, 6, "note"),
    col("CATEGORIES", 12, 7, ""),
];

const SOURCES: &[Column] = &[
    flex("NAME", 10, "name"),
    col("KIND", 8, 3, "kind"),
    col("STATE", 8, 0, ""),
    num("ROWS", 7, 2, ""),
    col("LAST", 10, 1, "at"),
    num("SLOTS", 5, 6, ""),
    col("NEXT", 8, 5, "interval_s"),
    col("RESULT", 26, 4, "ok"),
];

const SETTINGS: &[Column] = &[
    flex("KEY", 20, ""),
    col("VALUE", 14, 0, ""),
    col("ORIGIN", 8, 1, ""),
    col("APPLIES", 8, 2, ""),
    col("WHAT", 22, 3, ""),
];

const GUIDE: &[Column] = &[
    num("NO", 7, 1, ""),
    flex("CHANNEL", 16, ""),
    col("GUIDE ID", 18, 3, ""),
    col("STATE", 8, 0, ""),
    col("NOW OR SUGGESTION", 22, 2, ""),
    num("SCORE", 5, 4, ""),
];

/// The columns of a view; logs have none.
#[must_use]
pub fn of(view: View) -> &'static [Column] {
    match view {
        View::Streams => STREAMS,
        View::Clients => CLIENTS,
        View::Channels => CHANNELS,
        View::Categories => CATEGORIES,
        View::Users => USERS,
        View::Sources => SOURCES,
        View::Guide => GUIDE,
        View::Settings => SETTINGS,
        View::Logs => &[],
    }
}

/// The columns that a view can be sorted by.
#[must_use]
pub fn sorts(view: View) -> Vec<&'static Column> {
    of(view).iter().filter(|c| !c.sort.is_empty()).collect()
}

/// The order in force: the daemon's word, and the heading.
#[must_use]
pub fn sorted(view: View, at: usize) -> (&'static str, &'static str) {
    sorts(view).get(at).map_or(("", ""), |c| (c.sort, c.title))
}

/// How wide each column is drawn, in the given order; 0: not at all. Columns behind the first `shift` ones of those that
/// can go are scrolled away.
#[must_use]
pub fn widths(columns: &[Column], room: usize, shift: usize) -> Vec<usize> {
    let mut widths: Vec<usize> = columns.iter().map(|c| c.width).collect();
    for (i, _) in columns.iter().enumerate().filter(|(_, c)| c.goes > 0).take(shift) {
        widths[i] = 0;
    }
    let needed = |widths: &[usize]| super::MARGIN + widths.iter().filter(|w| **w > 0).map(|w| w + 1).sum::<usize>() - 1;
    while needed(&widths) > room {
        let next = columns.iter().enumerate().filter(|(i, c)| widths[*i] > 0 && c.goes > 0).max_by_key(|(_, c)| c.goes);
        match next {
            Some((i, _)) => widths[i] = 0,
            None => break,
        }
    }
    if let Some(at) = columns.iter().position(|c| c.flex) {
        let spare = room.saturating_sub(needed(&widths));
        let over = needed(&widths).saturating_sub(room);
        widths[at] = (widths[at] + spare).saturating_sub(over).clamp(1, room.max(1));
        // A name wider than that only moves the figures away from it.
        const ENOUGH: usize = 40;
        if widths[at] > ENOUGH {
            let mut spare = widths[at] - ENOUGH;
            widths[at] = ENOUGH;
            for (i, _) in columns.iter().enumerate().filter(|(_, c)| !c.right && !c.flex && c.width >= 12) {
                if widths[i] > 0 {
                    let more = spare.min(widths[i] * 2);
                    widths[i] += more;
                    spare -= more;
                }
            }
        }
    }
    widths
}

/// Which column a cell of the heading belongs to.
#[must_use]
pub fn under(widths: &[usize], x: usize) -> Option<usize> {
    let mut at = super::MARGIN;
    for (i, width) in widths.iter().enumerate().filter(|(_, w)| **w > 0) {
        if (at..at + width + 1).contains(&x) {
            return Some(i);
        }
        at += width + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_go_in_order_and_the_name_takes_what_is_left() {
        let columns = [flex("NAME", 10, "name"), num("A", 5, 2, ""), num("B", 5, 1, "")];
        assert_eq!(widths(&columns, 40, 0), [25, 5, 5]);
        assert_eq!(widths(&columns, 20, 0), [11, 0, 5]);
        assert_eq!(widths(&columns, 8, 0), [5, 0, 0]);
        assert_eq!(widths(&columns, 20, 2), [17, 0, 0], "scrolled away");
        assert_eq!(under(&[25, 5, 5], 3), Some(0));
        assert_eq!(under(&[25, 5, 5], 30), Some(1));
        assert_eq!(under(&[25, 5, 5], 90), None);
    }

    #[test]
    fn at_eighty_columns_every_figure_of_a_stream_is_there() {
        assert!(widths(STREAMS, 80, 0).iter().all(|w| *w > 0));
        assert_eq!(widths(STREAMS, 72, 0)[8], 0, "the source goes first");
    }
}
