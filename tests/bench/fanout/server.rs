//! The processes under measurement, and what the kernel and they themselves say of them.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use yagi_api::{ChannelDraft, ChannelSource, SourceDraft, SourceKind, StreamRow, UserDraft};
use yagid::{events::Events, library::Library};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With so many threads.
    Floor(usize),
    Queue,
    /// The daemon with this `flush_max_ms`, or as it comes.
    Yagid(Option<u32>),
}

/// A process that is killed with its handle.
pub struct Process {
    child: Child,
    pub port: u16,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Server {
    process: Process,
    pub port: u16,
    /// One for each stream.
    pub paths: Vec<String>,
    dir: Option<TempDir>,
}

/// This program in another role; its first line is its port.
pub fn spawn_self(args: &[&str]) -> Process {
    let own = std::env::current_exe().expect("this program's path");
    spawn(Command::new(own).args(args), |line| line.trim().parse().ok())
}

fn spawn(command: &mut Command, port: impl Fn(&str) -> Option<u16>) -> Process {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the process starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let port = lines.by_ref().map_while(Result::ok).find_map(|l| port(&l)).expect("the process tells its port");
    std::thread::spawn(move || lines.for_each(drop));
    Process { child, port }
}

/// The daemon on a directory that has been made ready; `more` are variables of its configuration.
fn spawn_yagid(dir: &Path, more: &[(&str, &str)]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_yagid"));
    if more.is_empty() {
        command.args(["--listen", "127.0.0.1:0"]);
    }
    command.args(["--no-demo", "--state-dir"]).arg(dir.join("state")).arg("--socket").arg(dir.join("s"));
    command.envs(more.iter().copied());
    spawn(&mut command, |line| line.split("://127.0.0.1:").nth(1)?.split_whitespace().next()?.parse().ok())
}

impl Server {
    pub fn start(kind: Kind, source: u16, streams: usize) -> Self {
        let process = match kind {
            Kind::Floor(threads) => spawn_self(&["floor", &source.to_string(), &threads.to_string()]),
            Kind::Queue => spawn_self(&["queue", &source.to_string()]),
            Kind::Yagid(flush) => return Self::yagid(source, streams, flush, &[]),
        };
        Self { port: process.port, process, paths: vec!["/".to_owned()], dir: None }
    }

    /// The daemon with one stream, served by TLS only.
    pub fn over_tls(source: u16, cert: &Path, key: &Path) -> Self {
        let text = |path: &Path| path.to_str().expect("a path").to_owned();
        let (cert, key) = (text(cert), text(key));
        let tls = [
            ("YAGI__SERVER__LISTEN", ""),
            ("YAGI__SERVER__TLS_LISTEN", "127.0.0.1:0"),
            ("YAGI__SERVER__TLS_CERT", &cert),
            ("YAGI__SERVER__TLS_KEY", &key),
        ];
        Self::yagid(source, 1, None, &tls)
    }

    fn yagid(source: u16, streams: usize, flush_max_ms: Option<u32>, more: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let paths = runtime.block_on(async {
            let library = Library::open(&dir.path().join("state"), Events::default()).expect("a database").library;
            let user = UserDraft { name: "bench".into(), max_connections: Some(0), ..UserDraft::default() };
            let user = library.create_user("bench", user).await.expect("a viewer");
            let mut paths = Vec::new();
            for n in 0..streams {
                let source = ChannelSource { url: format!("http://127.0.0.1:{source}/{n}"), headers: vec![] };
                let channel = ChannelDraft { name: format!("bench {n}"), sources: vec![source], ..Default::default() };
                let channel = library.create_channel("bench", channel).await.expect("a channel");
                paths.push(format!("/live/bench/{}/{}.ts", user.password, channel.id));
            }
            if let Some(ms) = flush_max_ms {
                let patch = [("flush_max_ms".to_owned(), ms.into())].into_iter().collect();
                library.update_settings("bench", patch).await.expect("a setting");
            }
            library.close().await;
            paths
        });
        let process = spawn_yagid(dir.path(), more);
        Self { port: process.port, process, paths, dir: Some(dir) }
    }

    /// The daemon with so many channels of a playlist: after its import, and started anew.
    pub fn with_channels(count: usize) -> [f64; 2] {
        let mut server = Self::of_list(count, None);
        let imported = server.rss_kb();
        drop(std::mem::replace(&mut server.process, spawn_self(&["source", "1000", "7", "1"])));
        server.process = spawn_yagid(server.dir.as_ref().expect("a directory").path(), &[]);
        [imported, server.rss_kb()]
    }

    /// The daemon with so many channels of a playlist, and perhaps a guide; its only path is a viewer's login as a query.
    pub fn of_list(count: usize, guide: Option<&str>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let list: PathBuf = dir.path().join("list.m3u");
        let mut text = String::from("#EXTM3U\n");
        for n in 0..count {
            text += &format!(
                "#EXTINF:-1 tvg-id=\"ch{n}.example\" tvg-logo=\"http://logos.example/{n}.png\" group-title=\"Group {}\",Channel number {n} HD\nhttp://provider.example:8080/live/user/password01/{n}.ts\n",
                n % 60
            );
        }
        fs::write(&list, text).expect("a file");
        let xml: PathBuf = dir.path().join("guide.xml");
        fs::write(&xml, guide.unwrap_or_default()).expect("a file");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let login = runtime.block_on(async {
            let library = Library::open(&dir.path().join("state"), Events::default()).expect("a database").library;
            let user = UserDraft { name: "bench".into(), ..UserDraft::default() };
            let user = library.create_user("bench", user).await.expect("a viewer");
            for (path, kind) in [(&list, SourceKind::Playlist), (&xml, SourceKind::Guide)] {
                let url = path.to_str().expect("a path").to_owned();
                let draft = SourceDraft { url, kind: Some(kind), interval_s: Some(0), ..SourceDraft::default() };
                if kind == SourceKind::Playlist || guide.is_some() {
                    library.create_source("bench", draft).await.expect("a source");
                }
            }
            library.close().await;
            format!("username=bench&password={}", user.password)
        });
        let process = spawn_yagid(dir.path(), &[]);
        let server = Self { port: process.port, process, paths: vec![login], dir: Some(dir) };
        for source in 1..=1 + usize::from(guide.is_some()) {
            server.ask("POST", &format!("/api/sources/{source}/refresh?wait=true"), "");
        }
        let loaded = server.ask("GET", "/api/channels?limit=1", "");
        let total = format!("\"total\":{count}");
        assert!(loaded.contains(&total), "the playlist was not loaded: {}", &loaded[..loaded.len().min(300)]);
        server
    }

    /// The body of one answer on the admin socket.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> String {
        ask(&self.dir.as_ref().expect("a daemon").path().join("s"), method, path, body)
    }

    /// What the daemon says of its streams.
    pub fn streams(&self) -> Vec<StreamRow> {
        if self.dir.is_none() {
            return Vec::new();
        }
        let answer = self.ask("GET", "/api/streams", "");
        let value: serde_json::Value = serde_json::from_str(answer.trim()).expect("JSON");
        serde_json::from_value(value["rows"].clone()).expect("streams")
    }

    fn tasks(&self, file: &str) -> Vec<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.child.id())).expect("the process lives");
        tasks.flatten().filter_map(|t| fs::read_to_string(t.path().join(file)).ok()).collect()
    }

    /// User and system time. That of the threads that live is known to the nanosecond; `stat` counts in hundredths of a
    /// second, but has those that ended too.
    pub fn cpu_seconds(&self) -> f64 {
        let first = |text: &String| text.split(' ').next().and_then(|n| n.parse::<f64>().ok());
        let living = self.tasks("schedstat").iter().filter_map(first).sum::<f64>() / 1e9;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process.child.id())).expect("the process lives");
        let behind_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks: f64 = behind_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<f64>().ok()).sum();
        living.max(ticks / 100.0)
    }

    /// Times that a thread of it waited: each is a wake-up.
    pub fn waits(&self) -> f64 {
        let number = |text: &String| {
            text.lines().find_map(|l| l.strip_prefix("voluntary_ctxt_switches:")?.trim().parse::<f64>().ok())
        };
        self.tasks("status").iter().filter_map(number).sum()
    }

    pub fn rss_kb(&self) -> f64 {
        rss_kb(self.process.child.id())
    }
}

fn rss_kb(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Kernel memory of all TCP sockets of this machine (or network namespace).
pub fn tcp_kb() -> f64 {
    let stat = fs::read_to_string("/proc/net/sockstat").expect("sockstat");
    let pages = stat.lines().find(|l| l.starts_with("TCP:")).and_then(|l| l.split("mem ").nth(1)?.parse::<f64>().ok());
    pages.expect("mem") * 4.0
}

/// The body of one answer on the admin socket.
fn ask(socket: &Path, method: &str, path: &str, body: &str) -> String {
    let mut admin = UnixStream::connect(socket).expect("the admin socket");
    let head = format!("{method} {path} HTTP/1.0\r\nHost: h\r\nContent-Length: {}\r\n", body.len());
    let request = format!("{head}Content-Type: application/json\r\nConnection: close\r\n\r\n{body}");
    admin.write_all(request.as_bytes()).expect("the admin socket");
    let mut text = String::new();
    admin.read_to_string(&mut text).expect("an answer");
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default()
}
