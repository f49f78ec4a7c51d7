//! Rates as blocks: one line for a table, or a graph with an axis for a pane.
//!
//! Invariant: no values is blank, not zero.

use crate::{theme::Theme, when};

/// The newest values, scaled to the largest of them.
#[must_use]
pub fn line(theme: Theme, values: &[u64], cells: usize) -> String {
    let shown = &values[values.len().saturating_sub(cells)..];
    let most = shown.iter().copied().max().unwrap_or(0).max(1);
    let bars = theme.bars();
    shown.iter().map(|v| bars[level(*v, most, 8)]).collect()
}

/// How many eighths of a cell, with anything above nothing visible.
fn level(value: u64, most: u64, eighths: usize) -> usize {
    let share = (u128::from(value) * eighths as u128).div_ceil(u128::from(most.max(1)));
    usize::try_from(share).unwrap_or(eighths).min(eighths)
}

/// `height` lines of blocks under a heading, with Mb/s on the left and an axis below.
#[must_use]
pub fn graph(theme: Theme, values: &[u64], cells: usize, height: usize) -> Vec<String> {
    const LEFT: usize = 6;
    let room = cells.saturating_sub(LEFT);
    let shown = &values[values.len().saturating_sub(room)..];
    let most = round(shown.iter().copied().max().unwrap_or(0));
    let bars = theme.bars();
    let mut lines = Vec::with_capacity(height + 1);
    let rows = u64::try_from(height.max(1)).unwrap_or(1);
    for row in (0..height).rev() {
        let top = most * u64::try_from(row + 1).unwrap_or(1) / rows;
        let mut line = format!("{:>4} |", figure(top));
        for value in shown {
            let eighths = level(*value, most, height * 8);
            line.push_str(bars[eighths.saturating_sub(row * 8).min(8)]);
        }
        lines.push(line);
    }
    lines.push(format!("{:>4} +{}", 0, "-".repeat(room)));
    lines
}

/// A whole figure at or above the value, so that the axis reads well.
fn round(bits: u64) -> u64 {
    let steps = [1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 30, 40, 50, 60, 80, 100, 150, 200, 300, 500, 1000];
    steps.into_iter().map(|m| m * 1_000_000).find(|m| *m >= bits).unwrap_or(bits).max(1_000_000)
}

fn figure(bits: u64) -> String {
    let text = when::mbps(bits);
    match text.strip_suffix(".00") {
        Some(whole) => whole.to_owned(),
        None => text[..text.len() - 1].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_scale_and_blank_is_nothing() {
        let theme = Theme::default();
        assert_eq!(line(theme, &[], 10), "");
        assert_eq!(line(theme, &[0, 4, 8], 10), " ▄█");
        assert_eq!(line(theme, &[9, 0, 4, 8], 2), "▄█");
        assert_eq!(line(theme, &[u64::MAX, 1], 2), "█▁");
    }

    #[test]
    fn a_graph_has_its_axis() {
        let lines = graph(Theme::default(), &[4_000_000, 2_000_000, 0], 12, 2);
        assert_eq!(lines, ["   4 |█  ", "   2 |██ ", "   0 +------"]);
    }
}
