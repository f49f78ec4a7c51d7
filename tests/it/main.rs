//! The one integration binary: each module is a subject, `support` holds the other ends of the sockets.

mod accounts;
mod churn;
mod clients;
mod crash;
mod datagrams;
mod engines;
mod hls;
mod hls_output;
mod hls_players;
mod http;
mod imports;
mod legal;
mod limits;
mod local;
mod outputs;
mod proxies;
mod secrets;
mod slots;
mod streams;
mod support;
mod tidy;
mod tls;
mod upstream;
