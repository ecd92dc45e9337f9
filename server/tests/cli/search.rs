//! `vecino search` with texts, pictures, vectors and stored points.

use datasets::sample::{SEED, sample};

use crate::harness::{Server, wait_until_sealed, write};

#[test]
fn texts_pictures_and_stored_points() {
    let server = Server::start();
    for picture in sample(SEED).filter(|picture| ["apple", "car", "moon"].contains(&picture.label))
    {
        write(
            server.folder.path(),
            &format!("things/{}/{}", picture.label, picture.name),
            &picture.png,
        );
    }
    server.load(&server.folder.path().join("things"), "things", &[]);
    let label = |found: &serde_json::Value, rank: usize| {
        found["points"][rank]["payload"]["label"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };

    for mode in ["dense", "sparse", "hybrid"] {
        let found = server.json(&["search", "moon", "-c", "things", "--mode", mode, "-k", "3"]);
        assert_eq!(label(&found, 0), "moon", "{mode}: {found}");
    }
    // Another drawing of a car, which is not in the collection.
    let car = sample(SEED + 1)
        .find(|picture| picture.label == "car")
        .unwrap();
    let path = server.file("unknown.png", &car.png);
    let found = server.json(&["search", path.to_str().unwrap(), "-c", "things", "-k", "3"]);
    assert_eq!(label(&found, 0), "car", "{found}");

    let id = found["points"][0]["id"].as_str().unwrap();
    let like = server.json(&["search", "--like", id, "-c", "things", "-k", "3"]);
    assert_eq!(label(&like, 0), "car", "{like}");
    assert_ne!(like["points"][0]["id"], id);
    let using = server.json(&[
        "search", "--like", id, "--using", "image", "-c", "things", "-k", "3",
    ]);
    assert_eq!(label(&using, 0), "car", "{using}");

    let filter = r#"{"must": [{"key": "label", "match": {"value": "apple"}}]}"#;
    let filtered = server.json(&[
        "search", "moon", "-c", "things", "--mode", "dense", "--filter", filter, "-k", "2",
    ]);
    assert_eq!(
        (label(&filtered, 0), label(&filtered, 1)),
        ("apple".into(), "apple".into()),
        "{filtered}"
    );

    let text = server.run(&["search", "moon", "-c", "things", "-k", "2", "--explain"]);
    assert_eq!(text.code, 0, "{text:?}");
    assert!(
        text.out.starts_with("  1.") && text.out.contains("moon") && text.out.contains("plan:"),
        "{}",
        text.out
    );
    assert!(!text.out.contains('\u{1b}'), "no colours in a pipe");
}

#[test]
fn three_dimensions_are_searched_by_a_k_d_tree() {
    let server = Server::start();
    let rows: String = (0..500)
        .map(|row| {
            format!(
                "{row},{},{},{}\n",
                row * 7 % 256,
                row * 13 % 256,
                row * 29 % 256
            )
        })
        .collect();
    let path = server.file("points.csv", format!("id,x,y,z\n{rows}"));
    server.load(&path, "points", &["--vector-columns", "x,y,z"]);
    wait_until_sealed(&server, "points");
    let found = server.json(&["search", "[1, 2, 3]", "-c", "points", "--explain"]);
    assert_eq!(
        found["explain"]["segments"][0]["index"], "kdtree",
        "{found}"
    );
    let text = server.run(&["search", "[1, 2, 3]", "-c", "points", "--explain"]);
    assert!(text.out.contains("kdtree over 500 rows"), "{}", text.out);
}

#[test]
fn effort_is_chosen_by_option() {
    const ROWS: u32 = 3000;
    let server = Server::start();
    let row = |id: u32| (0..12).map(move |at| (id * 31 + at * 17 * (id % 29 + 1)) % 256);
    let rows =
        (0..ROWS).map(|id| row(id).fold(id.to_string(), |line, number| format!("{line},{number}")));
    let names: Vec<String> = (0..12).map(|at| format!("x{at}")).collect();
    let columns = names.join(",");
    let text = format!("id,{columns}\n{}\n", rows.collect::<Vec<_>>().join("\n"));
    let path = server.file("points.csv", text);
    server.load(&path, "points", &["--vector-columns", &columns]);
    wait_until_sealed(&server, "points");

    let query = format!("{:?}", row(7).collect::<Vec<_>>());
    let visited = |options: &[&str]| {
        let all = [&["search", &query, "-c", "points", "--explain"], options].concat();
        let found = server.json(&all);
        let segment = &found["explain"]["segments"][0];
        assert_eq!(segment["rows"], ROWS, "{found}");
        segment["visited"].as_u64().unwrap()
    };
    assert_eq!(visited(&["--exact"]), u64::from(ROWS));
    let of_target = |target: &str| visited(&["--target-recall", target]);
    let (low, high) = (of_target("0.5"), of_target("0.95"));
    assert!(low < high && high < u64::from(ROWS), "{low} {high}");
    // So much no walk may have been measured to bring, and then all are scanned.
    let highest = of_target("0.999");
    assert!((high..=u64::from(ROWS)).contains(&highest), "{highest}");

    let refused = server.run(&["search", &query, "-c", "points", "--target-recall", "95"]);
    assert!(
        refused.code != 0 && refused.err.contains("at most 1"),
        "{refused:?}"
    );
    let refused = server.run(&[
        "search",
        &query,
        "-c",
        "points",
        "--exact",
        "--target-recall",
        "0.9",
    ]);
    assert_eq!(refused.code, 2, "{refused:?}");
}
