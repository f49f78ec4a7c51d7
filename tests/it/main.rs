//! The one integration binary: each module is a subject, `support` holds the other ends of the sockets.

mod http;
mod imports;
mod streams;
mod support;
mod upstream;
