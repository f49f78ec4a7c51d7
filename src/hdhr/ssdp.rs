//! The words of SSDP: searches, answers to them, announcements.
//!
//! Must not enter: sockets. Invariant: what a stranger sends is never repeated.

use super::{DEVICE_TYPE, Device, VERSION};

const ROOT: &str = "upnp:rootdevice";
/// What a search for everything asks for.
pub const ALL: &str = "ssdp:all";

#[cfg(test)]
pub const SEARCH: &str = "M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\nST: upnp:rootdevice\r\n\r\n";

/// What a search is for; none if it is no search.
pub fn searched(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let mut lines = text.split("\r\n");
    lines.next().filter(|l| l.starts_with("M-SEARCH * "))?;
    let header = |name: &str| {
        text.split("\r\n").skip(1).find_map(|l| {
            let (key, value) = l.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim())
        })
    };
    header("man").filter(|m| m.trim_matches('"').eq_ignore_ascii_case("ssdp:discover"))?;
    header("st").map(str::to_owned)
}

/// The names of the device that the search means.
pub fn matching(device: &Device, target: &str) -> Vec<String> {
    let names = [ROOT.to_owned(), device.udn(), DEVICE_TYPE.to_owned()];
    names.into_iter().filter(|name| target.eq_ignore_ascii_case(ALL) || target.eq_ignore_ascii_case(name)).collect()
}

fn usn(device: &Device, target: &str) -> String {
    let udn = device.udn();
    if target == udn { udn } else { format!("{udn}::{target}") }
}

/// The answer to a search.
pub fn found(device: &Device, target: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nCACHE-CONTROL: max-age=1800\r\nEXT:\r\nLOCATION: {}/device.xml\r\nSERVER: HDHomeRun/{VERSION} UPnP/1.0\r\nST: {target}\r\nUSN: {}\r\nCONTENT-LENGTH: 0\r\n\r\n",
        device.base,
        usn(device, target)
    )
}

/// That the device is there, or leaves.
pub fn notice(device: &Device, target: &str, alive: bool) -> String {
    let what = if alive { "ssdp:alive" } else { "ssdp:byebye" };
    format!(
        "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nCACHE-CONTROL: max-age=1800\r\nLOCATION: {}/device.xml\r\nSERVER: HDHomeRun/{VERSION} UPnP/1.0\r\nNT: {target}\r\nNTS: {what}\r\nUSN: {}\r\n\r\n",
        device.base,
        usn(device, target)
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn device() -> Device {
        Device { id: 0x1010_1010, name: "Yagi".into(), base: "http://192.0.2.1:8080/hdhr/tok".into(), tuners: 2 }
    }

    #[test]
    fn searches_are_understood() {
        assert_eq!(searched(SEARCH.as_bytes()).as_deref(), Some(ROOT));
        assert_eq!(searched(SEARCH.replace("ssdp:discover", "other").as_bytes()), None);
        assert_eq!(searched(SEARCH.replace("M-SEARCH", "NOTIFY").as_bytes()), None);
        let names = |target: &str| matching(&device(), target).len();
        assert_eq!((names(ALL), names(ROOT), names(DEVICE_TYPE), names("urn:x")), (3, 1, 1, 0));
    }

    #[test]
    fn answers_are_what_the_standard_says() {
        insta::assert_snapshot!(
            [found(&device(), ROOT), notice(&device(), &device().udn(), true)].concat().replace('\r', ""),
            @"
        HTTP/1.1 200 OK
        CACHE-CONTROL: max-age=1800
        EXT:
        LOCATION: http://192.0.2.1:8080/hdhr/tok/device.xml
        SERVER: HDHomeRun/20250815 UPnP/1.0
        ST: upnp:rootdevice
        USN: uuid:59616769-0000-4000-8000-000010101010::upnp:rootdevice
        CONTENT-LENGTH: 0

        NOTIFY * HTTP/1.1
        HOST: 239.255.255.250:1900
        CACHE-CONTROL: max-age=1800
        LOCATION: http://192.0.2.1:8080/hdhr/tok/device.xml
        SERVER: HDHomeRun/20250815 UPnP/1.0
        NT: uuid:59616769-0000-4000-8000-000010101010
        NTS: ssdp:alive
        USN: uuid:59616769-0000-4000-8000-000010101010
        "
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "M-SEARCH \\* (\\PC|\r\n|:){0,80}") {
            let _ = searched(&bytes);
            let _ = searched(text.as_bytes());
        }
    }
}
