//! The admin socket of another machine, reached by ssh.
//!
//! Owns the command that builds the tunnel (`ssh HOST yagi proxy-stdio`) and the far end of it. Must not enter: HTTP, the
//! terminal. Invariant: one process for each connection, ended with it; connections share one login (OpenSSH's
//! ControlMaster), so only the first may ask for a password.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    process::{Child, ChildStdin, ChildStdout, Command},
    time::timeout,
};

use crate::client::Fault;

/// Bytes of a failed tunnel's words that are shown.
const MAX_WORDS: u64 = 4096;

/// Another machine.
#[derive(Clone, Debug)]
pub struct Far {
    host: String,
    /// Its admin socket; none: as `yagi` finds it there.
    socket: Option<PathBuf>,
    /// `ssh`, or what `YAGI_SSH` names.
    program: OsString,
    /// Where connections find the login they share.
    control: Option<PathBuf>,
}

impl Far {
    /// # Errors
    /// When the host is none that may be given to ssh.
    pub fn new(host: String, socket: Option<PathBuf>) -> Result<Self, Fault> {
        if host.is_empty() || host.starts_with('-') || host.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(Fault::own(
                2,
                format!("`{host}` is no host: expected HOST, USER@HOST or ssh://USER@HOST:PORT"),
            ));
        }
        let program = std::env::var_os("YAGI_SSH").filter(|p| !p.is_empty()).unwrap_or_else(|| "ssh".into());
        // A private directory, or no sharing: whoever can open that socket can log in.
        let dir = |name: &str, below: &str| {
            let dir = Path::new(&std::env::var_os(name).filter(|d| !d.is_empty())?).join(below);
            // ssh gives up when it cannot make its socket there.
            dir.is_dir().then(|| dir.join("yagi-ssh-%C"))
        };
        let control = dir("XDG_RUNTIME_DIR", "").or_else(|| dir("HOME", ".ssh"));
        Ok(Self { host, socket, program, control })
    }

    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Starts one tunnel.
    ///
    /// # Errors
    /// When the program cannot be run.
    pub fn start(&self) -> Result<Process, Fault> {
        let mut command = Command::new(&self.program);
        command.arg("-T");
        if let Some(control) = &self.control {
            command.args(["-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-o"]);
            let mut path = OsString::from("ControlPath=");
            path.push(control);
            command.arg(path);
        }
        command.arg("--").arg(&self.host);
        match &self.socket {
            Some(path) => command.args(["yagi", "--socket"]).arg(quoted(&path.to_string_lossy())),
            None => command.arg("yagi"),
        };
        command
            .arg("proxy-stdio")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let child = command.spawn().map_err(|e| {
            let program = self.program.to_string_lossy().into_owned();
            Fault::Own {
                exit: 5,
                message: format!("{program} cannot be run: {e}"),
                hint: Some("install an ssh client, or name one by YAGI_SSH".into()),
            }
        })?;
        Ok(Process { child, host: self.host.clone() })
    }
}

/// The far shell reads the command as text.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// One running tunnel.
#[derive(Debug)]
pub struct Process {
    child: Child,
    host: String,
}

impl Process {
    /// Its two ends. They are there once.
    pub(crate) fn pipes(&mut self) -> (ChildStdout, ChildStdin) {
        match (self.child.stdout.take(), self.child.stdin.take()) {
            (Some(from), Some(to)) => (from, to),
            _ => unreachable!("both were asked for at the start"),
        }
    }

    /// What it said when it failed.
    pub(crate) async fn last_words(mut self) -> Option<String> {
        let mut words = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            // The words until then are worth showing, also when its end does not come.
            let _ = timeout(Duration::from_secs(3), stderr.take(MAX_WORDS).read_to_end(&mut words)).await;
        }
        let words = String::from_utf8_lossy(&words);
        let words = words.trim();
        (!words.is_empty()).then(|| format!("{}: {}", self.host, words.replace('\n', "; ")))
    }
}

/// The far end: standard input to the socket, the socket to standard output, until either side is done.
///
/// # Errors
/// When the socket cannot be reached.
pub async fn proxy(socket: &Path) -> Result<(), Fault> {
    let stream = UnixStream::connect(socket).await.map_err(|e| crate::client::unreachable(socket, &e))?;
    let (mut from, mut to) = stream.into_split();
    let up = async {
        let done = tokio::io::copy(&mut tokio::io::stdin(), &mut to).await;
        let _ = to.shutdown().await;
        done
    };
    let down = async {
        let mut out = tokio::io::stdout();
        let done = tokio::io::copy(&mut from, &mut out).await;
        let _ = out.flush().await;
        done
    };
    // The daemon's end of the connection is the end; our own is passed on and its answer still read.
    let ended = tokio::select! {
        down = down => down,
        Err(up) = up => Err(up),
    };
    ended.map(drop).map_err(|e| Fault::Broken(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_no_option_and_a_path_no_command() {
        assert!(Far::new("-oProxyCommand=x".into(), None).is_err());
        assert!(Far::new("a b".into(), None).is_err() && Far::new(String::new(), None).is_err());
        assert!(Far::new("me@tv1".into(), None).is_ok());
        assert_eq!(quoted("/run/it's; rm"), "'/run/it'\\''s; rm'");
    }
}
