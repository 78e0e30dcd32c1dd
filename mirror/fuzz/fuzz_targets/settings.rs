//! Whatever document a mirror is given, it serves it or says what is wrong with it, in memory that
//! its size bounds.
#![no_main]

use std::path::PathBuf;
use std::sync::Once;

use libfuzzer_sys::fuzz_target;
use mirror::settings::{Source, load_bytes};
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// So many bytes may be held at once for each byte of the document, and so many beside.
const FOR_EACH_BYTE: usize = 500;
const BESIDE: usize = 1 << 20;

fuzz_target!(|document: &[u8]| {
    // No Secrets: references lead nowhere.
    let nowhere = PathBuf::from("/nonexistent");
    let source = Source {
        file: nowhere.join("mirror.yaml"),
        secrets_dir: nowhere.join("secrets"),
        config_maps_dir: nowhere.join("configmaps"),
        tokens_dir: nowhere.join("tokens"),
    };
    // The schema and its rules are made once and kept.
    static SCHEMA: Once = Once::new();
    SCHEMA.call_once(|| {
        let _ = load_bytes(
            &source,
            include_bytes!("../corpus/settings/everything.yaml"),
        );
    });
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let _ = load_bytes(&source, document).map_err(|error| error.to_string());
    let held = MEMORY.peak_usage().saturating_sub(before);
    assert!(held < FOR_EACH_BYTE * document.len() + BESIDE, "{held}");
});
