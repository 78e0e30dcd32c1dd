//! The decoder of upstream answers takes any bytes, cut anywhere, without a panic, and the cuts
//! make no difference. The first byte is the length of the chunks.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mirror::prometheus::decode_in_chunks;

fuzz_target!(|data: &[u8]| {
    let Some((chunk, body)) = data.split_first() else {
        return;
    };
    let cut = decode_in_chunks(body, usize::from(*chunk));
    assert_eq!(cut, decode_in_chunks(body, body.len()));
});
