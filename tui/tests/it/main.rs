//! Tests of the client against a fake daemon on a real socket.

mod cli;
mod fake;
mod pty;
mod views;
