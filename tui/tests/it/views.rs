//! What people look at: each view drawn into a buffer of cells.

use crossterm::event::KeyCode;
use ratatui::style::Color;
use yagi::{
    model::View,
    msg::Msg,
    theme::{Palette, Theme},
};

use crate::stage::{HUGE, KINDS, Stage};

/// All nine views of a house, one below the other.
fn views(kind: &str, size: (u16, u16), theme: Theme) -> String {
    let mut stage = Stage::themed(kind, size, theme);
    let mut all = String::new();
    for n in '1'..='9' {
        stage.press(KeyCode::Char(n));
        stage.model.toast = None;
        all.push_str(&stage.screen());
        all.push_str(&"=".repeat(usize::from(size.0)));
        all.push('\n');
    }
    all
}

#[test]
fn the_views_look_as_they_should() {
    for kind in KINDS {
        for size in [(80, 24), (140, 40), (40, 10)] {
            let theme = Theme::default();
            insta::assert_snapshot!(format!("{kind}-{}x{}", size.0, size.1), views(kind, size, theme));
        }
    }
    insta::assert_snapshot!("typical-80x24-ascii", views("typical", (80, 24), Theme::new(Palette::Ansi, true)));
}

#[test]
fn the_dialogs_look_as_they_should() {
    let cases = [((80, 24), "typical"), ((140, 40), "typical"), ((40, 10), "typical"), ((80, 24), "hostile")];
    for (size, kind) in cases {
        let mut all = String::new();
        // Keys that lead to it, from the first view on.
        for keys in [
            "?", "5e", "5n", "9e", "5U", "2X", "3D", "5P", "1n", "3Y", "7\n", "3\n", "6d", "6\n", "3M", ":th", "5 e",
            "3 M", "8\n",
        ] {
            let mut stage = Stage::new(kind, size);
            for c in keys.chars() {
                stage.press(if c == '\n' { KeyCode::Enter } else { KeyCode::Char(c) });
            }
            all.push_str(&format!("{keys:?}\n"));
            all.push_str(&stage.screen());
            all.push_str(&"=".repeat(usize::from(size.0)));
            all.push('\n');
        }
        insta::assert_snapshot!(format!("dialogs-{kind}-{}x{}", size.0, size.1), all);
    }
}

#[test]
fn a_form_with_a_fault_says_so_below_its_field() {
    let mut stage = Stage::new("typical", (80, 24));
    stage.keys("5e");
    for _ in 0..4 {
        stage.press(KeyCode::Tab);
    }
    stage.keys("0000");
    let screen = stage.screen();
    assert!(screen.contains("! expected 0 (no limit) to 10000"), "{screen}");
    assert!(screen.contains("1 field to fix: Max streams") && screen.contains("modified"), "{screen}");
    insta::assert_snapshot!("form-fault-80x24", screen);
}

/// Every view at every size with every kind of data is drawn, and no foreign byte gets through.
#[test]
fn every_view_is_drawn_at_every_size() {
    for kind in KINDS {
        for size in [(80, 24), (140, 40), (40, 10), (12, 5), (1, 1), (119, 16), (120, 15), (200, 60)] {
            let mut stage = Stage::new(kind, size);
            for n in '1'..='9' {
                stage.press(KeyCode::Char(n));
                let drawn = stage.screen();
                let foul = drawn.chars().find(|c| *c != '\n' && yagi_api::text::is_foul(*c));
                assert!(foul.is_none(), "{kind} {size:?} view {n}: {foul:?}");
                assert!(drawn.contains("tv1") || size.0 < 40, "{kind} {size:?}");
            }
        }
    }
}

#[test]
fn mono_has_no_colour_and_ansi_only_the_sixteen() {
    for kind in ["typical", "offline"] {
        for (palette, allowed) in [(Palette::Mono, false), (Palette::Ansi, true)] {
            let mut stage = Stage::themed(kind, (140, 40), Theme::new(palette, false));
            for n in '1'..='9' {
                stage.press(KeyCode::Char(n));
                for cell in stage.buffer().content() {
                    assert_eq!(cell.bg, Color::Reset, "no background in view {n}");
                    let named = !matches!(
                        cell.fg,
                        Color::Rgb(..) | Color::Indexed(_) | Color::White | Color::Black | Color::Gray
                    );
                    assert!(if allowed { named } else { cell.fg == Color::Reset }, "{:?} in view {n}", cell.fg);
                }
            }
        }
    }
    let mut ascii = Stage::themed("hostile", (140, 40), Theme::new(Palette::Mono, true));
    for n in '1'..='9' {
        ascii.press(KeyCode::Char(n));
        assert!(ascii.screen().is_ascii(), "view {n}:\n{}", ascii.screen());
    }
}

#[test]
fn two_hundred_thousand_channels_are_walked_page_by_page() {
    let mut stage = Stage::new("huge", (80, 24));
    stage.keys("3");
    assert!(stage.screen().contains("Channel 1 "), "{}", stage.screen());
    stage.keys("G");
    assert!(stage.screen().contains("Channel 200000"), "{}", stage.screen());
    assert!(stage.model.channels.rows.len() <= 1000);
    stage.keys("g");
    for _ in 0..40 {
        stage.press(KeyCode::PageDown);
        assert!(!stage.screen().contains("..."), "each page is there when it is shown");
    }
    stage.ctrl('a');
    assert!(stage.screen().contains(&format!("{HUGE} marked")));
}

#[test]
fn a_view_is_drawn_well_below_a_tenth_of_a_second() {
    // The bound is that of the first frame; a frame takes some milliseconds even unoptimised.
    let mut stage = Stage::new("huge", (200, 60));
    stage.keys("3");
    let start = std::time::Instant::now();
    for _ in 0..10 {
        stage.buffer();
    }
    assert!(start.elapsed().as_secs() < 10, "{:?}", start.elapsed());
}

#[test]
fn a_tick_with_new_figures_costs_less_than_two_kilobytes() {
    use ratatui::{Terminal, TerminalOptions, Viewport, backend::CrosstermBackend, layout::Rect};
    use std::{cell::RefCell, io::Write, rc::Rc};
    #[derive(Clone, Default)]
    struct Sink(Rc<RefCell<Vec<u8>>>);
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.borrow_mut().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut stage = Stage::new("typical", (80, 24));
    let proto = stage.model.streams[0].clone();
    stage.model.streams =
        (0..20u64).map(|n| yagi_api::StreamRow { id: n + 1, name: format!("Channel {n}"), ..proto.clone() }).collect();
    let sink = Sink::default();
    let options = TerminalOptions { viewport: Viewport::Fixed(Rect::new(0, 0, 80, 24)) };
    let mut terminal = Terminal::with_options(CrosstermBackend::new(sink.clone()), options).unwrap();
    terminal.draw(|frame| yagi::screens::view(&stage.model, frame)).unwrap();
    let mut most = 0;
    // Six ticks: in one of them the sparklines shift, and the selected stream's graph with them.
    for tick in 1..=6u64 {
        sink.0.borrow_mut().clear();
        let streams: Vec<_> = stage
            .model
            .streams
            .iter()
            .map(|s| {
                let mut s = yagi_api::StreamRow {
                    in_bits_per_s: s.in_bits_per_s + 1_110_000,
                    out_bits_per_s: s.out_bits_per_s + 3_330_000,
                    uptime_s: s.uptime_s + 1,
                    ..s.clone()
                };
                if tick == 5 {
                    s.history.remove(0);
                    s.history.push(s.in_bits_per_s);
                }
                s
            })
            .collect();
        let status = stage.model.status.clone().unwrap();
        let clients = stage.model.clients.clone();
        stage.feed(Msg::Clock(crate::stage::NOW + i64::try_from(tick).unwrap()));
        stage.feed(Msg::Event(Box::new(yagi_api::Event::Tick { status, streams, clients })));
        terminal.draw(|frame| yagi::screens::view(&stage.model, frame)).unwrap();
        most = most.max(sink.0.borrow().len());
    }
    assert!(most > 0 && most <= 2048, "{most} bytes");
    // Nothing happened: nothing is drawn.
    stage.model.dirty = false;
    stage.feed(Msg::Clock(crate::stage::NOW + 7));
    stage.feed(Msg::Event(Box::new(yagi_api::Event::Heartbeat)));
    assert!(!stage.model.dirty);
}

/// What a phone reads off the cells: each is two modules, one above the other; dark is what is inked, on whatever is white there.
fn scanned(stage: &Stage) -> Option<String> {
    let buffer = stage.buffer();
    let (w, h) = (usize::from(buffer.area.width), usize::from(buffer.area.height) * 2);
    let inked = |x: usize, y: usize| {
        let cell = &buffer[(u16::try_from(x).unwrap(), u16::try_from(y / 2).unwrap())];
        let painted = cell.bg == Color::Rgb(255, 255, 255) && cell.fg == Color::Rgb(0, 0, 0);
        let (upper, lower) = match cell.symbol() {
            "█" => (true, true),
            "▀" => (true, false),
            "▄" => (false, true),
            _ => (false, false),
        };
        painted && if y.is_multiple_of(2) { upper } else { lower }
    };
    // Some pixels for each module.
    const PIXELS: usize = 4;
    let mut photo = rqrr::PreparedImage::prepare_from_greyscale(w * PIXELS, h * PIXELS, |x, y| {
        if inked(x / PIXELS, y / PIXELS) { 0 } else { 255 }
    });
    let grids = photo.detect_grids();
    assert!(grids.len() <= 1, "one code is seen");
    grids.first().map(|grid| grid.decode().unwrap().1)
}

#[test]
fn the_code_on_the_screen_is_the_link() {
    let short = "http://tv1.lan:8080/p/9fK2xQ7bTmW4sR8dYc3vNa";
    let long = "http://tv1.lan:8080/get.php?username=alice&password=Xk3v9pQ2tW7m&type=m3u_plus&output=ts";
    let sizes = [(40, 10), (60, 20), (80, 24), (100, 30), (120, 40), (140, 40), (140, 50), (200, 60)];
    for size in sizes {
        for (link, with_short) in [(long, false), (short, true)] {
            for large in [false, true] {
                let mut stage = Stage::new("typical", size);
                stage.short = with_short.then(|| short.to_owned());
                stage.keys(if large { "5UQ" } else { "5U" });
                let seen = scanned(&stage);
                // What does not fit is not drawn at all, and said.
                match seen {
                    Some(text) => assert_eq!(text, link, "{size:?} {large}"),
                    None if large => assert!(stage.screen().contains("too small"), "{size:?}:\n{}", stage.screen()),
                    None => assert!(stage.screen().contains("Q shows") || size.1 < 20, "{size:?}:\n{}", stage.screen()),
                }
                let must = (with_short && size.1 >= 24) || size.1 >= 50;
                assert!(!must || scanned(&stage).is_some(), "{size:?} {link}");
            }
        }
    }
}

#[test]
fn offline_the_last_data_stays_and_nothing_can_be_changed() {
    let mut stage = Stage::new("offline", (80, 24));
    let screen = stage.screen();
    assert!(screen.contains("[offline, again in 5 s] 12 s old") && screen.contains("Rai 1 HD"), "{screen}");
    stage.keys("5");
    for key in "tenDxPuE".chars() {
        assert!(stage.press(KeyCode::Char(key)).is_empty(), "{key}");
        assert!(stage.screen().contains("offline: nothing can be changed now"), "{key}");
    }
    assert_eq!(stage.model.view, View::Users);
}
