//! The loop: messages in, effects out, a frame when something changed.
//!
//! Owns the tasks behind the model. Must not enter: decisions. Invariant: one owner of the model; nothing is drawn while
//! nothing changed, and never more than ten times a second for long.

use std::{io, time::Duration};

use crossterm::{
    event::{DisableMouseCapture, EnableMouseCapture, Event as TermEvent, EventStream, KeyEventKind},
    execute, queue,
    terminal::{BeginSynchronizedUpdate, EndSynchronizedUpdate},
};
use futures_util::StreamExt as _;
use rustix::process::Signal;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc::{self, Sender},
    time::{self, Instant, MissedTickBehavior},
};

use crate::{
    client::Client,
    config::Config,
    errands::{self, clipboard},
    link,
    model::Model,
    msg::{Effect, Msg},
    screens::view,
    term::{self, Guard, Screen},
    theme::Theme,
    update::update,
    when,
};

/// Time in which one frame may be drawn. After a rest some may follow each other at once: a key and what it fetched.
const FRAME: Duration = Duration::from_millis(100);
const BURST: u32 = 3;
/// A frame that takes longer to write makes the next ones rarer.
const SLOW: Duration = Duration::from_millis(200);

/// How the interface is opened.
#[derive(Debug)]
pub struct Opening {
    pub theme: Theme,
    pub config: Config,
    pub read_only: bool,
    pub mouse: bool,
}

/// Runs the terminal interface until it is left.
///
/// # Errors
/// When the terminal cannot be used.
pub async fn run(client: Client, opening: Opening) -> io::Result<()> {
    // Our theme does without colours by itself; crossterm's own way would take bold and reverse with them.
    crossterm::style::force_color_output(true);
    let guard = Guard::take()?;
    let mut screen = term::screen()?;
    let size = screen.size()?;
    let mut model = Model::new(opening.theme, (size.width, size.height), when::now()).with(opening.config);
    model.read_only = opening.read_only;
    model.mouse = opening.mouse;
    mouse(model.mouse)?;
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
    let started = Instant::now();
    // Up to where the frames are paid for; the future is what they may not take on credit.
    let mut paid = Instant::now() - FRAME * BURST;
    loop {
        if !term::is_taken() {
            return Err(io::Error::other("a bug stopped a task; what it said stands above"));
        }
        let next_frame = paid + FRAME;
        if model.dirty && next_frame <= Instant::now() {
            draw(&mut screen, &mut model)?;
            paid = next_frame.max(Instant::now() - FRAME * (BURST - 1));
        }
        let next_frame = paid + FRAME;
        let dirty = model.dirty;
        let msg = tokio::select! {
            key = keys.next() => match key {
                Some(Ok(TermEvent::Key(key))) if key.kind != KeyEventKind::Release => {
                    Msg::Key(key, u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX))
                }
                Some(Ok(TermEvent::Paste(text))) => Msg::Paste(text),
                Some(Ok(TermEvent::Mouse(event))) => Msg::Mouse(event),
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
                Effect::Edit(view, sheet, text) => {
                    // The keys are the editor's now.
                    drop(keys);
                    term::leave();
                    let edited = errands::edit_text(&text);
                    term::enter()?;
                    keys = EventStream::new();
                    // What was pressed to interrupt the editor was not meant for us.
                    int = signal(SignalKind::interrupt())?;
                    again(&mut screen, &mut model)?;
                    let msg = match edited {
                        Ok(text) => Msg::Edited(view, sheet, text),
                        Err(why) => Msg::Complained(why),
                    };
                    let _ = tell.try_send(msg);
                }
                Effect::Mouse(on) => mouse(on)?,
                other => carry_out(&client, &tell, other).await,
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

async fn carry_out(client: &Client, tell: &Sender<Msg>, effect: Effect) {
    match effect {
        Effect::Copy { what, text } => clipboard::copy(&what, &text, tell).await,
        Effect::Fetch(ask) => errands::fetch(client.clone(), ask, tell.clone()),
        Effect::Send(change) => errands::send(client.clone(), change, tell.clone()),
        Effect::Save(path, export) => errands::save(client.clone(), path, export, tell.clone()),
        Effect::Password => {
            let msg = errands::password().map_or_else(Msg::Complained, Msg::Password);
            let _ = tell.try_send(msg);
        }
        Effect::Quit | Effect::Repaint | Effect::Suspend | Effect::Edit(..) | Effect::Mouse(_) => {}
    }
}

fn mouse(on: bool) -> io::Result<()> {
    if on { execute!(io::stdout(), EnableMouseCapture) } else { execute!(io::stdout(), DisableMouseCapture) }
}

/// Everything anew, in the size that the terminal has now.
fn again(screen: &mut Screen, model: &mut Model) -> io::Result<()> {
    let size = screen.size()?;
    // Not `clear`: it asks the terminal for the cursor's position, and the task that reads the keys takes the answer.
    screen.resize(size.into())?;
    if model.mouse {
        mouse(true)?;
    }
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
