//! The one integration binary: each module is a subject, `support` holds the other ends of the sockets.

mod accounts;
mod churn;
mod clients;
mod crash;
mod http;
mod imports;
mod legal;
mod limits;
mod outputs;
mod secrets;
mod streams;
mod support;
mod tidy;
mod upstream;
