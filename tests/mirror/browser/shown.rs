//! What the page shows of an answer beside the chart, and how soon it is there.

use anyhow::{Result, ensure};
use serde_json::json;

use super::Console;

/// What is to be typed into StackState can be copied.
pub(crate) async fn copies_what_to_type(console: &Console) -> Result<()> {
    // Asking for the clipboard first allows the page to use it.
    drop(console.browser.copied().await);
    console.browser.click("[data-copies=stackstate]").await?;
    let said = "return document.getElementById('status').textContent === 'Copied.'";
    console.browser.until(said).await?;
    let copied = console.browser.copied().await?;
    let expected = "Conditions: __gauge__ = shop_memory_bytes
Conditions: instance = web-1
Aggregation: MEAN
Bucket: 1m
Connection details JSON: {\"target\":\"shop\"}";
    ensure!(copied == expected, "{copied}");
    Ok(())
}

/// Each call of the target is shown, with what it selects by, and what it took.
pub(crate) async fn shows_the_calls(console: &Console) -> Result<()> {
    let rows = "return [...document.querySelectorAll('#made tbody tr')].map((row) =>
        [...row.cells].map((cell) => cell.textContent)
            .concat(row.querySelector('mark')?.textContent ?? 'no mark'))";
    let rows = console.browser.run(rows).await?;
    let rows: Vec<Vec<String>> = serde_json::from_value(rows)?;
    let mut titles: Vec<&str> = rows.iter().map(|row| &*row[0]).collect();
    titles.sort_unstable();
    ensure!(titles == ["points", "raw points"], "{rows:?}");
    for row in rows {
        let [title, call, status, ms, bytes, samples, mark] = &row[..] else {
            anyhow::bail!("{row:?}");
        };
        let path = match &**title {
            "points" => "GET /api/v1/query_range ",
            _ => "GET /api/v1/query ",
        };
        ensure!(call.starts_with(path) && status == "200", "{row:?}");
        ensure!(mark.contains("instance=\"web-1\""), "{row:?}");
        let (ms, bytes, samples): (f64, u64, u64) = (ms.parse()?, bytes.parse()?, samples.parse()?);
        ensure!((0.1..60_000.0).contains(&ms), "{row:?}");
        // A sample as JSON has 20 bytes at least.
        ensure!(samples > 50 && bytes > 20 * samples, "{row:?}");
    }
    Ok(())
}

/// It is small, and soon there. How soon on a machine that does nothing else is in
/// `docs/console.md`; here, others may have the processor.
pub(crate) async fn is_there_at_once(console: &Console) -> Result<()> {
    const LOADED: &str = "const [page] = performance.getEntriesByType('navigation');
        const all = performance.getEntriesByType('resource').concat(page);
        return [page.domContentLoadedEventEnd,
            all.reduce((sum, { transferSize }) => sum + transferSize, 0)]";
    for _ in 0..5 {
        console.browser.open("about:blank").await?;
        // Nothing that the browser has already.
        let none = json!({});
        console
            .browser
            .chromium("Network.clearBrowserCache", &none)
            .await?;
        console.browser.open(&console.url).await?;
        let loaded = console.browser.run(LOADED).await?;
        let (ms, bytes): (f64, u64) = serde_json::from_value(loaded)?;
        println!("interactive after {ms:.0} ms, {bytes} bytes over the wire");
        ensure!((10_000..=60 << 10).contains(&bytes), "{bytes} bytes");
        ensure!(ms < 10_000.0, "{ms} ms");
    }
    Ok(())
}
