//! A disk that knows what is durable: a folder's files and names as a process left them, what of it an fsync has covered, and what a power
//! loss may make of the rest.
//!
//! A preloaded library ([`Recorder`]) tells every change of the folder to a journal; [`Disk::replay`] follows it, [`Disk::lose_power`] throws
//! away a random part of what was not durable, and [`Disk::write_out`] puts what is left into the folder, for the next process to open.
//!
//! The rules are those of POSIX and no kinder: an fsync of a file covers its bytes and size, not its name; a name (created, renamed, removed)
//! is covered by an fsync of its folder; what is not covered may survive whole, in part or not at all, in any order. A page of 4 KiB or a
//! sector of 512 bytes survives as it was after any one of the writes since the last fsync; a size that grew may survive with zeros behind it.

mod file;
mod folder;
mod journal;
mod recorder;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

pub use recorder::Recorder;

use crate::Random;
use file::{Change, File};
use folder::{Folder, NameChange};
use journal::Record;

type Inode = u64;
const ROOT: Inode = 0;

/// See the module.
pub struct Disk {
    root: PathBuf,
    files: HashMap<Inode, File>,
    folders: HashMap<Inode, Folder>,
    next: Inode,
    /// Counts all changes, so that a loss can cut them at one moment.
    clock: u64,
    descriptors: HashMap<u64, Inode>,
    /// What a sync that has begun will cover, by its number.
    syncs: HashMap<u64, (Inode, u64)>,
}

/// What a power loss leaves of the changes that no fsync covered.
#[derive(Copy, Clone, Debug)]
pub enum Survival {
    /// None.
    Nothing,
    /// Those before one moment.
    UpToAMoment,
    /// Any: pages, sectors, sizes and names, each by chance.
    AnySubset,
}

impl Survival {
    /// One of them by chance.
    pub fn draw(random: &mut Random) -> Self {
        match random.below(8) {
            0 => Self::Nothing,
            1..=3 => Self::UpToAMoment,
            _ => Self::AnySubset,
        }
    }
}

impl Disk {
    /// An empty folder, durable, that must exist.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.canonicalize().unwrap(),
            files: HashMap::new(),
            folders: HashMap::from([(ROOT, Folder::default())]),
            next: ROOT + 1,
            clock: 0,
            descriptors: HashMap::new(),
            syncs: HashMap::new(),
        }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Follows what a process did until it ended, and compares with the folder. Answers how many syncs it made.
    ///
    /// A kill may fall between a change and its record: one change is taken from the folder. More differences would mean that the library does
    /// not see everything, and panic.
    pub fn replay(&mut self, journal: &Path) -> usize {
        // A process that was killed at once has told nothing.
        let bytes = std::fs::read(journal).unwrap_or_default();
        let mut syncs = 0;
        for record in journal::records(&bytes) {
            self.clock += 1;
            syncs += usize::from(record.kind == b'E');
            self.follow(&record);
        }
        self.descriptors.clear();
        self.syncs.clear();
        let differing = self.adopt(ROOT, &self.root.clone());
        assert!(
            differing.len() <= 1,
            "the recorder does not see every change of these files: {differing:?}"
        );
        syncs
    }

    fn follow(&mut self, record: &Record<'_>) {
        match record.kind {
            b'o' => self.opened(record),
            b'c' => {
                self.descriptors.remove(&record.a);
            }
            b'd' => {
                let inode = self.descriptors[&record.a];
                self.descriptors.insert(record.b, inode);
            }
            b'w' => self.change(record.a, Change::Write(record.b, record.text.to_vec())),
            b't' => self.change(record.a, Change::Size(record.b)),
            b'z' => self.change(record.a, Change::Zero(record.b, record.c)),
            b'S' => {
                let inode = self.descriptors[&record.a];
                let covered = match self.files.get(&inode) {
                    Some(file) => file.position(),
                    None => self.folders[&inode].position(),
                };
                self.syncs.insert(record.b, (inode, covered));
            }
            b'E' => {
                let (inode, covered) = self.syncs.remove(&record.b).expect("it has begun");
                match self.files.get_mut(&inode) {
                    Some(file) => file.settle(covered),
                    None => self.folders.get_mut(&inode).unwrap().settle(covered),
                }
            }
            b'F' => drop(self.syncs.remove(&record.b)),
            b'm' => {
                let inode = self.take_inode();
                self.folders.insert(inode, Folder::default());
                self.name(record.path(), NameChange::add(inode));
            }
            b'x' | b'u' => self.name(record.path(), NameChange::remove()),
            b'r' => {
                let (from, to) = record.paths();
                self.rename(from, to);
            }
            b'l' => {
                let (from, to) = record.paths();
                let inode = self.find(from).expect("a link's source exists");
                self.name(to, NameChange::add(inode));
            }
            kind => panic!(
                "the recorder cannot follow {}: {}",
                char::from(kind),
                String::from_utf8_lossy(record.text)
            ),
        }
    }

    fn opened(&mut self, record: &Record<'_>) {
        const TRUNCATE: u64 = 0o1000;
        let inode = self.find(record.path()).unwrap_or_else(|| {
            let inode = self.take_inode();
            self.files.insert(inode, File::default());
            self.name(record.path(), NameChange::add(inode));
            inode
        });
        self.descriptors.insert(record.a, inode);
        if record.b & TRUNCATE != 0 {
            self.change(record.a, Change::Size(0));
        }
    }

    fn take_inode(&mut self) -> Inode {
        self.next += 1;
        self.next
    }

    fn change(&mut self, descriptor: u64, change: Change) {
        let inode = self.descriptors[&descriptor];
        let file = self.files.get_mut(&inode).expect("only files hold bytes");
        file.change(self.clock, change);
    }

    /// The folder of a path and the name in it.
    fn parent<'p>(&self, path: &'p Path) -> (Inode, &'p str) {
        let folder = self
            .find(path.parent().unwrap())
            .unwrap_or_else(|| panic!("the folder of {} exists", path.display()));
        (folder, path.file_name().unwrap().to_str().unwrap())
    }

    fn find(&self, path: &Path) -> Option<Inode> {
        let inside = path
            .strip_prefix(&self.root)
            .unwrap_or_else(|_| panic!("{} is not in {}", path.display(), self.root.display()));
        let mut inode = ROOT;
        for part in inside.components() {
            let name = part.as_os_str().to_str().unwrap();
            inode = *self.folders.get(&inode)?.current.get(name)?;
        }
        Some(inode)
    }

    fn name(&mut self, path: &Path, change: NameChange) {
        let (folder, name) = self.parent(path);
        let changes = vec![(name.to_owned(), change.0)];
        self.folders
            .get_mut(&folder)
            .unwrap()
            .change(self.clock, changes);
    }

    /// Within a folder old and new name change together; a move between folders is a creation and a removal, each covered by its folder.
    fn rename(&mut self, from: &Path, to: &Path) {
        let inode = self.find(from).expect("a rename's source exists");
        let ((old_folder, old), (new_folder, new)) = (self.parent(from), self.parent(to));
        let mut changes = vec![(new.to_owned(), Some(inode))];
        if old_folder == new_folder {
            changes.insert(0, (old.to_owned(), None));
        } else {
            let gone = vec![(old.to_owned(), None)];
            self.folders
                .get_mut(&old_folder)
                .unwrap()
                .change(self.clock, gone);
        }
        self.folders
            .get_mut(&new_folder)
            .unwrap()
            .change(self.clock, changes);
    }

    /// Takes from the folder what the journal does not tell; answers the paths concerned.
    fn adopt(&mut self, folder: Inode, path: &Path) -> Vec<PathBuf> {
        self.clock += 1;
        let mut found = BTreeMap::new();
        for entry in std::fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            found.insert(entry.file_name().into_string().unwrap(), entry.path());
        }
        let mut differing = Vec::new();
        let known = self.folders[&folder].current.clone();
        let mut gone: Vec<(String, Inode)> = known
            .into_iter()
            .filter(|(name, _)| !found.contains_key(name))
            .collect();
        for (name, path) in found {
            let inode = self.folders[&folder].current.get(&name).copied();
            if path.is_dir() {
                let inode = inode.unwrap_or_else(|| {
                    differing.push(path.clone());
                    let inode = self.take_inode();
                    self.folders.insert(inode, Folder::default());
                    self.name(&path, NameChange::add(inode));
                    inode
                });
                differing.extend(self.adopt(inode, &path));
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            if inode.is_some_and(|inode| self.files[&inode].current == bytes) {
                continue;
            }
            differing.push(path.clone());
            let renamed = gone.iter().position(|(_, inode)| {
                self.files
                    .get(inode)
                    .is_some_and(|file| file.current == bytes)
            });
            if let Some(at) = renamed {
                let (old, _) = gone.remove(at);
                self.rename(&path.with_file_name(old), &path);
                continue;
            }
            let inode = inode.unwrap_or_else(|| {
                let inode = self.take_inode();
                self.files.insert(inode, File::default());
                self.name(&path, NameChange::add(inode));
                inode
            });
            let file = self.files.get_mut(&inode).unwrap();
            file.change(self.clock, Change::Size(bytes.len() as u64));
            file.change(self.clock, Change::Write(0, bytes));
        }
        for (name, _) in gone {
            let path = path.join(name);
            self.name(&path, NameChange::remove());
            differing.push(path);
        }
        differing
    }

    /// Bytes and names that no fsync has covered.
    pub fn at_risk(&self) -> (usize, usize) {
        (
            self.files.values().map(File::bytes_at_risk).sum(),
            self.folders.values().map(Folder::names_at_risk).sum(),
        )
    }

    /// Throws away what the survival says; the rest is durable from now on.
    pub fn lose_power(&mut self, survival: Survival, random: &mut Random) {
        match survival {
            Survival::Nothing => self.cut(0),
            Survival::UpToAMoment => {
                let oldest = self
                    .files
                    .values()
                    .filter_map(File::oldest)
                    .chain(self.folders.values().filter_map(Folder::oldest))
                    .min()
                    .unwrap_or(self.clock);
                // The last moments are those of the writes that matter; a name or a line of RocksDB's own log may wait for ever.
                let bits = u64::from((self.clock - oldest + 2).ilog2()) + 1;
                let span = 1 << random.below(bits);
                self.cut(self.clock + 1 - random.below(span).min(self.clock - oldest));
            }
            Survival::AnySubset => {
                for file in sorted(&mut self.files) {
                    file.keep_any(random);
                }
                let kept = 1 + random.below(4);
                for folder in sorted(&mut self.folders) {
                    folder.keep_any(|| random.below(5) < kept);
                }
            }
        }
        self.forget_unnamed();
    }

    fn cut(&mut self, moment: u64) {
        self.files.values_mut().for_each(|file| file.cut(moment));
        self.folders
            .values_mut()
            .for_each(|folder| folder.cut(moment));
    }

    fn forget_unnamed(&mut self) {
        let mut named = HashSet::from([ROOT]);
        let mut unread = vec![ROOT];
        while let Some(inode) = unread.pop() {
            if let Some(folder) = self.folders.get(&inode) {
                for inside in folder.current.values() {
                    if named.insert(*inside) {
                        unread.push(*inside);
                    }
                }
            }
        }
        self.files.retain(|inode, _| named.contains(inode));
        self.folders.retain(|inode, _| named.contains(inode));
    }

    /// Makes the folder hold what the disk holds.
    pub fn write_out(&self) {
        for entry in std::fs::read_dir(&self.root).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                std::fs::remove_dir_all(path).unwrap();
            } else {
                std::fs::remove_file(path).unwrap();
            }
        }
        self.write_folder(ROOT, &self.root, &mut HashMap::new());
    }

    /// A file with several names is one file.
    fn write_folder(&self, folder: Inode, path: &Path, written: &mut HashMap<Inode, PathBuf>) {
        for (name, inode) in &self.folders[&folder].current {
            let path = path.join(name);
            match self.files.get(inode) {
                Some(file) => match written.get(inode) {
                    Some(other) => std::fs::hard_link(other, &path).unwrap(),
                    None => {
                        std::fs::write(&path, &file.current).unwrap();
                        written.insert(*inode, path);
                    }
                },
                None => {
                    std::fs::create_dir(&path).unwrap();
                    self.write_folder(*inode, &path, written);
                }
            }
        }
    }
}

/// In an order that the seed fixes, not the map's.
fn sorted<T>(map: &mut HashMap<Inode, T>) -> impl Iterator<Item = &mut T> {
    let mut entries: Vec<(&Inode, &mut T)> = map.iter_mut().collect();
    entries.sort_by_key(|(inode, _)| **inode);
    entries.into_iter().map(|(_, value)| value)
}

#[cfg(test)]
mod tests;
