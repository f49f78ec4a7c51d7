//! Colours and characters.
//!
//! Owns the styles by meaning. Invariants: a state is always a word too; no background except reverse; the 16 colours
//! of the terminal only in `ansi`, and none at all in `mono`.

use ratatui::style::{Color, Modifier, Style};

/// A set of colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Palette {
    /// The terminal's own 16.
    #[default]
    Ansi,
    Mono,
    /// 256 colours for a dark background.
    Dark,
    /// 256 colours for a light one.
    Light,
}

impl Palette {
    pub const ALL: [(&'static str, Self); 4] =
        [("ansi", Self::Ansi), ("mono", Self::Mono), ("dark", Self::Dark), ("light", Self::Light)];

    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(n, _)| *n == name).map(|(_, p)| *p)
    }

    /// head, good, warn, bad, accent
    fn colours(self) -> [Color; 5] {
        match self {
            Self::Ansi => [Color::Cyan, Color::Green, Color::Yellow, Color::Red, Color::Blue],
            Self::Mono => [Color::Reset; 5],
            Self::Dark => [80, 114, 221, 203, 75].map(Color::Indexed),
            Self::Light => [24, 28, 130, 124, 25].map(Color::Indexed),
        }
    }
}

/// The roles that a configuration may colour, in the order of the colours.
pub const ROLES: [&str; 5] = ["head", "good", "warn", "bad", "accent"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Theme {
    pub palette: Palette,
    pub ascii: bool,
    /// Lines and bars in ASCII although text is not: where East Asian terminals draw them two cells wide.
    pub plain_lines: bool,
    colours: [Color; 5],
}

impl Default for Theme {
    fn default() -> Self {
        Self::new(Palette::Ansi, false)
    }
}

impl Theme {
    #[must_use]
    pub fn new(palette: Palette, ascii: bool) -> Self {
        Self { palette, ascii, plain_lines: ascii, colours: palette.colours() }
    }

    /// The same with lines and bars in ASCII.
    #[must_use]
    pub fn with_plain_lines(mut self, plain: bool) -> Self {
        self.plain_lines |= plain;
        self
    }

    /// The same with another colour for one of [`ROLES`].
    #[must_use]
    pub fn with(mut self, role: &str, colour: Color) -> Self {
        if let Some(at) = ROLES.iter().position(|r| *r == role) {
            self.colours[at] = colour;
        }
        self
    }

    fn mono(self) -> bool {
        self.palette == Palette::Mono
    }

    fn role(self, at: usize, mono: Modifier) -> Style {
        if self.mono() { Style::new().add_modifier(mono) } else { Style::new().fg(self.colours[at]) }
    }

    #[must_use]
    pub fn plain(self) -> Style {
        Style::new()
    }

    #[must_use]
    pub fn dim(self) -> Style {
        if self.mono() { Style::new() } else { Style::new().add_modifier(Modifier::DIM) }
    }

    #[must_use]
    pub fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    #[must_use]
    pub fn head(self) -> Style {
        self.role(0, Modifier::UNDERLINED)
    }

    #[must_use]
    pub fn good(self) -> Style {
        self.role(1, Modifier::empty())
    }

    #[must_use]
    pub fn warn(self) -> Style {
        self.role(2, Modifier::BOLD)
    }

    #[must_use]
    pub fn bad(self) -> Style {
        self.role(3, Modifier::BOLD)
    }

    #[must_use]
    pub fn accent(self) -> Style {
        self.role(4, Modifier::empty())
    }

    #[must_use]
    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Corners and lines of boxes: top-left, top-right, bottom-left, bottom-right, horizontal, vertical.
    #[must_use]
    pub fn frame(self) -> [&'static str; 6] {
        if self.plain_lines { ["+", "+", "+", "+", "-", "|"] } else { ["┌", "┐", "└", "┘", "─", "│"] }
    }

    /// From nothing to full.
    #[must_use]
    pub fn bars(self) -> [&'static str; 9] {
        if self.plain_lines {
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
