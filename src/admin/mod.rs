//! (being built)

pub mod socket;

use std::sync::Arc;

use hyper::StatusCode;

use crate::{
    app::App,
    http::{Reply, Request, reply::text},
};

/// Answers one request of the admin socket.
pub async fn handle(_app: &Arc<App>, _request: Request) -> Reply {
    text(StatusCode::NOT_FOUND, "nothing is served at this path")
}
