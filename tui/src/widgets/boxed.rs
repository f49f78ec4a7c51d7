//! A box in the middle of the screen, over whatever is there.

use ratatui::{
    Frame,
    layout::Rect,
    text::Line,
    widgets::{Clear, Paragraph},
};

use crate::{
    model::Model,
    text::{printable, width},
};

/// Draws a box of this size, with a title on the left and a word on the right of its top; says where its inside is.
pub fn draw(model: &Model, frame: &mut Frame<'_>, title: &str, right: &str, size: (u16, u16)) -> Rect {
    let all = frame.area();
    let (w, h) = (size.0.min(all.width), size.1.min(all.height));
    // Title and tabs stay readable where there is room.
    let y = ((all.height - h) / 2).max(2.min(all.height - h));
    let area = Rect { x: (all.width - w) / 2, y, width: w, height: h };
    frame.render_widget(Clear, area);
    let [tl, tr, bl, br, h, v] = model.theme.frame();
    let wide = usize::from(area.width.saturating_sub(2));
    let right = if right.is_empty() { String::new() } else { format!(" {right} {h}") };
    let title = format!("{h} {} ", model.theme.spell(&printable(title, wide.saturating_sub(4 + width(&right)))));
    let rest = wide.saturating_sub(width(&title) + width(&right));
    let mut lines = vec![Line::styled(format!("{tl}{title}{}{right}{tr}", h.repeat(rest)), model.theme.bold())];
    lines.extend((2..area.height).map(|_| Line::raw(format!("{v}{}{v}", " ".repeat(wide)))));
    lines.push(Line::raw(format!("{bl}{}{br}", h.repeat(wide))));
    frame.render_widget(Paragraph::new(lines), area);
    Rect { x: area.x + 2, y: area.y + 1, width: area.width.saturating_sub(4), height: area.height.saturating_sub(2) }
}
