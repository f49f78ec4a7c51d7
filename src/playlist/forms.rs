//! The spellings of a playlist: M3U, and the texts of set-top boxes that Xtream panels offered.
//!
//! Owns every line that is written. Must not enter: which channels there are. Invariant: no quote, control character, comma or
//! colon of a name can shift what follows it.

use std::fmt::Write as _;

use yagi_api::{
    Channel,
    text::{is_foul, is_plain},
};

/// How a playlist is spelled; `type=` of `get.php`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// M3U with attributes.
    Plus,
    /// M3U of names and addresses.
    Plain,
    /// A bouquet of Enigma2 (Dreambox, Gigablue, Vu+).
    Bouquet,
    /// A shell script that a box of Enigma2 runs to fetch its bouquet.
    Script,
    /// `URL #Name: NAME`
    Simple,
    /// Three lines a channel.
    WebTv,
    Octagon,
    /// `NAME,URL` (Ariva, Starlive v3).
    Pairs,
    /// `NAME URL` (Mediastar, Starlive v4).
    Spaced,
    /// `IPTV: { NAME } { URL }` (Fortec, Revolution, Sunplus).
    Braces,
    /// The same with a head and a mark (Zorro).
    Zorro,
    /// `I: URL NAME` (Geant, Starsat, Tiger, Qmax).
    Geant,
    /// XML (Spark).
    Spark,
}

impl Form {
    /// By the word that panels use; what is unknown is what most players want.
    pub fn named(word: &str) -> Self {
        match word {
            "m3u" => Self::Plain,
            "dreambox" | "gigablue" | "enigma16" => Self::Bouquet,
            "enigma22_script" | "enigma216_script" => Self::Script,
            "simple" => Self::Simple,
            "webtvlist" => Self::WebTv,
            "octagon" => Self::Octagon,
            "ariva" | "starlivev3" => Self::Pairs,
            "mediastar" => Self::Spaced,
            "fps" | "revosun" => Self::Braces,
            "zorro" => Self::Zorro,
            "gst" => Self::Geant,
            "spark" => Self::Spark,
            _ => Self::Plus,
        }
    }

    /// Media type, and the name that a box expects of the file.
    pub fn file(self) -> (&'static str, &'static str) {
        match self {
            // mpv and VLC take application/vnd.apple.mpegurl for HLS and do not know octet-stream; mpv compares the whole
            // value, so a charset behind it makes it no playlist.
            Self::Plus | Self::Plain => ("audio/x-mpegurl", "playlist.m3u"),
            Self::Bouquet => (TEXT, "userbouquet.yagi.tv"),
            Self::Script => (TEXT, "iptv.sh"),
            Self::Simple => (TEXT, "simple.txt"),
            Self::WebTv => (TEXT, "webtv list.txt"),
            Self::Octagon => (TEXT, "internettv.feed"),
            Self::Pairs => (TEXT, "iptvlist.txt"),
            Self::Spaced => (TEXT, "tvlist.txt"),
            Self::Braces => (TEXT, "network_iptv.cfg"),
            Self::Zorro => (TEXT, "iptv.cfg"),
            Self::Geant => (TEXT, "list.txt"),
            Self::Spark => ("application/xml; charset=utf-8", "webtv_usr.xml"),
        }
    }

    /// `guide` is the guide's address, `own` this playlist's as a bouquet.
    pub fn head(self, out: &mut String, guide: &str, own: &str) {
        match self {
            // Kodi reads the first of the two, others know one or the other.
            Self::Plus | Self::Plain => {
                let _ = writeln!(out, "#EXTM3U x-tvg-url=\"{guide}\" url-tvg=\"{guide}\"");
            }
            Self::Bouquet => out.push_str("#NAME Yagi\n"),
            Self::Script => {
                let _ = write!(out, "#!/bin/sh\nurl='{own}'\n{SCRIPT}");
            }
            Self::Zorro => out.push_str("<NETDBS_TXT_VER_1>\n"),
            Self::Spark => out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<webtvs>\n"),
            Self::Simple | Self::WebTv | Self::Octagon | Self::Pairs | Self::Spaced | Self::Braces | Self::Geant => {}
        }
    }

    pub fn entry(self, out: &mut String, row: &Row<'_>) {
        let Row { channel, url, .. } = row;
        let name = Shown(&channel.name);
        let _ = match self {
            Self::Plus | Self::Plain => return extinf(out, row, self == Self::Plus),
            // The script fetches the bouquet.
            Self::Script => Ok(()),
            Self::Bouquet => {
                let service = if channel.radio { "4097:0:2" } else { "4097:0:1" };
                let url = url.replace(':', "%3a");
                writeln!(out, "#SERVICE {service}:0:0:0:0:0:0:0:{url}\n#DESCRIPTION {name}")
            }
            Self::Simple => writeln!(out, "{url} #Name: {name}"),
            Self::WebTv => writeln!(out, "Channel name:{name}\nURL:{url}"),
            Self::Octagon => {
                writeln!(out, "[TITLE]\n{name}\n[URL]\n{url}\n[DESCRIPTION]\nIPTV\n[TYPE]\nLive")
            }
            Self::Pairs => writeln!(out, "{name},{url}"),
            Self::Spaced => writeln!(out, "{name} {url}"),
            Self::Braces => writeln!(out, "IPTV: {{ {name} }} {{ {url} }}"),
            Self::Zorro => writeln!(out, "IPTV: {{ {name} }} {{ {url} }} -HIDE_URL"),
            Self::Geant => writeln!(out, "I: {url} {name}"),
            Self::Spark => writeln!(
                out,
                "<webtv title=\"{}\" urlkey=\"0\" url=\"{}\" description=\"\" iconsrc=\"{}\" iconsrc_b=\"\" group=\"0\" type=\"0\" />",
                Xml(&channel.name),
                Xml(url),
                Xml(row.logo)
            ),
        };
    }

    pub fn tail(self, out: &mut String) {
        match self {
            Self::WebTv => out.push_str("[Webtv channel END]\n"),
            Self::Spark => out.push_str("</webtvs>\n"),
            _ => {}
        }
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

/// Run on the box, where the password may stand. It replaces its own bouquet and puts it on top of the list once.
const SCRIPT: &str = "\
dir=/etc/enigma2
file=userbouquet.yagi.tv
wget -q -O \"$dir/$file.new\" \"$url\" && [ -s \"$dir/$file.new\" ] || { echo 'the bouquet could not be fetched' >&2; exit 1; }
mv \"$dir/$file.new\" \"$dir/$file\"
if ! grep -q \"$file\" \"$dir/bouquets.tv\"; then
    { sed -n 1p \"$dir/bouquets.tv\"
      echo \"#SERVICE 1:7:1:0:0:0:0:0:0:0:FROM BOUQUET \\\"$file\\\" ORDER BY bouquet\"
      sed -n '2,$p' \"$dir/bouquets.tv\"; } > \"$dir/bouquets.tv.new\" && mv \"$dir/bouquets.tv.new\" \"$dir/bouquets.tv\"
fi
wget -q -O - 'http://127.0.0.1/web/servicelistreload?mode=2' > /dev/null
";

/// What one entry is made of.
pub struct Row<'a> {
    pub channel: &'a Channel,
    pub output_id: &'a str,
    pub category: &'a str,
    pub url: &'a str,
    pub logo: &'a str,
    /// Days of its archive, and where it is.
    pub archive: Option<(u16, &'a str)>,
    /// What the stream is, for players that would ask for it else (Kodi).
    pub mimetype: Option<&'static str>,
}

fn extinf(out: &mut String, row: &Row<'_>, plus: bool) {
    let channel = row.channel;
    out.push_str("#EXTINF:-1");
    if plus {
        out.push_str(" tvg-id=\"");
        out.push_str(row.output_id);
        attribute(out, "tvg-name", &channel.name);
        attribute(out, "tvg-logo", row.logo);
        let _ = write!(out, "\" tvg-chno=\"{}", channel.number);
        attribute(out, "group-title", row.category);
        if channel.radio {
            attribute(out, "radio", "true");
        }
        if let Some((days, source)) = row.archive {
            attribute(out, "catchup", "default");
            // Who knows only the last two asks at the stream's own address.
            let _ = write!(out, "\" catchup-days=\"{days}\" timeshift=\"{days}\" tvg-rec=\"{days}");
            attribute(out, "catchup-source", source);
        }
        out.push('"');
    }
    let _ = writeln!(out, ",{}", Shown(&channel.name));
    if let Some(mimetype) = row.mimetype {
        let _ = writeln!(out, "#KODIPROP:mimetype={mimetype}");
    }
    out.push_str(row.url);
    out.push('\n');
}

/// Closes the value before, opens its own.
fn attribute(out: &mut String, name: &str, value: &str) {
    out.push_str("\" ");
    out.push_str(name);
    out.push_str("=\"");
    if is_plain(value) {
        out.push_str(value);
    } else {
        out.extend(value.chars().filter(|c| !is_foul(*c)).map(|c| if c == '"' { '\'' } else { c }));
    }
}

/// A name on a line. Many players take it from after the last comma, or the last quote, of the line. A low quotation mark looks
/// like a comma and cuts nothing. Braces and brackets mean something to boxes.
struct Shown<'a>(&'a str);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if is_plain(self.0) && !self.0.contains(',') {
            return f.write_str(self.0);
        }
        self.0.chars().filter(|c| !is_foul(*c)).try_for_each(|c| {
            f.write_char(match c {
                '"' => '\'',
                ',' => '\u{201a}',
                c => c,
            })
        })
    }
}

struct Xml<'a>(&'a str);

impl std::fmt::Display for Xml<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.chars().filter(|c| !is_foul(*c) && !matches!(c, '\u{fffe}' | '\u{ffff}')).try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            c => f.write_char(c),
        })
    }
}
