//! Any bytes as a peer's C-ECHO-RSP: a whole one is read, and no part of it passes for one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pacs_guard::echo::command::parse_echo_response;

fuzz_target!(|bytes: &[u8]| {
    if parse_echo_response(bytes).is_ok() {
        let (_, part) = bytes.split_last().unwrap();
        assert!(parse_echo_response(part).is_err());
    }
});
