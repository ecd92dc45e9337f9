//! The server through real sockets.

mod bad_input;
mod collections;
mod harness;
mod inference;
mod lifecycle;
mod media;
mod native;
mod pictures;
mod points;
mod query;
mod recorded;
mod security;
mod slow_clients;
mod snapshots;
