//! The processes under measurement, and what the kernel says of them.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;
use yagi_api::{ChannelDraft, ChannelSource, UserDraft};
use yagid::{events::Events, library::Library};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Floor,
    /// The daemon without coalescing.
    YagidDirect,
    /// The daemon as it comes.
    Yagid,
    Queue,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Floor, Self::YagidDirect, Self::Yagid, Self::Queue];

    pub fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::YagidDirect => "yagid-direct",
            Self::Yagid => "yagid",
            Self::Queue => "queue",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|k| k.name() == name)
    }
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
    pub path: String,
    _dir: Option<TempDir>,
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

impl Server {
    pub fn start(kind: Kind, source: u16) -> Self {
        match kind {
            Kind::Floor | Kind::Queue => {
                let process = spawn_self(&[kind.name(), &source.to_string()]);
                Self { port: process.port, process, path: "/".to_owned(), _dir: None }
            }
            Kind::Yagid => Self::yagid(source, None),
            Kind::YagidDirect => Self::yagid(source, Some(0)),
        }
    }

    fn yagid(source: u16, flush_max_ms: Option<u32>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let state = dir.path().join("state");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let path = runtime.block_on(async {
            let library = Library::open(&state, Events::default()).expect("a database").library;
            let source = ChannelSource { url: format!("http://127.0.0.1:{source}/"), headers: vec![] };
            let channel = ChannelDraft { name: "bench".into(), sources: vec![source], ..ChannelDraft::default() };
            let channel = library.create_channel("bench", channel).await.expect("a channel");
            let user = UserDraft { name: "bench".into(), max_connections: Some(0), ..UserDraft::default() };
            let user = library.create_user("bench", user).await.expect("a viewer");
            if let Some(ms) = flush_max_ms {
                let patch = [("flush_max_ms".to_owned(), ms.into())].into_iter().collect();
                library.update_settings("bench", patch).await.expect("a setting");
            }
            library.close().await;
            format!("/live/bench/{}/{}.ts", user.password, channel.id)
        });
        let mut command = Command::new(env!("CARGO_BIN_EXE_yagid"));
        command
            .args(["--listen", "127.0.0.1:0", "--no-demo", "--state-dir"])
            .arg(&state)
            .arg("--socket")
            .arg(dir.path().join("s"));
        let process =
            spawn(&mut command, |line| line.split("http://127.0.0.1:").nth(1)?.split_whitespace().next()?.parse().ok());
        Self { port: process.port, process, path, _dir: Some(dir) }
    }

    fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.process.child.id())).expect("the process lives")
    }

    /// User and system time of all its threads, to the nanosecond (`stat` counts in hundredths of a second).
    pub fn cpu_seconds(&self) -> f64 {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.process.child.id())).expect("the process lives");
        let nanos: f64 = tasks
            .flatten()
            .filter_map(|t| fs::read_to_string(t.path().join("schedstat")).ok()?.split(' ').next()?.parse::<f64>().ok())
            .sum();
        nanos / 1e9
    }

    pub fn rss_kb(&self) -> f64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("VmRSS");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}
