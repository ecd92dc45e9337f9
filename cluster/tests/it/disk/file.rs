//! The bytes of one file: durable, and what has been written since.

use crate::Random;

const SECTOR_BYTES: usize = 512;
const PAGE_BYTES: usize = 4096;

/// One change of a file's bytes or size.
pub enum Change {
    /// Offset and data.
    Write(u64, Vec<u8>),
    /// New size; what it gains is zero.
    Size(u64),
    /// Offset and length, within the size.
    Zero(u64, u64),
}

impl Change {
    /// Size of a file of `size` bytes after it.
    fn size_after(&self, size: usize) -> usize {
        match self {
            Self::Write(at, data) => size.max(*at as usize + data.len()),
            Self::Size(size) => *size as usize,
            Self::Zero(..) => size,
        }
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        bytes.resize(self.size_after(bytes.len()), 0);
        match self {
            Self::Write(at, data) => bytes[*at as usize..][..data.len()].copy_from_slice(data),
            Self::Size(_) => {}
            Self::Zero(at, length) => {
                let end = bytes.len().min((at + length) as usize);
                if (*at as usize) < end {
                    bytes[*at as usize..end].fill(0);
                }
            }
        }
    }
}

/// See the module.
#[derive(Default)]
pub struct File {
    /// As processes see it.
    pub current: Vec<u8>,
    durable: Vec<u8>,
    /// Since then, oldest first, with the moment of each.
    pending: Vec<(u64, Change)>,
    /// How many changes were before the first of `pending`.
    settled: u64,
}

impl File {
    /// Makes a change.
    pub fn change(&mut self, moment: u64, change: Change) {
        change.apply(&mut self.current);
        self.pending.push((moment, change));
    }

    /// How many changes there were: what a sync that begins now will cover.
    pub fn position(&self) -> u64 {
        self.settled + self.pending.len() as u64
    }

    /// A sync that began at `position` has ended.
    pub fn settle(&mut self, position: u64) {
        // Another sync may have covered them already.
        let count = position.saturating_sub(self.settled) as usize;
        for (_, change) in self.pending.drain(..count) {
            change.apply(&mut self.durable);
        }
        self.settled += count as u64;
    }

    /// Bytes written since the last sync.
    pub fn bytes_at_risk(&self) -> usize {
        let bytes = |(_, change): &(u64, Change)| match change {
            Change::Write(_, data) => data.len(),
            Change::Size(_) | Change::Zero(..) => 0,
        };
        self.pending.iter().map(bytes).sum()
    }

    /// Moment of the first change since the last sync.
    pub fn oldest(&self) -> Option<u64> {
        self.pending.first().map(|(moment, _)| *moment)
    }

    /// Only what was changed before `moment` survives.
    pub fn cut(&mut self, moment: u64) {
        let count = self.pending.partition_point(|(at, _)| *at < moment);
        self.settle(self.settled + count as u64);
        self.end(self.durable.clone());
    }

    /// Every page or sector survives as it was after one of the changes, the size likewise.
    pub fn keep_any(&mut self, random: &mut Random) {
        let changes = self.pending.len() as u64;
        if changes == 0 {
            return;
        }
        let unit = [SECTOR_BYTES, PAGE_BYTES][random.below(2) as usize];
        let seed = random.next();
        // How many of the changes have reached the disk at this unit.
        let reached = |at: usize| -> u64 {
            let mut random = Random(seed ^ (at / unit) as u64);
            match random.below(3) {
                0 => 0,
                1 => changes,
                _ => random.below(changes + 1),
            }
        };
        let size_reached = reached(usize::MAX) as usize;
        let mut bytes = self.durable.clone();
        let mut size = bytes.len();
        for (number, (_, change)) in self.pending.iter().enumerate() {
            if number < size_reached {
                size = change.size_after(size);
            }
            let after = change.size_after(bytes.len());
            let (from, to) = match change {
                Change::Write(at, data) => (*at as usize, *at as usize + data.len()),
                Change::Size(_) => (after, bytes.len().max(after)),
                Change::Zero(at, length) => (*at as usize, (at + length) as usize),
            };
            // The size is settled at the end: until then it only grows.
            bytes.resize(bytes.len().max(after), 0);
            let to = to.min(bytes.len());
            let mut at = from;
            while at < to {
                let end = to.min((at / unit + 1) * unit);
                if (number as u64) < reached(at) {
                    match change {
                        Change::Write(_, data) => {
                            bytes[at..end].copy_from_slice(&data[at - from..end - from]);
                        }
                        Change::Size(_) | Change::Zero(..) => bytes[at..end].fill(0),
                    }
                }
                at = end;
            }
        }
        bytes.resize(size, 0);
        self.end(bytes);
    }

    fn end(&mut self, bytes: Vec<u8>) {
        self.settled += self.pending.len() as u64;
        self.pending.clear();
        self.current.clone_from(&bytes);
        self.durable = bytes;
    }
}
