//! What a node must not forget: the epoch, its vote, and the log.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use foster::blocking;
use serde::{Deserialize, Serialize};

use crate::frame;
use crate::protocol::{Entry, Position};

/// Where a node keeps its log, so that it is still there after a crash.
///
/// The functions may block. They are called one at a time, each as a blocking job.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// Returns all that was appended.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be read.
    fn read(&self) -> io::Result<Vec<u8>>;

    /// Keeps the first `length` bytes, and forgets the rest.
    ///
    /// # Errors
    ///
    /// Returns an error if that fails.
    fn truncate(&self, length: usize) -> io::Result<()>;

    /// Appends `bytes`. When it returns, no crash loses them. A crash before that may keep a part
    /// of them.
    ///
    /// # Errors
    ///
    /// Returns an error if that fails.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;
}

/// A file, as a disk.
#[derive(Debug)]
pub struct FileDisk(File);

impl FileDisk {
    /// Opens the file `log` in this folder, and makes both if there are none. No other node may use
    /// it.
    ///
    /// # Errors
    ///
    /// Returns an error if that fails.
    pub fn open(folder: &Path) -> io::Result<FileDisk> {
        fs::create_dir_all(folder)?;
        let file = OpenOptions::new().read(true).append(true).create(true).open(folder.join("log"))?;
        // The name of a new file is on disk when its folder is.
        File::open(folder)?.sync_all()?;
        Ok(FileDisk(file))
    }
}

impl Disk for FileDisk {
    fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        (&self.0).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn truncate(&self, length: usize) -> io::Result<()> {
        self.0.set_len(length as u64)?;
        self.0.sync_data()
    }

    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.0).write_all(bytes)?;
        self.0.sync_data()
    }
}

/// The epoch, the vote and the log, in memory and on disk.
///
/// A change is on disk before it is in memory, so what this node tells others is never forgotten. A
/// disk that fails is a panic, which ends the node: what such a disk has kept, nobody knows.
#[derive(Debug)]
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    epoch: u64,
    /// For whom this node has voted in the epoch.
    vote: Option<usize>,
    entries: Vec<Entry>,
}

/// A change, as it is on disk.
#[derive(Serialize, Deserialize)]
enum Record {
    Epoch {
        epoch: u64,
        vote: Option<usize>,
    },
    /// Replaces the entry at this index and all after it.
    Entry {
        index: usize,
        entry: Entry,
    },
}

impl Log {
    /// Reads the log from disk. A record at the end that a crash has cut short is forgotten: nobody
    /// was told of it.
    pub(crate) async fn open(disk: Arc<dyn Disk>) -> io::Result<Log> {
        let reader = disk.clone();
        let bytes = blocking(move || reader.read()).await?;
        let mut log = Log { disk, epoch: 0, vote: None, entries: Vec::new() };
        let mut rest = &bytes[..];
        while let Some((record, after)) = frame::decode(rest) {
            log.apply(record);
            rest = after;
        }
        if !rest.is_empty() {
            let (disk, length) = (log.disk.clone(), bytes.len() - rest.len());
            blocking(move || disk.truncate(length)).await?;
        }
        Ok(log)
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(crate) fn vote(&self) -> Option<usize> {
        self.vote
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns the position behind so many entries, if there are as many.
    pub(crate) fn position(&self, length: usize) -> Option<Position> {
        let last = match length.checked_sub(1) {
            Some(last) => self.entries.get(last)?.epoch,
            None => 0,
        };
        Some(Position { epoch: last, length })
    }

    pub(crate) fn end(&self) -> Position {
        let epoch = self.entries.last().map_or(0, |entry| entry.epoch);
        Position { epoch, length: self.len() }
    }

    /// Begins an epoch, or votes in it.
    pub(crate) async fn enter(&mut self, epoch: u64, vote: Option<usize>) {
        self.record(vec![Record::Epoch { epoch, vote }]).await;
    }

    /// Appends an entry.
    pub(crate) async fn push(&mut self, entry: Entry) {
        self.record(vec![Record::Entry { index: self.len(), entry }]).await;
    }

    /// Makes the log have these entries from `index` on. What it has of them stays, and with it
    /// what may be behind them.
    pub(crate) async fn merge(&mut self, index: usize, entries: Vec<Entry>) {
        let new = (index..).zip(entries);
        let missing =
            new.skip_while(|(index, entry)| self.entries.get(*index).is_some_and(|held| held.epoch == entry.epoch));
        let records: Vec<Record> = missing.map(|(index, entry)| Record::Entry { index, entry }).collect();
        if !records.is_empty() {
            self.record(records).await;
        }
    }

    /// Writes records, and then applies them.
    async fn record(&mut self, records: Vec<Record>) {
        let disk = self.disk.clone();
        let frames: io::Result<Vec<Vec<u8>>> = records.iter().map(frame::encode).collect();
        let written = blocking(move || disk.append(&frames?.concat())).await;
        written.unwrap_or_else(|error| {
            panic!("the disk of a node has failed: {error}; mend it, and start the node again")
        });
        records.into_iter().for_each(|record| self.apply(record));
    }

    fn apply(&mut self, record: Record) {
        match record {
            Record::Epoch { epoch, vote } => (self.epoch, self.vote) = (epoch, vote),
            Record::Entry { index, entry } => {
                self.entries.truncate(index);
                self.entries.push(entry);
            }
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Forgets what it is given.
    #[derive(Debug)]
    pub(crate) struct Nowhere;

    impl Disk for Nowhere {
        fn read(&self) -> io::Result<Vec<u8>> {
            Ok(Vec::new())
        }

        fn truncate(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn append(&self, _: &[u8]) -> io::Result<()> {
            Ok(())
        }
    }
}
