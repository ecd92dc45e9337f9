//! `vecino load`: every format, twice, with bad rows.

use std::path::Path;

use datasets::sample::{SEED, sample};
use ndarray::Array2;
use serde_json::{Value, json};

use crate::harness::{Server, write};

/// Twelve drawn pictures in folders named by what they show, without words beside them.
fn pictures(folder: &Path) -> std::path::PathBuf {
    let chosen = ["apple", "car", "cat", "star"];
    for label in chosen {
        for picture in sample(SEED)
            .filter(|picture| picture.label == label)
            .take(3)
        {
            write(
                folder,
                &format!("pictures/{label}/{}", picture.name),
                &picture.png,
            );
        }
    }
    folder.join("pictures")
}

fn counts(report: &Value) -> [u64; 4] {
    [
        "rows_read",
        "points_added",
        "points_updated",
        "rows_skipped",
    ]
    .map(|key| report[key].as_u64().unwrap())
}

#[test]
fn a_folder_of_pictures_twice_adds_nothing() {
    let server = Server::start();
    let folder = pictures(server.folder.path());
    let first = server.load(&folder, "pictures", &[]);
    assert_eq!(counts(&first), [12, 12, 0, 0], "{first}");
    assert_eq!(
        (&first["created"], &first["format"]),
        (&json!(true), &json!("folder"))
    );
    let second = server.load(&folder, "pictures", &[]);
    assert_eq!(counts(&second), [12, 0, 12, 0], "{second}");
    assert_eq!(second["created"], false);

    // A folder of another name with the same file in it is something else.
    let apple = std::fs::read_dir(folder.join("apple"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let other = write(
        server.folder.path(),
        &format!("other/apple/{}", apple.file_name().unwrap().display()),
        std::fs::read(&apple).unwrap(),
    );
    let report = server.load(other.parent().unwrap().parent().unwrap(), "pictures", &[]);
    assert_eq!(counts(&report), [1, 1, 0, 0], "{report}");
}

#[test]
fn texts_from_jsonl_from_gzip_and_from_a_pipe() {
    let server = Server::start();
    let rows = "{\"id\": 1, \"text\": \"a green apple\"}\n{\"id\": \"two\", \"title\": \"Cars\", \"text\": \"a red car\", \"year\": 1990}\n";
    let path = server.file("texts.jsonl", rows);
    assert_eq!(counts(&server.load(&path, "texts", &[])), [2, 2, 0, 0]);
    assert_eq!(counts(&server.load(&path, "texts", &[])), [2, 0, 2, 0]);

    let mut packed = std::process::Command::new("gzip")
        .arg("-k")
        .arg(&path)
        .spawn()
        .unwrap();
    assert!(packed.wait().unwrap().success());
    assert_eq!(
        counts(&server.load(&server.folder.path().join("texts.jsonl.gz"), "texts", &[])),
        [2, 0, 2, 0]
    );

    let piped = server.run_with_input(&["load", "-", "-c", "texts", "--json"], rows.as_bytes());
    assert_eq!(counts(&piped.json()), [2, 0, 2, 0], "{piped:?}");
    // Rows of a pipe without ids are told by their content.
    for added in [1, 0] {
        let piped = server.run_with_input(
            &["load", "-", "-c", "texts", "--json"],
            b"{\"text\": \"no id\"}\n",
        );
        assert_eq!(piped.json()["points_added"], added, "{piped:?}");
    }
}

/// Rows without an id of parts with the same name overwrote each other.
#[test]
fn parts_of_one_name_are_different_rows() {
    let server = Server::start();
    let a = server.file("a/part.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\"}\n");
    let b = server.file("b/part.jsonl", "{\"text\": \"three\"}\n");
    assert_eq!(counts(&server.load(&a, "parts", &[])), [2, 2, 0, 0]);
    assert_eq!(counts(&server.load(&b, "parts", &[])), [1, 1, 0, 0]);
    // By another path to the same file, they are the same rows; the report says what that means.
    let again = server.load("a/part.jsonl".as_ref(), "parts", &[]);
    assert_eq!(counts(&again), [2, 0, 2, 0]);
    assert!(
        again["remarks"].to_string().contains("--id-prefix"),
        "{again}"
    );
    // Moved data keep their ids by the prefix that they had.
    let prefix = a.parent().unwrap().canonicalize().unwrap();
    let prefix = prefix.to_str().unwrap();
    let moved = server.file("c/part.jsonl", std::fs::read(&a).unwrap());
    let moved = server.load(&moved, "parts", &["--id-prefix", prefix]);
    assert_eq!(counts(&moved), [2, 0, 2, 0]);
}

/// They had ids that nobody knows.
#[test]
fn words_are_the_ids_of_their_vectors() {
    let server = Server::start();
    let path = server.file(
        "vectors.txt",
        "king 1 0.1 0.2 0.3\nqueen 1 0.2 0.2 0.3\n2003 -1 5 5 5\n",
    );
    assert_eq!(counts(&server.load(&path, "glove", &[])), [3, 3, 0, 0]);
    let found = server.json(&["search", "--like", "king", "-c", "glove", "-k", "1"]);
    assert_eq!(found["points"][0]["id"], "queen", "{found}");
    let found = server.json(&["search", "--like", "\"2003\"", "-c", "glove", "-k", "1"]);
    assert_eq!(found["points"].as_array().unwrap().len(), 1, "{found}");
}

#[test]
fn columns_of_a_csv_are_a_vector() {
    let server = Server::start();
    let path = server.file(
        "colors.csv",
        "id,name,r,g,b\n0,red,255,0,0\n1,green,0,255,0\n2,blue,0,0,255\n",
    );
    let report = server.load(&path, "colors", &["--vector-columns", "r,g,b"]);
    assert_eq!(counts(&report), [3, 3, 0, 0]);
    let found = server.json(&["search", "[250, 9, 3]", "-c", "colors", "-k", "1"]);
    assert_eq!(found["points"][0]["payload"]["name"], "red", "{found}");
    // Euclid by itself for so few numbers: the score is a distance.
    assert_eq!(found["points"][0]["score"].as_f64().unwrap().round(), 11.0);
}

#[test]
fn files_of_vectors() {
    let server = Server::start();
    let folder = server.folder.path();
    let matrix = Array2::from_shape_fn((50, 4), |(row, column)| (row * 4 + column) as f32 + 0.5);
    let npy = folder.join("base.npy");
    datasets::writers::npy(std::fs::File::create(&npy).unwrap(), matrix.view()).unwrap();
    let fvecs: Vec<u8> = matrix
        .rows()
        .into_iter()
        .flat_map(|row| {
            4i32.to_le_bytes()
                .into_iter()
                .chain(row.to_vec().into_iter().flat_map(f32::to_le_bytes))
        })
        .collect();
    let fvecs = server.file("base.fvecs", fvecs);
    // IDX: magic with type u8 and two axes, their lengths big-endian, the bytes.
    let mut idx = vec![0, 0, 8, 2, 0, 0, 0, 5, 0, 0, 0, 4];
    idx.extend(0..20u8);
    let idx = server.file("five-idx2-ubyte", idx);
    for (path, collection, rows) in [(&npy, "npy", 50), (&fvecs, "fvecs", 50), (&idx, "idx", 5)] {
        assert_eq!(
            counts(&server.load(path, collection, &[])),
            [rows, rows, 0, 0],
            "{collection}"
        );
        assert_eq!(
            counts(&server.load(path, collection, &[])),
            [rows, 0, rows, 0],
            "{collection}"
        );
    }
    let found = server.json(&["search", "[20.5, 21.5, 22.5, 23.5]", "-c", "npy", "-k", "1"]);
    let same = server.json(&[
        "search",
        "[20.5, 21.5, 22.5, 23.5]",
        "-c",
        "fvecs",
        "-k",
        "1",
    ]);
    assert_eq!(found["points"][0]["score"], 0.0, "{found}");
    assert_eq!(same["points"][0]["score"], 0.0, "{same}");
    let few = server.load(
        &npy,
        "few",
        &[
            "--limit",
            "7",
            "--metric",
            "manhattan",
            "--index",
            "flat",
            "--batch",
            "2",
        ],
    );
    assert_eq!(counts(&few), [7, 7, 0, 0]);
}

#[test]
fn bad_rows_go_to_the_errors_file() {
    let server = Server::start();
    let rows = "{\"id\": 1, \"text\": \"good\"}\nnot JSON\n{\"id\": 3, \"year\": 1990}\n{\"id\": 4, \"text\": \"good too\"}\n";
    let path = server.file("mixed.jsonl", rows);
    let ran = server.run(&["load", path.to_str().unwrap(), "-c", "mixed"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(
        ran.out.contains("2 points added")
            && ran.out.contains("2 skipped")
            && ran.out.contains("mixed.errors.jsonl"),
        "{}",
        ran.out
    );
    let reasons = errors(&server.folder.path().join("mixed.errors.jsonl"));
    assert!(
        reasons[0]["source"].as_str().unwrap().contains("line 2")
            && reasons[0]["reason"].as_str().unwrap().contains("JSON"),
        "{reasons:?}"
    );
    assert_eq!(reasons[1]["source"], "mixed.jsonl line 3");
    assert!(
        reasons[1]["id"] == 3 && reasons[1]["reason"].as_str().unwrap().contains("year"),
        "{reasons:?}"
    );
    assert_eq!(reasons.len(), 2);
}

#[test]
fn a_bad_picture_among_good_ones() {
    let server = Server::start();
    let folder = pictures(server.folder.path());
    let good = std::fs::read(
        std::fs::read_dir(folder.join("cat"))
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path(),
    )
    .unwrap();
    write(&folder, "cat/truncated.png", &good[..good.len() / 2]);
    write(&folder, "cat/text.jpg", "I am no picture");
    let ran = server.run(&[
        "load",
        folder.to_str().unwrap(),
        "-c",
        "pictures",
        "--errors",
        "bad.jsonl",
        "--json",
    ]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_eq!(counts(&ran.json()), [14, 12, 0, 2], "{ran:?}");
    let mut sources: Vec<String> = errors(&server.folder.path().join("bad.jsonl"))
        .iter()
        .map(|row| row["source"].as_str().unwrap().to_owned())
        .collect();
    sources.sort();
    assert_eq!(sources, ["cat/text.jpg", "cat/truncated.png"]);
}

#[test]
fn a_bad_vector_in_a_batch_leaves_the_others() {
    let server = Server::start();
    let path = server.file("three.csv", "id,a,b,c\n1,1,2,3\n2,4,5,6\n");
    server.load(&path, "vectors", &["--vector-columns", "a,b,c"]);
    let rows: String = (0..20)
        .map(|id| {
            format!(
                "{{\"id\": {id}, \"vector\": [{}]}}\n",
                if id == 13 { "1, 2" } else { "1, 2, 3" }
            )
        })
        .collect();
    let path = server.file("mixed.jsonl", rows);
    let ran = server.run(&["load", path.to_str().unwrap(), "-c", "vectors", "--json"]);
    assert_eq!(
        (ran.code, counts(&ran.json())),
        (3, [20, 17, 2, 1]),
        "{ran:?}"
    );
    let reasons = errors(&server.folder.path().join("vectors.errors.jsonl"));
    assert_eq!(reasons[0]["id"], 13);
    assert_eq!(reasons[0]["source"], "mixed.jsonl line 14");
    let reason = reasons[0]["reason"].as_str().unwrap();
    assert!(!reason.contains("item"), "{reason}");
}

#[test]
fn rows_that_do_not_fit_at_all_end_the_load() {
    let server = Server::start();
    let path = server.file("three.csv", "id,a,b,c\n1,1,2,3\n");
    server.load(&path, "vectors", &["--vector-columns", "a,b,c"]);
    let rows: String = (0..3000).map(|id| format!("{id},1,2\n")).collect();
    let path = server.file("two.csv", format!("id,a,b\n{rows}"));
    let ran = server.run(&[
        "load",
        path.to_str().unwrap(),
        "-c",
        "vectors",
        "--vector-columns",
        "a,b",
    ]);
    ran.failed_with(&["all refused", "mend"]);
}

#[test]
fn rows_with_nothing_to_search_by_make_no_collection() {
    let server = Server::start();
    let rows: String = (0..3000).map(|id| format!("{id},x,{id}\n")).collect();
    let path = server.file("towns.csv", format!("id,name,lat\n{rows}"));
    let ran = server.run(&["load", path.to_str().unwrap(), "-c", "towns"]);
    ran.failed_with(&[
        "none of the first 100 rows",
        "lat",
        "--vector-columns",
        "towns.errors.jsonl",
    ]);
    server
        .run(&["search", "x", "-c", "towns"])
        .failed_with(&["doesn't exist"]);
}

fn errors(path: &Path) -> Vec<Value> {
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
