//! What systemd is told, and what it hands over: readiness, status, the watchdog, sockets.
//!
//! Owns the protocol's two environment variables. Must not enter: when the daemon is well. Invariant: without systemd every call
//! does nothing.

use std::{io, net::TcpListener, time::Duration};

use sd_notify::NotifyState;

/// Says it to the service manager, if there is one.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager could not be told");
    }
}

/// Players and administrators are served.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The configuration is read again; [`ready`] ends it.
pub fn reloading() {
    // Newer ones want to know since when.
    match NotifyState::monotonic_usec_now() {
        Ok(since) => tell(&[NotifyState::Reloading, since]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

pub fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

pub fn status(line: &str) {
    tell(&[NotifyState::Status(line)]);
}

/// Still well.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

/// How long the watchdog waits, if it watches us.
pub fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().filter(|d| !d.is_zero())
}

/// Public listeners that were bound for us (`LISTEN_FDS`); once.
///
/// # Errors
/// When a descriptor is none of a TCP listener.
pub fn listeners() -> io::Result<Vec<TcpListener>> {
    let mut given = listenfd::ListenFd::from_env();
    let mut found = Vec::new();
    for index in 0..given.len() {
        found.extend(given.take_tcp_listener(index)?);
    }
    Ok(found)
}
