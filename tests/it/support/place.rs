//! A place on disk in which the real binary is started, killed and started again, and the admin socket there.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::UnixStream,
    process::{Child, Command},
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A directory for a daemon's state and socket, and the flags that lead there.
pub struct Place {
    pub dir: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn database(&self) -> PathBuf {
        self.state().join("yagid.db")
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("run/admin.sock")
    }

    /// `yagid` with an environment of nothing but this place.
    pub fn bare(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yagid"));
        command.env_clear().env("HOME", self.dir.path()).env("XDG_CONFIG_HOME", self.dir.path().join("config"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// The same with a free port, this place's directories, and no demo content.
    pub fn command(&self) -> Command {
        let mut command = self.bare();
        command.args(["--listen", "127.0.0.1:0", "--no-demo"]);
        command.arg("--state-dir").arg(self.state()).arg("--socket").arg(self.socket());
        command
    }

    /// Starts the daemon and waits until it serves.
    pub async fn start(&self) -> Process {
        Process::of(self.command()).await
    }
}

/// A daemon that serves.
pub struct Process {
    pub child: Child,
    pub address: SocketAddr,
}

impl Process {
    pub async fn of(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some((_, address)) = line.split_once("serves players at http://") {
                    return address.trim().parse().unwrap();
                }
            }
            panic!("it ended before it served: {:?}", child.wait().await);
        })
        .await
        .expect("a start in time");
        // Who reads its words no more must not stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { child, address }
    }

    pub fn pid(&self) -> rustix::process::Pid {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).expect("a process that runs");
        rustix::process::Pid::from_raw(pid).expect("not process 0")
    }

    /// As `kill -9`.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }
}

/// One keep-alive connection to an admin socket.
pub struct Admin(UnixStream);

impl Admin {
    pub async fn connect(place: &Place) -> Self {
        Self::at(&place.socket()).await
    }

    pub async fn at(socket: &Path) -> Self {
        Self(UnixStream::connect(socket).await.unwrap())
    }

    /// The answer's body; panics when it is no success.
    pub async fn ok(&mut self, method: &str, path: &str, body: Value) -> Value {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = self.ask(method, path, &text).await.expect("an answer");
        assert!((200..300).contains(&status), "{method} {path}: {status} {answer}");
        answer
    }

    pub async fn get(&mut self, path: &str) -> Value {
        self.ok("GET", path, Value::Null).await
    }

    /// The error of a refusal, with its status.
    pub async fn refused(&mut self, method: &str, path: &str, body: Value) -> (u16, Value) {
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let (status, answer) = self.ask(method, path, &text).await.expect("an answer");
        assert!(status >= 400, "{method} {path}: {status} {answer}");
        (status, answer["error"].clone())
    }

    /// Status and body; `None` when the daemon went away before the whole answer.
    pub async fn ask(&mut self, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: yagi\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        timeout(PATIENCE, self.exchange(&request)).await.expect("an answer in time")
    }

    async fn exchange(&mut self, request: &str) -> Option<(u16, Value)> {
        self.0.write_all(request.as_bytes()).await.ok()?;
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                break at + 4;
            }
            if self.0.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let chunked = head.contains("transfer-encoding: chunked");
        let length = head.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
        let mut body = bytes.split_off(end);
        while if chunked { !body.ends_with(b"0\r\n\r\n") } else { body.len() < length.unwrap_or(0) } {
            if self.0.read_buf(&mut body).await.ok()? == 0 {
                return None;
            }
        }
        if chunked {
            body = super::player::unchunked(&body);
        }
        Some((status, serde_json::from_slice(&body).unwrap_or(Value::Null)))
    }
}
