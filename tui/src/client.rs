//! HTTP/1.1 to the admin API: typed requests, the event stream, and errors that say what to do.
//!
//! One connection for each request, so that a restart of the daemon needs no special case.
//! Must not enter: what the answers mean. Invariants: every wait has a bound (except a refresh that was asked to be
//! waited for, and the event stream, which has heartbeats); every answer has a bound in bytes.

use std::{fmt, io, path::PathBuf, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request, Response, body::Incoming, header};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncWrite, Join, join},
    net::{TcpStream, UnixStream},
    task::JoinHandle,
    time::timeout,
};
use yagi_api::{ApiError, ErrorBody, ErrorCode, Event, Page, paths};

use crate::far::{Far, Process};

/// An answer larger than this is a fault of the daemon. A page of 1000 rows is some hundred KiB.
const MAX_BODY: usize = 64 * 1024 * 1024;
/// The longest line of the event stream (a tick of all streams and clients).
const MAX_LINE: usize = 32 * 1024 * 1024;
const CONNECT: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(20);
/// A refresh of a large playlist over a slow line.
const LONG_PATIENCE: Duration = Duration::from_secs(30 * 60);
/// Two heartbeats and a bit.
const SILENCE: Duration = Duration::from_secs(40);

/// Why there is no answer, or which error it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No such socket file.
    NoSocket(PathBuf),
    /// The file is there, nobody listens.
    Refused(PathBuf),
    /// The file is there, we may not open it.
    Permission(PathBuf),
    /// The connection broke or was too slow.
    Broken(String),
    /// The answer makes no sense to us.
    Answer(String),
    /// The daemon said no.
    Api(ApiError),
    /// A usage fault found by ourselves, or a question that was answered with no.
    Own { exit: u8, message: String, hint: Option<String> },
}

impl Fault {
    #[must_use]
    pub fn own(exit: u8, message: impl Into<String>) -> Self {
        Self::Own { exit, message: message.into(), hint: None }
    }

    /// The documented exit codes.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoSocket(_) | Self::Refused(_) | Self::Broken(_) => 5,
            Self::Permission(_) => 6,
            Self::Answer(_) => 1,
            Self::Own { exit, .. } => *exit,
            Self::Api(e) => match e.code {
                ErrorCode::NotFound => 3,
                ErrorCode::Invalid | ErrorCode::Conflict | ErrorCode::BadRequest | ErrorCode::TooLarge => 4,
                ErrorCode::Forbidden => 6,
                ErrorCode::Method | ErrorCode::Unavailable | ErrorCode::Internal => 1,
            },
        }
    }

    /// What to do next.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoSocket(_) => Some(
                "start the daemon: systemctl start yagid (or: yagid run); for another socket: --socket or YAGI_SOCKET"
                    .into(),
            ),
            Self::Refused(_) => Some("the daemon is not running: systemctl status yagid".into()),
            Self::Permission(_) => Some("sudo usermod -aG yagid $USER, then log in again".into()),
            Self::Broken(_) => Some("see: systemctl status yagid; journalctl -u yagid".into()),
            Self::Answer(_) => Some("are yagi and yagid of the same version?".into()),
            Self::Api(e) => e.hint.clone(),
            Self::Own { hint, .. } => hint.clone(),
        }
    }

    /// Whether the daemon cannot be reached at all.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::NoSocket(_) | Self::Refused(_) | Self::Permission(_) | Self::Broken(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSocket(path) => write!(f, "there is no socket {}", path.display()),
            Self::Refused(path) => write!(f, "nobody listens on {}", path.display()),
            Self::Permission(path) => write!(f, "permission denied on {}", path.display()),
            Self::Broken(why) => write!(f, "the connection to the daemon failed: {why}"),
            Self::Answer(why) => write!(f, "the daemon's answer was not understood: {why}"),
            Self::Api(e) => e.fmt(f),
            Self::Own { message, .. } => f.write_str(message),
        }
    }
}

impl std::error::Error for Fault {}

/// Where the admin API is.
#[derive(Debug)]
pub enum Target {
    Socket(PathBuf),
    /// Over ssh, at the socket of another machine.
    Ssh(Far),
    /// The optional TCP listener, as `HOST:PORT`.
    Tcp {
        address: String,
        token: Option<String>,
    },
}

/// The admin API at one place. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    target: Arc<Target>,
    /// Requests that change anything are refused before they are sent.
    read_only: bool,
}

/// Both directions of a connection, whatever carries it.
type Pipe = Join<Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>>;

fn pipe(from: impl AsyncRead + Send + Unpin + 'static, to: impl AsyncWrite + Send + Unpin + 'static) -> Pipe {
    join(Box::new(from), Box::new(to))
}

impl Client {
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self::at(Target::Socket(socket))
    }

    #[must_use]
    pub fn at(target: Target) -> Self {
        Self { target: Arc::new(target), read_only: false }
    }

    #[must_use]
    pub fn read_only(self, read_only: bool) -> Self {
        Self { read_only, ..self }
    }

    /// The socket, if it is one of this machine.
    #[must_use]
    pub fn socket(&self) -> Option<&std::path::Path> {
        match &*self.target {
            Target::Socket(path) => Some(path),
            _ => None,
        }
    }

    /// What people are told that we are connected to.
    #[must_use]
    pub fn place(&self) -> String {
        match &*self.target {
            Target::Socket(path) => path.display().to_string(),
            Target::Ssh(far) => format!("ssh {}", far.host()),
            Target::Tcp { address, .. } => format!("http://{address}"),
        }
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        read(&self.call(Method::GET, path, None).await?.1)
    }

    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Fault> {
        read(&self.call(Method::POST, path, Some(write(body)?)).await?.1)
    }

    pub async fn patch<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Fault> {
        read(&self.call(Method::PATCH, path, Some(write(body)?)).await?.1)
    }

    pub async fn put<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, Fault> {
        read(&self.call(Method::PUT, path, Some(write(body)?)).await?.1)
    }

    pub async fn delete(&self, path: &str) -> Result<(), Fault> {
        self.call(Method::DELETE, path, None).await.map(drop)
    }

    /// All rows of a list, page by page. `query` is already encoded (`q=…&sort=…`) or empty.
    pub async fn all<T: DeserializeOwned>(&self, path: &str, query: &str) -> Result<Vec<T>, Fault> {
        self.some(path, query, 0, u32::MAX).await
    }

    /// At most `limit` rows from `offset` on, however many pages that takes.
    pub async fn some<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &str,
        offset: u32,
        limit: u32,
    ) -> Result<Vec<T>, Fault> {
        let glue = if query.is_empty() { "" } else { "&" };
        let mut rows: Vec<T> = Vec::new();
        loop {
            let have = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            let (at, ask) = (offset.saturating_add(have), (limit - have.min(limit)).min(1000));
            let page: Page<T> = self.get(&format!("{path}?{query}{glue}offset={at}&limit={ask}")).await?;
            let got = page.rows.len();
            rows.extend(page.rows);
            if got == 0 || rows.len() >= limit as usize || offset as usize + rows.len() >= page.total as usize {
                rows.truncate(limit as usize);
                return Ok(rows);
            }
        }
    }

    /// One request; errors of the API become [`Fault::Api`].
    pub async fn call(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<(u16, Bytes), Fault> {
        let (status, bytes) = self.raw(method, path, body).await?;
        if (200..300).contains(&status) { Ok((status, bytes)) } else { Err(refused(status, &bytes)) }
    }

    /// One request, whatever the status.
    pub async fn raw(&self, method: Method, path: &str, body: Option<Vec<u8>>) -> Result<(u16, Bytes), Fault> {
        let patience = if path.contains("wait=true") { LONG_PATIENCE } else { PATIENCE };
        timeout(patience, async {
            let (response, _connection) = self.send(method, path, body).await?;
            Ok((response.status().as_u16(), whole(response).await?))
        })
        .await
        .unwrap_or_else(|_| Err(Fault::Broken(format!("no answer for {} s", patience.as_secs()))))
    }

    /// The event stream. It ends when the daemon goes.
    pub async fn events(&self) -> Result<EventStream, Fault> {
        let started = async {
            let (response, connection) = self.send(Method::GET, paths::EVENTS, None).await?;
            match response.status().as_u16() {
                200 => Ok(EventStream { body: response, connection, pending: BytesMut::new(), searched: 0 }),
                status => Err(refused(status, &whole(response).await?)),
            }
        };
        timeout(PATIENCE, started).await.map_err(|_| Fault::Broken("the event stream does not start".into()))?
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<(Response<Incoming>, Connection), Fault> {
        if self.read_only && changes(&method, path, body.as_deref()) {
            return Err(Fault::own(6, format!("--read-only: {method} {path} would change something")));
        }
        let (pipe, process) = self.connect().await?;
        match self.exchange(pipe, method, path, body).await {
            Ok((response, task)) => Ok((response, Connection { task, process })),
            // A tunnel that could not be built ends the pipe; its own words tell why.
            Err(fault @ Fault::Broken(_)) => Err(match process {
                Some(process) => Fault::Broken(process.last_words().await.unwrap_or_else(|| fault.to_string())),
                None => fault,
            }),
            Err(fault) => Err(fault),
        }
    }

    async fn connect(&self) -> Result<(Pipe, Option<Process>), Fault> {
        match &*self.target {
            Target::Socket(path) => {
                let stream = UnixStream::connect(path).await.map_err(|e| unreachable(path, &e))?;
                let (from, to) = stream.into_split();
                Ok((pipe(from, to), None))
            }
            Target::Tcp { address, .. } => {
                let stream = timeout(CONNECT, TcpStream::connect(address))
                    .await
                    .map_err(|_| Fault::Broken(format!("{address} does not answer")))?
                    .map_err(|e| Fault::Broken(format!("{address}: {e}")))?;
                let (from, to) = stream.into_split();
                Ok((pipe(from, to), None))
            }
            Target::Ssh(far) => {
                let mut process = far.start()?;
                let (from, to) = process.pipes();
                Ok((pipe(from, to), Some(process)))
            }
        }
    }

    async fn exchange(
        &self,
        pipe: Pipe,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<(Response<Incoming>, Task), Fault> {
        let broken = |e: hyper::Error| Fault::Broken(e.to_string());
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(pipe)).await.map_err(broken)?;
        let task = Task(tokio::spawn(async move {
            // Its error reaches the reader of the body.
            let _ = connection.await;
        }));
        let mut request = Request::builder().method(method).uri(path);
        request = match &*self.target {
            Target::Tcp { address, token } => {
                let request = request.header(header::HOST, address);
                match token {
                    Some(token) => request.header(header::AUTHORIZATION, format!("Bearer {token}")),
                    None => request,
                }
            }
            _ => request.header(header::HOST, "yagid"),
        };
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(|e| Fault::own(2, format!("not a path of the API: {e}")))?;
        let response = sender.send_request(request).await.map_err(broken)?;
        Ok((response, task))
    }
}

/// Whether a request may change anything. A probe and a dry run only look.
fn changes(method: &Method, path: &str, body: Option<&[u8]>) -> bool {
    let dry = || {
        let body: Option<serde_json::Value> = body.and_then(|b| serde_json::from_slice(b).ok());
        body.is_some_and(|b| b["dry_run"] == true)
    };
    let reads = *method == Method::GET || *method == Method::HEAD;
    !reads && !(*method == Method::POST && (path == paths::PROBE || dry()))
}

pub(crate) fn unreachable(path: &std::path::Path, error: &io::Error) -> Fault {
    let place = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Fault::NoSocket(place),
        io::ErrorKind::ConnectionRefused => Fault::Refused(place),
        io::ErrorKind::PermissionDenied => Fault::Permission(place),
        _ => Fault::Broken(format!("{}: {error}", place.display())),
    }
}

/// What a connection lives by; ends with its owner.
#[derive(Debug)]
struct Connection {
    #[allow(dead_code, reason = "its Drop ends the connection")]
    task: Task,
    #[allow(dead_code, reason = "its Drop ends the tunnel")]
    process: Option<Process>,
}

/// The task that drives a connection; ends with its owner.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// NDJSON as it comes.
#[derive(Debug)]
pub struct EventStream {
    body: Response<Incoming>,
    // Held so that the connection lives as long as the stream.
    #[allow(dead_code, reason = "its Drop ends the connection")]
    connection: Connection,
    pending: BytesMut,
    searched: usize,
}

impl EventStream {
    /// The next line, without its end.
    pub async fn line(&mut self) -> Result<Bytes, Fault> {
        loop {
            if let Some(at) = self.pending[self.searched..].iter().position(|b| *b == b'\n') {
                let mut line = self.pending.split_to(self.searched + at + 1);
                line.truncate(line.len() - 1);
                self.searched = 0;
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return Ok(line.freeze());
            }
            self.searched = self.pending.len();
            if self.pending.len() > MAX_LINE {
                return Err(Fault::Answer(format!("an event of more than {MAX_LINE} bytes")));
            }
            let frame = timeout(SILENCE, self.body.body_mut().frame())
                .await
                .map_err(|_| Fault::Broken(format!("no event for {} s", SILENCE.as_secs())))?
                .ok_or_else(|| Fault::Broken("the daemon closed the event stream".into()))?
                .map_err(|e| Fault::Broken(e.to_string()))?;
            if let Some(data) = frame.data_ref() {
                self.pending.extend_from_slice(data);
            }
        }
    }

    /// The next event. Kinds that this version does not know are passed over.
    pub async fn next(&mut self) -> Result<Event, Fault> {
        loop {
            let line = self.line().await?;
            match serde_json::from_slice(&line) {
                Ok(event) => return Ok(event),
                Err(e) if serde_json::from_slice::<serde::de::IgnoredAny>(&line).is_err() => {
                    return Err(Fault::Answer(format!("an event that is no JSON: {e}")));
                }
                Err(_) => {}
            }
        }
    }
}

/// A body as a whole, bounded.
async fn whole(response: Response<Incoming>) -> Result<Bytes, Fault> {
    let mut incoming = response.into_body();
    let mut bytes = BytesMut::new();
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|e| Fault::Broken(e.to_string()))?;
        if let Some(data) = frame.data_ref() {
            if bytes.len() + data.len() > MAX_BODY {
                return Err(Fault::Answer(format!("more than {MAX_BODY} bytes")));
            }
            bytes.extend_from_slice(data);
        }
    }
    Ok(bytes.freeze())
}

fn write(body: &impl Serialize) -> Result<Vec<u8>, Fault> {
    serde_json::to_vec(body).map_err(|e| Fault::own(1, format!("cannot be written as JSON: {e}")))
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Fault> {
    // 204: for callers that expect nothing.
    let bytes = if bytes.is_empty() { b"null" } else { bytes };
    serde_json::from_slice(bytes).map_err(|e| Fault::Answer(e.to_string()))
}

fn refused(status: u16, bytes: &[u8]) -> Fault {
    if let Ok(body) = serde_json::from_slice::<ErrorBody>(bytes) {
        return Fault::Api(body.error);
    }
    let code = match status {
        403 => ErrorCode::Forbidden,
        404 => ErrorCode::NotFound,
        405 => ErrorCode::Method,
        409 => ErrorCode::Conflict,
        413 => ErrorCode::TooLarge,
        422 => ErrorCode::Invalid,
        400..500 => ErrorCode::BadRequest,
        503 => ErrorCode::Unavailable,
        _ => ErrorCode::Internal,
    };
    Fault::Api(ApiError::new(code, format!("the daemon answered {status}")))
}

/// The path of one row by its id alone: a bare number may be another row's name.
#[must_use]
pub fn row(list: &str, id: impl fmt::Display) -> String {
    format!("{list}/id:{id}")
}

/// One path segment or query value, percent-encoded.
#[must_use]
pub fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_told_from_a_change() {
        let dry = Some(br#"{"dry_run":true}"#.as_slice());
        assert!(!changes(&Method::GET, "/api/users", None) && !changes(&Method::POST, paths::PROBE, Some(b"{}")));
        assert!(!changes(&Method::POST, "/api/apply", dry) && changes(&Method::DELETE, "/api/users/1", dry));
        assert!(changes(&Method::POST, "/api/apply", Some(br#"{"dry_run":false}"#)));
        assert!(changes(&Method::POST, "/api/undo", None) && changes(&Method::PATCH, "/api/settings", Some(b"{}")));
    }
}
