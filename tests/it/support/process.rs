//! The real program in a process of its own: its descriptors can be counted and its output read.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, Command},
    task::JoinHandle,
};
use yagid::{events::Events, library::Library};

use super::wait_until;

type Captured = Arc<Mutex<Vec<u8>>>;

pub struct Process {
    child: Child,
    pub address: SocketAddr,
    pub dir: TempDir,
    out: Captured,
    err: Captured,
    readers: [JoinHandle<()>; 2],
}

pub fn state_dir(dir: &Path) -> PathBuf {
    dir.join("state")
}

/// The library of a program that does not run yet; close it before the start.
pub fn library(dir: &Path) -> Library {
    std::fs::create_dir_all(state_dir(dir)).unwrap();
    Library::open(&state_dir(dir), Events::default()).unwrap().library
}

impl Process {
    /// Starts it and waits until it serves players.
    pub async fn start(dir: TempDir, args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_yagid"));
        command
            .args(["--listen", "127.0.0.1:0"])
            .arg("--state-dir")
            .arg(state_dir(dir.path()))
            .arg("--socket")
            .arg(dir.path().join("run/admin.sock"))
            .args(args)
            .env_remove("JOURNAL_STREAM")
            .env("XDG_CONFIG_HOME", dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let (out, err) = (Captured::default(), Captured::default());
        let readers = [
            tokio::spawn(capture(child.stdout.take().unwrap(), out.clone())),
            tokio::spawn(capture(child.stderr.take().unwrap(), err.clone())),
        ];
        let mut address = None;
        wait_until("the program to serve players", || {
            let said = text(&out);
            let after = said.split_once("serves players at http://").map(|(_, rest)| rest);
            address = after.and_then(|rest| rest.split_once('\n')).and_then(|(a, _)| a.trim().parse().ok());
            address.is_some() && said.contains("  Terminal ")
        })
        .await;
        Self { child, address: address.unwrap(), dir, out, err, readers }
    }

    pub fn stdout(&self) -> String {
        text(&self.out)
    }

    pub fn stderr(&self) -> String {
        text(&self.err)
    }

    /// Descriptors that it holds.
    pub fn descriptors(&self) -> usize {
        let pid = self.child.id().expect("it runs");
        std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
    }

    /// A number of `/proc/PID/status`: `VmRSS:` in kB, `Threads:`.
    pub fn figure(&self, name: &str) -> u64 {
        let pid = self.child.id().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// Ends it by SIGTERM; all that it wrote to stdout and stderr.
    pub async fn stop(mut self) -> (Vec<u8>, Vec<u8>) {
        let pid = Pid::from_raw(i32::try_from(self.child.id().expect("it runs")).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let status =
            tokio::time::timeout(super::raw::PATIENCE, self.child.wait()).await.expect("ends in time").unwrap();
        assert!(status.success(), "{status}: {}", self.stderr());
        for reader in self.readers {
            reader.await.unwrap();
        }
        let taken = |c: Captured| c.lock().unwrap_or_else(PoisonError::into_inner).clone();
        (taken(self.out), taken(self.err))
    }
}

async fn capture(mut from: impl AsyncRead + Unpin, into: Captured) {
    let mut bytes = vec![0; 8192];
    while let Ok(n @ 1..) = from.read(&mut bytes).await {
        into.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(&bytes[..n]);
    }
}

fn text(captured: &Captured) -> String {
    String::from_utf8_lossy(&captured.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
}
