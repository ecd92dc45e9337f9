//! Bugs that are planted on purpose, to prove that the tests of crashes would catch them. Absent from every normal build: they need the
//! feature `planted-bugs`, which nothing but `scripts/crash --planted` turns on, and then the variable `VECINO_PLANTED_BUG` names one.

/// One of them.
#[derive(Copy, Clone, Debug, Eq, PartialEq)]
pub(crate) enum Bug {
    /// A write is acknowledged without an fsync.
    SkipFsync,
    /// The applied positions are written before the rows, in a batch of their own.
    ApplyApart,
    /// A merge forgets what was deleted while it went on.
    DropTombstones,
    /// A superseded vector is removed at once, while the log still has the entry that names it.
    PurgeEarly,
    /// The manifest of the segments is put in the place of the old one before the files that it names are synced.
    ManifestFirst,
    /// What a collection with an interval acknowledged is never synced for its own sake.
    SkipInterval,
}

/// Whether the bug is planted.
#[cfg(feature = "planted-bugs")]
pub(crate) fn is_planted(bug: Bug) -> bool {
    static NAMED: std::sync::OnceLock<Option<Bug>> = std::sync::OnceLock::new();
    let named = NAMED.get_or_init(|| match std::env::var("VECINO_PLANTED_BUG").as_deref() {
        Err(_) | Ok("") => None,
        Ok("skip-fsync") => Some(Bug::SkipFsync),
        Ok("apply-apart") => Some(Bug::ApplyApart),
        Ok("drop-tombstones") => Some(Bug::DropTombstones),
        Ok("purge-early") => Some(Bug::PurgeEarly),
        Ok("manifest-first") => Some(Bug::ManifestFirst),
        Ok("skip-interval") => Some(Bug::SkipInterval),
        Ok(other) => panic!("VECINO_PLANTED_BUG: there is no bug {other}"),
    });
    *named == Some(bug)
}

/// Whether the bug is planted: never.
#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn is_planted(_: Bug) -> bool {
    false
}
