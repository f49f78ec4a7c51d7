//! Colours and characters.
//!
//! Owns the styles by meaning. Invariants: a state is always a word too; no background except reverse; the 16 colours
//! of the terminal only, and none at all in `mono`.

use ratatui::style::{Color, Modifier, Style};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Theme {
    pub mono: bool,
    pub ascii: bool,
}

impl Theme {
    fn colour(self, colour: Color, mono: Modifier) -> Style {
        if self.mono { Style::new().add_modifier(mono) } else { Style::new().fg(colour) }
    }

    #[must_use]
    pub fn plain(self) -> Style {
        Style::new()
    }

    #[must_use]
    pub fn dim(self) -> Style {
        if self.mono { Style::new() } else { Style::new().add_modifier(Modifier::DIM) }
    }

    #[must_use]
    pub fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    #[must_use]
    pub fn head(self) -> Style {
        self.colour(Color::Cyan, Modifier::UNDERLINED)
    }

    #[must_use]
    pub fn good(self) -> Style {
        self.colour(Color::Green, Modifier::empty())
    }

    #[must_use]
    pub fn warn(self) -> Style {
        self.colour(Color::Yellow, Modifier::BOLD)
    }

    #[must_use]
    pub fn bad(self) -> Style {
        self.colour(Color::Red, Modifier::BOLD)
    }

    #[must_use]
    pub fn accent(self) -> Style {
        self.colour(Color::Blue, Modifier::empty())
    }

    #[must_use]
    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Corners and lines of boxes: top-left, top-right, bottom-left, bottom-right, horizontal, vertical.
    #[must_use]
    pub fn frame(self) -> [&'static str; 6] {
        if self.ascii { ["+", "+", "+", "+", "-", "|"] } else { ["┌", "┐", "└", "┘", "─", "│"] }
    }

    /// From nothing to full.
    #[must_use]
    pub fn bars(self) -> [&'static str; 9] {
        if self.ascii {
            [" ", ".", ":", "-", "=", "+", "*", "#", "#"]
        } else {
            [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]
        }
    }

    /// Text that went through `printable`, for a terminal without Unicode.
    #[must_use]
    pub fn spell(self, text: &str) -> String {
        if self.ascii { text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect() } else { text.to_owned() }
    }
}
