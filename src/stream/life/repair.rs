//! How a stream gets from one source to another while its viewers keep their sockets.
//!
//! Owns what is done about a failed source, a bad one, and one that an administrator does not want. Must not enter: which source
//! is next (see `failover`), how one is opened. Invariant: a source that gives anything is left only when the next one is open,
//! unless both cannot be held at once; a stream never has two upstreams of one address.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use yagi_api::{Fault, Settings, Switch};

use super::{
    super::{
        OpenError, Phase,
        failover::{self, Plan},
        health::Limits,
        opening::{Opened, Outcome, open},
    },
    Life,
};
use crate::{
    clock::epoch_now,
    upstream::{Feed, UpstreamError},
};

/// A move that is under way.
pub(super) struct Leaving {
    from: usize,
    cause: Fault,
    detail: String,
    since: Instant,
}

impl Life {
    /// An opening has ended. Some: the stream ends.
    pub(super) fn arrive(&mut self, outcome: Outcome, now: Instant) -> Option<Phase> {
        self.opening = None;
        let rest = self.rest();
        for (source, error) in &outcome.failed {
            self.failover.blame(*source, Duration::ZERO, rest, now);
            self.leave(*source, failover::fault(error, false), error.to_string(), now);
        }
        match outcome.opened {
            Opened::Feed(feed, source) => self.begin(feed, source, now),
            Opened::Twin => return Some(Phase::Gone),
            Opened::Failed(_) if self.feed.is_some() => {
                tracing::warn!(stream = self.stream.name, "no other source could be opened; the one in use is kept");
                self.leaving = None;
            }
            Opened::Failed(e) if !self.is_live() => return Some(Phase::Failed(OpenError::Upstream(Arc::new(e)))),
            Opened::Failed(e) => self.repair(e, now),
        }
        None
    }

    /// A source has been opened.
    fn begin(&mut self, feed: Feed, source: usize, now: Instant) {
        let label = feed.label().to_owned();
        tracing::info!(stream = self.stream.name, source = label, "upstream opened");
        self.stream.meter.source_index.store(u32::try_from(source).unwrap_or(u32::MAX), Relaxed);
        self.stream.meter.say(|w| w.source = label);
        self.seam();
        if !self.is_live() {
            // It has its own time to show where a viewer can begin.
            self.first_packet = None;
        }
        self.gather.begin(feed.has_mark(), now);
        if let Some(old) = self.feed.replace(feed) {
            self.close(old);
        }
        self.intake.health().change_source();
        self.fault = None;
        // Nobody shall take the old source's figures for this one's.
        let health = self.first_packet.map(|_| self.intake.health().report(None, now));
        self.stream.meter.say(|w| w.health = health);
        self.source = source;
        self.feed_since = now;
        self.last_data = now;
    }

    /// The first bytes of a source have come through: a move that was under way is over.
    pub(super) fn settle(&mut self, now: Instant) {
        if self.opening.is_some() || self.leaving.is_none() {
            return;
        }
        let Some(Leaving { from, cause, detail, since, .. }) = self.leaving.take() else { return };
        if from == self.source {
            return;
        }
        let index = |i: usize| u32::try_from(i).unwrap_or(u32::MAX);
        let took_ms = u32::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u32::MAX);
        tracing::info!(
            stream = self.stream.name,
            from = from + 1,
            to = self.source + 1,
            cause = cause.word(),
            took_ms,
            "moved to another source"
        );
        self.stream.meter.switches.fetch_add(1, Relaxed);
        let switch = Switch { at: epoch_now(), from: index(from), to: index(self.source), cause, detail, took_ms };
        self.stream.meter.say(|w| w.last_switch = Some(switch));
    }

    /// Remembers why a source is left; the first cause of a move counts.
    fn leave(&mut self, from: usize, cause: Fault, detail: String, now: Instant) {
        self.leaving.get_or_insert(Leaving { from, cause, detail, since: now });
    }

    /// The source gives nothing any more: the next one, or the same again after a pause; viewers are kept meanwhile.
    pub(super) fn repair(&mut self, error: UpstreamError, now: Instant) {
        let old = self.feed.take();
        let ran = old.as_ref().map(|_| now.saturating_duration_since(self.feed_since));
        let cause = failover::fault(&error, ran.is_some());
        tracing::warn!(stream = self.stream.name, error = %error, cause = cause.word(), "upstream failed");
        self.stream.meter.say(|w| w.last_error = Some(error.to_string()));
        if let Some(ran) = ran {
            // Failing since the last byte that came of it, unless it never gave one.
            self.failing_since.get_or_insert(self.last_data);
            self.leave(self.source, cause, error.to_string(), now);
            self.failover.blame(self.source, ran, self.rest(), now);
        }
        if self.opening.is_some() {
            // Another one is on its way already.
            if let Some(old) = old {
                self.close(old);
            }
            self.publish_state();
            return;
        }
        self.stream.meter.reconnects.fetch_add(1, Relaxed);
        let mut plan = self.failover.lost(self.source, now);
        if !self.is_live() {
            plan.order.retain(|i| *i > self.source);
            if plan.order.is_empty() {
                self.feed = old;
                self.verdict = Some(Phase::Failed(OpenError::Upstream(Arc::new(error))));
                return;
            }
        }
        self.open(plan, old);
        self.publish_state();
    }

    /// Looks at the source's health when it is time. What is no MPEG-TS any more is as good as nothing; what is bad is left if there is
    /// anything better.
    pub(super) fn review(&mut self, settings: &Settings, now: Instant) {
        if now < self.review_at {
            return;
        }
        let limits = Limits::from(settings);
        self.review_at = now + limits.pace();
        if self.feed.is_none() {
            return;
        }
        if self.intake.health().is_stray(&limits, now) {
            self.repair(UpstreamError::NotMedia("what came behind its packets is something else".to_owned()), now);
            return;
        }
        let fault = self.intake.health().review(&limits, now);
        if fault != self.fault {
            let word = fault.map_or("none", Fault::word);
            tracing::warn!(
                stream = self.stream.name,
                source = self.source + 1,
                fault = word,
                "the source's health changed"
            );
            self.fault = fault;
        }
        if let Some(fault) = fault.filter(|_| self.opening.is_none() && self.is_live())
            && let Some(plan) = self.failover.better(self.source, now)
        {
            self.stream.meter.say(|w| w.last_error = Some(fault.text().to_owned()));
            self.depart(plan, fault, fault.text().to_owned(), now);
        }
    }

    /// An administrator wants another source.
    pub(super) fn oblige(&mut self, to: Option<usize>, now: Instant) {
        let plan = self.failover.asked(self.source, to, now);
        if !plan.order.is_empty() {
            tracing::info!(stream = self.stream.name, "another source was asked for");
            self.depart(plan, Fault::Asked, "asked for by an administrator".to_owned(), now);
        }
    }

    /// Leaves a source that still gives something.
    fn depart(&mut self, mut plan: Plan, cause: Fault, detail: String, now: Instant) {
        self.opening = None;
        self.leaving = Some(Leaving { from: self.source, cause, detail, since: now });
        if cause != Fault::Asked {
            let ran = now.saturating_duration_since(self.feed_since);
            self.failover.blame(self.source, ran, self.rest(), now);
        }
        let mut before = None;
        if self.feed.is_none() || !plan.order.iter().all(|i| self.may_overlap(*i)) {
            before = self.feed.take();
            plan.order.push(self.source);
            if before.is_some() {
                self.failing_since.get_or_insert(self.last_data);
            }
        }
        self.open(plan, before);
        self.publish_state();
    }

    /// Closes a source beside whatever else goes on.
    fn close(&mut self, old: Feed) {
        while self.closing.try_join_next().is_some() {}
        self.closing.spawn_local(old.close());
    }

    fn open(&mut self, plan: Plan, before: Option<Feed>) {
        self.opening = Some(Box::pin(open(self.stream.clone(), self.shared.clone(), plan, before)));
    }

    /// Whether this source may be opened while the one in use still runs: another address, and a place of the account to spare.
    fn may_overlap(&self, source: usize) -> bool {
        let (Some(old), Some(new)) = (self.stream.origins.get(self.source), self.stream.origins.get(source)) else {
            return false;
        };
        old.locator != new.locator && new.account.is_none_or(|id| self.shared.upstreams.has_place(id))
    }

    /// The shortest time that a source which failed is not gone back to.
    fn rest(&self) -> Duration {
        Duration::from_secs(self.shared.settings.load().failover_rest_s.into())
    }
}
