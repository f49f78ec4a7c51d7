//! A QR code in half blocks, dark on light whatever the terminal's colours are.

use qrcode::{Color as Module, EcLevel, QrCode};
use ratatui::{
    style::{Color, Style},
    text::{Line, Span},
};

/// Light modules around the code.
const QUIET: usize = 2;

/// The code of `text`, if it fits into these cells.
pub fn lines(text: &str, cells: (usize, usize)) -> Option<Vec<Line<'static>>> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let side = code.width();
    let colours = code.to_colors();
    let whole = side + 2 * QUIET;
    if whole > cells.0 || whole.div_ceil(2) > cells.1 {
        return None;
    }
    let dark = |x: usize, y: usize| {
        let inside = (QUIET..QUIET + side).contains(&x) && (QUIET..QUIET + side).contains(&y);
        inside && colours[(y - QUIET) * side + x - QUIET] == Module::Dark
    };
    let style = Style::new().fg(Color::Rgb(0, 0, 0)).bg(Color::Rgb(255, 255, 255));
    let row = |y: usize| {
        let text: String = (0..whole)
            .map(|x| match (dark(x, y), y + 1 < whole && dark(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            })
            .collect();
        Line::from(Span::styled(text, style))
    };
    Some((0..whole).step_by(2).map(row).collect())
}
