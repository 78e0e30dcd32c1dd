//! Whatever expression a client sends: completed, it has the matchers in every selector, and it is
//! refused otherwise. Neither takes memory without a bound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mirror::model::enforced::Enforced;
use mirror::plan::enforce::EnforceError;
use mirror::plan::kind::QueryKind;
use peak_alloc::PeakAlloc;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// So many bytes may be held at once for each byte of the expression, and so many beside.
const FOR_EACH_BYTE: usize = 500;
const BESIDE: usize = 1 << 20;

/// The matcher, as PromQL writes it.
const MATCHER: &str = r#"team="a\"b""#;

fuzz_target!(|data: &[u8]| {
    let Ok(promql) = str::from_utf8(data) else {
        return;
    };
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let completed = complete(promql);
    let held = MEMORY.peak_usage().saturating_sub(before);
    assert!(held < FOR_EACH_BYTE * promql.len() + BESIDE, "{held}");
    let Ok(completed) = completed else {
        return;
    };
    // Each byte may be a selector of its own that gets the matcher.
    assert!(completed.len() <= (MATCHER.len() + 8) * promql.len() + 64);
    match complete(&completed) {
        Ok(twice) => {
            let count = |text: &str| text.matches(MATCHER).count();
            let selectors = count(&twice) - count(&completed);
            assert!(count(&completed) >= selectors, "{completed} {twice}");
        }
        Err(EnforceError::Unreadable | EnforceError::Comment | EnforceError::OutOfRange) => {
            panic!("{completed} is not read again")
        }
        // It is larger than what a client may send.
        Err(_) => {}
    }
});

fn complete(promql: &str) -> Result<String, EnforceError> {
    let enforced = Enforced(vec![("team".to_owned(), "a\"b".to_owned())]);
    let kind = enforced.kind(QueryKind::Expression {
        promql: promql.to_owned(),
        matchers: Vec::new(),
    })?;
    Ok(kind.metric().to_owned())
}
