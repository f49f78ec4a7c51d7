//! The HDHomeRun discovery protocol on the wire: a type, a length, tagged values, a check sum.
//!
//! Must not enter: sockets. Invariant: whatever bytes come, reading gives a request or nothing.

/// A client's question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    pub device_type: Option<u32>,
    pub device_id: Option<u32>,
}

const REQUEST: u16 = 2;
const REPLY: u16 = 3;
/// A device that can be tuned.
const TUNER: u32 = 1;
const ANY: u32 = 0xffff_ffff;

mod tag {
    pub const DEVICE_TYPE: u8 = 0x01;
    pub const DEVICE_ID: u8 = 0x02;
    pub const TUNER_COUNT: u8 = 0x10;
    pub const LINEUP_URL: u8 = 0x27;
    pub const BASE_URL: u8 = 0x2a;
    pub const DEVICE_AUTH: u8 = 0x2b;
    pub const MULTI_TYPE: u8 = 0x2d;
}

impl Question {
    /// Whether a tuner of this id is meant.
    pub fn asks_for(self, id: u32) -> bool {
        self.device_type.is_none_or(|t| t == TUNER || t == ANY) && self.device_id.is_none_or(|i| i == id || i == ANY)
    }
}

/// Reads a discovery request.
pub fn read(packet: &[u8]) -> Option<Question> {
    let (body, sum) = packet.split_at_checked(packet.len().checked_sub(4)?)?;
    if crc(body).to_le_bytes() != sum {
        return None;
    }
    let word = |at: usize| Some(u16::from_be_bytes([*body.get(at)?, *body.get(at + 1)?]));
    if word(0)? != REQUEST || usize::from(word(2)?) != body.len() - 4 {
        return None;
    }
    let mut question = Question { device_type: None, device_id: None };
    let mut rest = &body[4..];
    while let [name, after @ ..] = rest {
        let (length, after) = length(after)?;
        let (value, after) = after.split_at_checked(length)?;
        let number = || Some(u32::from_be_bytes(value.try_into().ok()?));
        match *name {
            tag::DEVICE_TYPE => question.device_type = Some(number()?),
            tag::DEVICE_ID => question.device_id = Some(number()?),
            tag::MULTI_TYPE => {
                let types: Vec<u32> =
                    value.chunks_exact(4).map(|c| u32::from_be_bytes([c[0], c[1], c[2], c[3]])).collect();
                let wanted = types.iter().find(|t| matches!(**t, TUNER | ANY)).or(types.first());
                question.device_type = Some(*wanted?);
            }
            _ => {}
        }
        rest = after;
    }
    Some(question)
}

/// One byte below 128; above, seven low bits and the rest in a second byte.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [low, rest @ ..] if *low < 0x80 => Some((usize::from(*low), rest)),
        [low, high, rest @ ..] => Some((usize::from(low & 0x7f) | usize::from(*high) << 7, rest)),
        _ => None,
    }
}

/// A device's answer.
pub fn reply(id: u32, tuners: u32, base: &str) -> Vec<u8> {
    let mut values = Vec::new();
    let mut put = |name: u8, value: &[u8]| {
        values.push(name);
        if value.len() < 0x80 {
            values.push(value.len() as u8);
        } else {
            values.push(value.len() as u8 & 0x7f | 0x80);
            values.push((value.len() >> 7) as u8);
        }
        values.extend_from_slice(value);
    };
    put(tag::DEVICE_TYPE, &TUNER.to_be_bytes());
    put(tag::DEVICE_ID, &id.to_be_bytes());
    put(tag::TUNER_COUNT, &[u8::try_from(tuners).unwrap_or(u8::MAX)]);
    put(tag::DEVICE_AUTH, b"yagi");
    put(tag::BASE_URL, base.as_bytes());
    put(tag::LINEUP_URL, format!("{base}/lineup.json").as_bytes());
    packet(REPLY, &values)
}

fn packet(kind: u16, values: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(values.len() + 8);
    out.extend_from_slice(&kind.to_be_bytes());
    out.extend_from_slice(&u16::try_from(values.len()).unwrap_or(u16::MAX).to_be_bytes());
    out.extend_from_slice(values);
    let sum = crc(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

#[cfg(test)]
pub(super) fn question(device_type: u32, device_id: u32) -> Vec<u8> {
    let mut values = vec![tag::DEVICE_TYPE, 4];
    values.extend_from_slice(&device_type.to_be_bytes());
    values.extend_from_slice(&[tag::DEVICE_ID, 4]);
    values.extend_from_slice(&device_id.to_be_bytes());
    packet(REQUEST, &values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As captured from a client that looks for tuners.
    const WILD: [u8; 20] = [
        0x00, 0x02, 0x00, 0x0c, 0x01, 0x04, 0x00, 0x00, 0x00, 0x01, 0x02, 0x04, 0xff, 0xff, 0xff, 0xff, 0x4e, 0x50,
        0x7f, 0x35,
    ];

    #[test]
    fn a_client_s_question_is_understood() {
        let asked = read(&WILD).unwrap();
        assert_eq!(asked, Question { device_type: Some(TUNER), device_id: Some(ANY) });
        assert_eq!(question(TUNER, ANY), WILD);
        assert!(asked.asks_for(0x1000_0000));
        assert!(!read(&question(5, ANY)).unwrap().asks_for(1), "a storage engine is asked for");
        assert!(!read(&question(TUNER, 2)).unwrap().asks_for(1), "another device is asked for");
        let mut torn = WILD;
        torn[9] ^= 1;
        assert_eq!(read(&torn), None);
    }

    #[test]
    fn an_answer_holds_its_values() {
        let base = format!("http://192.0.2.1:8080/hdhr/{}", "x".repeat(120));
        let out = reply(0x1037_BD49, 3, &base);
        assert_eq!(out[..2], [0, 3]);
        assert_eq!(usize::from(u16::from_be_bytes([out[2], out[3]])) + 8, out.len());
        assert_eq!(out[4..16], [1, 4, 0, 0, 0, 1, 2, 4, 0x10, 0x37, 0xbd, 0x49]);
        let at = out.windows(base.len()).position(|w| w == base.as_bytes()).unwrap();
        let (read, _) = length(&out[at - 2..]).unwrap();
        assert_eq!(read, base.len());
        assert_eq!(crc(&out[..out.len() - 4]).to_le_bytes(), out[out.len() - 4..]);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = read(&bytes);
            let _ = read(&packet(REQUEST, &bytes));
        }
    }
}
