//! `/api/hello`, `/api/status`, `/api/ready`: the daemon in one look.
//!
//! Owns how the figures of the rooms are put together. Must not enter: counting. Invariant: derived at each request; of what is a rate
//! the look before is kept.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
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
        listen: app
            .addresses
            .iter()
            .map(ToString::to_string)
            .chain(app.tls_addresses.iter().map(|a| format!("https://{a}")))
            .collect(),
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
        cpu_permille: app.load.permille(),
        rev: catalog.rev,
    }
}

/// Time on processors, as the difference of two looks that are a second apart at least.
#[derive(Default)]
pub struct Load(Mutex<Option<Look>>);

#[derive(Clone, Copy)]
struct Look {
    at: Instant,
    spent: Duration,
    permille: u32,
}

impl Load {
    /// Of one core, since the look before; 0 at the first.
    fn permille(&self) -> u32 {
        let spent = clock_gettime(ClockId::ProcessCPUTime);
        let spent = Duration::new(spent.tv_sec.unsigned_abs(), u32::try_from(spent.tv_nsec).unwrap_or(0));
        self.since(Instant::now(), spent)
    }

    fn since(&self, at: Instant, spent: Duration) -> u32 {
        const LEAST: Duration = Duration::from_millis(900);
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(before) = *last else {
            *last = Some(Look { at, spent, permille: 0 });
            return 0;
        };
        let took = at.saturating_duration_since(before.at);
        if took < LEAST {
            return before.permille;
        }
        let busy = spent.saturating_sub(before.spent);
        let permille = u32::try_from(busy.as_micros() * 1000 / took.as_micros()).unwrap_or(u32::MAX);
        *last = Some(Look { at, spent, permille });
        permille
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
    fn load_is_what_was_spent_between_two_looks() {
        let (load, t) = (Load::default(), Instant::now());
        let (s, ms) = (Duration::from_secs, Duration::from_millis);
        assert_eq!(load.since(t, s(5)), 0, "nothing to compare with");
        assert_eq!(load.since(t + ms(10), s(6)), 0, "too soon");
        assert_eq!(load.since(t + s(2), s(5) + ms(500)), 250);
        assert_eq!(load.since(t + s(3), s(5) + ms(2500)), 2000, "two cores");
    }

    #[test]
    fn memory_is_read_from_the_kernel() {
        assert_eq!(resident("VmPeak:\t  9 kB\nVmRSS:\t    1234 kB\nRssAnon:\t 1 kB\n"), 1234 << 10);
        assert_eq!(resident(""), 0);
        assert!(resident(&std::fs::read_to_string("/proc/self/status").unwrap()) > 0);
    }
}
