//! `yagi lineup`, `yagi rules`, `yagi explain` and `yagi check`.
//!
//! Owns their words and tables, and how a rule is typed. Must not enter: what they do (the daemon does it). Invariant: what changes
//! the line-up is confirmed, and shown before where there is something to show.

use clap::Subcommand;
use hyper::Method;
use serde_json::json;
use yagi_api::{
    Action, CheckRow, Checks, Condition, Explain, Generation, Lineup, LineupDone, LineupPlan, Page, PreviewDone, Rule,
    RuleDraft, paths,
};

use super::{channels, output::Out, output::yes_no};
use crate::client::{Client, Fault, encode};

#[derive(Clone, Debug, Default, Subcommand)]
pub enum LineupVerb {
    /// Playlists, their generations, and what is held back
    #[default]
    List,
    /// What applying the download that is held back would change
    Plan {
        /// Id or name of the playlist
        source: String,
        /// Download the playlist now and plan that
        #[arg(long)]
        fetch: bool,
    },
    /// Apply the download that is held back
    Accept {
        /// Id or name of the playlist
        source: String,
    },
    /// Go back to what a former generation left
    Rollback {
        /// Id or name of the playlist
        source: String,
        /// The generation; the one before the present one when not given
        to: Option<u32>,
    },
}

#[derive(Clone, Debug, Default, Subcommand)]
pub enum RuleVerb {
    /// Rules in the order in which they run
    #[default]
    List,
    /// What the stored rules do to the playlists, or would do with one more
    Preview {
        #[command(flatten)]
        rule: Option<RuleArgs>,
        /// Rows to show of each rule
        #[arg(long, default_value_t = 5)]
        rows: u32,
    },
    /// Add a rule; it runs at once over the playlists it sees
    Add {
        #[command(flatten)]
        rule: RuleArgs,
    },
    /// Switch a rule on
    On { id: u32 },
    /// Switch a rule off
    Off { id: u32 },
    /// Remove a rule
    Rm { id: u32 },
}

/// `yagi rules add rename '$2' --when 'name~^(it)[:|] *(.*)$'`
#[derive(Clone, Debug, clap::Args)]
pub struct RuleArgs {
    /// include, exclude, rename TO, regroup TO, renumber FROM[-TO], merge [KEY]
    #[arg(required = true, num_args = 1..=2, value_names = ["ACTION", "VALUE"])]
    action: Vec<String>,
    /// FIELD~REGEX or FIELD!~REGEX; may be given more than once, all must hold
    #[arg(long, value_name = "CONDITION")]
    when: Vec<String>,
    /// Of rename and regroup: replace only what this expression finds
    #[arg(long, value_name = "REGEX")]
    find: Option<String>,
    /// Only for this playlist (its id)
    #[arg(long, value_name = "ID")]
    source: Option<u32>,
    #[arg(long)]
    name: Option<String>,
    #[arg(long)]
    position: Option<u32>,
}

impl RuleArgs {
    fn draft(&self) -> Result<RuleDraft, Fault> {
        let wrong = |what: &str| Err(Fault::own(2, what.to_owned()));
        let value = self.action.get(1).cloned();
        let (find, to) = (self.find.clone(), value.clone().unwrap_or_default());
        let then = match (self.action[0].as_str(), &value) {
            ("include", None) => Action::Include,
            ("exclude", None) => Action::Exclude,
            ("rename", _) => Action::Rename { find, to },
            ("regroup", _) => Action::Regroup { find, to },
            ("merge", _) => Action::Merge { key: value },
            ("renumber", Some(block)) => {
                let (from, to) = block.split_once('-').map_or((block.as_str(), None), |(f, t)| (f, Some(t)));
                let number = |text: &str| text.parse().map_err(|_| Fault::own(2, format!("{text} is no number")));
                Action::Renumber { from: number(from)?, to: to.map(number).transpose()? }
            }
            _ => return wrong("expected include, exclude, rename TO, regroup TO, renumber FROM[-TO] or merge [KEY]"),
        };
        let when = self.when.iter().map(|text| condition(text)).collect::<Result<_, _>>()?;
        let source = self.source.map(yagi_api::SourceId);
        Ok(RuleDraft { name: self.name.clone(), position: self.position, source, enabled: None, when, then })
    }
}

/// `name~^UK`, `group!~news`.
fn condition(text: &str) -> Result<Condition, Fault> {
    let Some((field, matches)) = text.split_once('~') else {
        return Err(Fault::own(2, format!("{text}: expected FIELD~REGEX or FIELD!~REGEX, as in name~^UK")));
    };
    let (field, not) = field.strip_suffix('!').map_or((field, false), |f| (f, true));
    Ok(Condition { field: field.trim().to_owned(), matches: matches.to_owned(), not })
}

fn path(source: &str, verb: &str) -> String {
    format!("{}/{}{verb}", paths::LINEUP, encode(source))
}

pub async fn lineup(client: &Client, out: Out, verb: LineupVerb) -> Result<(), Fault> {
    match verb {
        LineupVerb::List => {
            let page: Page<Lineup> = client.get(paths::LINEUP).await?;
            let columns =
                [("ID", true), ("PLAYLIST", false), ("GENERATION", true), ("CHANNELS", true), ("HELD BACK", false)];
            out.rows(&page.rows, &columns, |l: &Lineup| {
                let listed = l.generations.first().map_or_else(String::new, |g| g.listed.to_string());
                let held = l.held.as_ref().map(|h| h.reason.split(':').next().unwrap_or_default().to_owned());
                vec![l.source.to_string(), l.name.clone(), l.generation.to_string(), listed, held.unwrap_or_default()]
            })?;
            for lineup in page.rows.iter().filter(|_| out.is_table()) {
                for Generation { number, cause, listed, added, changed, retired, .. } in &lineup.generations {
                    out.say(format!(
                        "  {} {number}: {cause}, {listed} channels, +{added} ~{changed} -{retired}",
                        lineup.name
                    ))?;
                }
            }
            Ok(())
        }
        LineupVerb::Plan { source, fetch } => plan(client, out, &source, fetch).await,
        LineupVerb::Accept { source } => {
            if out.is_table() && !out.yes {
                let plan: LineupPlan = client.get(&path(&source, "/plan")).await?;
                show(out, &plan)?;
            }
            out.confirm(&format!("apply this to {source}?"))?;
            done(out, &client.post(&path(&source, "/accept"), &json!({})).await?)?;
            out.say(format!("yagi lineup rollback {source} takes it back"))
        }
        LineupVerb::Rollback { source, to } => {
            let shown = to.map_or_else(|| "the generation before".to_owned(), |n| format!("generation {n}"));
            out.confirm(&format!("roll {source} back to {shown}?"))?;
            done(out, &client.post(&path(&source, "/rollback"), &json!({ "to": to })).await?)?;
            out.say("yagi undo takes it back, until the next refresh")
        }
    }
}

/// What applying the held download, or a fresh one, would change.
pub(super) async fn plan(client: &Client, out: Out, source: &str, fetch: bool) -> Result<(), Fault> {
    let plan: LineupPlan = client.get(&path(source, if fetch { "/plan?fetch=true" } else { "/plan" })).await?;
    show(out, &plan)
}

fn done(out: Out, done: &LineupDone) -> Result<(), Fault> {
    out.object(done, || {
        vec![
            ("generation", done.generation.to_string()),
            ("added", done.report.added.to_string()),
            ("changed", done.report.changed.to_string()),
            ("retired", done.report.retired.to_string()),
        ]
    })
}

fn show(out: Out, plan: &LineupPlan) -> Result<(), Fault> {
    if !out.is_table() {
        return out.object(plan, Vec::new);
    }
    let columns = [("CHANGE", false), ("NO", true), ("NOW", false), ("THEN", false), ("GROUP", false)];
    out.rows(&plan.rows, &columns, |r| {
        let words: Vec<&str> = r.changes.iter().map(|c| c.word()).collect();
        let group = if r.group_before == r.group_after || r.group_before.is_empty() {
            r.group_after.clone()
        } else {
            format!("{} → {}", r.group_before, r.group_after)
        };
        let number = r.number.map_or_else(String::new, |n| n.to_string());
        vec![words.join(" "), number, r.before.clone(), r.after.clone(), group]
    })?;
    out.say(format!(
        "{} → {} channels: {} added, {} removed, {} renamed, {} moved, {} re-sourced, {} touched, {} left out by rules",
        plan.before,
        plan.after,
        plan.added,
        plan.removed,
        plan.renamed,
        plan.moved,
        plan.resourced,
        plan.touched,
        plan.excluded
    ))?;
    match &plan.reason {
        Some(reason) => out.say(reason),
        None => Ok(()),
    }
}

pub async fn rules(client: &Client, out: Out, verb: RuleVerb) -> Result<(), Fault> {
    match verb {
        RuleVerb::List => {
            let rows: Vec<Rule> = client.all(paths::RULES, "").await?;
            list(out, &rows)
        }
        RuleVerb::Preview { rule, rows } => {
            let add = rule.map(|r| r.draft()).transpose()?;
            let body = json!({"add": add, "limit": rows});
            let found: PreviewDone = client.post(&format!("{}/preview", paths::RULES), &body).await?;
            preview(out, &found)
        }
        RuleVerb::Add { rule } => {
            let row: Rule = client.post(&format!("{}?wait=true", paths::RULES), &rule.draft()?).await?;
            list(out, std::slice::from_ref(&row))
        }
        RuleVerb::On { id } => switch(client, out, id, true).await,
        RuleVerb::Off { id } => switch(client, out, id, false).await,
        RuleVerb::Rm { id } => {
            out.confirm(&format!("remove rule {id}?"))?;
            client.delete(&format!("{}/{id}?wait=true", paths::RULES)).await?;
            out.done("removed", &[id])
        }
    }
}

async fn switch(client: &Client, out: Out, id: u32, on: bool) -> Result<(), Fault> {
    let row: Rule = client.patch(&format!("{}/{id}?wait=true", paths::RULES), &json!({ "enabled": on })).await?;
    list(out, std::slice::from_ref(&row))
}

fn list(out: Out, rows: &[Rule]) -> Result<(), Fault> {
    let columns =
        [("ID", true), ("AT", true), ("NAME", false), ("FOR", false), ("ON", false), ("WHEN", false), ("DO", false)];
    out.rows(rows, &columns, |r: &Rule| {
        let tests = r.when.iter().map(|c| format!("{}{}~{}", c.field, if c.not { "!" } else { "" }, c.matches));
        let scope = r.source.map_or_else(|| "all".to_owned(), |s| s.to_string());
        vec![
            r.id.to_string(),
            r.position.to_string(),
            r.name.clone(),
            scope,
            yes_no(r.enabled),
            tests.collect::<Vec<_>>().join(" "),
            action(&r.then),
        ]
    })
}

fn action(then: &Action) -> String {
    let with = |find: &Option<String>, to: &str| match find {
        Some(find) => format!("{} /{find}/ → {to:?}", then.word()),
        None => format!("{} {to:?}", then.word()),
    };
    match then {
        Action::Rename { find, to } | Action::Regroup { find, to } => with(find, to),
        Action::Renumber { from, to } => format!("renumber {from}-{}", to.map_or_else(String::new, |t| t.to_string())),
        Action::Merge { key: Some(key) } => format!("merge {key:?}"),
        other => other.word().to_owned(),
    }
}

fn preview(out: Out, found: &PreviewDone) -> Result<(), Fault> {
    if !out.is_table() {
        return out.object(found, Vec::new);
    }
    for rule in &found.rules {
        out.say(format!("{}: holds for {}, touches {}", rule.name, rule.matched, rule.touched))?;
        for row in &rule.rows {
            let after = if row.after.is_empty() { "left out" } else { &row.after };
            out.say(format!("    {} → {after}", row.before))?;
        }
    }
    out.say(format!(
        "{} entries: {} kept, {} left out, {} changed, {} channels",
        found.entries, found.kept, found.excluded, found.changed, found.channels
    ))
}

pub async fn explain(client: &Client, out: Out, word: &str) -> Result<(), Fault> {
    let channel = channels::find(client, word).await?;
    let row: Explain = client.get(&format!("{}/{}/explain", paths::CHANNELS, channel.id)).await?;
    out.object(&row, || {
        let mut lines = vec![
            ("id", row.id.to_string()),
            ("name", row.name.clone()),
            ("quality", row.quality.clone()),
            ("made by", row.origin.clone().unwrap_or_else(|| "hand".to_owned())),
            ("edited by hand", row.edited.join(", ")),
            ("id for players", row.output_id.clone()),
        ];
        if let Some(into) = row.merged_into {
            lines.push(("merged into", into.to_string()));
        }
        if !row.merged.is_empty() {
            lines.push(("shows too", row.merged.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")));
        }
        for (n, g) in row.guide.iter().enumerate() {
            let role = if n == 0 { "guide" } else { "fills gaps" };
            let how = format!("by {}, {:.0} %, {} programmes", g.how.word(), g.score * 100.0, g.programmes);
            lines.push((role, format!("{} of {} ({}): {how}", g.guide_id, g.source_name, g.name)));
        }
        if row.guide.is_empty() {
            lines.push(("guide", "none: yagi epg unmatched has suggestions".to_owned()));
        }
        if let Some(check) = &row.check {
            lines.push(("last check", format!("{} {}", check.words(), check.error)));
        }
        lines
    })
}

/// What `yagi check` is asked for.
pub struct Wanted<'a> {
    pub filter: &'a [String],
    pub all: bool,
    pub wait: bool,
    pub list: bool,
    pub cancel: bool,
}

pub async fn check(client: &Client, out: Out, wanted: Wanted<'_>) -> Result<(), Fault> {
    if wanted.cancel {
        let (_, body) = client.call(Method::DELETE, paths::CHECKS, None).await?;
        let told: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        return out.object(&told, || vec![("cancelled", told["cancelled"].to_string())]);
    }
    if wanted.list {
        return results(client, out, &wanted.filter.join(" ")).await;
    }
    let body = json!({"q": wanted.filter.join(" "), "all": wanted.all});
    let told: serde_json::Value = client.post(paths::CHECKS, &body).await?;
    match told["job"].as_u64().filter(|_| wanted.wait) {
        Some(job) => {
            let job = super::jobs::wait(client, job).await?;
            out.object(&job, || vec![("result", format!("{}: {}", job.state.word(), job.told))])
        }
        None => out.object(&told, || vec![("queued", told["queued"].to_string())]),
    }
}

async fn results(client: &Client, out: Out, filter: &str) -> Result<(), Fault> {
    const PAGE: usize = 1000;
    let mut found = Checks::default();
    loop {
        let page: Checks = client.get(&format!("{}?offset={}&limit={PAGE}", paths::CHECKS, found.rows.len())).await?;
        let more = page.rows.len() == PAGE;
        let rows = std::mem::take(&mut found.rows);
        found = Checks { rows: rows.into_iter().chain(page.rows).collect(), ..page };
        if !more {
            break;
        }
    }
    if !filter.is_empty() {
        let rows: Vec<yagi_api::Channel> = client.all(paths::CHANNELS, &format!("q={}", encode(filter))).await?;
        let ids: std::collections::HashSet<u32> = rows.iter().map(|c| c.id.0).collect();
        found.rows.retain(|r| ids.contains(&r.id.0));
    }
    let columns = [
        ("ID", true),
        ("NAME", false),
        ("ADDRESS", true),
        ("STATE", false),
        ("PICTURE", false),
        ("SOUND", false),
        ("KBIT/S", true),
    ];
    out.rows(&found.rows, &columns, |r: &CheckRow| {
        let c = &r.check;
        let state = if c.alive { "alive".to_owned() } else { format!("dead: {}", c.error) };
        let size = if c.height > 0 { format!("{} {}x{}", c.video, c.width, c.height) } else { c.video.clone() };
        let (address, rate) = (r.address + 1, c.bits_per_s / 1000);
        let id = r.id.to_string();
        vec![id, r.name.clone(), address.to_string(), state, size, c.audio.clone(), rate.to_string()]
    })?;
    out.say(format!("{} wait, {} are checked just now", found.waiting, found.running))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_typed_with_a_tilde() {
        let c = condition("group!~^news~x").unwrap();
        assert_eq!((c.field.as_str(), c.matches.as_str(), c.not), ("group", "^news~x", true));
        assert!(condition("group=news").is_err());
    }
}
