//! The program `vecino` as a person runs it: the real binary against a real server on a loopback port.

mod bench;
mod doctor;
mod errors;
mod harness;
mod load;
mod memory;
mod sample;
mod search;
mod serve;
