//! (being built)
use yagi_api::{ChannelId, StreamRow};

/// All running streams; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Streams;

impl Streams {
    pub fn rows(&self) -> Vec<StreamRow> {
        Vec::new()
    }

    /// Ends a stream and closes its clients. False if there is none of that id.
    pub fn stop(&self, _id: u64) -> bool {
        false
    }

    /// Ends the streams of a channel; says how many.
    pub fn stop_channel(&self, _channel: ChannelId) -> u32 {
        0
    }

    /// Streams that ended by a panic since the start.
    pub fn panics(&self) -> u64 {
        0
    }

    /// Input and output bits per second, and bytes sent since the start.
    pub fn totals(&self) -> (u64, u64, u64) {
        (0, 0, 0)
    }
}
