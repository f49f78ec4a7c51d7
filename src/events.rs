//! What happened, told to whoever watches.
//!
//! Owns the one bounded broadcast of [`yagi_api::Event`]. Must not enter: who reads it. Invariant: publishing never
//! waits; a slow reader loses events and is told so (`Resync`).

use std::sync::Arc;

use tokio::sync::broadcast;
use yagi_api::Event;

/// Handle to publish and subscribe; cheap to clone.
#[derive(Clone, Debug)]
pub struct Events(broadcast::Sender<Arc<Event>>);

impl Default for Events {
    fn default() -> Self {
        // 1024 events are some minutes of edits or seconds of log lines: enough for a reader that is alive.
        Self(broadcast::channel(1024).0)
    }
}

impl Events {
    pub fn publish(&self, event: Event) {
        // No reader is the normal case.
        let _ = self.0.send(Arc::new(event));
    }

    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Event>> {
        self.0.subscribe()
    }

    /// Whether anybody would see an event: lets the once-a-second tick cost nothing when nobody watches.
    pub fn is_watched(&self) -> bool {
        self.0.receiver_count() > 0
    }
}
