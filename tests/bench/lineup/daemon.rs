//! The daemon under measurement, a web server with the lists, and one GET at a time.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

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

/// Starts it; `port` finds the port in what it says.
pub fn spawn(command: &mut Command, port: impl Fn(&str) -> Option<u16>) -> Process {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the process starts");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let port = lines.by_ref().map_while(Result::ok).find_map(|l| port(&l)).expect("the process tells its port");
    std::thread::spawn(move || lines.for_each(drop));
    Process { child, port }
}

pub struct Daemon {
    process: Process,
    dir: PathBuf,
}

impl Daemon {
    pub fn start(dir: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yagid"));
        command.args(["--listen", "127.0.0.1:0", "--no-demo", "--state-dir"]).arg(dir.join("state"));
        command.arg("--socket").arg(dir.join("s"));
        let port = |line: &str| line.split("http://127.0.0.1:").nth(1)?.split_whitespace().next()?.parse().ok();
        Self { process: spawn(&mut command, port), dir: dir.to_owned() }
    }

    /// Asks it to end, and starts it again.
    pub fn restart(self) -> Self {
        let dir = self.dir.clone();
        let pid = i32::try_from(self.process.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        let _ = rustix::process::kill_process(pid.expect("a process"), rustix::process::Signal::TERM);
        let mut process = self.process;
        let _ = process.child.wait();
        Self::start(&dir)
    }

    pub fn port(&self) -> u16 {
        self.process.port
    }

    /// The answer of the admin socket.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> serde_json::Value {
        ask(&self.dir.join("s"), method, path, body)
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.join("s")
    }

    pub fn rss_kb(&self) -> u64 {
        rss_kb(self.process.child.id())
    }

    /// What the work makes its memory grow by at most, in kB.
    pub fn peak_during<T>(&self, work: impl FnOnce() -> T) -> (T, u64) {
        let (done, peak) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let watch: JoinHandle<()> = {
            let (done, peak, pid) = (Arc::clone(&done), Arc::clone(&peak), self.process.child.id());
            std::thread::spawn(move || {
                while !done.load(Relaxed) {
                    peak.fetch_max(rss_kb(pid), Relaxed);
                    std::thread::sleep(Duration::from_millis(10));
                }
            })
        };
        let out = work();
        done.store(true, Relaxed);
        watch.join().expect("the watcher");
        (out, peak.load(Relaxed))
    }

    /// Refreshes a source and waits for its report.
    pub fn refresh(&self, source: u64) -> serde_json::Value {
        refresh(&self.socket(), source)
    }
}

fn rss_kb(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

pub fn refresh(socket: &Path, source: u64) -> serde_json::Value {
    ask(socket, "POST", &format!("/api/sources/{source}/refresh?wait=true"), "");
    let row = ask(socket, "GET", &format!("/api/sources/{source}"), "");
    let last = row["last"].clone();
    assert!(last["ok"].as_bool() == Some(true), "the refresh failed: {row}");
    last
}

fn ask(socket: &Path, method: &str, path: &str, body: &str) -> serde_json::Value {
    let mut admin = UnixStream::connect(socket).expect("the admin socket");
    let head =
        format!("{method} {path} HTTP/1.0\r\nHost: h\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    admin.write_all(format!("{head}{body}").as_bytes()).expect("the admin socket");
    let mut text = String::new();
    admin.read_to_string(&mut text).expect("an answer");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with("HTTP/1.0 2") || head.starts_with("HTTP/1.1 2"), "{method} {path}: {text}");
    serde_json::from_str(body.trim()).unwrap_or_default()
}

/// Serves the files of a directory, without any validator.
pub fn serve(dir: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let dir = dir.clone();
            std::thread::spawn(move || -> io::Result<()> {
                let mut head = [0; 4096];
                let n = socket.read(&mut head)?;
                let head = String::from_utf8_lossy(&head[..n]).into_owned();
                let name = head.split_whitespace().nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
                let mut file = File::open(dir.join(name))?;
                let len = file.metadata()?.len();
                write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n")?;
                io::copy(&mut file, &mut socket).map(drop)
            });
        }
    });
    port
}

/// How one answer came.
pub struct Got {
    pub status: u16,
    pub etag: String,
    pub first: Duration,
    pub whole: Duration,
    pub bytes: usize,
}

/// One connection that asks one thing after the other.
pub struct Client(TcpStream, Vec<u8>);

impl Client {
    pub fn new(port: u16) -> Self {
        let socket = TcpStream::connect(("127.0.0.1", port)).expect("the daemon listens");
        socket.set_nodelay(true).expect("nodelay");
        Self(socket, vec![0; 1 << 20])
    }

    pub fn get(&mut self, path: &str, headers: &str) -> Got {
        let began = Instant::now();
        let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: bench\r\n{headers}\r\n");
        self.0.write_all(request.as_bytes()).expect("the daemon reads");
        let mut head = Vec::new();
        let mut first = None;
        let at = loop {
            let n = self.0.read(&mut self.1).expect("an answer");
            assert!(n > 0, "the connection ended: {}", String::from_utf8_lossy(&head));
            first.get_or_insert_with(|| began.elapsed());
            head.extend_from_slice(&self.1[..n]);
            if let Some(at) = head.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let text = String::from_utf8_lossy(&head[..at]).into_owned();
        let field = |name: &str| {
            text.lines().find_map(|l| {
                l.split_once(": ").filter(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim().to_owned())
            })
        };
        let mut bytes = head.len() - at;
        let mut tail = head.split_off(head.len().saturating_sub(5).max(at));
        match field("content-length").and_then(|n| n.parse::<usize>().ok()) {
            Some(len) => {
                while bytes < len {
                    bytes += self.0.read(&mut self.1).expect("the rest");
                }
            }
            None if field("transfer-encoding").is_some() => {
                while !tail.ends_with(b"0\r\n\r\n") {
                    let n = self.0.read(&mut self.1).expect("the rest");
                    assert!(n > 0, "the answer was cut off");
                    bytes += n;
                    tail.extend_from_slice(&self.1[n.saturating_sub(5)..n]);
                    let keep = tail.len().saturating_sub(5);
                    tail.drain(..keep);
                }
            }
            None => {}
        }
        Got {
            status: text.split_whitespace().nth(1).and_then(|s| s.parse().ok()).unwrap_or(0),
            etag: field("etag").unwrap_or_default(),
            first: first.unwrap_or_default(),
            whole: began.elapsed(),
            bytes,
        }
    }
}
