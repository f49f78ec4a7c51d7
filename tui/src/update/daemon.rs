//! What the daemon tells: events as they come, and answers to what was asked.

use yagi_api::{ClientRow, Event, Job, Noun, Page, Query, paths};

use super::{everything, wizard};
use crate::{
    form::Form,
    list::Paged,
    model::{MAX_LOGS, MAX_RATES, Mode, Model, Prompt, PromptKind, Rates, UrlDialog, View},
    msg::{Answer, Ask, Effect},
    rows::{self, asides, pages},
    screens::reading,
};

/// Seconds between two values of a stream's rate.
const RATE_S: i64 = 5;
/// Jobs that are remembered.
const MAX_JOBS: usize = 64;

pub fn on_event(model: &mut Model, event: Event, effects: &mut Vec<Effect>) {
    match event {
        Event::Tick { status, streams, clients } => {
            model.fresh_at = model.now;
            // Seconds are whole here: a tick that is a little early is not left out.
            if model.frozen || model.tick_s > 1 && model.now - model.ticked_at < model.tick_s {
                return;
            }
            model.ticked_at = model.now;
            model.status = Some(status);
            sample(model, &streams);
            // Whoever came or went changes what accounts use, and when they were last seen.
            let watch = |c: &ClientRow| (c.id, c.user);
            model.users.stale |= !clients.iter().map(watch).eq(model.clients.iter().map(watch));
            pages::keep_cursor(model, |model| (model.streams, model.clients) = (streams, clients));
        }
        Event::Change { noun, id, actor, .. } => {
            if let Some(id) = id {
                model.wrote(noun, id, actor);
            }
            match noun {
                Noun::Guide => {
                    effects.push(Effect::Fetch(Ask::Guide));
                    model.guide_rows.stale = true;
                }
                Noun::Settings => effects.push(Effect::Fetch(Ask::Settings)),
                // Lists are fetched again as far as they are on the screen.
                Noun::Channels => (model.channels.stale, model.tree_stale) = (true, true),
                Noun::Categories => (model.categories.stale, model.tree_stale) = (true, true),
                Noun::Users => model.users.stale = true,
                Noun::Sources => {
                    model.sources.stale = true;
                    effects.push(Effect::Fetch(Ask::Guide));
                }
                Noun::Blocks | Noun::Rules | Noun::Lineup => {}
            }
        }
        Event::Job { job } => on_job(model, job),
        Event::Log { record } => {
            // The tail that was fetched may hold it already.
            if model.logs.back().is_some_and(|last| last.seq >= record.seq) {
                return;
            }
            if model.logs.len() == MAX_LOGS {
                model.logs.pop_front();
                let list = &mut model.lists[View::Logs.index()];
                list.selected = list.selected.saturating_sub(1);
            }
            model.logs.push_back(record);
            if model.view != View::Logs {
                return;
            }
            if model.follow {
                model.list_mut().selected = usize::MAX;
            }
        }
        Event::Resync => {
            pages::all_stale(model);
            effects.extend(everything());
        }
        Event::Hello { .. } | Event::Heartbeat => return,
    }
    model.dirty = true;
}

/// Keeps ten minutes of each stream's input.
fn sample(model: &mut Model, streams: &[yagi_api::StreamRow]) {
    let now = model.now;
    model.rates.retain(|id, _| streams.iter().any(|s| s.id == *id));
    for stream in streams {
        let rates = model.rates.entry(stream.id).or_insert_with(|| Rates {
            // What the daemon remembers is the beginning.
            values: stream.history.iter().copied().collect(),
            at: now,
        });
        if now - rates.at >= RATE_S {
            if rates.values.len() == MAX_RATES {
                rates.values.pop_front();
            }
            rates.values.push_back(stream.in_bits_per_s);
            rates.at = now;
        }
    }
}

fn on_job(model: &mut Model, job: Job) {
    let over = job.state.is_over();
    let was = model.jobs.iter().find(|j| j.id == job.id);
    let was_over = was.map(|j| j.state.is_over());
    // Each result may be another word of a channel's state.
    model.channels.stale |= job.source.is_none() && was.is_none_or(|j| j.done != job.done);
    if over && was_over == Some(false) {
        let said = match &job.report {
            Some(report) => format!("{}: {}", job.name, crate::cli::report(report)),
            None if job.told.is_empty() => format!("{}: {}", job.name, job.state.word()),
            None => format!("{}: {}, {}", job.name, job.state.word(), job.told),
        };
        match &job.report {
            None if job.source.is_none() && model.test.is_none() => model.say(said),
            Some(report) if !report.ok => model.complain(said),
            _ if model.view == View::Sources => model.say(said),
            _ => {}
        }
    }
    model.jobs.retain(|j| j.id != job.id);
    model.jobs.push(job);
    let over = model.jobs.len().saturating_sub(MAX_JOBS);
    model.jobs.drain(..over);
    model.sources.stale |= was_over != Some(true) && model.jobs.last().is_some_and(|j| j.state.is_over());
}

pub fn on_answer(model: &mut Model, answer: Answer, effects: &mut Vec<Effect>) {
    model.dirty = true;
    match answer {
        Answer::Hello(hello) => {
            if hello.api != paths::API {
                let (theirs, ours) = (hello.api, paths::API);
                model.complain(format!("the daemon speaks version {theirs} of the API, this client {ours}"));
            }
            if model.hello.as_ref().is_some_and(|h| h.boot_id != hello.boot_id) {
                // Its counters begin anew: what was numbered by the old one means nothing now.
                model.only_stream = None;
                model.logs.clear();
                model.streams.clear();
                model.clients.clear();
                model.jobs.clear();
                model.rates.clear();
                for view in [View::Streams, View::Clients] {
                    model.lists[view.index()].unmark();
                }
                model.say("the daemon was restarted");
            }
            model.hello = Some(hello);
        }
        Answer::Status(status) => model.status = Some(status),
        Answer::Streams(rows) => {
            sample(model, &rows);
            pages::keep_cursor(model, |model| model.streams = rows);
        }
        Answer::Clients(rows) => pages::keep_cursor(model, |model| model.clients = rows),
        Answer::Channels(query, page) => {
            take(model, View::Channels, |m| &mut m.channels, |r| r.channel.id.0, &query, page)
        }
        Answer::Categories(query, page) => {
            take(model, View::Categories, |m| &mut m.categories, |r| r.id.0, &query, page)
        }
        Answer::Users(query, page) => take(model, View::Users, |m| &mut m.users, |r| r.id.0, &query, page),
        Answer::Sources(query, page) => take(model, View::Sources, |m| &mut m.sources, |r| r.id.0, &query, page),
        Answer::GuideRows(query, page) => take(model, View::Guide, |m| &mut m.guide_rows, |r| r.id.0, &query, page),
        Answer::Tree(tree) => {
            model.tree = tree;
            model.tree_asked = false;
            // The category that the list is narrowed to keeps its place.
            let only = model.only_category.as_deref();
            model.tree_at = model.tree.iter().position(|c| Some(c.name.as_str()) == only).map_or(0, |at| at + 1);
        }
        Answer::Guide(guide) => model.guide = Some(guide),
        Answer::Settings(rows) => model.settings = rows,
        Answer::Jobs(jobs) => {
            // Oldest first, as they come by events.
            model.jobs = jobs.into_iter().rev().collect();
        }
        Answer::Logs(rows) => {
            // Lines that came by the events meanwhile.
            let newest = rows.last().map_or(0, |r| r.seq);
            let later: Vec<_> = model.logs.drain(..).filter(|r| r.seq > newest).collect();
            model.logs = rows.into_iter().chain(later).collect();
            if model.view == View::Logs && model.follow {
                model.list_mut().selected = usize::MAX;
            }
        }
        Answer::Urls(urls, fresh, channel) => on_urls(model, urls, fresh, channel),
        Answer::Tested(id, check) => rows::channels::tested(model, id, &check, effects),
        Answer::Probe(url, probe) => wizard::probed(model, &url, probe),
        Answer::Theirs(path, row) => on_theirs(model, &path, &row),
        // Whatever was opened meanwhile keeps the keys, and what was typed.
        _ if !matches!(model.mode, Mode::Browse) => {}
        Answer::Viewers(channel, users) => rows::channels::viewers(model, channel, users, effects),
        Answer::Aside(aside, found) => asides::show(model, aside, found),
        Answer::LogFilter(filter) => model.mode = Mode::Prompt(Prompt::new(PromptKind::LogFilter, filter.filter)),
        Answer::Detail(detail) => {
            let (title, lines) = reading::channel(model, &detail);
            rows::page(model, title, lines);
        }
        Answer::Diff(diff) => rows::page(model, "What the last refresh changed", reading::difference(&diff)),
        Answer::History(reports) => {
            let (title, lines) = reading::source(model, &reports);
            rows::page(model, title, lines);
        }
        Answer::Edit(view, row) => on_edit(model, view, row),
        Answer::Desk(view, sheet) => {
            if sheet.is_empty() {
                return model.complain("no row to edit");
            }
            let text = sheet.text();
            effects.push(Effect::Edit(view, Box::new(sheet), text));
        }
    }
}

/// The rows of a page. As long as they answer the same question, the cursor and the beginning of a range stay on their rows,
/// wherever the new page has them.
fn take<T>(
    model: &mut Model,
    view: View,
    paged: fn(&mut Model) -> &mut Paged<T>,
    id: fn(&T) -> u32,
    query: &Query,
    page: Page<T>,
) {
    let (selected, anchor) = (model.lists[view.index()].selected, model.lists[view.index()].anchor);
    let total = page.total as usize;
    let rows = paged(model);
    let at = |rows: &Paged<T>, place: usize| rows.at(place).map(id);
    let same = rows.is_of(&query.q, &query.sort);
    let (cursor, began) = if same { (at(rows, selected), anchor.and_then(|a| at(rows, a))) } else { (None, None) };
    rows.take(query, page);
    let place = |wanted: Option<u32>| {
        let here = rows.rows.iter().position(|r| Some(id(r)) == wanted)?;
        Some(rows.offset + here)
    };
    let (cursor, began) = (place(cursor), place(began));
    let list = &mut model.lists[view.index()];
    list.selected = cursor.unwrap_or(selected);
    list.anchor = began.or(anchor);
    // Without a filter the total is that of the whole list.
    if query.q.is_empty() {
        model.totals[view.index()] = total;
    }
}

fn on_urls(model: &mut Model, urls: yagi_api::UserUrls, fresh: bool, channel: Option<u32>) {
    if let Mode::Urls(dialog) = &mut model.mode {
        if dialog.urls.name == urls.name {
            // The choice stays what it was, although a short link comes before all.
            if dialog.urls.short.is_none() && urls.short.is_some() {
                dialog.choice = 0;
            }
            dialog.urls = urls;
            dialog.choice = dialog.choice.min(dialog.choices().len() - 1);
        }
        return;
    }
    if !matches!(model.mode, Mode::Browse) {
        return;
    }
    let mut bases = vec![urls.server.clone()];
    for listen in model.status.iter().flat_map(|s| &s.listen) {
        let scheme = if listen.starts_with("https://") { "https" } else { "http" };
        let port = listen.rsplit_once(':').map_or("8080", |(_, port)| port);
        let host = model.hello.as_ref().map_or("localhost", |h| h.host.as_str());
        bases.push(format!("{scheme}://{host}:{port}"));
    }
    let mut seen = std::collections::BTreeSet::new();
    bases.retain(|b| seen.insert(b.clone()));
    model.mode = Mode::Urls(Box::new(UrlDialog::new(urls, fresh, bases, channel)));
}

fn on_theirs(model: &mut Model, path: &str, row: &serde_json::Value) {
    let category = row["category"]
        .as_u64()
        .and_then(|id| u32::try_from(id).ok())
        .map(|id| model.category_name(yagi_api::CategoryId(id)).to_owned())
        .unwrap_or_default();
    let who = |form: &Form| {
        let noun = form.view.noun()?;
        let (id, _) = form.row.as_ref()?;
        model.authors.iter().rev().find(|(n, i, _)| (n, i) == (&noun, id)).map(|(_, _, who)| who.clone())
    };
    let by = if let Mode::Form(form) = &model.mode { who(form) } else { None };
    let Mode::Form(form) = &mut model.mode else { return };
    if form.path != path {
        return;
    }
    form.meanwhile(row, &category);
    let by = by.map_or(String::new(), |who| format!(" by {who}"));
    form.refused = Some(if form.theirs.is_empty() {
        format!("changed meanwhile{by} in other fields, which are taken over; ^S saves yours")
    } else {
        format!("changed meanwhile{by}; ^S saves yours over it, Esc leaves theirs")
    });
}

fn on_edit(model: &mut Model, view: View, row: serde_json::Value) {
    let form = match view {
        View::Channels => serde_json::from_value::<yagi_api::Channel>(row)
            .map(|c| Form::channel(Some(&c), model.category_name(c.category))),
        View::Users => serde_json::from_value(row).map(|u| Form::user(Some(&u))),
        _ => serde_json::from_value(row).map(|s| Form::source(&s)),
    };
    match form {
        Ok(form) => model.mode = Mode::Form(Box::new(form)),
        Err(e) => model.complain(format!("the daemon's row was not understood: {e}")),
    }
}
