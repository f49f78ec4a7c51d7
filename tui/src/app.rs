//! The loop: messages in, effects out, a frame when something changed.
//!
//! Owns the tasks behind the model. Must not enter: decisions. Invariant: one owner of the model; nothing is drawn while
//! nothing changed, and never more than ten times a second.

use std::{io, process::Stdio, time::Duration};

use crossterm::{
    clipboard::CopyToClipboard,
    event::{Event as TermEvent, EventStream, KeyEventKind},
    execute, queue,
    terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate},
};
use futures_util::StreamExt as _;
use hyper::Method;
use rustix::process::Signal;
use tokio::{
    io::AsyncWriteExt as _,
    signal::unix::{SignalKind, signal},
    sync::mpsc::{self, Sender},
    time::{self, Instant, MissedTickBehavior},
};
use yagi_api::{Page, paths};

use crate::{
    client::{Client, Fault, encode},
    link,
    model::{Model, View},
    msg::{Answer, Ask, Change, Effect, Msg, Verb},
    term::{self, Guard, Screen},
    theme::Theme,
    update::update,
    view::view,
    when,
};

/// Least time between two frames.
const FRAME: Duration = Duration::from_millis(100);
/// A frame that takes longer to write is said to.
const SLOW: Duration = Duration::from_millis(400);

/// Runs the terminal interface until it is left.
///
/// # Errors
/// When the terminal cannot be used.
pub async fn run(client: Client, theme: Theme, read_only: bool) -> io::Result<()> {
    // Our theme does without colours by itself; crossterm's own way would take bold and reverse with them.
    crossterm::style::force_color_output(true);
    let guard = Guard::take()?;
    let mut screen = term::screen()?;
    let size = screen.size()?;
    let mut model = Model::new(theme, (size.width, size.height), when::now());
    model.read_only = read_only;
    let (tell, mut told) = mpsc::channel(256);
    let follower = tokio::spawn(link::follow(client.clone(), tell.clone()));
    let mut keys = EventStream::new();
    let mut clock = time::interval(Duration::from_secs(1));
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut term = signal(SignalKind::terminate())?;
    let mut hup = signal(SignalKind::hangup())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut stop = signal(SignalKind::from_raw(Signal::TSTP.as_raw()))?;
    let mut resumed = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
    let mut drawn = Instant::now() - FRAME;
    loop {
        if model.dirty && drawn.elapsed() >= FRAME {
            draw(&mut screen, &mut model)?;
            drawn = Instant::now();
        }
        let next_frame = drawn + FRAME;
        let dirty = model.dirty;
        let msg = tokio::select! {
            key = keys.next() => match key {
                Some(Ok(TermEvent::Key(key))) if key.kind != KeyEventKind::Release => Msg::Key(key),
                Some(Ok(TermEvent::Paste(text))) => Msg::Paste(text),
                Some(Ok(TermEvent::Resize(w, h))) => Msg::Resize(w, h),
                Some(Ok(_)) => continue,
                // The terminal is gone.
                Some(Err(_)) | None => break,
            },
            Some(msg) = told.recv() => msg,
            _ = clock.tick() => Msg::Clock(when::now()),
            () = time::sleep_until(next_frame), if dirty => continue,
            _ = term.recv() => break,
            _ = hup.recv() => break,
            _ = int.recv() => break,
            _ = stop.recv() => {
                term::suspend()?;
                again(&mut screen, &mut model)?;
                continue;
            }
            // Stopped by what cannot be caught, and back: the shell has used the terminal meanwhile.
            _ = resumed.recv() => {
                term::enter()?;
                again(&mut screen, &mut model)?;
                continue;
            }
        };
        let mut quit = false;
        for effect in update(&mut model, msg) {
            match effect {
                Effect::Quit => quit = true,
                Effect::Repaint => again(&mut screen, &mut model)?,
                Effect::Suspend => {
                    term::suspend()?;
                    again(&mut screen, &mut model)?;
                }
                Effect::Copy { what, text } => copy(&what, &text, &tell).await,
                Effect::Fetch(ask) => fetch(client.clone(), ask, tell.clone()),
                Effect::Send(change) => send(client.clone(), change, tell.clone()),
            }
        }
        if quit {
            break;
        }
    }
    follower.abort();
    drop(guard);
    Ok(())
}

/// Everything anew, in the size that the terminal has now.
fn again(screen: &mut Screen, model: &mut Model) -> io::Result<()> {
    let size = screen.size()?;
    // Not `clear`: it asks the terminal for the cursor's position, and the task that reads the keys takes the answer.
    screen.resize(size.into())?;
    update(model, Msg::Resize(size.width, size.height));
    update(model, Msg::Clock(when::now()));
    Ok(())
}

fn draw(screen: &mut Screen, model: &mut Model) -> io::Result<()> {
    let began = Instant::now();
    queue!(screen.backend_mut(), BeginSynchronizedUpdate)?;
    screen.draw(|frame| view(model, frame))?;
    execute!(screen.backend_mut(), EndSynchronizedUpdate)?;
    model.dirty = false;
    let took = began.elapsed();
    if took > SLOW {
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        update(model, Msg::SlowTerminal(ms));
    }
    Ok(())
}

/// Copies through the terminal (works over SSH), and into tmux's buffer, which does not listen to that by default.
async fn copy(what: &str, text: &str, tell: &Sender<Msg>) {
    let mut ways = Vec::new();
    if execute!(io::stdout(), CopyToClipboard::to_clipboard_from(text)).is_ok() {
        ways.push("the terminal's clipboard");
    }
    if std::env::var_os("TMUX").is_some() {
        let child = tokio::process::Command::new("tmux")
            .args(["load-buffer", "-w", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        if let Ok(mut child) = child {
            if let Some(mut stdin) = child.stdin.take() {
                let _ = stdin.write_all(text.as_bytes()).await;
            }
            if time::timeout(Duration::from_secs(2), child.wait()).await.is_ok_and(|s| s.is_ok_and(|s| s.success())) {
                ways.push("tmux");
            }
        }
    }
    let said = if ways.is_empty() {
        format!("{what} could not be copied")
    } else {
        format!("copied {what} to {}", ways.join(" and "))
    };
    // A full queue is no reason to wait here, in the loop that empties it.
    let _ = tell.try_send(Msg::Said(said));
}

fn fetch(client: Client, ask: Ask, tell: Sender<Msg>) {
    tokio::spawn(async move {
        let msg = match read(&client, &ask).await {
            Ok(answer) => Msg::Answer(Box::new(answer)),
            Err(fault) => Msg::Failed(ask, fault),
        };
        // The loop may have ended.
        let _ = tell.send(msg).await;
    });
}

async fn read(client: &Client, ask: &Ask) -> Result<Answer, Fault> {
    Ok(match ask {
        Ask::Status => Answer::Status(client.get(paths::STATUS).await?),
        Ask::Streams => Answer::Streams(client.get::<Page<_>>(paths::STREAMS).await?.rows),
        Ask::Clients => Answer::Clients(client.get::<Page<_>>(paths::CLIENTS).await?.rows),
        Ask::Guide => Answer::Guide(client.get(paths::GUIDE).await?),
        Ask::Settings => Answer::Settings(client.get(paths::SETTINGS).await?),
        Ask::Logs => Answer::Logs(client.get(&format!("{}?n={}", paths::LOGS, crate::model::MAX_LOGS)).await?),
        Ask::Urls { user, fresh } => {
            Answer::Urls(client.get(&format!("{}/{}/urls", paths::USERS, encode(user))).await?, *fresh)
        }
        Ask::Page(view, query) => {
            let path = match view {
                View::Channels => paths::CHANNELS,
                View::Categories => paths::CATEGORIES,
                View::Users => paths::USERS,
                _ => paths::SOURCES,
            };
            let at = format!(
                "{path}?q={}&sort={}&offset={}&limit={}",
                encode(&query.q),
                encode(&query.sort),
                query.offset,
                query.limit
            );
            let query = query.clone();
            match view {
                View::Channels => Answer::Channels(query, client.get(&at).await?),
                View::Categories => Answer::Categories(query, client.get(&at).await?),
                View::Users => Answer::Users(query, client.get(&at).await?),
                _ => Answer::Sources(query, client.get(&at).await?),
            }
        }
    })
}

fn send(client: Client, change: Change, tell: Sender<Msg>) {
    tokio::spawn(async move {
        let method = match change.verb {
            Verb::Post => Method::POST,
            Verb::Patch => Method::PATCH,
            Verb::Delete => Method::DELETE,
        };
        let body = change.body.as_ref().map(|b| b.to_string().into_bytes());
        let result = client.call(method, &change.path, body).await;
        let result = result.map(|(_, body)| serde_json::from_slice(&body).unwrap_or_default());
        let _ = tell.send(Msg::Changed(Box::new(change), result)).await;
    });
}
