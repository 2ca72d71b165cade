//! Any bytes, however they are split, parse to the same result, and no buffer grows without bound.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, &[u8])| {
    let (splits, stream) = input;
    shizuku::fuzzing::any_split_parses_the_same(
        stream,
        if splits.is_empty() { &[1] } else { &splits },
    );
});
