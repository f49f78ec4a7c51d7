//! The admin API: JSON over HTTP on a Unix socket.
//!
//! Owns the route table, methods and the error shape; the nouns' files answer. Must not enter: rules of rows (the library has
//! them), players' formats. Invariant: only types of `yagi_api` cross this border, every change names its actor, and every
//! refusal is an `ErrorBody`.

mod actor;
mod blocks;
mod bulk;
mod categories;
mod changes;
mod channels;
mod checks;
mod engines;
mod events;
mod guide;
mod input;
mod legacy;
mod lineup;
mod logs;
mod openapi;
mod query;
mod rights;
mod roles;
mod rules;
mod settings;
pub mod socket;
mod sources;
mod status;
mod streams;
mod upkeep;
mod users;

use std::sync::{Arc, LazyLock};

use hyper::{
    Method, StatusCode,
    header::{self, HeaderValue},
};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use yagi_api::{ApiError, Channel, ErrorBody, ErrorCode, Role, text::clean};

pub use self::{
    actor::token,
    events::Watchers,
    openapi::document,
    roles::Roles,
    status::Load,
    upkeep::{derived, reload, reload_certificate},
};
use crate::{
    app::App,
    http::{
        Reply, Request,
        reply::{json, no_content},
    },
    secret::redact,
};

type Answer = Result<Reply, ApiError>;

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Stats,
    AceStats,
    AceStream,
    AceStreams,
    Apply,
    Backup,
    Block,
    Blocks,
    BulkCategories,
    BulkChannels,
    BulkSources,
    BulkUsers,
    Categories,
    Category,
    CategoryOrder,
    Change,
    Changes,
    Channel,
    Channels,
    Checks,
    Explain,
    Client,
    ClientBlock,
    Clients,
    Detail,
    Diff,
    Engines,
    Events,
    Extend,
    Failover,
    Guide,
    GuideAccept,
    GuideChannels,
    GuideRefresh,
    Health,
    Hello,
    Lineup,
    Lineups,
    LineupAccept,
    LineupPlan,
    LineupRollback,
    History,
    Job,
    Jobs,
    LogFilter,
    LogTail,
    Logs,
    Merge,
    OpenApi,
    Password,
    Probe,
    Programmes,
    Ready,
    Redo,
    Refresh,
    Rule,
    RulePreview,
    Rules,
    Reload,
    Settings,
    Source,
    Sources,
    Status,
    Stream,
    Streams,
    Token,
    Undo,
    Urls,
    User,
    Users,
}

/// Every path, its methods, and what it leads to; sorted.
const TABLE: &[(&str, &str, Route)] = &[
    ("/api/aceproxy/stats", "GET", Route::AceStats),
    ("/api/aceproxy/streams", "GET", Route::AceStreams),
    ("/api/aceproxy/streams/{id}", "DELETE, GET", Route::AceStream),
    ("/api/apply", "POST", Route::Apply),
    ("/api/backup", "POST", Route::Backup),
    ("/api/blocks", "GET, POST", Route::Blocks),
    ("/api/blocks/{id}", "DELETE", Route::Block),
    ("/api/categories", "GET, POST", Route::Categories),
    ("/api/categories/bulk", "POST", Route::BulkCategories),
    ("/api/categories/order", "POST", Route::CategoryOrder),
    ("/api/categories/{id}", "DELETE, GET, PATCH", Route::Category),
    ("/api/categories/{id}/merge", "POST", Route::Merge),
    ("/api/changes", "GET", Route::Changes),
    ("/api/changes/{id}", "GET", Route::Change),
    ("/api/channels", "GET, POST", Route::Channels),
    ("/api/channels/bulk", "POST", Route::BulkChannels),
    ("/api/channels/{id}", "DELETE, GET, PATCH", Route::Channel),
    ("/api/channels/{id}/detail", "GET", Route::Detail),
    ("/api/channels/{id}/explain", "GET", Route::Explain),
    ("/api/checks", "DELETE, GET, POST", Route::Checks),
    ("/api/clients", "GET", Route::Clients),
    ("/api/clients/{id}", "DELETE, GET", Route::Client),
    ("/api/clients/{id}/block", "POST", Route::ClientBlock),
    ("/api/dashboard/stats", "GET", Route::Stats),
    ("/api/engines", "GET", Route::Engines),
    ("/api/events", "GET", Route::Events),
    ("/api/guide", "GET", Route::Guide),
    ("/api/guide/accept", "POST", Route::GuideAccept),
    ("/api/guide/channels", "GET", Route::GuideChannels),
    ("/api/guide/refresh", "POST", Route::GuideRefresh),
    ("/api/guide/{id}", "GET", Route::Programmes),
    ("/api/health", "GET", Route::Health),
    ("/api/hello", "GET", Route::Hello),
    ("/api/jobs", "GET", Route::Jobs),
    ("/api/jobs/{id}", "DELETE, GET", Route::Job),
    ("/api/lineup", "GET", Route::Lineups),
    ("/api/lineup/{id}", "GET", Route::Lineup),
    ("/api/lineup/{id}/accept", "POST", Route::LineupAccept),
    ("/api/lineup/{id}/plan", "GET", Route::LineupPlan),
    ("/api/lineup/{id}/rollback", "POST", Route::LineupRollback),
    ("/api/logs", "GET", Route::Logs),
    ("/api/logs/filter", "GET, PUT", Route::LogFilter),
    ("/api/logs/tail", "GET", Route::LogTail),
    ("/api/openapi.json", "GET", Route::OpenApi),
    ("/api/ready", "GET", Route::Ready),
    ("/api/redo", "POST", Route::Redo),
    ("/api/reload", "POST", Route::Reload),
    ("/api/rules", "GET, POST", Route::Rules),
    ("/api/rules/preview", "POST", Route::RulePreview),
    ("/api/rules/{id}", "DELETE, GET, PATCH", Route::Rule),
    ("/api/settings", "GET, PATCH", Route::Settings),
    ("/api/sources", "GET, POST", Route::Sources),
    ("/api/sources/bulk", "POST", Route::BulkSources),
    ("/api/sources/probe", "POST", Route::Probe),
    ("/api/sources/{id}", "DELETE, GET, PATCH", Route::Source),
    ("/api/sources/{id}/diff", "GET", Route::Diff),
    ("/api/sources/{id}/history", "GET", Route::History),
    ("/api/sources/{id}/refresh", "POST", Route::Refresh),
    ("/api/status", "GET", Route::Status),
    ("/api/streams", "GET", Route::Streams),
    ("/api/streams/{id}", "DELETE, GET", Route::Stream),
    ("/api/streams/{id}/failover", "POST", Route::Failover),
    ("/api/undo", "POST", Route::Undo),
    ("/api/users", "GET, POST", Route::Users),
    ("/api/users/bulk", "POST", Route::BulkUsers),
    ("/api/users/{id}", "DELETE, GET, PATCH", Route::User),
    ("/api/users/{id}/extend", "POST", Route::Extend),
    ("/api/users/{id}/password", "POST", Route::Password),
    ("/api/users/{id}/token", "DELETE, POST", Route::Token),
    ("/api/users/{id}/urls", "GET", Route::Urls),
];

/// Index into [`TABLE`] by path.
static ROUTER: LazyLock<matchit::Router<usize>> = LazyLock::new(|| {
    let mut router = matchit::Router::new();
    for (index, (path, ..)) in TABLE.iter().enumerate() {
        router
            .insert(*path, index)
            .unwrap_or_else(|e| unreachable!("the route table contradicts itself at {path}: {e}"));
    }
    router
});

/// One request on its way to its handler.
struct Ask<'a> {
    app: &'a Arc<App>,
    request: &'a Request,
    /// `name(uid)`.
    actor: String,
    role: Role,
    /// What the path names; empty when it names no row.
    id: String,
}

impl Ask<'_> {
    /// The channel as this caller may see it.
    fn shown(&self, channel: &Channel) -> Channel {
        if self.role == Role::Admin { channel.clone() } else { without_logins(channel) }
    }
}

/// A channel without the credentials of its sources.
fn without_logins(channel: &Channel) -> Channel {
    let mut shown = channel.clone();
    for source in &mut shown.sources {
        source.url = redact(&source.url);
        source.headers.iter_mut().for_each(|(_, value)| "****".clone_into(value));
    }
    if let Some(catchup) = &mut shown.catchup {
        catchup.source = redact(&catchup.source);
    }
    shown
}

/// Answers one request of the admin socket.
pub async fn handle(app: &Arc<App>, request: Request) -> Reply {
    let mut reply = match admitted(app, &request).await {
        Ok(reply) => reply,
        Err(error) => refusal(error),
    };
    // Replies show the present, and some show passwords.
    reply.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

async fn admitted(app: &Arc<App>, request: &Request) -> Answer {
    let (actor, role) = actor::admit(request, &app.roles.load(), app.token.as_ref())?;
    let (route, methods, id) = find(&request.path)?;
    // HEAD is GET whose body the connection leaves out.
    let method = if request.method == Method::HEAD { &Method::GET } else { &request.method };
    if !methods.split(", ").any(|m| m == method.as_str()) {
        let error = ApiError::new(ErrorCode::Method, format!("this path answers {methods}"));
        let mut reply = refusal(error);
        reply.headers_mut().insert(header::ALLOW, HeaderValue::from_static(methods));
        return Ok(reply);
    }
    let wanted = roles::wanted(route, method);
    if role < wanted {
        let error =
            format!("{method} {} wants the role {}, yours is {}", request.path, role_word(wanted), role_word(role));
        return Err(ApiError::new(ErrorCode::Forbidden, clean(&error, 256)));
    }
    dispatch(route, method, Ask { app, request, actor, role, id }).await
}

fn role_word(role: Role) -> &'static str {
    match role {
        Role::Viewer => "viewer",
        Role::Operator => "operator",
        Role::Admin => "admin",
    }
}

fn find(path: &str) -> Result<(Route, &'static str, String), ApiError> {
    let nothing = || {
        ApiError::new(ErrorCode::NotFound, format!("there is no route {}", clean(path, 128)))
            .with_hint("docs/API.md lists the routes")
    };
    let trimmed = if path.len() > 1 { path.trim_end_matches('/') } else { path };
    let found = ROUTER.at(trimmed).map_err(|_| nothing())?;
    let (_, methods, route) = TABLE[*found.value];
    let id = percent_decode_str(found.params.get("id").unwrap_or_default()).decode_utf8().map_err(|_| nothing())?;
    Ok((route, methods, id.into_owned()))
}

async fn dispatch(route: Route, method: &Method, ask: Ask<'_>) -> Answer {
    let is = |m: Method| *method == m;
    match route {
        Route::Categories if is(Method::POST) => categories::create(ask).await,
        Route::Categories => categories::list(&ask),
        Route::Category if is(Method::PATCH) => categories::update(ask).await,
        Route::Category if is(Method::DELETE) => categories::delete(ask).await,
        Route::Category => categories::show(&ask),
        Route::Channels if is(Method::POST) => channels::create(ask).await,
        Route::Channels => channels::list(&ask).await,
        Route::Channel if is(Method::PATCH) => channels::update(ask).await,
        Route::Channel if is(Method::DELETE) => channels::delete(ask).await,
        Route::Channel => channels::show(&ask),
        Route::Users if is(Method::POST) => users::create(ask).await,
        Route::Users => users::list(&ask),
        Route::User if is(Method::PATCH) => users::update(ask).await,
        Route::User if is(Method::DELETE) => users::delete(ask).await,
        Route::User => users::show(&ask),
        Route::Extend => users::extend(ask).await,
        Route::CategoryOrder => categories::order(ask).await,
        Route::Merge => categories::merge(ask).await,
        Route::BulkCategories => bulk::categories(ask).await,
        Route::BulkChannels => bulk::channels(ask).await,
        Route::BulkSources => bulk::sources(ask).await,
        Route::BulkUsers => bulk::users(ask).await,
        Route::Apply => bulk::apply(ask).await,
        Route::Changes => changes::list(&ask).await,
        Route::Change => changes::show(&ask).await,
        Route::Undo => changes::undo(ask).await,
        Route::Redo => changes::redo(ask).await,
        Route::Blocks if is(Method::POST) => blocks::create(&ask),
        Route::Blocks => blocks::list(&ask),
        Route::Block => blocks::delete(&ask),
        Route::ClientBlock => blocks::client(&ask),
        Route::Password => users::reset_password(ask).await,
        Route::Token if is(Method::DELETE) => users::revoke_token(ask).await,
        Route::Token => users::reset_token(ask).await,
        Route::Urls => users::urls(&ask),
        Route::Sources if is(Method::POST) => sources::create(ask).await,
        Route::Sources => sources::list(&ask),
        Route::Source if is(Method::PATCH) => sources::update(ask).await,
        Route::Source if is(Method::DELETE) => sources::delete(ask).await,
        Route::Source => sources::show(&ask),
        Route::Refresh => sources::refresh(ask).await,
        Route::Checks if is(Method::POST) => checks::start(ask).await,
        Route::Checks if is(Method::DELETE) => checks::cancel(&ask),
        Route::Checks => checks::list(&ask),
        Route::Explain => checks::explain(&ask).await,
        Route::Lineups => lineup::list(&ask),
        Route::Lineup => lineup::show(&ask),
        Route::LineupPlan => lineup::plan(ask).await,
        Route::LineupAccept => lineup::accept(ask).await,
        Route::LineupRollback => lineup::rollback(ask).await,
        Route::Rules if is(Method::POST) => rules::create(ask).await,
        Route::Rules => rules::list(&ask),
        Route::RulePreview => rules::preview(ask).await,
        Route::Rule if is(Method::PATCH) => rules::update(ask).await,
        Route::Rule if is(Method::DELETE) => rules::delete(ask).await,
        Route::Rule => rules::show(&ask),
        Route::Probe => sources::probe(ask).await,
        Route::Diff => sources::diff(ask).await,
        Route::History => sources::history(ask).await,
        Route::Jobs => upkeep::jobs(&ask),
        Route::Job if is(Method::DELETE) => upkeep::cancel_job(&ask),
        Route::Job => upkeep::show_job(&ask),
        Route::Reload => upkeep::reload_now(ask).await,
        Route::Backup => upkeep::backup(ask).await,
        Route::GuideRefresh => upkeep::refresh_guides(&ask),
        Route::GuideChannels => guide::channels(&ask).await,
        Route::GuideAccept => guide::accept(ask).await,
        Route::Detail => guide::detail(&ask).await,
        Route::LogFilter if is(Method::PUT) => logs::set_filter(&ask),
        Route::LogFilter => logs::filter(&ask),
        Route::OpenApi => openapi::serve(&ask),
        Route::Streams => streams::list(&ask),
        Route::Stream if is(Method::DELETE) => streams::stop(&ask),
        Route::Stream => streams::show(&ask),
        Route::Failover => streams::failover(&ask),
        Route::Clients => streams::clients(&ask),
        Route::Client if is(Method::DELETE) => streams::kick(&ask),
        Route::Client => streams::client(&ask),
        Route::Guide => guide::status(&ask).await,
        Route::Programmes => guide::programmes(&ask).await,
        Route::Settings if is(Method::PATCH) => settings::update(ask).await,
        Route::Settings => settings::list(&ask),
        Route::Logs => logs::list(&ask),
        Route::Engines => engines::list(&ask),
        Route::Events => events::watch(&ask),
        Route::Hello => status::hello(&ask),
        Route::Status => status::status(&ask),
        Route::Health => legacy::health(&ask),
        Route::Ready => status::ready(&ask),
        Route::LogTail => legacy::log_tail(&ask),
        Route::Stats => legacy::stats(&ask).await,
        Route::AceStats => legacy::ace_stats(&ask),
        Route::AceStreams => legacy::ace_streams(&ask),
        Route::AceStream if is(Method::DELETE) => legacy::stop(&ask),
        Route::AceStream => legacy::ace_stream(&ask),
    }
}

fn ok(value: &impl Serialize) -> Answer {
    Ok(json(StatusCode::OK, value))
}

fn created(value: &impl Serialize) -> Answer {
    Ok(json(StatusCode::CREATED, value))
}

fn done() -> Answer {
    Ok(no_content())
}

fn refusal(error: ApiError) -> Reply {
    let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    json(status, &ErrorBody { error })
}

/// Runs what reads files or walks all channels where it delays nobody.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, ApiError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| ApiError::new(ErrorCode::Internal, "a bug stopped this request").with_hint("see the daemon's log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_path_leads_to_its_route() {
        assert!(TABLE.is_sorted_by_key(|(path, ..)| *path));
        for (path, methods, route) in TABLE {
            let (found, allowed, id) = find(&path.replace("{id}", "a%2Fb")).unwrap();
            assert_eq!((found, allowed), (*route, *methods));
            assert_eq!(id, if path.contains("{id}") { "a/b" } else { "" });
            assert!(methods.split(", ").is_sorted(), "{path}");
        }
        assert_eq!(find("/api/users/").unwrap().0, Route::Users);
    }

    #[test]
    fn paths_of_the_clients_are_in_the_table() {
        use yagi_api::paths::*;
        for path in [
            HELLO,
            STATUS,
            EVENTS,
            ENGINES,
            CHANNELS,
            CATEGORIES,
            USERS,
            SOURCES,
            STREAMS,
            CLIENTS,
            GUIDE,
            SETTINGS,
            LOGS,
            CHANGES,
            UNDO,
            REDO,
            APPLY,
            JOBS,
            BLOCKS,
            PROBE,
            GUIDE_CHANNELS,
            GUIDE_ACCEPT,
            GUIDE_REFRESH,
            LOG_FILTER,
            RELOAD,
            BACKUP,
            CATEGORY_ORDER,
            RULES,
            LINEUP,
            CHECKS,
        ] {
            assert!(find(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn unknown_paths_are_told_cleanly() {
        for path in ["/", "/api", "/api/users/1/2/3", "/api/userz", "/api/users/%ff"] {
            assert_eq!(find(path).unwrap_err().code, ErrorCode::NotFound, "{path}");
        }
    }

    #[test]
    fn every_error_has_its_status_and_shape() {
        let reply = refusal(ApiError::invalid("name", "must not be empty"));
        assert_eq!(reply.status(), StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(refusal(ApiError::not_found("user", 1)).status(), StatusCode::NOT_FOUND);
    }
}
