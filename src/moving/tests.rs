//! A database as the replaced system makes it, taken in.
//!
//! Must not enter: the daemon. Invariant: ids are compared, and a dry run leaves no row.

use rusqlite::Connection;

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef01234567";

fn old(dir: &Path) -> std::path::PathBuf {
    let path = dir.join("old.db");
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch(&format!(
        "CREATE TABLE categories (id INTEGER PRIMARY KEY, name VARCHAR, parent_id INTEGER, display_order INTEGER);
         INSERT INTO categories VALUES (1, 'Sport', NULL, 2), (2, 'News', NULL, 1);
         CREATE TABLE channels (id INTEGER PRIMARY KEY, name VARCHAR, acestream_id VARCHAR, stream_url VARCHAR(500), category_id INTEGER,
            logo_url VARCHAR, epg_id VARCHAR, is_active BOOLEAN, display_order INTEGER);
         INSERT INTO channels VALUES (7, 'Ace One', '{ID}', NULL, 1, 'http://l/1.png', 'one.it', 1, 0),
            (12, 'Web', NULL, 'http://h/2.ts', 2, '/static/x.png', NULL, 0, 0),
            (40, 'Both', '{ID}', 'http://h/3.ts', NULL, NULL, '', 1, 0),
            (41, 'Nothing', NULL, 'file:///etc/passwd', NULL, NULL, NULL, 1, 0);
         CREATE TABLE users (id INTEGER PRIMARY KEY, username VARCHAR, password_hash VARCHAR, is_active BOOLEAN, is_admin BOOLEAN,
            is_trial BOOLEAN, max_connections INTEGER, expiry_date DATETIME, notes TEXT);
         INSERT INTO users VALUES (1, 'admin', '$2b$12$x', 1, 1, 0, 5, NULL, NULL),
            (2, 'alice', '$2b$12$y', 1, 0, 1, 2, '2027-01-01 00:00:00.000000', 'pays'), (3, 'bad name', 'h', 1, 0, 0, 1, NULL, NULL);
         CREATE TABLE scraper_urls (id INTEGER PRIMARY KEY, url VARCHAR, is_enabled BOOLEAN);
         INSERT INTO scraper_urls VALUES (1, 'http://p/list.m3u', 1);
         CREATE TABLE epg_sources (id INTEGER PRIMARY KEY, url VARCHAR, is_enabled BOOLEAN);
         INSERT INTO epg_sources VALUES (1, 'http://p/guide.xml.gz', 0);"
    ))
    .unwrap();
    path
}

#[test]
fn channels_keep_their_ids_and_users_get_passwords() {
    let dir = tempfile::tempdir().unwrap();
    let (database, state) = (old(dir.path()), dir.path().join("state"));
    let (env, csv) = (dir.path().join(".env"), dir.path().join("passwords.csv"));
    std::fs::write(&env, "SERVER_PORT=6880\nACESTREAM_ENGINE_HOST=10.0.0.9\nSCRAPER_UPDATE_INTERVAL=3600\nSCRAPER_URLS=http://p/list.m3u,http://p/more.m3u\n").unwrap();
    std::fs::write(&csv, "alice,Secret-Of-Alice\nbob,x\n").unwrap();
    let mut request = Request { database: &database, env: Some(&env), passwords: Some(&csv), dry_run: true };
    let told = run(&state, &request).unwrap();
    assert!(told.starts_with("Dry run") && !told.contains("Secret-Of-Alice"), "{told}");
    let opened = Library::open(&state, Events::default()).unwrap().library;
    assert!(opened.catalog().channels().is_empty() && opened.catalog().viewers().len() == 0);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(opened.close());
    drop(opened);
    request.dry_run = false;
    let told = run(&state, &request).unwrap();
    let shown: String = told.lines().map(|l| format!("{}\n", l.trim_end())).collect();
    let admin =
        shown.lines().find(|l| l.starts_with("  admin ")).unwrap().split_whitespace().nth(1).unwrap().to_owned();
    insta::assert_snapshot!(shown.replace(&admin, "GENERATED"));
    let library = Library::open(&state, Events::default()).unwrap().library;
    let catalog = library.catalog();
    let ids: Vec<_> = catalog.channels().iter().map(|c| (c.id.0, c.number, c.name.as_str(), c.sources.len())).collect();
    assert_eq!(ids, [(7, 1, "Ace One", 1), (12, 2, "Web", 1), (40, 3, "Both", 2)]);
    let alice = catalog.viewer("alice").unwrap();
    assert!(
        alice.password.matches("Secret-Of-Alice") && alice.user.expires_at == Some(1_798_761_600) && alice.user.trial
    );
    assert_eq!(catalog.settings().playlist_interval_s, 3600);
    // A second run takes nothing twice.
    drop(catalog);
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(library.close());
    drop(library);
    let again = run(&state, &request).unwrap();
    assert!(again.contains("there is a channel with this id already"), "{again}");
}

#[test]
fn other_files_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.db");
    std::fs::write(&file, "hello").unwrap();
    let request = Request { database: &file, env: None, passwords: None, dry_run: true };
    assert!(run(&dir.path().join("state"), &request).unwrap_err().to_string().contains("no SQLite database"));
    let request = Request { database: &dir.path().join("none.db"), ..request };
    assert!(run(&dir.path().join("state"), &request).unwrap_err().to_string().contains("no such file"));
}
