//! (being built)
use bytes::Bytes;

use super::{UpstreamError, outbound::Outbound};

pub struct Request;
impl Request {
    pub fn new(_url: &str, _headers: &[(String, String)], _outbound: &Outbound) -> Result<Self, UpstreamError> {
        Ok(Self)
    }

    pub async fn open(self, _outbound: &Outbound) -> Result<Body, UpstreamError> {
        Err(UpstreamError::Ended)
    }
}

pub struct Body;
impl Body {
    pub async fn next(&mut self) -> Result<Bytes, UpstreamError> {
        Err(UpstreamError::Ended)
    }
}
