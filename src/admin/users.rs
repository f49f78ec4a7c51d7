//! `/api/users`.
//!
//! Owns live rows of accounts and the links of a viewer. Must not enter: rules of accounts, logins. Invariant: an account that
//! is deleted, disabled, expired or has another password is watched with no longer; only replies that exist to show a password
//! carry one.

use std::sync::Arc;

use yagi_api::{ApiError, ChannelId, NewUser, User, UserDraft, UserExtend, UserId, UserPatch, UserUrls};

use super::{
    Answer, Ask, created, done, input, ok,
    query::{self, Cell, Column},
    rights,
};
use crate::{
    app::App,
    clock::epoch_now,
    hdhr,
    http::Base,
    library::{Catalog, Viewer},
};

pub const COLUMNS: &[Column<User>] = &[
    Column { names: &["name", "user"], searched: true, cell: |_, u| Cell::text(&u.name) },
    Column { names: &["note"], searched: true, cell: |_, u| Cell::text(&u.note) },
    Column { names: &["status"], searched: false, cell: |_, u| Cell::text(u.status(epoch_now()).word()) },
    Column { names: &["enabled", "on"], searched: false, cell: |_, u| Cell::Flag(u.enabled) },
    Column { names: &["trial"], searched: false, cell: |_, u| Cell::Flag(u.trial) },
    Column { names: &["active"], searched: false, cell: |_, u| Cell::some(Some(u.active)) },
    Column { names: &["max_connections", "max"], searched: false, cell: |_, u| Cell::some(Some(u.max_connections)) },
    Column { names: &["expires_at", "expires"], searched: false, cell: |_, u| Cell::some(u.expires_at) },
    Column { names: &["last_seen", "seen"], searched: false, cell: |_, u| Cell::some(u.last_seen) },
    Column { names: &["created_at", "created"], searched: false, cell: |_, u| Cell::Number(u.created_at) },
    Column { names: &["id"], searched: false, cell: |_, u| Cell::some(Some(u.id.0)) },
    Column {
        names: &["categories", "category"],
        searched: false,
        cell: |_, u| u.categories.as_ref().map_or(Cell::Nothing, |names| Cell::Text(names.join(" ").into())),
    },
];

pub fn list(ask: &Ask<'_>) -> Answer {
    let query = query::parse(&ask.request.query, &[])?;
    let catalog = ask.app.library.catalog();
    ok(&query::page::<User, User>(&catalog, COLUMNS, &rows(ask.app, &catalog), &query)?)
}

/// All accounts as they are at this moment.
pub fn rows(app: &App, catalog: &Catalog) -> Vec<User> {
    let active = app.seats.active_by_user();
    let live = |v: &Arc<Viewer>| User { active: active.get(&v.user.id).copied().unwrap_or(0), ..seen(app, &v.user) };
    catalog.viewers().map(live).collect()
}

/// With the last login, which is younger in memory than in the row.
fn seen(app: &App, user: &User) -> User {
    match app.seen.of(user.id) {
        Some(last) => {
            User { last_seen: Some(last.at), last_agent: last.agent, last_ip: last.ip.to_string(), ..user.clone() }
        }
        None => user.clone(),
    }
}

/// The account that the path names.
fn find(ask: &Ask<'_>, catalog: &Catalog) -> Result<Arc<Viewer>, ApiError> {
    input::row("user", &ask.id, |id: UserId| catalog.viewer_by_id(id), |name| catalog.viewer(name)).cloned()
}

fn id(ask: &Ask<'_>) -> Result<UserId, ApiError> {
    Ok(find(ask, &ask.app.library.catalog())?.user.id)
}

/// The account as it is at this moment.
fn row(app: &App, user: &User) -> User {
    User { active: app.seats.active(user.id), ..seen(app, user) }
}

pub fn show(ask: &Ask<'_>) -> Answer {
    ok(&row(ask.app, &find(ask, &ask.app.library.catalog())?.user))
}

pub async fn create(ask: Ask<'_>) -> Answer {
    let draft: UserDraft = input::body(ask.request)?;
    created(&ask.app.library.create_user(&ask.actor, draft).await?)
}

pub async fn update(ask: Ask<'_>) -> Answer {
    let (id, patch): (_, UserPatch) = (id(&ask)?, input::body(ask.request)?);
    let (password, narrows) =
        (patch.password.is_some(), patch.enabled.is_some() || patch.expires_at.is_some() || patch.categories.is_some());
    let viewer = ask.app.library.update_user(&ask.actor, id, patch).await?;
    if password {
        ask.app.seats.kick_user(id);
    }
    if narrows {
        rights::enforce(ask.app);
    }
    ok(&row(ask.app, &viewer.user))
}

pub async fn extend(ask: Ask<'_>) -> Answer {
    let (id, extend): (_, UserExtend) = (id(&ask)?, input::body(ask.request)?);
    let viewer = ask.app.library.extend_user(&ask.actor, id, extend).await?;
    ok(&row(ask.app, &viewer.user))
}

pub async fn delete(ask: Ask<'_>) -> Answer {
    let id = id(&ask)?;
    ask.app.library.delete_user(&ask.actor, id).await?;
    ask.app.seats.kick_user(id);
    done()
}

pub async fn reset_password(ask: Ask<'_>) -> Answer {
    let id = id(&ask)?;
    let NewUser { user, password } = ask.app.library.reset_password(&ask.actor, id).await?;
    ask.app.seats.kick_user(id);
    ok(&NewUser { user: row(ask.app, &user), password })
}

/// Another token, and the links with it. Connections that came by the old one cannot be told from others: all end.
pub async fn reset_token(ask: Ask<'_>) -> Answer {
    let (id, base) = (id(&ask)?, base(&ask)?);
    let viewer = ask.app.library.reset_token(&ask.actor, id).await?;
    ask.app.seats.kick_user(id);
    ok(&links(&ask.app.library.catalog(), &viewer, &base))
}

pub async fn revoke_token(ask: Ask<'_>) -> Answer {
    let id = id(&ask)?;
    ask.app.library.revoke_token(&ask.actor, id).await?;
    ask.app.seats.kick_user(id);
    done()
}

pub fn urls(ask: &Ask<'_>) -> Answer {
    let query = &ask.request.query;
    input::only(query, &["base", "channel"])?;
    let base = named(ask)?;
    let wanted: Option<u32> = input::number(query, "channel", "the id of a channel")?;
    let catalog = ask.app.library.catalog();
    let viewer = find(ask, &catalog)?;
    let mut urls = links(&catalog, &viewer, &base);
    if let Some(id) = wanted.map(ChannelId) {
        let channel = catalog.channel(id).ok_or_else(|| input::missing("channel", &id.to_string()))?;
        if !catalog.may_watch(&viewer, channel) {
            let error = format!("{} does not see {}", viewer.user.name, channel.name);
            return Err(ApiError::invalid("channel", error)
                .with_hint("it is disabled or gone, or its category is not among those of the user"));
        }
        urls.stream = Some(stream(&viewer, &base, id));
    }
    ok(&urls)
}

/// The address for links: `?base=`, else our own.
fn base(ask: &Ask<'_>) -> Result<Base, ApiError> {
    input::only(&ask.request.query, &["base"])?;
    named(ask)
}

fn named(ask: &Ask<'_>) -> Result<Base, ApiError> {
    match ask.request.query.get("base").map(str::trim) {
        None | Some("") => Ok(own_address(ask.app)),
        Some(text) => text.parse().map_err(|e| ApiError::invalid("base", e)),
    }
}

/// The public address of the configuration, else the first listener's.
fn own_address(app: &App) -> Base {
    app.addressing.load().public.clone().unwrap_or_else(|| app.own.clone())
}

fn links(catalog: &Catalog, viewer: &Viewer, base: &Base) -> UserUrls {
    // Neither may hold anything that a URL would have to escape.
    let (name, password) = (&viewer.user.name, viewer.password.expose());
    let login = format!("username={name}&password={password}");
    let token = viewer.token.as_ref().map(|t| t.expose());
    let with = |path: &str| token.map(|t| format!("{base}/{path}/{t}"));
    let channels = catalog.lineup(viewer).count();
    let crowded = channels > hdhr::CROWDED;
    UserUrls {
        short: with("p"),
        short_guide: with("e"),
        hdhr: with("hdhr"),
        notes: crowded.then(|| hdhr::crowded(channels)).into_iter().collect(),
        token: token.map(str::to_owned),
        name: name.clone(),
        password: password.to_owned(),
        server: base.to_string(),
        playlist: format!("{base}/get.php?{login}&type=m3u_plus&output=ts"),
        guide: format!("{base}/xmltv.php?{login}"),
        player_api: format!("{base}/player_api.php?{login}"),
        stream: catalog.lineup(viewer).next().map(|c| stream(viewer, base, c.id)),
    }
}

fn stream(viewer: &Viewer, base: &Base, channel: ChannelId) -> String {
    format!("{base}/live/{}/{}/{channel}.ts", viewer.user.name, viewer.password.expose())
}

#[cfg(test)]
mod tests {
    use yagi_api::CategoryId;

    use super::*;
    use crate::library::sample::channel;

    #[test]
    fn links_carry_the_base_and_the_login() {
        let catalog = Catalog::sample_with(&[channel(7, "Seven", "")], &[("ada", "pw1"), ("kid", "pw2")], |name| {
            (name == "kid").then(|| vec![CategoryId(2)])
        });
        let base: Base = "https://tv.example.org/iptv/".parse().unwrap();
        let urls = links(&catalog, catalog.viewer("ada").unwrap(), &base);
        assert_eq!(urls.server, "https://tv.example.org/iptv");
        assert_eq!(
            urls.playlist,
            "https://tv.example.org/iptv/get.php?username=ada&password=pw1&type=m3u_plus&output=ts"
        );
        assert_eq!(urls.short.as_deref(), Some("https://tv.example.org/iptv/p/token-of-ada"));
        assert_eq!(urls.short_guide.as_deref(), Some("https://tv.example.org/iptv/e/token-of-ada"));
        assert_eq!(urls.hdhr.as_deref(), Some("https://tv.example.org/iptv/hdhr/token-of-ada"));
        assert_eq!(urls.notes, Vec::<String>::new());
        assert_eq!(urls.stream.as_deref(), Some("https://tv.example.org/iptv/live/ada/pw1/7.ts"));
        assert_eq!(
            links(&catalog, catalog.viewer("kid").unwrap(), &base).stream,
            None,
            "nothing that the viewer may see"
        );
    }
}
