//! Verbs about the programme guide.
//!
//! Owns its tables. Must not enter: matching (the daemon does it). Invariant: a channel gets another guide id by a change that can
//! be taken back.

use serde_json::json;
use yagi_api::{Applied, Channel, ChannelPatch, GuideChannel, GuideStatus, Job, Programme, paths};

use super::{args::GuideVerb, bulk, output::Out};
use crate::{
    client::{Client, Fault, encode},
    when,
};

pub(super) async fn run(client: &Client, out: Out, verb: GuideVerb) -> Result<(), Fault> {
    match verb {
        GuideVerb::Status => status(client, out).await,
        GuideVerb::Show { channel } => programmes(client, out, &channel).await,
        GuideVerb::Refresh { wait: true } => super::sources::refresh_guides(client, out).await,
        GuideVerb::Refresh { wait: false } => {
            let jobs: Vec<Job> = client.post(paths::GUIDE_REFRESH, &json!({})).await?;
            let columns = [("ID", true), ("SOURCE", false), ("STATE", false)];
            out.rows(&jobs, &columns, |j: &Job| vec![j.id.to_string(), j.name.clone(), j.state.word().into()])
        }
        GuideVerb::Unmatched { filter } => {
            let q = format!("how:none {}", filter.join(" "));
            let rows: Vec<GuideChannel> = client.all(paths::GUIDE_CHANNELS, &format!("q={}", encode(q.trim()))).await?;
            let columns = [
                ("ID", true),
                ("NO", true),
                ("NAME", false),
                ("CATEGORY", false),
                ("GUIDE ID", false),
                ("SUGGESTED", false),
                ("LIKE", true),
            ];
            out.rows(&rows, &columns, |c: &GuideChannel| {
                let best = c.suggestions.first();
                vec![
                    c.id.to_string(),
                    c.number.to_string(),
                    c.name.clone(),
                    c.category.clone(),
                    c.guide_id.clone(),
                    best.map_or_else(String::new, |s| format!("{} ({})", s.guide_id, s.name)),
                    best.map_or_else(String::new, |s| format!("{:.0} %", s.score * 100.0)),
                ]
            })
        }
        GuideVerb::Match { channel: None, dry_run, .. } => {
            let look: Applied = client.post(paths::GUIDE_ACCEPT, &json!({"dry_run": true})).await?;
            if dry_run {
                return bulk::applied(out, &look);
            }
            if look.updated == 0 {
                return bulk::applied(out, &look);
            }
            out.confirm(&format!("give {} channels the guide's channel that is suggested?", look.updated))?;
            bulk::applied(out, &client.post(paths::GUIDE_ACCEPT, &json!({"dry_run": false})).await?)
        }
        GuideVerb::Match { channel: Some(word), guide_id: Some(guide_id), dry_run } => {
            let row = super::channels::find(client, &word).await?;
            if dry_run {
                let operation =
                    json!({"op": "update", "noun": "channels", "id": row.id, "row": {"guide_id": guide_id}});
                return bulk::applied(out, &bulk::apply(client, &[operation], true).await?);
            }
            let patch =
                ChannelPatch { version: Some(row.version), guide_id: Some(guide_id), ..ChannelPatch::default() };
            let row: Channel = client.patch(&format!("{}/{}", paths::CHANNELS, row.id), &patch).await?;
            out.object(&row, || {
                vec![("id", row.id.to_string()), ("name", row.name.clone()), ("guide id", row.guide_id.clone())]
            })
        }
        GuideVerb::Match { channel: Some(word), guide_id: None, dry_run } => {
            let row = super::channels::find(client, &word).await?;
            let body = json!({"ids": [row.id], "min_score": 0.5, "dry_run": dry_run});
            bulk::applied(out, &client.post(paths::GUIDE_ACCEPT, &body).await?)
        }
    }
}

pub(super) async fn programmes(client: &Client, out: Out, channel: &str) -> Result<(), Fault> {
    let channel = super::channels::find(client, channel).await?;
    let rows: Vec<Programme> = client.get(&format!("{}/{}", paths::GUIDE, channel.id)).await?;
    out.rows(&rows, &[("START", false), ("STOP", false), ("TITLE", false)], |p: &Programme| {
        vec![when::minute(p.start), when::minute(p.stop), p.title.clone()]
    })
}

pub(super) async fn status(client: &Client, out: Out) -> Result<(), Fault> {
    let guide: GuideStatus = client.get(paths::GUIDE).await?;
    out.object(&guide, || {
        let time = |at: Option<i64>| at.map_or_else(|| "-".into(), when::minute);
        vec![
            ("channels in the guides", guide.channels.to_string()),
            ("programmes", guide.programmes.to_string()),
            ("our channels with programmes", guide.matched.to_string()),
            ("our channels without", guide.unmatched.to_string()),
            ("from", time(guide.from)),
            ("until", time(guide.until)),
            ("built", time(guide.built_at)),
        ]
    })
}
