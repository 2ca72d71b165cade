//! Any bytes, split anyhow, parse alike, and fill no buffer without bound.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, &[u8])| {
    let (splits, stream) = input;
    shizuku::fuzzing::any_split_parses_alike(
        stream,
        if splits.is_empty() { &[1] } else { &splits },
    );
});
