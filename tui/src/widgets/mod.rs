//! What screens are made of: tables, boxes, blocks, codes.
//!
//! Must not enter: what is shown by whom. Invariant: every width is bounded by the area.

pub mod boxed;
pub mod qr;
pub mod sparkline;
pub mod table;
