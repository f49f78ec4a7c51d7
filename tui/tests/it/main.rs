//! Tests of the client against a fake daemon on a real socket.

mod canned;
mod cli;
mod fake;
mod heeded;
mod keys;
mod meant;
mod pty;
mod real;
mod stage;
mod table;
mod terminal;
mod verbs;
mod views;
