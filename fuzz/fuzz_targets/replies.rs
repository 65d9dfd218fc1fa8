//! Replies of any bytes, in any pieces, against the scanner of the direct lanes.

#![no_main]

#[path = "../check.rs"]
mod check;

libfuzzer_sys::fuzz_target!(|data: &[u8]| check::check(data));
