//! Changes of settings.
//!
//! Owns their ranges. Must not enter: keys of the configuration file. Invariant: a snapshot's settings are always in range.

use std::sync::Arc;

use serde_json::Value;
use yagi_api::{ApiError, Noun, Settings, SettingsPatch};

use super::{
    Answer, Library,
    edit::{Edit, Fault},
    image::Fields,
    trail::Item,
};
use crate::store;

/// Least and most of the numeric keys.
const RANGES: &[(&str, u64, u64)] = &[
    ("linger_s", 0, 3600),
    ("join_burst_ms", 0, 60_000),
    ("hls_segment_s", 1, 10),
    ("flush_max_ms", 0, 1000),
    ("stall_cut_s", 1, 600),
    ("hold_s", 0, 600),
    ("upstream_silence_s", 1, 600),
    ("failover_rest_s", 0, 3600),
    ("failover_rate_ms", 0, 600_000),
    ("failover_rate_percent", 1, 90),
    ("failover_video_ms", 0, 600_000),
    ("failover_audio_ms", 0, 600_000),
    ("failover_frozen_ms", 0, 600_000),
    ("failover_stray_ms", 0, 600_000),
    ("guide_past_h", 0, 24 * 31),
    ("guide_future_d", 1, 31),
    ("playlist_interval_s", 60, 31 * 86_400),
    ("guide_interval_s", 60, 31 * 86_400),
    ("user_max_connections", 0, 10_000),
    ("refresh_min_percent", 0, 100),
    ("refresh_max_renamed_percent", 0, 100),
    ("refresh_max_added_percent", 0, 1_000_000),
    ("lineup_generations", 1, 500),
    ("keep_retired_d", 1, 3650),
    ("audit_rows", 100, 100_000),
    ("audit_days", 1, 3650),
];

impl Library {
    /// All keys or none. `null` sets a key back to its default.
    pub async fn update_settings(&self, actor: &str, patch: SettingsPatch) -> Answer<Arc<Settings>> {
        self.write(actor, move |edit| update(edit, patch)).await
    }
}

/// `settings` with one key changed; `None` is the default.
pub(super) fn with(settings: &Settings, key: &str, value: Option<Value>) -> Result<Settings, ApiError> {
    let object = |settings: &Settings| match serde_json::to_value(settings) {
        Ok(Value::Object(map)) => map,
        _ => SettingsPatch::new(),
    };
    let defaults = object(&Settings::default());
    let Some(default) = defaults.get(key) else {
        let known: Vec<&str> = defaults.keys().map(String::as_str).collect();
        return Err(ApiError::invalid(key, "is not a setting").with_hint(format!("settings are: {}", known.join(", "))));
    };
    let value = value.unwrap_or_else(|| default.clone());
    if let Some((_, least, most)) = RANGES.iter().find(|(name, ..)| *name == key)
        && !value.as_u64().is_some_and(|n| (*least..=*most).contains(&n))
    {
        return Err(ApiError::invalid(key, format!("expected a whole number from {least} to {most}")));
    }
    if key == "timezone"
        && let Some(name) = value.as_str()
        && super::catalog::zone(name).is_none()
    {
        let why =
            format!("expected the name of a time zone such as UTC or Europe/Rome, found {}", super::rules::text(name));
        return Err(ApiError::invalid(key, why).with_hint("zones are those of the system's tzdata package"));
    }
    let mut map = object(settings);
    map.insert(key.to_owned(), value);
    serde_json::from_value(Value::Object(map)).map_err(|e| ApiError::invalid(key, e.to_string()))
}

/// The value of a key that the database holds, as the trail keeps it.
pub(super) fn image(edit: &Edit<'_>, key: &str) -> Option<Fields> {
    if !edit.state().set_keys.contains(key) {
        return None;
    }
    let all = serde_json::to_value(&*edit.state().settings).unwrap_or_default();
    Some([("value".to_owned(), all.get(key).cloned().unwrap_or_default())].into_iter().collect())
}

pub(super) fn update(edit: &mut Edit<'_>, patch: SettingsPatch) -> Result<Arc<Settings>, Fault> {
    let mut settings = (*edit.state().settings).clone();
    let mut keys = (*edit.state().set_keys).clone();
    for (key, value) in patch {
        let before = image(edit, &key);
        let after = (!value.is_null()).then(|| [("value".to_owned(), value.clone())].into_iter().collect());
        edit.trail.record(Item { noun: Noun::Settings, row: 0, name: key.clone(), before, after })?;
        let value = (!value.is_null()).then_some(value);
        settings = with(&settings, &key, value.clone())?;
        if let Some(value) = value {
            store::settings::set(edit.tx, &key, &value.to_string())?;
            keys.insert(key);
        } else {
            store::settings::unset(edit.tx, &key)?;
            keys.remove(&key);
        }
    }
    let settings = Arc::new(settings);
    let state = edit.change();
    state.settings = Arc::clone(&settings);
    state.set_keys = Arc::new(keys);
    edit.tell_bulk(Noun::Settings);
    Ok(settings)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_out_of_range_or_of_another_kind_name_their_key() {
        let s = Settings::default();
        assert_eq!(with(&s, "linger_s", Some(json!(0))).unwrap().linger_s, 0);
        assert_eq!(with(&s, "timezone", Some(json!("Europe/Rome"))).unwrap().timezone, "Europe/Rome");
        assert_eq!(with(&s, "timezone", Some(json!("Rome"))).unwrap_err().field.as_deref(), Some("timezone"));
        assert_eq!(with(&s, "lag_policy", Some(json!("drop"))).unwrap().lag_policy, yagi_api::LagPolicy::Drop);
        for (key, value) in [("linger_s", json!(-1)), ("linger_s", json!("8")), ("lag_policy", json!("wait"))] {
            assert_eq!(with(&s, key, Some(value)).unwrap_err().field.as_deref(), Some(key));
        }
        assert!(with(&s, "linger", Some(json!(1))).unwrap_err().hint.unwrap().contains("linger_s"));
    }

    #[test]
    fn every_numeric_setting_has_a_range_that_holds_its_default() {
        let Value::Object(defaults) = serde_json::to_value(Settings::default()).unwrap() else { panic!() };
        for (key, value) in defaults.iter().filter(|(_, v)| v.is_number()) {
            let (_, least, most) = RANGES.iter().find(|(name, ..)| name == key).unwrap();
            assert!((*least..=*most).contains(&value.as_u64().unwrap()), "{key}");
        }
    }
}
