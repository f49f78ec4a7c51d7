//! What verbs must heed: names that look like ids, `--read-only`, names with separators, and how much was asked for.

use serde_json::Value;

use crate::verbs::house;

#[test]
fn a_number_is_a_name_first() {
    let house = house();
    for (list, name) in [("users", "1"), ("sources", "2"), ("clients", "3")] {
        house.fake.rows.lock().unwrap().lists.get_mut(list).unwrap()[1]["name"] = name.into();
    }
    house.text(&["users", "rm", "1", "--yes"]);
    house.text(&["users", "off", "id:1"]);
    house.text(&["sources", "rm", "2", "--yes"]);
    house.text(&["kick", "3"]);
    house.text(&["kick", "id:3"]);
    let changes = house.changes();
    assert_eq!(changes[0], "DELETE /api/users/1 ");
    assert!(changes[1].contains(r#""ids":[1]"#), "{changes:?}");
    let rest: Vec<&str> = changes[2..].iter().map(|c| c.trim_end()).collect();
    assert_eq!(rest, ["DELETE /api/sources/id:2", "DELETE /api/clients/2", "DELETE /api/clients/3"]);
    let named: Vec<Value> = house.fake.rows.lock().unwrap().lists["users"].iter().map(|u| u["name"].clone()).collect();
    assert_eq!(named, ["alice", "carla", "dario"]);
}

#[test]
fn read_only_holds_for_verbs_too() {
    let house = house();
    let ssh = house.script("ssh", "#!/bin/sh\nexec \"$YAGI_BIN\" proxy-stdio\n");
    for args in
        ["--read-only users add x", "users rm alice --yes --read-only", "--read-only -y api POST /api/undo -d {}"]
    {
        let (code, said) = house.code(&args.split(' ').collect::<Vec<_>>());
        assert!(code == 6 && said.contains("--read-only"), "{args}: {code} {said}");
    }
    let far = |args: &[&str]| {
        let out =
            house.command(args).env("YAGI_SSH", &ssh).env("YAGI_BIN", env!("CARGO_BIN_EXE_yagi")).output().unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stdout).into_owned())
    };
    assert_eq!(far(&["--read-only", "ssh", "tv1", "users", "off", "alice"]).0, Some(6));
    let (code, csv) = far(&["--read-only", "-o", "csv", "ssh", "tv1", "users"]);
    assert!(code == Some(0) && csv.starts_with("id,"), "{csv}");
    assert_eq!(house.changes(), Vec::<String>::new());
    for args in
        ["--read-only users", "--read-only sources probe http://prov-a.example/x", "--read-only epg match --dry-run"]
    {
        assert_eq!(house.code(&args.split(' ').collect::<Vec<_>>()).0, 0, "{args}");
    }
}

#[test]
fn a_look_before_a_refresh_is_a_plan_of_the_playlist_as_it_is_now() {
    let house = house();
    house.text(&["sources", "refresh", "prov-a", "--dry-run"]);
    assert!(
        house.fake.seen().contains(&"GET /api/lineup/id%3A1/plan?fetch=true ".to_owned()),
        "{:?}",
        house.fake.seen()
    );
}

#[test]
fn of_the_lines_that_match_the_last_are_shown() {
    let house = house();
    let said = house.text(&["logs", "-n", "1", "--filter", "e"]);
    assert!(said.lines().count() == 1 && said.contains("engine does not answer"), "{said}");
}

#[test]
fn events_can_be_asked_for_of_every_noun() {
    let house = house();
    let (code, said) = house.code(&["events", "--topics", "nothing"]);
    assert_eq!(code, 2);
    for noun in yagi_api::Noun::ALL {
        assert!(said.contains(noun.word()), "{said}");
    }
    assert!(said.contains("job"), "{said}");
}

#[test]
fn categories_have_any_name() {
    let house = house();
    house.text(&["users", "add", "zoe", "--categories", "A, \"B, C\"", "--category", "News; \"Late\""]);
    assert!(house.changes()[0].contains(r#""categories":["A","B, C","News; \"Late\""]"#), "{:?}", house.changes());
}

#[test]
fn a_long_name_is_cut_for_people() {
    let house = house();
    let said = house.text(&["sources", "probe", "http://prov-a.example/long"]);
    assert!(said.contains("nnn...") && said.lines().all(|line| line.chars().count() < 100), "{said}");
}
