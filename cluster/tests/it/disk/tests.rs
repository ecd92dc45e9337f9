use std::process::Stdio;

use super::*;

/// Set in the child: the folder to work in.
const CHILD_FOLDER: &str = "VECINO_DISK_CHILD_FOLDER";

/// Not a test by itself: the body of the child, which does one of each thing that the recorder follows.
#[test]
fn child() {
    use std::io::{Seek, SeekFrom, Write};
    use std::os::unix::fs::FileExt;
    let Some(folder) = std::env::var_os(CHILD_FOLDER) else {
        return;
    };
    let folder = Path::new(&folder);
    std::fs::create_dir(folder.join("inner")).unwrap();
    let mut synced = std::fs::File::create(folder.join("synced")).unwrap();
    synced.write_all(&[1; 5000]).unwrap();
    synced.sync_all().unwrap();
    std::fs::File::open(folder).unwrap().sync_all().unwrap();
    // From here on nothing is durable.
    synced.seek(SeekFrom::Start(100)).unwrap();
    synced.write_all(&[2; 100]).unwrap();
    synced.write_all_at(&[3; 10], 9000).unwrap();
    let again = synced.try_clone().unwrap();
    drop(synced);
    again.write_all_at(&[4; 10], 0).unwrap();
    let mut renamed = std::fs::File::create(folder.join("before")).unwrap();
    renamed.write_all(b"renamed").unwrap();
    renamed.sync_data().unwrap();
    std::fs::rename(folder.join("before"), folder.join("after")).unwrap();
    std::fs::hard_link(folder.join("after"), folder.join("inner/link")).unwrap();
    renamed.set_len(3).unwrap();
    std::fs::write(folder.join("one"), "linked").unwrap();
    std::fs::hard_link(folder.join("one"), folder.join("two")).unwrap();
    std::fs::remove_file(folder.join("one")).unwrap();
    std::fs::write(folder.join("gone"), "gone").unwrap();
    std::fs::remove_file(folder.join("gone")).unwrap();
    std::fs::copy(folder.join("after"), folder.join("copy")).unwrap();
    std::fs::create_dir(folder.join("inner/empty")).unwrap();
    std::fs::remove_dir(folder.join("inner/empty")).unwrap();
}

fn recorded() -> (tempfile::TempDir, Disk) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let mut disk = Disk::new(&root);
    let recorder = Recorder::build();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "disk::tests::child", "--nocapture"])
        .env(CHILD_FOLDER, disk.root())
        .stdout(Stdio::null());
    let journal = dir.path().join("journal");
    recorder.watch(&mut command, disk.root(), &journal, 0);
    assert!(command.status().unwrap().success());
    assert!(
        disk.replay_exactly(&journal).is_empty(),
        "the recorder missed something"
    );
    (dir, disk)
}

impl Disk {
    /// As [`Disk::replay`], for a process that ended by itself: the paths that differ.
    fn replay_exactly(&mut self, journal: &Path) -> Vec<PathBuf> {
        let bytes = std::fs::read(journal).unwrap();
        for record in journal::records(&bytes) {
            self.clock += 1;
            self.follow(&record);
        }
        self.adopt(ROOT, &self.root.clone())
    }
}

#[test]
fn the_recorder_sees_every_change() {
    use std::os::unix::fs::MetadataExt;
    let (_dir, disk) = recorded();
    let content = |name: &str| std::fs::read(disk.root().join(name)).unwrap();
    let before: Vec<Vec<u8>> = ["synced", "after", "inner/link", "copy"]
        .map(content)
        .into();
    assert_eq!(before[1], b"ren");
    disk.write_out();
    let after: Vec<Vec<u8>> = ["synced", "after", "inner/link", "copy"]
        .map(content)
        .into();
    assert_eq!(before, after);
    assert!(!disk.root().join("gone").exists());
    assert!(!disk.root().join("one").exists());
    assert_eq!(std::fs::read(disk.root().join("two")).unwrap(), b"linked");
    let inode = |name: &str| disk.root().join(name).metadata().unwrap().ino();
    assert_eq!(inode("after"), inode("inner/link"), "one file, two names");
}

#[test]
fn what_no_fsync_covered_may_go() {
    let (_dir, mut disk) = recorded();
    assert!(disk.at_risk().0 > 0 && disk.at_risk().1 > 0);
    disk.lose_power(Survival::Nothing, &mut Random(1));
    assert_eq!(disk.at_risk(), (0, 0));
    disk.write_out();
    let names: Vec<_> = std::fs::read_dir(disk.root())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(
        std::fs::read(disk.root().join("synced")).unwrap(),
        [1; 5000]
    );
    assert_eq!(
        std::fs::read_dir(disk.root().join("inner"))
            .unwrap()
            .count(),
        0
    );
}

#[test]
fn any_part_of_the_rest_may_stay() {
    let mut seen = HashSet::new();
    let (_dir, disk) = recorded();
    let journal = disk.root().with_file_name("journal");
    for seed in 0..200 {
        let mut disk = Disk::new(disk.root());
        let bytes = std::fs::read(&journal).unwrap();
        for record in journal::records(&bytes) {
            disk.clock += 1;
            disk.follow(&record);
        }
        let mut random = Random(seed);
        let survival = Survival::draw(&mut random);
        disk.lose_power(survival, &mut random);
        let synced = &disk.files[&disk.find(&disk.root.join("synced")).unwrap()].current;
        assert!(synced.len() == 5000 || synced.len() == 9010);
        assert_eq!(synced[512..5000], [1; 5000 - 512], "what was durable stays");
        let name = |name: &str| disk.find(&disk.root.join(name)).is_some();
        assert!(!name("gone") || matches!(survival, Survival::AnySubset | Survival::UpToAMoment));
        seen.insert((
            synced.len(),
            synced[0],
            synced[150],
            name("before"),
            name("after"),
        ));
    }
    assert!(seen.len() > 12, "{seen:?}");
}
