//! Snapshots over HTTP: made, listed, downloaded, uploaded, recovered from, deleted.

use serde_json::{Value, json};

use crate::harness::{Server, assert_contains, error_of};

fn filled() -> Server {
    let server = Server::start();
    server.create("c", 2, "Euclid");
    let points: Vec<Value> = (0..300)
        .map(|id| json!({"id": id, "vector": [id, 1], "payload": {"serial": id}}))
        .collect();
    server.ok("PUT", "/collections/c/points", &json!({ "points": points }));
    server
}

fn count(server: &Server, name: &str) -> u64 {
    let path = format!("/collections/{name}/points/count");
    server.ok("POST", &path, &json!({}))["count"]
        .as_u64()
        .unwrap()
}

fn make(server: &Server) -> String {
    let made = server.ok("POST", "/collections/c/snapshots", &Value::Null);
    made["name"].as_str().unwrap().to_owned()
}

#[test]
fn a_snapshot_travels() {
    let server = filled();
    let none = server.ok("GET", "/collections/c/snapshots", &Value::Null);
    assert_eq!(none, json!([]));
    let name = make(&server);
    let listed = server.ok("GET", "/collections/c/snapshots", &Value::Null);
    assert_eq!(listed[0]["name"], name);
    assert_eq!(listed[0]["creation_time"].as_str().unwrap().len(), 19);

    let path = format!("/collections/c/snapshots/{name}");
    let archive = server.get(&path);
    assert_eq!(archive.status, 200);
    assert_eq!(
        archive.bytes.len() as u64,
        listed[0]["size"].as_u64().unwrap()
    );
    assert_eq!(
        archive.header("content-length"),
        archive.bytes.len().to_string()
    );

    // To another server, as the body and as a form.
    let other = Server::start();
    let upload = "/collections/copy/snapshots/upload";
    let reply = other.send("POST", upload, &[], &archive.bytes);
    assert_eq!(reply.status, 200, "{}", reply.json());
    assert_eq!(count(&other, "copy"), 300);
    let form = [
        b"--x\r\ncontent-disposition: form-data; name=\"snapshot\"; filename=\"a.vecino\"\r\n\r\n",
        archive.bytes.as_slice(),
        b"\r\n--x--\r\n",
    ]
    .concat();
    let headers = [("content-type", "multipart/form-data; boundary=x")];
    let reply = other.send(
        "POST",
        "/collections/form/snapshots/upload",
        &headers,
        &form,
    );
    assert_eq!(reply.status, 200, "{}", reply.json());
    let same = json!({"query": [7.2, 1.0], "limit": 1, "with_payload": true});
    for name in ["copy", "form"] {
        let path = format!("/collections/{name}/points/query");
        let found = other.ok("POST", &path, &same);
        assert_eq!(found["points"][0]["payload"]["serial"], 7);
    }

    assert_eq!(server.ok("DELETE", &path, &Value::Null), true);
    assert_eq!(server.get(&path).status, 404);
}

#[test]
fn a_collection_recovers_from_its_snapshot() {
    let server = filled();
    let name = make(&server);
    let gone = json!({"points": (0..200).collect::<Vec<u32>>()});
    server.ok("POST", "/collections/c/points/delete", &gone);
    let recover = "/collections/c/snapshots/recover";
    server.ok(
        "PUT",
        recover,
        &json!({"location": name, "priority": "snapshot"}),
    );
    assert_eq!(count(&server, "c"), 300);

    // By its path, and after the collection is gone.
    server.ok("DELETE", "/collections/c", &Value::Null);
    let folder = server.dir.path().join("data/snapshots/collections/c");
    let location = format!("file://{}/{name}", folder.display());
    server.ok("PUT", recover, &json!({ "location": location }));
    assert_eq!(count(&server, "c"), 300);
}

#[test]
fn what_is_no_snapshot_is_refused_and_changes_nothing() {
    let server = filled();
    let name = make(&server);
    let recover = "/collections/c/snapshots/recover";
    let refused = |status, location: &str| {
        server.refused(status, "PUT", recover, &json!({ "location": location }))
    };
    assert_contains(&refused(404, "1.vecino"), &["no snapshot"]);
    assert_contains(&refused(404, "../../guard"), &["no snapshot"]);
    assert_contains(&refused(400, "file:///etc/passwd"), &["below"]);
    assert_contains(&refused(422, "http://somewhere/a"), &["upload"]);
    let upload = "/collections/c/snapshots/upload";
    let reply = server.send("POST", upload, &[], b"no archive");
    assert_eq!(reply.status, 422);
    assert_contains(&error_of(&reply.json()), &["no archive of a collection"]);
    let headers = [("content-type", "multipart/form-data; boundary=x")];
    let reply = server.send("POST", upload, &headers, b"--x--\r\n");
    assert_eq!(reply.status, 400);
    let archive = server
        .get(&format!("/collections/c/snapshots/{name}"))
        .bytes;
    check_damaged(&server, &archive);
    assert_eq!(count(&server, "c"), 300);
    let uploads = server.dir.path().join("data/snapshots/uploads");
    assert_eq!(std::fs::read_dir(uploads).unwrap().count(), 0);
    server.refused(404, "POST", "/collections/none/snapshots", &Value::Null);
    server.refused(404, "GET", "/collections/none/snapshots", &Value::Null);
}

/// Whatever is uploaded for an archive, the fault is the client's, and it is told which.
fn check_damaged(server: &Server, archive: &[u8]) {
    let upload = "/collections/c/snapshots/upload";
    let refused = |bytes: &[u8], reason: &str| {
        let reply = server.send("POST", upload, &[], bytes);
        assert_eq!(reply.status, 422, "{}", reply.json());
        assert_contains(&error_of(&reply.json()), &[reason]);
    };
    refused(b"", "shorter than one can be");
    let noise = |at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8;
    refused(&(0..5000).map(noise).collect::<Vec<u8>>(), "other bytes");
    let random: Vec<u8> = archive[..12]
        .iter()
        .copied()
        .chain((0..5000).map(noise))
        .collect();
    refused(&random, "damaged");
    for length in [12, 15, 30, archive.len() / 2, archive.len() - 3] {
        refused(&archive[..length], "fetch the archive again");
    }
    for at in (12..archive.len()).step_by(archive.len() / 20) {
        let mut flipped = archive.to_vec();
        flipped[at] ^= 0x10;
        refused(&flipped, "damaged");
    }
    let longer = [archive, b"x"].concat();
    refused(&longer, "bytes follow its end");
}

#[test]
fn a_snapshot_of_the_node_starts_a_server() {
    let server = filled();
    let made = server.ok("POST", "/snapshots", &Value::Null);
    let name = made["name"].as_str().unwrap();
    let listed = server.ok("GET", "/snapshots", &Value::Null);
    assert_eq!(listed[0]["name"], name);
    let folder = server.dir.path().join("data/snapshots/node").join(name);
    let error = server.refused(422, "GET", &format!("/snapshots/{name}"), &Value::Null);
    assert_contains(&error, &[folder.to_str().unwrap(), "--data"]);
    let copy = tempfile::tempdir().unwrap();
    std::fs::rename(&folder, copy.path().join("data")).unwrap();
    let copy = Server::start_with(copy, |_| {});
    assert_eq!(count(&copy, "c"), 300);
    server.refused(404, "DELETE", &format!("/snapshots/{name}"), &Value::Null);
}
