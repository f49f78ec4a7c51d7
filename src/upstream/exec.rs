//! MPEG-TS from the output of a command of the configuration.
//!
//! Owns the argument vector, the process and its end. Must not enter: shells, commands from anywhere but the configuration.
//! Invariants: what a source says becomes part of one argument and never an option of its own; the command is a process
//! group that is killed on every way out, a dropped value included, and by the kernel when the daemon dies; its stderr is
//! read to the end and reaches the log at a bounded rate.

use std::{
    collections::BTreeMap,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::OnceLock,
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{
    io::AsyncReadExt as _,
    process::{Child, ChildStderr, ChildStdout},
    time::{Instant, timeout, timeout_at},
};
use yagi_api::{Command, text::clean};

use super::{Status, UpstreamError, http_ts};
use crate::{config, secret::redact};

/// What is read at once.
const BLOCK: usize = 64 << 10;
/// What is looked at to tell media from text.
const SNIFF: usize = 188 * 6;
/// Time to end by itself after SIGTERM.
const GRACE: Duration = Duration::from_secs(1);
/// Time for the exit status once the output has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Longest value of a placeholder.
const MAX_VALUE: usize = 2048;
/// Lines of stderr that reach the log within a second.
const LINES: u32 = 5;
const MAX_LINE: usize = 300;
/// What a command sees of the daemon's environment: nothing that may be a secret.
const ENVIRONMENT: &[&str] = &["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"];
/// First argument of this program as a guard, see [`guard`].
pub const GUARD: &str = "exec-guard";

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Commands are started through this program from now on: `PROGRAM exec-guard PARENT COMMAND…` must lead to [`guard`].
pub fn guard_with(program: PathBuf) {
    let _ = PROGRAM.set(program);
}

/// Becomes the command, after asking the kernel for its death when the parent dies. Returns only what went wrong.
pub fn guard(mut args: impl Iterator<Item = std::ffi::OsString>) -> String {
    let parent = args.next().and_then(|p| p.to_str()?.parse().ok()).and_then(Pid::from_raw);
    if let Err(e) = rustix::process::set_parent_process_death_signal(Some(Signal::KILL)) {
        return format!("the kernel does not take a death signal: {e}");
    }
    // The parent may have died before that.
    if parent.is_none() || rustix::process::getppid() != parent {
        return "the daemon has gone".to_owned();
    }
    let Some(program) = args.next() else { return "no command".to_owned() };
    let error = std::process::Command::new(&program).args(args).exec();
    format!("{}: {error}", program.display())
}

/// The commands of the configuration.
pub struct Commands(BTreeMap<String, Vec<String>>);

/// A command with its values put in.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    name: String,
    argv: Vec<String>,
}

impl Commands {
    pub(super) fn new(config: &BTreeMap<String, config::Exec>) -> Self {
        Self(config.iter().map(|(name, exec)| (name.clone(), exec.argv.clone())).collect())
    }

    pub(super) fn find(&self, wanted: &Command) -> Result<Line, UpstreamError> {
        let refused = |why: String| UpstreamError::Refused(why);
        let name = &wanted.name;
        let Some(template) = self.0.get(name) else {
            return Err(refused(format!("there is no command {name} in the configuration (section [exec.{name}])")));
        };
        for (key, _) in &wanted.values {
            let mark = format!("{{{key}}}");
            if !template.iter().any(|word| word.contains(&mark)) {
                return Err(refused(format!("the command {name} has no placeholder {mark}")));
            }
        }
        let mut argv = Vec::with_capacity(template.len());
        for word in template {
            argv.push(fill(word, wanted).map_err(refused)?);
        }
        Ok(Line { name: name.clone(), argv })
    }
}

/// Puts the values into one argument. A value cannot begin an option, nor hold a placeholder.
fn fill(word: &str, wanted: &Command) -> Result<String, String> {
    let (mut out, mut rest) = (String::new(), word);
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let key = after.split_once('}').filter(|(key, _)| {
            !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        });
        let Some((key, more)) = key else {
            // A brace that names nothing is a brace.
            out.push('{');
            rest = after;
            continue;
        };
        let value = wanted.value(key).ok_or_else(|| format!("the source gives no value for {{{key}}}"))?;
        if value.len() > MAX_VALUE || value.chars().any(char::is_control) {
            return Err(format!("the value of {{{key}}} is too long or holds control characters"));
        }
        if out.is_empty() && value.starts_with('-') {
            return Err(format!("the value of {{{key}}} would be an option of the command"));
        }
        out.push_str(&value);
        rest = more;
    }
    out.push_str(rest);
    Ok(out)
}

/// A running command. Dropping it kills its process group.
pub(super) struct Running {
    child: Child,
    group: Option<Pid>,
    stdout: ChildStdout,
    stderr: Stderr,
    buffer: BytesMut,
    first: Option<Bytes>,
    /// How long its exit status is waited for, once its output has ended.
    last_words: Option<Instant>,
    status: Status,
}

impl Running {
    /// Starts it and waits for the first packets.
    pub(super) async fn start(line: Line, status: Status, limit: Instant) -> Result<Self, UpstreamError> {
        let Line { name, argv } = line;
        let own: Vec<String> = match PROGRAM.get() {
            Some(program) => {
                vec![program.display().to_string(), GUARD.to_owned(), std::process::id().to_string()]
            }
            None => Vec::new(),
        };
        let mut words = own.iter().chain(&argv);
        let Some(program) = words.next() else { return Err(UpstreamError::Command(format!("{name} is empty"))) };
        let mut command = tokio::process::Command::new(program);
        command
            .args(words)
            .env_clear()
            .envs(ENVIRONMENT.iter().filter_map(|key| Some((key, std::env::var_os(key)?))))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command
            .spawn()
            .map_err(|e| UpstreamError::Command(format!("{name} cannot be started: {}: {e}", argv[0])))?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(UpstreamError::Command(format!("{name} has no output")));
        };
        status.set(format!("{name}, process {}", child.id().unwrap_or(0)));
        let stderr = Stderr { pipe: Some(stderr), name, line: Vec::new(), last: String::new(), window: None };
        let buffer = BytesMut::with_capacity(BLOCK);
        let mut running = Self { child, group, stdout, stderr, buffer, first: None, last_words: None, status };
        let mut head = Vec::new();
        loop {
            let piece = timeout_at(limit, running.next())
                .await
                .map_err(|_| UpstreamError::Timeout("waiting for the first output of the command"))??;
            head.extend_from_slice(&piece);
            if http_ts::is_media(&head) {
                running.first = Some(head.into());
                return Ok(running);
            }
            if head.len() >= SNIFF {
                return Err(UpstreamError::NotMedia(format!(
                    "the output of {} is something else",
                    running.stderr.name
                )));
            }
        }
    }

    /// What the command wrote. Cancel-safe.
    pub(super) async fn next(&mut self) -> Result<Bytes, UpstreamError> {
        if let Some(first) = self.first.take() {
            return Ok(first);
        }
        loop {
            self.buffer.reserve(BLOCK);
            tokio::select! {
                biased;
                read = self.stdout.read_buf(&mut self.buffer) => match read {
                    Ok(1..) => return Ok(self.buffer.split().freeze()),
                    Ok(0) => return Err(self.ended().await),
                    Err(e) => return Err(UpstreamError::Command(format!("{}: {e}", self.stderr.name))),
                },
                () = self.stderr.read() => {}
            }
        }
    }

    /// Why there is no more output: the exit status, and the last thing it said. Cancel-safe: asked again, it waits on until the same
    /// moment.
    async fn ended(&mut self) -> UpstreamError {
        let until = *self.last_words.get_or_insert_with(|| Instant::now() + LAST_WORDS);
        let waited = timeout_at(until, async {
            let status = self.child.wait().await;
            // What it said before its end is in the pipe.
            while self.stderr.pipe.is_some() {
                self.stderr.read().await;
            }
            status
        });
        let status = waited.await;
        // Whatever it started goes with it, before its id can be another's.
        self.signal(Signal::KILL);
        self.group = None;
        let name = &self.stderr.name;
        let how = match status {
            Ok(Ok(status)) => in_words(status),
            Ok(Err(e)) => format!("cannot be waited for: {e}"),
            Err(_) => "closed its output and runs on".to_owned(),
        };
        self.status.set(format!("{name} {how}"));
        let last = if self.stderr.last.is_empty() { String::new() } else { format!(": {}", self.stderr.last) };
        UpstreamError::Command(format!("{name} {how}{last}"))
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // A group that is gone is what is wanted.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Asks it to end, and sees to it.
    pub(super) async fn close(mut self) {
        self.signal(Signal::TERM);
        let mut sink = vec![0; BLOCK];
        let _ = timeout(GRACE, async {
            // A command that waits for its output to be read does not see the signal otherwise.
            while matches!(self.stdout.read(&mut sink).await, Ok(1..)) {}
            self.child.wait().await
        })
        .await;
        self.signal(Signal::KILL);
        let _ = timeout(GRACE, self.child.wait()).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The child is reaped by the runtime; until then its id, and so the group's, is not given to another.
        self.signal(Signal::KILL);
    }
}

fn in_words(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("ended with exit status {code}"),
        (_, Some(signal)) => format!("was ended by signal {signal}"),
        _ => "ended".to_owned(),
    }
}

/// What the command says, on its way to the log.
struct Stderr {
    pipe: Option<ChildStderr>,
    name: String,
    line: Vec<u8>,
    last: String,
    /// Begin of the running second, lines told in it, lines that were not.
    window: Option<(Instant, u32, u64)>,
}

impl Stderr {
    /// Reads some; waits for ever when there is nothing more to come.
    async fn read(&mut self) {
        let Some(pipe) = &mut self.pipe else { return std::future::pending().await };
        let mut bytes = [0; 2048];
        let n = pipe.read(&mut bytes).await.unwrap_or(0);
        if n == 0 {
            self.pipe = None;
            self.tell();
            return;
        }
        for byte in &bytes[..n] {
            match byte {
                b'\n' | b'\r' => self.tell(),
                // A line without an end is cut.
                _ if self.line.len() < MAX_LINE => self.line.push(*byte),
                _ => {}
            }
        }
    }

    fn tell(&mut self) {
        let text = String::from_utf8_lossy(&std::mem::take(&mut self.line)).into_owned();
        let text = redact(&clean(&text, MAX_LINE));
        if text.trim().is_empty() {
            return;
        }
        let now = Instant::now();
        let (begin, told, left) = self.window.get_or_insert((now, 0, 0));
        if now.saturating_duration_since(*begin) >= Duration::from_secs(1) {
            if *left > 0 {
                tracing::info!(command = self.name, lines = *left, "the command said more than is told");
            }
            (*begin, *told, *left) = (now, 0, 0);
        }
        if *told < LINES {
            *told += 1;
            tracing::info!(command = self.name, "{text}");
        } else {
            *left += 1;
        }
        self.last = text;
    }
}

#[cfg(test)]
mod tests {
    use yagi_api::Locator;

    use super::*;

    fn commands(argv: &[&str]) -> Commands {
        let argv = argv.iter().map(|w| (*w).to_owned()).collect();
        Commands::new(&BTreeMap::from([("x".to_owned(), config::Exec { argv })]))
    }

    fn find(argv: &[&str], source: &str) -> Result<Vec<String>, String> {
        let Ok(Locator::Exec(command)) = Locator::parse(source) else { panic!("{source}") };
        commands(argv).find(&command).map(|l| l.argv).map_err(|e| e.to_string())
    }

    #[test]
    fn values_stay_within_their_argument() {
        assert_eq!(
            find(&["a", "-i", "{url}", "q={q}&r={q}", "{", "{}"], "exec:x?url=h%20%24(id)%3B'&q=%7Burl%7D").unwrap(),
            ["a", "-i", "h $(id);'", "q={url}&r={url}", "{", "{}"]
        );
        for (argv, source, word) in [
            (&["a", "{url}"][..], "exec:x", "no value for {url}"),
            (&["a", "{url}"], "exec:x?url=-o%20/etc/passwd", "would be an option"),
            (&["a"], "exec:x?url=1", "no placeholder {url}"),
            (&["a"], "exec:y", "no command y"),
        ] {
            let said = find(argv, source).unwrap_err();
            assert!(said.contains(word), "{said}");
        }
        assert_eq!(find(&["a", "--url={url}"], "exec:x?url=-1").unwrap()[1], "--url=-1");
    }

    async fn run(script: &str) -> Result<Running, UpstreamError> {
        let line = Line { name: "x".to_owned(), argv: ["sh", "-c", script].map(str::to_owned).into() };
        Running::start(line, Status::default(), Instant::now() + Duration::from_secs(20)).await
    }

    #[tokio::test]
    async fn the_end_is_told_with_status_and_last_words() {
        let said = run("echo 'opening http://u:canary@h/' >&2; echo broken >&2; exit 3").await.err().unwrap();
        assert_eq!(said, UpstreamError::Command("x ended with exit status 3: broken".to_owned()));
        let said = run("echo 'http://u:canary@h/x' >&2; kill -9 $$").await.err().unwrap().to_string();
        assert!(said.contains("signal 9") && !said.contains("canary"), "{said}");
        let said = run("printf 'no stream at all, but text that is long enough %2000d' 1; sleep 60").await;
        assert!(matches!(said, Err(UpstreamError::NotMedia(_))));
        let line = Line { name: "x".to_owned(), argv: vec!["/no/such/program".to_owned()] };
        let said = Running::start(line, Status::default(), Instant::now() + Duration::from_secs(20)).await;
        assert!(said.err().unwrap().to_string().contains("cannot be started: /no/such/program"));
    }

    /// It closes its output and runs on, while whoever reads it is called away again and again.
    #[tokio::test]
    async fn last_words_are_not_waited_for_longer_by_who_looks_away() {
        let dir = tempfile::tempdir().unwrap();
        let card = dir.path().join("card.ts");
        std::fs::write(&card, include_bytes!("testcard.ts")).unwrap();
        let mut running = run(&format!("cat {}; exec >&-; sleep 600", card.display())).await.unwrap();
        let limit = Instant::now() + Duration::from_secs(30);
        let said = loop {
            assert!(Instant::now() < limit, "it is waited for without an end");
            if let Ok(Err(said)) = timeout(Duration::from_millis(50), running.next()).await {
                break said;
            }
        };
        assert_eq!(said, UpstreamError::Command("x closed its output and runs on".to_owned()));
    }

    #[tokio::test]
    async fn all_of_its_processes_end_with_it() {
        let dir = tempfile::tempdir().unwrap();
        let card = dir.path().join("card.ts");
        std::fs::write(&card, include_bytes!("testcard.ts")).unwrap();
        for polite in [true, false] {
            let ids = dir.path().join("ids");
            let trap = if polite { "" } else { "trap '' TERM;" };
            let script = format!("{trap} sleep 600 & echo $$ $! > {}; cat {}; wait", ids.display(), card.display());
            let mut running = run(&script).await.unwrap();
            while running.next().await.is_ok_and(|b| b.len() == BLOCK) {}
            let ids: Vec<i32> =
                std::fs::read_to_string(ids).unwrap().split_whitespace().map(|n| n.parse().unwrap()).collect();
            assert!(ids.iter().all(|id| alive(*id)));
            if polite {
                running.close().await;
            } else {
                drop(running);
            }
            let limit = Instant::now() + Duration::from_secs(20);
            while ids.iter().any(|id| alive(*id)) {
                assert!(Instant::now() < limit, "{ids:?} live on");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// Not a zombie either.
    fn alive(id: i32) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|rest| !rest.trim().is_empty() && !rest.trim().starts_with('Z'))
    }
}
