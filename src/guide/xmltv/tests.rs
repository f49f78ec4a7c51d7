//! Documents good, sloppy, broken and hostile.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::mutation::Mutation;

type Read = (Vec<(String, Vec<String>)>, Vec<(String, Programme)>, Counts);

fn try_read(bytes: &[u8]) -> Result<Read, Refusal> {
    let (mut channels, mut programmes) = (Vec::new(), Vec::new());
    let counts = read(Text::new(bytes, Instant::now() + Duration::from_secs(60)), |item| {
        match item {
            Item::Channel { id, names } => channels.push((id.to_owned(), names.to_vec())),
            Item::Programme { channel, programme } => programmes.push((channel.to_owned(), programme.clone())),
        }
        Ok(())
    })?;
    Ok((channels, programmes, counts))
}

fn reading(text: &str) -> Read {
    try_read(text.as_bytes()).unwrap()
}

fn refusal(text: &str) -> String {
    try_read(text.as_bytes()).map(|r| r.2).unwrap_err().to_string()
}

fn one(inner: &str) -> Programme {
    let text = format!("<tv><programme channel='a' start='20260101000000'>{inner}</programme></tv>");
    reading(&text).1.remove(0).1
}

#[test]
fn a_programme_with_everything() {
    let (channels, programmes, counts) = reading(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE tv SYSTEM "xmltv.dtd">
<tv generator-info-name="x"><!-- hello -->
  <channel id="das.erste"><display-name>Das Erste</display-name><display-name lang="de">ARD</display-name><icon src="x"/></channel>
  <programme start="20260101200000 +0100" stop="20260101201500 +0100" channel="das.erste">
    <title lang="de">Tages<![CDATA[schau <live>]]></title><title lang="en">News</title>
    <sub-title>Abend</sub-title>
    <desc>Fran&ccedil;ois &amp; co &#233; &bogus; AT&T
      zweite Zeile</desc>
    <credits><actor>A</actor></credits><category>News</category><category>Info</category>
    <icon src="https://x.example/a.png?b=1&amp;c=2"/>
  </programme>
</tv>
"#,
    );
    assert_eq!(channels, [("das.erste".to_owned(), vec!["Das Erste".to_owned(), "ARD".to_owned()])]);
    assert_eq!(counts, Counts { programmes: 1, ..Counts::default() });
    let p = &programmes[0].1;
    assert_eq!((p.start, p.stop), (1_767_294_000, 1_767_294_900));
    assert_eq!((p.title.as_str(), p.lang.as_str()), ("Tagesschau <live>", "de"));
    assert_eq!(p.description, "François & co é &bogus; AT&T zweite Zeile");
    assert_eq!((p.subtitle.as_str(), p.category.as_str()), ("Abend", "News"));
    assert_eq!(p.icon, "https://x.example/a.png?b=1&c=2");
}

#[test]
fn bad_programmes_are_counted_with_line_and_reason() {
    let (_, programmes, counts) = reading(
        "<tv>\n\
             <programme channel='a' start='20260101000000'><title>ok</title></programme>\n\
             <programme channel='a' start='20260101000000'/>\n\
             <programme channel='a' start='soon'><title>x</title></programme>\n\
             <programme channel='a' start='20260101000000' stop='x'><title>x</title></programme>\n\
             <programme channel='a' start='20260101000000' stop='20260101000000'><title>x</title></programme>\n\
             <programme start='20260101000000'><title>x</title></programme>\n\
             <programme channel='a'><title>x</title></programme>\n\
             <programme channel='a' start='20260101000000'><title> \n</title></programme>\n</tv>",
    );
    assert_eq!(programmes.len(), 1);
    assert_eq!((counts.programmes, counts.skipped), (1, 7));
    let notes = counts.notes.join("\n");
    for expected in [
        "line 3: a programme was skipped, it has no title",
        "line 4: a",
        "line 5: a",
        "line 6: a",
        "no channel",
        "no start",
    ] {
        assert!(notes.contains(expected), "{expected}: {notes}");
    }
}

#[test]
fn documents_that_do_not_end_well_are_refused() {
    for (text, expected) in [
        ("", "no <tv>"),
        ("   ", "no <tv>"),
        ("plain words", "text outside"),
        ("<!DOCTYPE html><html><body>Login</body></html>", "the root element is <html>"),
        ("{\"error\":1}", "text outside"),
        ("<tv><channel id='a'>", "cut off"),
        ("<tv>\n<programme channel='a' start='20260101000000'><title>x</title>", "line 2: the file ends before </tv>"),
        ("<tv><programme channel='a' start='20260101000000'><tit", "broken"),
        ("<tv><programme channel='a' start='20260101000000'></tv>", "</tv> comes inside"),
        ("<tv></tv><tv></tv>", "expected one <tv>"),
        ("<tv><!-- never ends", "broken"),
    ] {
        let told = refusal(text);
        assert!(told.contains(expected), "{text}: {told}");
    }
}

#[test]
fn sloppy_markup_inside_a_programme_is_read() {
    assert_eq!(one("<title>a<br>b</title><desc>c</desc>").description, "c");
    assert_eq!(one("<title>a</b></title><desc>c</desc>").description, "c");
    assert_eq!(one("<title>x</title><icon src='file:///etc/passwd'/>").icon, "");
    let (_, programmes, _) = reading(
        "<tv><programme channel='a' start='20260101000000'><title>a</title><p></programme>\
             <programme channel='a' start='20260101000000'><title>b</title></programme></tv>",
    );
    assert_eq!(programmes.len(), 2);
}

#[test]
fn bombs_cost_nothing() {
    let laughs = "<!DOCTYPE tv [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;'><!ENTITY x SYSTEM 'file:///etc/passwd'>]>\
                      <tv><programme channel='a' start='20260101000000'><title>&b;&x;</title></programme></tv>";
    assert!(refusal(laughs).contains("declares entities"));
    assert!(refusal(&format!("<tv>{}", "<a>".repeat(100_000))).contains("nested deeper"));
    assert!(refusal(&format!("<tv>{}</tv>", "<a/>".repeat(1_000_100))).contains("too many elements"));
    assert!(refusal(&format!("<tv><!--{}--></tv>", "x".repeat(3 << 20))).contains("longer than 1 MiB"));
    assert!(refusal(&format!("<tv {}></tv>", "x='y' ".repeat(400_000))).contains("longer than 1 MiB"));
    let long = one(&format!("<title>{}</title><desc>{}</desc>", "t".repeat(9000), "d ".repeat(90_000)));
    assert!(long.title.len() <= 512 && long.description.len() <= 4096);
}

/// `cargo test --release -p yagid --lib fuzz -- --ignored --nocapture`; `FUZZ_RUNS` and `FUZZ_SEED` say how much and which.
#[test]
#[ignore = "a million inputs"]
fn fuzz_guides() {
    const WORDS: &[&str] = &[
        "<tv>",
        "</tv>",
        "<programme start=\"20260101000000 +0100\" stop=\"20260101010000\" channel=\"a\">",
        "</programme>",
        "<channel id=\"a\">",
        "</channel>",
        "<display-name>",
        "<title>",
        "</title>",
        "<![CDATA[",
        "]]>",
        "<!--",
        "-->",
        "&amp;",
        "&nbsp;",
        "&#x0;",
        "&#1114112;",
        "<!DOCTYPE tv [",
        "<?xml version=\"1.0\" encoding=\"utf-16\"?>",
        "\0",
        "\u{feff}",
        "\"",
        "<",
        "+9999",
    ];
    let mut inputs = Mutation::of("xmltv", WORDS);
    let (mut read, mut programmes) = (0, 0);
    for _ in 0..Mutation::runs() {
        let bytes = inputs.next();
        let Ok((_, all, counts)) = try_read(&bytes) else { continue };
        read += 1;
        programmes += all.len();
        assert_eq!(all.len(), counts.programmes as usize);
        for (channel, p) in &all {
            assert!(!channel.is_empty() && !p.title.is_empty() && p.start > 0, "{p:?}");
            assert!(p.stop == 0 || p.stop > p.start, "{p:?}");
            assert!(p.title.len() <= 512 && p.description.len() <= 4096);
        }
    }
    println!("{} documents, {read} well formed, {programmes} programmes", Mutation::runs());
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = try_read(&bytes);
    }

    #[test]
    fn any_markup_is_read_or_refused(parts in proptest::collection::vec(
        prop_oneof!["<(/)?(tv|programme|title|channel|desc|br)( (id|channel|start)=\"[0-9a&;]{0,14}\")?(/)?>", "\\PC{0,8}", "&#?[a-z0-9]{0,5};?"], 0..30)
    ) {
        let _ = try_read(format!("<tv>{}</tv>", parts.concat()).as_bytes());
    }
}
