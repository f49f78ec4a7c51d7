//! The connection to the daemon: opens it, follows the events, opens it again.
//!
//! Must not enter: what the events mean. Invariant: it never gives up, and says at every moment how it stands.

use std::time::Duration;

use tokio::sync::mpsc::Sender;
use yagi_api::paths;

use crate::{
    client::{Client, Fault},
    model::Link,
    msg::{Answer, Msg},
    when,
};

const PAUSES_MS: [u64; 5] = [250, 500, 1000, 2000, 5000];

/// Follows the daemon until nobody listens.
pub async fn follow(client: Client, tell: Sender<Msg>) {
    let mut since = None;
    let mut attempt = 0;
    loop {
        let fault = match live(&client, &tell, &mut attempt).await {
            Ok(()) => return,
            Err(fault) => fault,
        };
        if attempt == 0 {
            since = None;
        }
        let now = when::now();
        let since = *since.get_or_insert(now);
        let pause = PAUSES_MS[usize::try_from(attempt).unwrap_or(usize::MAX).min(PAUSES_MS.len() - 1)];
        attempt += 1;
        let retry_at = now + i64::try_from(pause / 1000).unwrap_or(0);
        if tell.send(Msg::Link(Link::Down { since, retry_at, attempt, fault })).await.is_err() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
}

/// One connection; ends well only when nobody listens.
async fn live(client: &Client, tell: &Sender<Msg>, attempt: &mut u32) -> Result<(), Fault> {
    let hello = client.get(paths::HELLO).await?;
    let mut events = client.events().await?;
    *attempt = 0;
    let first = [Msg::Answer(Box::new(Answer::Hello(hello))), Msg::Link(Link::Live)];
    for msg in first {
        if tell.send(msg).await.is_err() {
            return Ok(());
        }
    }
    loop {
        let event = events.next().await?;
        if tell.send(Msg::Event(Box::new(event))).await.is_err() {
            return Ok(());
        }
    }
}
