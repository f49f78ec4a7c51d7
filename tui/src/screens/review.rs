//! What an edited table would change, row by row.

use ratatui::{
    Frame,
    text::{Line, Span},
    widgets::Paragraph,
};
use serde_json::Value;
use yagi_api::{Applied, Change, ChangeItem};

use crate::{
    model::{Model, Plan, Review},
    text::{fit, masked, printable},
    theme::Theme,
    widgets::boxed,
};

pub fn draw(model: &Model, review: &Review, frame: &mut Frame<'_>) {
    let all = frame.area();
    let theme = model.theme;
    let (word, lines) = match &review.plan {
        Plan::Asked(_) => ("checking", vec![Line::raw("The daemon looks at it ...")]),
        Plan::Applying(_) => ("applying", vec![Line::raw("The daemon applies it, all or nothing ...")]),
        Plan::Ready(_, applied) => ("nothing has been changed yet", difference(theme, applied, all.width.into())),
        Plan::Faulty(faults) => ("nothing has been changed", faulty(theme, faults, all.width.into())),
    };
    let title = format!("Edited {}", review.view.nouns().1);
    let height = u16::try_from(lines.len() + 2).unwrap_or(u16::MAX).clamp(5, all.height.saturating_sub(4).max(5));
    let inside = boxed::draw(model, frame, &title, word, (all.width.min(110), height));
    let most = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_sub(inside.height);
    frame.render_widget(Paragraph::new(lines).scroll((review.scroll.min(most), 0)), inside);
}

fn faulty(theme: Theme, faults: &[String], wide: usize) -> Vec<Line<'static>> {
    let mut lines = vec![Line::styled("e edits it again: nothing that you typed is lost.", theme.bold())];
    lines.extend(faults.iter().map(|f| Line::styled(theme.spell(&printable(f, wide.saturating_sub(4))), theme.bad())));
    lines
}

fn difference(theme: Theme, applied: &Applied, wide: usize) -> Vec<Line<'static>> {
    let counts = format!(
        "{} new, {} changed, {} deleted. y applies them all at once.",
        applied.created, applied.updated, applied.deleted
    );
    let mut lines = vec![Line::styled(counts, theme.bold())];
    for item in &applied.items {
        lines.extend(row(theme, item, wide.saturating_sub(4)));
    }
    let more = ((applied.created + applied.updated + applied.deleted) as usize).saturating_sub(applied.items.len());
    if more > 0 {
        lines.push(Line::raw(format!("and {more} more")));
    }
    lines
}

fn row(theme: Theme, item: &ChangeItem, wide: usize) -> Vec<Line<'static>> {
    let (sign, style) = match item.change {
        Change::Created => ("+", theme.good()),
        Change::Deleted => ("-", theme.bad()),
        _ => ("~", theme.plain()),
    };
    let id = item.row.map_or(String::new(), |id| format!(" (id {id})"));
    let mut lines = vec![Line::styled(
        theme.spell(&format!("{sign} {}{id}", printable(&item.name, wide.saturating_sub(16)))),
        style,
    )];
    if item.change == Change::Deleted {
        return lines;
    }
    for field in &item.fields {
        let half = wide.saturating_sub(22) / 2;
        let (before, after) = (text(&field.before), text(&field.after));
        lines.push(Line::from(vec![
            Span::styled(fit(&format!("    {}", field.field), 18, false), theme.dim()),
            Span::styled(theme.spell(&printable(&before, half)), theme.bad()),
            Span::raw(" -> "),
            Span::styled(theme.spell(&printable(&after, half)), theme.good()),
        ]));
    }
    lines
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) if text.is_empty() => "(empty)".into(),
        Value::Array(list) if list.iter().all(|s| s.get("url").is_some()) && !list.is_empty() => {
            list.iter().filter_map(|s| s["url"].as_str()).map(masked).collect::<Vec<_>>().join(" ")
        }
        other => masked(&crate::cli::plain(other)),
    }
}
