//! The door from end to end on real files: order, uniqueness, manual edits, refusals.
//!
//! Must not enter: formats. Invariant: each test has its own state directory.

use std::sync::Arc;

use serde_json::json;
use tempfile::TempDir;
use yagi_api::*;

use super::*;

fn open() -> (TempDir, Library) {
    let tmp = tempfile::tempdir().unwrap();
    let opened = Library::open(tmp.path(), Events::default()).unwrap();
    assert!(opened.fresh);
    (tmp, opened.library)
}

fn draft(name: &str, url: &str) -> ChannelDraft {
    ChannelDraft {
        name: name.to_owned(),
        sources: vec![ChannelSource { url: url.to_owned(), headers: Vec::new() }],
        ..ChannelDraft::default()
    }
}

fn user(name: &str) -> UserDraft {
    UserDraft { name: name.to_owned(), ..UserDraft::default() }
}

#[tokio::test]
async fn an_answer_means_snapshot_event_and_disk() {
    let tmp = tempfile::tempdir().unwrap();
    let events = Events::default();
    let mut told = events.subscribe();
    let library = Library::open(tmp.path(), events).unwrap().library;
    let channel = library.create_channel("root", draft("One", "http://h/1")).await.unwrap();
    let catalog = library.catalog();
    assert_eq!(catalog.channel(channel.id), Some(&channel));
    let Event::Change { rev, noun, change, id, row, actor } = (*told.recv().await.unwrap()).clone() else { panic!() };
    assert_eq!((rev, noun, change, id), (catalog.rev, Noun::Channels, Change::Created, Some(channel.id.0)));
    assert_eq!(actor, "root");
    assert_eq!(serde_json::from_value::<Channel>(row.unwrap()).unwrap(), *channel);
    // A second process sees it without this one having closed anything.
    let path = tmp.path().join("yagid.db");
    let other = rusqlite::Connection::open(path).unwrap();
    assert_eq!(other.query_row("SELECT name FROM channels", [], |r| r.get::<_, String>(0)).unwrap(), "One");
}

#[tokio::test]
async fn everything_comes_back_after_a_restart() {
    let (tmp, library) = open();
    let demo = library.create_demo().await.unwrap();
    let patch = json!({"linger_s": 3, "lag_policy": "drop"});
    library.update_settings("t", patch.as_object().unwrap().clone()).await.unwrap();
    library
        .create_source("t", SourceDraft { url: "http://u:p@h/x.m3u".into(), ..SourceDraft::default() })
        .await
        .unwrap();
    let draft = UserDraft { categories: Some(vec!["Test".into()]), ..user("kid") };
    library.create_user("t", draft).await.unwrap();
    let before = library.catalog();
    library.close().await;
    assert_eq!(library.create_user("t", user("late")).await.unwrap_err().code, ErrorCode::Unavailable);
    let opened = Library::open(tmp.path(), Events::default()).unwrap();
    assert!(!opened.fresh);
    let after = opened.library.catalog();
    assert_eq!(after.rev, before.rev);
    assert_eq!(after.channels(), before.channels());
    assert_eq!(after.categories(), before.categories());
    assert_eq!(after.sources(), before.sources());
    assert_eq!(after.settings(), before.settings());
    assert_eq!(after.set_keys().len(), 2);
    assert!(after.viewer("demo").unwrap().password.matches(&demo.password));
    let kid = after.viewer("kid").unwrap();
    assert_eq!(kid.user, before.viewer("kid").unwrap().user);
    assert_eq!(after.lineup(kid).count(), 1);
}

#[tokio::test]
async fn passwords_are_sealed_on_disk_and_need_their_key() {
    let (tmp, library) = open();
    library.create_user("t", UserDraft { password: Some("canary-9876".into()), ..user("a") }).await.unwrap();
    library.close().await;
    for entry in std::fs::read_dir(tmp.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(11).any(|w| w == b"canary-9876"));
    }
    let key = tmp.path().join("secret.key");
    let good = std::fs::read(&key).unwrap();
    std::fs::write(&key, [7; 32]).unwrap();
    let error = Library::open(tmp.path(), Events::default()).err().unwrap().to_string();
    assert!(error.contains("secret.key") && error.contains("another key"), "{error}");
    std::fs::remove_file(&key).unwrap();
    let error = Library::open(tmp.path(), Events::default()).err().unwrap().to_string();
    assert!(error.contains("missing"), "{error}");
    std::fs::write(&key, good).unwrap();
    assert!(Library::open(tmp.path(), Events::default()).is_ok());
}

#[tokio::test]
async fn numbers_names_and_versions_are_guarded() {
    let (_tmp, library) = open();
    let a = library.create_channel("t", draft("A", "http://h/a")).await.unwrap();
    let b = library.create_channel("t", draft("B", "http://h/b")).await.unwrap();
    assert_eq!((a.number, b.number), (1, 2));
    let patch = ChannelPatch { number: Some(1), ..ChannelPatch::default() };
    let error = library.update_channel("t", b.id, patch).await.unwrap_err();
    assert_eq!((error.code, error.field.as_deref()), (ErrorCode::Conflict, Some("number")));
    let patch = ChannelPatch { version: Some(9), name: Some("x".into()), ..ChannelPatch::default() };
    assert_eq!(library.update_channel("t", a.id, patch).await.unwrap_err().code, ErrorCode::Conflict);
    let patch = ChannelPatch { number: Some(70), ..ChannelPatch::default() };
    library.update_channel("t", a.id, patch).await.unwrap();
    let catalog = library.catalog();
    let numbers: Vec<u32> = catalog.channels().iter().map(|c| c.number).collect();
    assert_eq!(numbers, [2, 70]);
    assert_eq!(library.create_channel("t", draft("C", "http://h/c")).await.unwrap().number, 1);
    library.create_user("t", user("Ann")).await.unwrap();
    assert_eq!(library.create_user("t", user("ann")).await.unwrap_err().field.as_deref(), Some("name"));
    assert_eq!(library.create_user("t", user("live")).await.unwrap_err().code, ErrorCode::Invalid);
    assert_eq!(library.delete_channel("t", ChannelId(99)).await.unwrap_err().code, ErrorCode::NotFound);
}

#[tokio::test]
async fn a_refused_change_leaves_no_trace() {
    let (_tmp, library) = open();
    let before = library.catalog();
    // The category would be made before the sources turn out to be bad.
    let mut bad = draft("A", "rtsp://h/a");
    bad.category = Some("New".into());
    assert_eq!(library.create_channel("t", bad).await.unwrap_err().field.as_deref(), Some("sources[0].url"));
    let patch = json!({"linger_s": 3, "nonsense": 1});
    assert!(library.update_settings("t", patch.as_object().unwrap().clone()).await.is_err());
    assert!(Arc::ptr_eq(&before, &library.catalog()));
    library.create_channel("t", draft("A", "http://h/a")).await.unwrap();
    assert_eq!(library.catalog().settings().linger_s, 8);
    assert_eq!(library.catalog().categories().len(), 1);
}

#[tokio::test]
async fn deleting_a_category_moves_its_channels_and_narrows_its_viewers() {
    let (_tmp, library) = open();
    let channel =
        |name: &str, category: &str| ChannelDraft { category: Some(category.into()), ..draft(name, "http://h/x") };
    let news = library.create_channel("t", channel("N", "News")).await.unwrap();
    library.create_channel("t", channel("S", "Sport")).await.unwrap();
    let allowed = UserDraft { categories: Some(vec!["News".into()]), ..user("kid") };
    library.create_user("t", allowed).await.unwrap();
    let misspelt = UserDraft { categories: Some(vec!["Newz".into()]), ..user("kid2") };
    assert_eq!(library.create_user("t", misspelt).await.unwrap_err().field.as_deref(), Some("categories[0]"));
    let seen = |library: &Library| {
        let catalog = library.catalog();
        let kid = catalog.viewer("kid").unwrap();
        (catalog.lineup(kid).count(), kid.user.categories.clone().unwrap())
    };
    assert_eq!(seen(&library), (1, vec!["News".to_owned()]));
    let patch = CategoryPatch { name: Some("Nachrichten".into()), ..CategoryPatch::default() };
    library.update_category("t", news.category, patch).await.unwrap();
    assert_eq!(seen(&library), (1, vec!["Nachrichten".to_owned()]));
    library.delete_category("t", news.category).await.unwrap();
    let catalog = library.catalog();
    assert_eq!(catalog.category_name(catalog.channel(news.id).unwrap()), "Uncategorised");
    assert_eq!(seen(&library), (0, vec![]));
    assert_eq!(library.delete_category("t", CategoryId(1)).await.unwrap_err().code, ErrorCode::Conflict);
}

#[tokio::test]
async fn output_ids_are_unique_and_portable() {
    let (_tmp, library) = open();
    let mut ids = Vec::new();
    for guide_id in ["bbc1.uk", "BBC1.UK", "", "with space", "c1.yagid", "bbc1.uk"] {
        let d = ChannelDraft { guide_id: guide_id.into(), ..draft("x", "http://h/x") };
        ids.push(library.create_channel("t", d).await.unwrap().id);
    }
    let catalog = library.catalog();
    let out: Vec<_> = ids.iter().map(|id| catalog.output_id(catalog.channel(*id).unwrap()).into_owned()).collect();
    assert_eq!(out, ["bbc1.uk", "c2.yagid", "c3.yagid", "c4.yagid", "c5.yagid", "c6.yagid"]);
}

#[tokio::test]
async fn events_and_replies_of_sources_hide_credentials() {
    let tmp = tempfile::tempdir().unwrap();
    let events = Events::default();
    let mut told = events.subscribe();
    let library = Library::open(tmp.path(), events).unwrap().library;
    let d =
        SourceDraft { url: "http://u:canary@h/get.php?username=a&password=canary".into(), ..SourceDraft::default() };
    let source = library.create_source("t", d.clone()).await.unwrap();
    assert_eq!((source.name.as_str(), source.kind), ("h", SourceKind::Playlist));
    assert!(!format!("{:?}", told.recv().await.unwrap()).contains("canary"));
    assert_eq!(library.create_source("t", d).await.unwrap_err().field.as_deref(), Some("url"));
    let report = RefreshReport { ok: true, seen: 3, ..RefreshReport::default() };
    let etag = Validators { etag: Some("\"x\"".into()), ..Validators::default() };
    library.record_refresh(source.id, report.clone(), Some(etag.clone())).await.unwrap();
    assert_eq!(library.catalog().validators(source.id), etag);
    let patch = SourcePatch { url: Some("http://other/".into()), ..SourcePatch::default() };
    library.update_source("t", source.id, patch).await.unwrap();
    assert_eq!(library.catalog().validators(source.id), Validators::default());
    assert_eq!(library.catalog().source(source.id).unwrap().last, Some(report));
}

#[tokio::test]
async fn a_new_password_replaces_the_old_one_at_once() {
    let (_tmp, library) = open();
    let first = library.create_user("t", user("a")).await.unwrap();
    let second = library.reset_password("t", first.user.id).await.unwrap();
    assert_ne!(first.password, second.password);
    let catalog = library.catalog();
    let viewer = catalog.viewer("a").unwrap();
    assert!(viewer.password.matches(&second.password) && !viewer.password.matches(&first.password));
    assert_eq!(viewer.user.version, 2);
}

fn last(changes: &[ChangeRow]) -> &ChangeRow {
    &changes[0]
}

#[tokio::test]
async fn steps_are_undone_and_redone_in_any_depth() {
    let (_tmp, library) = open();
    let one = library.create_channel("ada", draft("One", "http://u:secret@h/1")).await.unwrap();
    for name in ["Two", "Three"] {
        let patch = ChannelPatch { name: Some(name.into()), ..ChannelPatch::default() };
        library.update_channel("ada", one.id, patch).await.unwrap();
    }
    let name = || library.catalog().channel(one.id).map(|c| c.name.clone());
    for expected in [Some("Two"), Some("One"), None] {
        library.undo("ada", None).await.unwrap();
        assert_eq!(name().as_deref(), expected);
    }
    assert_eq!(library.undo("ada", None).await.unwrap_err().code, ErrorCode::Conflict);
    for expected in ["One", "Two", "Three"] {
        library.redo("ada", None).await.unwrap();
        assert_eq!(name().as_deref(), Some(expected));
    }
    assert!(library.redo("ada", None).await.is_err());
    let changes = library.changes().await.unwrap();
    assert_eq!(changes.len(), 9);
    assert!(last(&changes).summary.starts_with("redo of 3: name Two → Three"), "{}", last(&changes).summary);
    let made = library.change(1).await.unwrap();
    assert!(!serde_json::to_string(&made).unwrap().contains("secret"), "{made:?}");
    assert_eq!(library.catalog().channel(one.id).unwrap().sources, one.sources);
}

#[tokio::test]
async fn a_field_that_was_changed_since_is_not_overwritten() {
    let (_tmp, library) = open();
    let one = library.create_channel("ada", draft("One", "http://h/1")).await.unwrap();
    let rename = |name: &str| ChannelPatch { name: Some(name.into()), ..ChannelPatch::default() };
    library.update_channel("ada", one.id, rename("Two")).await.unwrap();
    library.update_channel("bob", one.id, rename("Three")).await.unwrap();
    let refused = library.undo("ada", None).await.unwrap_err();
    assert_eq!((refused.code, refused.field.as_deref()), (ErrorCode::Conflict, Some("name")));
    assert!(refused.message.contains("bob (step 3: name Two → Three)"), "{refused}");
    assert_eq!(library.catalog().channel(one.id).unwrap().name, "Three");
    // Another field is nobody's loss.
    let logo = ChannelPatch { logo: Some("http://h/l.png".into()), ..ChannelPatch::default() };
    library.update_channel("ada", one.id, logo).await.unwrap();
    library.undo("bob", Some(3)).await.unwrap();
    let now = library.catalog().channel(one.id).cloned().unwrap();
    assert_eq!((now.name.as_str(), now.logo.as_str()), ("Two", "http://h/l.png"));
}

#[tokio::test]
async fn whatever_was_deleted_comes_back_under_its_id() {
    let (tmp, library) = open();
    let category = library.create_category("t", CategoryDraft { name: "News".into(), position: None }).await.unwrap();
    let channel = library
        .create_channel("t", ChannelDraft { category: Some("News".into()), ..draft("One", "http://h/1") })
        .await
        .unwrap();
    let ada =
        library.create_user("t", UserDraft { categories: Some(vec!["News".into()]), ..user("ada") }).await.unwrap();
    let url = "http://me:secret@h/x.m3u".to_owned();
    let source = library.create_source("t", SourceDraft { url, ..SourceDraft::default() }).await.unwrap();
    let before = library.catalog();
    library.delete_category("t", category.id).await.unwrap();
    library.delete_channel("t", channel.id).await.unwrap();
    library.delete_user("t", ada.user.id).await.unwrap();
    library.delete_source("t", source.id).await.unwrap();
    library.close().await;
    let library = Library::open(tmp.path(), Events::default()).unwrap().library;
    for _ in 0..4 {
        library.undo("t", None).await.unwrap();
    }
    let after = library.catalog();
    assert_eq!(after.category(category.id).unwrap().name, "News");
    assert_eq!(after.channel(channel.id).unwrap().category, category.id);
    let viewer = after.viewer("ada").unwrap();
    assert_eq!((viewer.user.id, viewer.user.categories.clone()), (ada.user.id, Some(vec!["News".to_owned()])));
    assert!(viewer.password.matches(&ada.password));
    assert_eq!(after.source(source.id).unwrap().url, source.url);
    assert!(viewer.sees(category.id) && before.viewer("ada").unwrap().sees(category.id));
    for _ in 0..4 {
        library.redo("t", None).await.unwrap();
    }
    assert!(library.catalog().viewer("ada").is_none() && library.catalog().category(category.id).is_none());
}

#[tokio::test]
async fn many_rows_are_one_step() {
    let (_tmp, library) = open();
    let mut ids = Vec::new();
    for n in 1..=6 {
        ids.push(library.create_channel("t", draft(&format!("C{n}"), &format!("http://h/{n}"))).await.unwrap().id.0);
    }
    let numbers = || library.catalog().channels().iter().map(|c| c.id.0).collect::<Vec<_>>();
    let chosen = |ids: &[u32]| Chosen { ids: ids.to_vec(), found: false };
    let dry = library.bulk_channels("t", chosen(&ids[4..]), ChannelsDo::Renumber(2), true).await.unwrap();
    assert_eq!((dry.dry_run, dry.matched, dry.updated, dry.change), (true, 2, 5, None));
    assert_eq!(numbers(), ids, "a dry run changes nothing");
    let done = library.bulk_channels("t", chosen(&[ids[5], ids[4]]), ChannelsDo::Renumber(2), false).await.unwrap();
    assert_eq!(numbers(), [ids[0], ids[5], ids[4], ids[1], ids[2], ids[3]]);
    library.undo("t", done.change).await.unwrap();
    assert_eq!(numbers(), ids);
    library.bulk_channels("t", chosen(&ids[..3]), ChannelsDo::Delete, false).await.unwrap();
    assert_eq!(numbers(), &ids[3..]);
    library.undo("t", None).await.unwrap();
    assert_eq!(numbers(), ids);
    let set = ChannelSet { enabled: Some(false), category: Some("Off".into()), ..ChannelSet::default() };
    let done = library.bulk_channels("t", chosen(&ids), ChannelsDo::Set(set.clone()), false).await.unwrap();
    assert_eq!((done.created, done.updated), (1, 6), "the category too");
    let again = library.bulk_channels("t", chosen(&ids), ChannelsDo::Set(set), false).await.unwrap();
    assert_eq!((again.matched, again.updated, again.change), (6, 0, None), "what is so already stays");
    library.undo("t", None).await.unwrap();
    assert!(library.catalog().channels().iter().all(|c| c.enabled) && library.catalog().categories().len() == 1);
    let gone = library.bulk_channels("t", chosen(&[ids[0], 999]), ChannelsDo::Delete, false).await.unwrap_err();
    assert_eq!((gone.code, gone.field.as_deref()), (ErrorCode::NotFound, Some("ids[1]")));
    assert_eq!(numbers(), ids);
}

#[tokio::test]
async fn a_list_is_applied_whole_or_not_at_all() {
    let (_tmp, library) = open();
    let a = library.create_channel("t", draft("A", "http://h/a")).await.unwrap();
    let b = library.create_channel("t", draft("B", "http://h/b")).await.unwrap();
    let list = |text: serde_json::Value| serde_json::from_value::<Apply>(text).unwrap();
    // Numbers are swapped, a category is renamed and its old name used again.
    let news = library.create_category("t", CategoryDraft { name: "News".into(), position: None }).await.unwrap();
    let good = json!({"operations": [
        {"op": "create", "noun": "channels", "row": {"name": "C", "sources": [{"url": "http://h/c"}], "category": "News"}},
        {"op": "update", "noun": "channels", "id": a.id, "version": 1, "row": {"number": 2}},
        {"op": "update", "noun": "channels", "id": b.id, "row": {"number": 1, "name": "Bee", "version": 1}},
        {"op": "update", "noun": "categories", "id": news.id, "row": {"name": "Old"}},
        {"op": "create", "noun": "categories", "row": {"name": "News"}},
        {"op": "create", "noun": "users", "row": {"name": "ada"}},
    ]});
    let mut dry = list(good.clone());
    dry.dry_run = true;
    let shown = library.apply("t", dry).await.unwrap();
    assert_eq!((shown.created, shown.updated, shown.errors.len(), shown.passwords.len()), (3, 3, 0, 0), "{shown:?}");
    assert_eq!(library.catalog().channels().len(), 2);
    let done = library.apply("t", list(good)).await.unwrap();
    assert_eq!((done.created, done.updated, done.passwords.len()), (3, 3, 1));
    let names = || library.catalog().channels().iter().map(|c| c.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(), ["Bee", "A", "C"]);
    let rev = library.catalog().rev;
    let bad = json!({"operations": [
        {"op": "update", "noun": "channels", "id": a.id, "version": 1, "row": {"name": "X"}},
        {"op": "update", "noun": "channels", "id": b.id, "row": {"number": 3}},
        {"op": "update", "noun": "channels", "id": 99, "row": {"number": 3}},
        {"op": "create", "noun": "users", "row": {"name": "eve", "max": 1}},
        {"op": "delete", "noun": "categories", "id": 1},
        {"op": "delete", "noun": "settings", "id": 1},
    ]});
    let refused = library.apply("t", list(bad.clone())).await.unwrap_err();
    let told: Vec<_> =
        refused.errors.iter().map(|e| (e.index.unwrap(), e.code, e.field.as_deref().unwrap_or(""))).collect();
    assert_eq!(
        told,
        [
            (0, ErrorCode::Conflict, "version"),
            (1, ErrorCode::Conflict, "number"),
            (2, ErrorCode::NotFound, ""),
            (3, ErrorCode::Invalid, "max"),
            (4, ErrorCode::Conflict, ""),
            (5, ErrorCode::Invalid, "noun"),
        ]
    );
    let mut dry = list(bad);
    dry.dry_run = true;
    assert_eq!(library.apply("t", dry).await.unwrap().errors.len(), 6);
    assert_eq!(library.catalog().rev, rev);
    library.undo("t", done.change).await.unwrap();
    assert_eq!(names(), ["A", "B"]);
    assert!(library.catalog().viewers().len() == 0);
}
