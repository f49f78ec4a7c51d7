//! What is read from the daemon, one request for each thing.

use serde_json::Value;
use yagi_api::{Category, Channel, Explain, Page, ProbeRequest, Source, User, paths};

use crate::{
    client::{Client, Fault, encode, row},
    model::{Desk, MAX_LOGS, Target, View},
    msg::{Answer, Aside, Ask},
    rows::pages::TREE,
    sheet::Sheet,
};

/// More rows than this are no work for an editor.
const MAX_DESK: u32 = 5000;
/// Users that are offered at once.
const CHOICES: u32 = 1000;
/// Reports of a source.
const HISTORY: u32 = 50;

pub async fn read(client: &Client, ask: &Ask) -> Result<Answer, Fault> {
    Ok(match ask {
        Ask::Status => Answer::Status(client.get(paths::STATUS).await?),
        Ask::Streams => Answer::Streams(client.some(paths::STREAMS, "", 0, TREE).await?),
        Ask::Clients => Answer::Clients(client.some(paths::CLIENTS, "", 0, 10 * TREE).await?),
        Ask::Tree => Answer::Tree(client.some(paths::CATEGORIES, "", 0, TREE).await?),
        Ask::Guide => Answer::Guide(client.get(paths::GUIDE).await?),
        Ask::Settings => Answer::Settings(client.get(paths::SETTINGS).await?),
        Ask::Logs => Answer::Logs(client.get(&format!("{}?n={MAX_LOGS}", paths::LOGS)).await?),
        Ask::LogFilter => Answer::LogFilter(client.get(paths::LOG_FILTER).await?),
        Ask::Jobs => Answer::Jobs(client.get::<Page<_>>(paths::JOBS).await?.rows),
        Ask::Urls { user, fresh, base, channel } => {
            let base = base.as_ref().map_or(String::new(), |b| format!("base={}", encode(b)));
            let of = channel.map_or(String::new(), |id| format!("&channel={id}"));
            let path = format!("{}/{}/urls?{base}{of}", paths::USERS, encode(user));
            Answer::Urls(client.get(&path).await?, *fresh, *channel)
        }
        Ask::Viewers(channel) => {
            Answer::Viewers(*channel, client.some(paths::USERS, "q=enabled:yes&sort=name", 0, CHOICES).await?)
        }
        Ask::Tested(id) => {
            let known: Explain = client.get(&format!("{}/{id}/explain", paths::CHANNELS)).await?;
            Answer::Tested(*id, known.addresses)
        }
        Ask::Aside(aside) => {
            let path = match aside {
                Aside::Blocks => paths::BLOCKS,
                Aside::Rules => paths::RULES,
                Aside::Lineup => paths::LINEUP,
                Aside::Jobs => paths::JOBS,
                Aside::Engines => paths::ENGINES,
                Aside::Changes => paths::CHANGES,
            };
            Answer::Aside(*aside, client.get::<Value>(path).await?["rows"].take())
        }
        Ask::Probe(url) => {
            let found = client.post(paths::PROBE, &ProbeRequest { url: url.clone() }).await?;
            Answer::Probe(url.clone(), found)
        }
        Ask::Detail(id) => Answer::Detail(client.get(&format!("{}/{id}/detail", paths::CHANNELS)).await?),
        Ask::Diff(id) => Answer::Diff(client.get(&format!("{}/diff", row(paths::SOURCES, id))).await?),
        Ask::History(id) => {
            let path = format!("{}/history?limit={HISTORY}", row(paths::SOURCES, id));
            Answer::History(client.get::<Page<_>>(&path).await?.rows)
        }
        Ask::Edit(view, id) => Answer::Edit(*view, client.get(&row(view.path(), id)).await?),
        Ask::Theirs(path) => Answer::Theirs(path.clone(), client.get(path).await?),
        Ask::Desk(desk) => Answer::Desk(desk.view, sheet(client, desk).await?),
        Ask::Page(view, query) => {
            let at = format!(
                "{}?q={}&sort={}&offset={}&limit={}{}",
                view.path(),
                encode(&query.q),
                encode(&query.sort),
                query.offset,
                query.limit,
                match view {
                    View::Guide => "&now=true",
                    View::Channels => "&facts=true",
                    _ => "",
                }
            );
            let query = query.clone();
            match view {
                View::Channels => Answer::Channels(query, client.get(&at).await?),
                View::Categories => Answer::Categories(query, client.get(&at).await?),
                View::Users => Answer::Users(query, client.get(&at).await?),
                View::Guide => Answer::GuideRows(query, client.get(&at).await?),
                _ => Answer::Sources(query, client.get(&at).await?),
            }
        }
    })
}

/// The rows that are edited together, as they are now.
async fn sheet(client: &Client, desk: &Desk) -> Result<Sheet, Fault> {
    let rows: Vec<Value> = match &desk.target {
        Target::Query(q) => {
            let query = format!("q={}", encode(q));
            let rows = client.some(desk.view.path(), &query, 0, MAX_DESK + 1).await?;
            if rows.len() > MAX_DESK as usize {
                return Err(Fault::own(4, format!("more than {MAX_DESK} rows: narrow the list with / first")));
            }
            rows
        }
        Target::Ids(ids) => {
            let mut rows = Vec::with_capacity(ids.len());
            for id in ids.iter().take(MAX_DESK as usize) {
                rows.push(client.get(&row(desk.view.path(), id)).await?);
            }
            rows
        }
    };
    fn all<T: serde::de::DeserializeOwned>(rows: Vec<Value>) -> Result<Vec<T>, Fault> {
        rows.into_iter().map(serde_json::from_value).collect::<Result<_, _>>().map_err(|e| Fault::Answer(e.to_string()))
    }
    Ok(match desk.view {
        View::Channels => {
            let groups: Vec<Category> = client.some(paths::CATEGORIES, "", 0, TREE).await?;
            Sheet::channels(&all::<Channel>(rows)?, &groups)
        }
        View::Categories => Sheet::categories(&all::<Category>(rows)?),
        View::Users => Sheet::users(&all::<User>(rows)?),
        _ => Sheet::sources(&all::<Source>(rows)?),
    })
}
