//! The one integration binary: each module is a subject, `support` holds the other ends of the sockets.

mod imports;
mod streams;
mod support;
mod upstream;
