//! A fake AceStream engine on a loopback socket: sessions, one reader each, stop commands, and every misbehaviour.
//!
//! Like the real one it gives URLs with a name of its own (`engine.invalid`), sends no head before data, and knows
//! contents by id and by infohash. What happened can be asked at any time and awaited with `wait_until`.

use std::{
    collections::{HashMap, HashSet},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::{Guard, answer, read_head, reset, serve, stream, target, ts::Generator};

const OWN_NAME: &str = "http://engine.invalid:6878";

#[derive(Clone, Debug, Default, PartialEq)]
pub enum Play {
    /// Numbered TS, about 1.5 Mbit/s, until the reader leaves.
    #[default]
    Normal,
    /// `getstream` answers this error in JSON.
    Refuse(String),
    /// `getstream` answers 500 in plain text.
    Text500,
    /// `getstream` takes this long.
    SlowOpen(Duration),
    /// Nothing at all for this long, then the stream.
    Silent(Duration),
    /// A head and no byte.
    Empty,
    /// RST after so many packets.
    ResetAfter(u64),
    /// A proper end after so many packets.
    EndAfter(u64),
    /// A recorded stream, evenly over so long.
    Clip(Arc<[u8]>, Duration),
    /// Two redirects, each with the engine's own name.
    Redirect,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Stop {
    #[default]
    Confirm,
    Fail,
    Hang,
}

#[derive(Debug, Default)]
struct State {
    behaviour: HashMap<String, (Play, Stop)>,
    /// Sessions in the order of their opening.
    sessions: Vec<Opened>,
    readers: u32,
    most_readers: u32,
    sockets: u32,
    /// `key=value` and pid of each `getstream`.
    asked: Vec<(String, String)>,
    stats: u32,
    /// What a search finds: names and infohashes, and so many on a page.
    results: (Vec<(String, String)>, usize),
    /// Targets of the searches.
    searches: Vec<String>,
    /// Nothing is answered and nothing is sent any more, on open sockets either.
    hangs: bool,
    /// It answers, but open sessions are sent nothing any more.
    silent: bool,
    /// Contents whose readers are reset as soon as they are looked at.
    cut: HashSet<String>,
}

#[derive(Clone, Debug)]
pub struct Opened {
    pub content: String,
    pub stops: u32,
    pub readers: u32,
    pub most_readers: u32,
    pub reads: u32,
}

type Shared = Arc<Mutex<State>>;

#[derive(Debug)]
pub struct Engine {
    state: Shared,
    pub address: SocketAddr,
    _server: Guard,
}

impl Engine {
    pub async fn start() -> Self {
        let state = Shared::default();
        let shared = Arc::clone(&state);
        let (address, server) = serve(move |socket| connection(socket, Arc::clone(&shared))).await;
        Self { state, address, _server: server }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How the content of this id (and of its infohash) behaves from now on.
    pub fn behave(&self, content: &str, play: Play, stop: Stop) {
        self.lock().behaviour.insert(content.to_owned(), (play, stop));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// What a search finds from now on, `page` on a page.
    pub fn finds(&self, results: Vec<(String, String)>, page: usize) {
        self.lock().results = (results, page);
    }

    pub fn searches(&self) -> Vec<String> {
        self.lock().searches.clone()
    }

    pub fn sessions(&self) -> Vec<Opened> {
        self.lock().sessions.clone()
    }

    pub fn opened(&self) -> usize {
        self.lock().sessions.len()
    }

    pub fn opened_of(&self, content: &str) -> usize {
        self.lock().sessions.iter().filter(|s| s.content == content).count()
    }

    pub fn stops(&self) -> Vec<u32> {
        self.lock().sessions.iter().map(|s| s.stops).collect()
    }

    /// Readers of playback URLs now, and the most at once so far.
    pub fn readers(&self) -> (u32, u32) {
        let state = self.lock();
        (state.readers, state.most_readers)
    }

    /// The most readers that one session had at once.
    pub fn most_of_one(&self) -> u32 {
        self.lock().sessions.iter().map(|s| s.most_readers).max().unwrap_or(0)
    }

    pub fn sockets(&self) -> u32 {
        self.lock().sockets
    }

    /// `id=…` or `infohash=…`, and pid, of each `getstream`.
    pub fn asked(&self) -> Vec<(String, String)> {
        self.lock().asked.clone()
    }

    /// From now on it neither answers nor sends, like a stopped process.
    pub fn hang(&self) {
        self.lock().hangs = true;
    }

    /// What is open from now on, and what was, is sent nothing; all else is answered.
    pub fn fall_silent(&self) {
        self.lock().silent = true;
    }

    /// Resets the reader of this content.
    pub fn cut(&self, content: &str) {
        self.lock().cut.insert(content.to_owned());
    }

    /// Ends it: every socket is reset, its port refuses.
    pub fn kill(self) {}

    /// How many sessions are open.
    pub fn live(&self) -> usize {
        self.lock().sessions.iter().filter(|s| s.readers > 0).count()
    }

    pub fn stats(&self) -> u32 {
        self.lock().stats
    }
}

/// The infohash of a content id: its digits backwards.
pub fn infohash(content: &str) -> String {
    content.chars().rev().collect()
}

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Undoes a count when the connection's task ends, however it ends.
struct Count<F: FnMut(&mut State)>(Shared, F);

impl<F: FnMut(&mut State)> Drop for Count<F> {
    fn drop(&mut self) {
        (self.1)(&mut lock(&self.0));
    }
}

fn parameter(target: &str, key: &str) -> Option<String> {
    let (_, query) = target.split_once('?')?;
    query.split('&').find_map(|p| p.strip_prefix(key)?.strip_prefix('=')).map(str::to_owned)
}

async fn connection(mut socket: TcpStream, state: Shared) {
    lock(&state).sockets += 1;
    let _open = Count(Arc::clone(&state), |s| s.sockets -= 1);
    let Some(head) = read_head(&mut socket).await else { return };
    let target = target(&head).to_owned();
    if lock(&state).hangs {
        let _ = socket.read_u8().await;
        return;
    }
    let path = target.split('?').next().unwrap_or_default().to_owned();
    if path == "/webui/api/service" {
        return version(&mut socket, &state).await;
    }
    if path == "/search" {
        return search(&mut socket, &target, &state).await;
    }
    if path == "/ace/getstream" {
        return getstream(&mut socket, &target, &state).await;
    }
    let session = path.rsplit('/').next().and_then(|n| n.parse::<usize>().ok());
    let Some(number) = session.filter(|n| *n < lock(&state).sessions.len()) else {
        return answer(&mut socket, "404 Not Found", "text/plain", b"couldn't find resource").await;
    };
    let content = lock(&state).sessions[number].content.clone();
    let (play, stop) = lock(&state).behaviour.get(&content).cloned().unwrap_or_default();
    match path.split('/').nth(2).unwrap_or_default() {
        "cmd" if parameter(&target, "method").as_deref() == Some("stop") => {
            lock(&state).sessions[number].stops += 1;
            match stop {
                Stop::Confirm => json(&mut socket, r#"{"response":"ok","error":null}"#).await,
                Stop::Fail => answer(&mut socket, "500 Internal Server Error", "text/plain", b"no").await,
                Stop::Hang => {
                    let _ = socket.read_u8().await;
                }
            }
        }
        "stat" => {
            lock(&state).stats += 1;
            json(&mut socket, r#"{"response":{"status":"prebuf","peers":7,"speed_down":"300"},"error":null}"#).await;
        }
        "r" if play == Play::Redirect => redirect(&mut socket, &format!("{OWN_NAME}/ace/hop/{number}")).await,
        "hop" => redirect(&mut socket, &format!("{OWN_NAME}/content/x/{number}")).await,
        _ => read(socket, number, play, state).await,
    }
}

/// The engine's health: what it answers to `get_version`, if it answers.
async fn version(socket: &mut TcpStream, state: &Shared) {
    if lock(state).hangs {
        let _ = socket.read_u8().await;
    }
    json(socket, r#"{"result":{"code":3020300,"platform":"linux","version":"3.2.3"},"error":null}"#).await;
}

/// One page of results, each in a group of its own.
async fn search(socket: &mut TcpStream, target: &str, state: &Shared) {
    let page: usize = parameter(target, "page").and_then(|p| p.parse().ok()).unwrap_or(0);
    let (results, size) = {
        let mut state = lock(state);
        state.searches.push(target.to_owned());
        state.results.clone()
    };
    let groups = results.chunks(size.max(1)).nth(page).unwrap_or_default().iter().map(|(name, hash)| {
        serde_json::json!({"name": name, "items": [{"infohash": hash, "categories": ["sport"], "status": 2}]})
    });
    let groups: Vec<_> = groups.collect();
    let body = serde_json::json!({"result": {"total": results.len(), "results": groups, "time": 0.1}, "error": null});
    json(socket, &body.to_string()).await;
}

async fn json(socket: &mut TcpStream, body: &str) {
    answer(socket, "200 OK", "application/json", body.as_bytes()).await;
}

async fn redirect(socket: &mut TcpStream, to: &str) {
    let _ =
        socket.write_all(format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n").as_bytes()).await;
}

async fn getstream(socket: &mut TcpStream, target: &str, state: &Shared) {
    let pid = parameter(target, "pid").unwrap_or_default();
    let (key, content, hash) = match (parameter(target, "id"), parameter(target, "infohash")) {
        (Some(id), _) => (format!("id={id}"), id.clone(), infohash(&id)),
        (None, Some(hash)) => (format!("infohash={hash}"), infohash(&hash), hash),
        _ => return answer(socket, "500 Internal Server Error", "text/plain", b"no content").await,
    };
    let play = {
        let mut state = lock(state);
        state.asked.push((key, pid));
        state.behaviour.get(&content).cloned().unwrap_or_default().0
    };
    match play {
        Play::Refuse(text) => {
            let body = serde_json::json!({"response": null, "error": text}).to_string();
            return json(socket, &body).await;
        }
        Play::Text500 => {
            let text = b"Internal Server Error, couldn't find resource";
            return answer(socket, "500 Internal Server Error", "text/plain", text).await;
        }
        Play::SlowOpen(time) => tokio::time::sleep(time).await,
        _ => {}
    }
    let number = {
        let mut state = lock(state);
        state.sessions.push(Opened { content, stops: 0, readers: 0, most_readers: 0, reads: 0 });
        state.sessions.len() - 1
    };
    let body = serde_json::json!({"response": {
        "playback_url": format!("{OWN_NAME}/ace/r/{hash}/{number}"),
        "stat_url": format!("{OWN_NAME}/ace/stat/{hash}/{number}"),
        "command_url": format!("{OWN_NAME}/ace/cmd/{hash}/{number}"),
        "infohash": hash, "playback_session_id": number.to_string(), "is_live": 1, "is_encrypted": 0,
        "client_session_id": -1,
    }, "error": null});
    json(socket, &body.to_string()).await;
}

async fn read(mut socket: TcpStream, number: usize, play: Play, state: Shared) {
    {
        let mut state = lock(&state);
        state.readers += 1;
        state.most_readers = state.most_readers.max(state.readers);
        let session = &mut state.sessions[number];
        session.reads += 1;
        session.readers += 1;
        session.most_readers = session.most_readers.max(session.readers);
    }
    let _reading = Count(Arc::clone(&state), move |s| {
        s.readers -= 1;
        s.sessions[number].readers -= 1;
    });
    if let Play::Silent(time) = play {
        tokio::select! {
            () = tokio::time::sleep(time) => {}
            // The reader sends nothing: whatever ends this read is its leaving.
            _ = socket.read_u8() => return,
        }
    }
    let head = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n";
    if socket.write_all(head).await.is_err() || play == Play::Empty {
        return;
    }
    if let Play::Clip(clip, time) = play {
        return super::play(&mut socket, &clip, time).await;
    }
    let limit = match play {
        Play::ResetAfter(n) | Play::EndAfter(n) => n,
        _ => u64::MAX,
    };
    let mut generator = Generator::new(200, 1_500_000);
    let left = if limit == u64::MAX {
        // In small portions, so that a hang is seen.
        while !stream(&mut socket, &mut generator, 10, 20).await {
            let stuck = {
                let state = lock(&state);
                state.hangs || state.silent
            };
            if stuck {
                let _ = socket.read_u8().await;
                return;
            }
            let content = lock(&state).sessions[number].content.clone();
            if lock(&state).cut.remove(&content) {
                return reset(socket);
            }
        }
        true
    } else {
        stream(&mut socket, &mut generator, 10, limit).await
    };
    if !left && matches!(play, Play::ResetAfter(_)) {
        reset(socket);
    }
}
