//! The one integration binary: each module is a subject, `support` holds the other ends of the sockets.

mod accounts;
mod clients;
mod crash;
mod http;
mod imports;
mod limits;
mod streams;
mod support;
mod tidy;
mod upstream;
