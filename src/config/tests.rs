//! The configuration as an operator meets it: files, variables, flags, and everything that can be wrong with them.

use std::{collections::BTreeSet, fmt::Write as _};

use proptest::prelude::*;

use super::*;

fn env(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    // The machine's own configuration is none of a test's concern.
    let home = [("HOME", "/nonexistent"), ("CONFIGURATION_DIRECTORY", "/nonexistent/yagid")];
    home.iter().chain(pairs).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn with_file(text: impl AsRef<[u8]>) -> Result<Loaded, Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("yagid.toml");
    fs::write(&file, text).unwrap();
    let shown = file.display().to_string();
    load(&Flags { config: Some(file), ..Flags::default() }, env(&[]))
        .map_err(|faults| faults.iter().map(|f| f.to_string().replace(&shown, "yagid.toml")).collect())
}

#[test]
fn the_shipped_file_names_every_key_with_its_default() {
    let text = include_str!("../../config/yagid.toml");
    let loaded = with_file(text).unwrap();
    let expected = Config { paths: loaded.config.paths.clone(), ..Config::default() };
    assert_eq!(loaded.config, expected);
    let named: BTreeSet<&str> = loaded.origins.keys().map(String::as_str).collect();
    assert_eq!(named, keys::KEYS.iter().map(|k| k.name).collect());
    let table = text.parse::<Table>().unwrap();
    assert_eq!((table["paths"]["state_dir"].as_str(), table["paths"]["socket"].as_str()), (Some(""), Some("")));
    for (n, line) in text.lines().enumerate().filter(|(_, l)| l.contains(" = ") && !l.starts_with('#')) {
        assert!(text.lines().nth(n - 1).unwrap().starts_with('#'), "{line} has no comment above it");
    }
}

#[test]
fn the_key_table_is_the_config() {
    let value = serde_json::to_value(Config::default()).unwrap();
    let fields: BTreeSet<String> = value
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(s, v)| v.as_object().unwrap().keys().map(move |k| format!("{s}.{k}")))
        .collect();
    assert_eq!(fields, keys::KEYS.iter().map(|k| k.name.to_owned()).collect());
}

/// Every file of the corpus with what an operator is told: the keys that it changes, or all its faults.
#[test]
fn the_corpus_of_files() {
    let mut files: Vec<PathBuf> = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/config"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut out = String::new();
    for file in files {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let _ = writeln!(out, "== {name}");
        match with_file(fs::read(&file).unwrap()) {
            Ok(loaded) => {
                assert!(name.starts_with("good-"), "{name} is taken");
                for row in loaded.rows().into_iter().filter(|r| r.origin == "file") {
                    let _ = writeln!(out, "{} = {}", row.key, row.value);
                }
            }
            Err(faults) => {
                assert!(name.starts_with("bad-"), "{name}: {faults:#?}");
                for fault in faults {
                    let _ = writeln!(out, "{}", fault.replace("yagid.toml", &name));
                }
            }
        }
    }
    insta::assert_snapshot!("corpus", out);
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f.toml");
    fs::write(&file, "[server]\nlisten = [\"127.0.0.1:1\"]\nlogin_tries = 5\n[stream]\nring_mib = 16\n").unwrap();
    let flags = Flags { config: Some(file), listen: vec!["127.0.0.1:3".into()], no_demo: true, ..Flags::default() };
    let loaded =
        load(&flags, env(&[("YAGI__SERVER__LISTEN", "127.0.0.1:2"), ("YAGI__SERVER__LOGIN_TRIES", "7")])).unwrap();
    assert_eq!(loaded.config.server.listen[0].port(), 3);
    assert_eq!(
        (loaded.config.server.login_tries, loaded.config.stream.ring_mib, loaded.config.demo.enabled),
        (7, 16, false)
    );
    let row = |key: &str| loaded.rows().into_iter().find(|r| r.key == key).unwrap().origin;
    assert_eq!(
        [row("server.listen"), row("server.login_tries"), row("stream.ring_mib"), row("log.filter")],
        ["flag", "env", "file", "default"]
    );
}

#[test]
fn faults_of_all_sources_come_together() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f.toml");
    fs::write(&file, "[server]\nlogin_tries = 0\n").unwrap();
    let flags = Flags { config: Some(file.clone()), listen: vec!["8080".into()], ..Flags::default() };
    let variables = env(&[
        ("YAGI__DEMO__ENABLED", "maybe"),
        ("YAGI__NO", "1"),
        ("YAGI_STREAM_RING_MIB", "9"),
        ("YAGI_SOCKET", "/x"),
    ]);
    let faults: Vec<String> = load(&flags, variables).unwrap_err().iter().map(ToString::to_string).collect();
    let first = format!("{}:2: server.login_tries: 0 is out of range: expected 1 to 10000", file.display());
    assert_eq!(
        faults,
        [
            first.as_str(),
            "YAGI_STREAM_RING_MIB: stream.ring_mib: expected two underscores: YAGI__STREAM__RING_MIB",
            "YAGI__DEMO__ENABLED: demo.enabled: expected true or false, found \"maybe\"",
            "YAGI__NO: no: there is no such key",
            "--listen: server.listen: \"8080\": expected ADDRESS:PORT such as 0.0.0.0:8080 or [::]:8080",
        ]
    );
}

#[test]
fn a_file_that_cannot_be_one_is_named() {
    let message = |path: &Path| {
        let flags = Flags { config: Some(path.to_owned()), ..Flags::default() };
        load(&flags, env(&[])).unwrap_err().remove(0).message
    };
    assert_eq!(message(Path::new("/nonexistent/y.toml")), "there is no such file");
    assert!(message(&std::env::temp_dir()).starts_with("cannot be read: "));
    assert_eq!(message(Path::new("/dev/zero")), "has more than 1 MiB: expected a configuration");
    assert!(with_file(b"[log]\n\xff = 1\n").unwrap_err()[0].contains("line 2 is not UTF-8"));
    let faults = load(&Flags::default(), env(&[("YAGI__LOG__FILTER\u{1b}[2J", "")])).unwrap_err();
    assert!(faults.iter().all(|f| !f.to_string().contains('\u{1b}')), "{faults:?}");
}

#[test]
fn a_mistyped_level_is_no_filter() {
    for good in ["info", "off", "WARN", "info,yagid::upstream=debug", "warn, yagid=trace"] {
        keys::filter(good).unwrap();
    }
    for bad in ["", "inof", "info,yagid", "yagid=loud", "=debug", "info,,debug"] {
        assert!(keys::filter(bad).is_err(), "{bad:?} is taken");
    }
}

proptest! {
    #[test]
    fn no_file_makes_it_panic(text in "(\\[[a-z]{0,8}\\]\n|[a-z_.]{1,12} ?= ?[\"0-9a-z\\[\\]{},=]{0,12}\n|\\PC{0,20}\n){0,12}") {
        let _ = with_file(&text);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = with_file(&bytes);
    }

    #[test]
    fn a_known_key_takes_its_values_or_says_why(key in 0..keys::KEYS.len(), value in "[0-9]{0,22}|true|\\PC{0,12}") {
        let key = &keys::KEYS[key];
        let name = variable(key.name, "__");
        match load(&Flags::default(), env(&[(name.as_str(), value.as_str())])) {
            Ok(loaded) => prop_assert_eq!(loaded.origins.get(key.name), Some(&Origin::Env)),
            Err(faults) => prop_assert!(faults.iter().all(|f| f.place == name && f.key == key.name)),
        }
    }
}

/// The list of keys that a reload applies, and what it applies, are the same.
#[test]
fn a_reload_takes_the_live_keys_and_leaves_the_others() {
    let other = |key: &str, value: &Value| match value {
        Value::Array(_) if key.ends_with("listen") => Value::Array(vec!["127.0.0.1:1".into()]),
        Value::String(text) if text == "info" => "debug".into(),
        Value::String(text) if text == "text" => "json".into(),
        Value::String(text) if text == "both" => "forwarded".into(),
        Value::String(text) if text.starts_with("http") => "http://other:1".into(),
        Value::String(_) => "http://127.0.0.1:1".into(),
        Value::Integer(n) => Value::Integer(n + 1),
        Value::Boolean(yes) => Value::Boolean(!yes),
        Value::Array(list) if list.is_empty() => Value::Array(vec!["10.0.0.0/8".into()]),
        Value::Array(_) => Value::Array(vec!["127.0.0.1:1".into()]),
        other => other.clone(),
    };
    let old = Loaded { config: Config::default(), origins: BTreeMap::new(), file: None };
    let mut values = Value::try_from(&old.config).unwrap();
    for section in values.as_table_mut().unwrap().iter_mut() {
        for (key, value) in section.1.as_table_mut().unwrap().iter_mut() {
            *value = other(key, value);
        }
    }
    let new = Loaded { config: values.try_into().unwrap(), origins: BTreeMap::new(), file: None };
    let changed = differences(&old, &new);
    assert_eq!(changed.len(), keys::KEYS.len(), "every key differs");
    let applied: BTreeSet<String> = differences(&old, &in_force(&old, &new)).into_iter().map(|k| k.key).collect();
    let live: BTreeSet<String> = changed.into_iter().filter(|k| k.applied).map(|k| k.key).collect();
    assert_eq!(applied, live);
}

#[test]
fn a_reload_reads_the_file_again_and_keeps_the_flags() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("yagid.toml");
    fs::write(&file, "[log]\nfilter = \"info\"\n").unwrap();
    let flags = Flags { config: Some(file.clone()), listen: vec!["127.0.0.1:9".into()], ..Flags::default() };
    let old = load(&flags, env(&[])).unwrap();
    fs::write(&file, "[log]\nfilter = \"debug\"\n[server]\nlisten = [\"127.0.0.1:7\"]\n").unwrap();
    let new = reload(&old, env(&[])).unwrap();
    assert_eq!(new.config.log.filter, "debug");
    assert_eq!(new.config.server.listen, old.config.server.listen, "a flag wins over the file");
    fs::write(&file, "[log]\nfiler = 1\n[server]\nlisten = 1\n").unwrap();
    assert_eq!(reload(&old, env(&[])).unwrap_err().len(), 2);
}
