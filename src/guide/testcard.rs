//! The guide of the built-in test card, so that a fresh install shows one.
//!
//! Owns which channels have it and its programmes: one an hour, from the hour before now to a day ahead.
//! Must not enter: files, clocks. Invariant: exactly one programme spans any `now`.

use yagi_api::Programme;

const HOUR: i64 = 3600;
const AHEAD_H: i64 = 24;

/// Its programmes, oldest first, as seen at `now`.
pub fn programmes(now: i64) -> impl Iterator<Item = Programme> + Send + 'static {
    let hour = now - now.rem_euclid(HOUR);
    (-1..=AHEAD_H).map(move |n| Programme {
        start: hour + n * HOUR,
        stop: hour + (n + 1) * HOUR,
        title: "Test card".to_owned(),
        description:
            "Picture, sound and a counter from the daemon itself: if this plays, the way to the player is good."
                .to_owned(),
        category: "Test".to_owned(),
        lang: "en".to_owned(),
        ..Programme::default()
    })
}

/// Changes when the programmes do.
pub fn edition(now: i64) -> i64 {
    now.div_euclid(HOUR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_programme_spans_now() {
        for now in [0, 3599, 3600, 1_767_225_600, 1_767_229_199] {
            let all: Vec<_> = programmes(now).collect();
            assert_eq!(all.iter().filter(|p| p.start <= now && now < p.stop).count(), 1);
            assert!(all.windows(2).all(|w| w[0].stop == w[1].start));
            assert!(all[0].start <= now - HOUR && all[all.len() - 1].stop >= now + 24 * HOUR);
            assert_eq!(all[0].start % HOUR, 0);
        }
    }
}
