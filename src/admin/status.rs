//! `/api/hello`, `/api/status`, `/api/ready`: the daemon in one look.
//!
//! Owns how the figures of the rooms are put together. Must not enter: counting. Invariant: derived at each request.

use yagi_api::{Hello, Role, Status, paths, text::clean};

use super::{Answer, Ask, input, ok};
use crate::app::App;

pub fn hello(ask: &Ask<'_>) -> Answer {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    ok(&Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api: paths::API,
        boot_id: ask.app.boot_id.clone(),
        write: ask.role != Role::Viewer,
        host: clean(&host, 255).into_owned(),
        role: ask.role,
        actor: ask.actor.clone(),
    })
}

pub fn status(ask: &Ask<'_>) -> Answer {
    input::only(&ask.request.query, &[])?;
    ok(&look(ask.app))
}

/// This socket is bound and the database open before anything is answered.
pub fn ready(_: &Ask<'_>) -> Answer {
    ok(&serde_json::json!({"status": "ready"}))
}

/// The status at this moment.
pub fn look(app: &App) -> Status {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let catalog = app.library.catalog();
    let (in_bits_per_s, out_bits_per_s, out_bytes) = app.streams.totals();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: app.started.elapsed().as_secs(),
        listen: app.addresses.iter().map(ToString::to_string).collect(),
        streams: count(app.streams.rows().len()),
        clients: count(app.seats.len()),
        in_bits_per_s,
        out_bits_per_s,
        out_bytes,
        channels: count(catalog.channels().len()),
        users: count(catalog.viewers().len()),
        sources: count(catalog.sources().len()),
        panics: app.streams.panics(),
        rss_bytes: resident(&std::fs::read_to_string("/proc/self/status").unwrap_or_default()),
        rev: catalog.rev,
    }
}

/// Memory in use, from the kernel's words; 0 when it does not tell.
fn resident(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernel() {
        assert_eq!(resident("VmPeak:\t  9 kB\nVmRSS:\t    1234 kB\nRssAnon:\t 1 kB\n"), 1234 << 10);
        assert_eq!(resident(""), 0);
        assert!(resident(&std::fs::read_to_string("/proc/self/status").unwrap()) > 0);
    }
}
