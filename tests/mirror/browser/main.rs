//! The console in a real browser, on a real Prometheus: by keyboard, and compared with the API.
//!
//! With `PROMETHEUS_MIRROR_PICTURES=$PWD/docs/images`, it takes the pictures of the documentation.

mod shown;

use anyhow::{Context as _, Result, ensure};
use harness::oracle::Store;
use harness::samples::{Sample, Series};
use harness::servers::{
    Browser, Launch, Mirror, MirrorConfig, Prometheus, Reply, Upstream, axe, eventually, free_port,
    http_client, keys, load_into,
};
use mirror::model::time::Timestamp;
use serde_json::{Value, json};

const KEY: &str = "test-key";
const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

/// Chromium, and what it looks at.
struct Console {
    browser: Browser,
    mirror: Mirror,
    url: String,
    /// When its samples end: a full minute.
    now: i64,
    _store: Prometheus,
    _exporter: Upstream,
}

/// What a target of Prometheus says of its metrics. Their samples are dropped.
const EXPOSED: &str = "# TYPE shop_memory_bytes gauge
# UNIT shop_memory_bytes bytes
# HELP shop_memory_bytes Memory that the shop has in use.
shop_memory_bytes 1
# EOF
";

/// A series with a sample each 15 s.
fn series(name: &str, instance: &str, from: i64, to: i64, value: fn(i64) -> f64) -> Series {
    let mut series = Series::new(name, &[("instance", instance), ("job", "shop")]);
    let instants = (from..to).step_by(15_000);
    series.samples = instants
        .map(|at| Sample {
            at,
            value: value(at),
        })
        .collect();
    series
}

fn now() -> Result<i64> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    Ok(i64::try_from(now.as_millis())?)
}

/// Has Prometheus scrape what is exposed, and waits until it has.
async fn scraped(store: &Prometheus) -> Result<Upstream> {
    let kind = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n";
    let exporter = Upstream::always(Reply::http("200 OK", kind, EXPOSED)).await?;
    let address = exporter.url().trim_start_matches("http://");
    store.scrape(&json!([{
        "job_name": "shop", "scrape_interval": "1s",
        "static_configs": [{ "targets": [address] }],
        "metric_relabel_configs": [{ "action": "drop", "regex": ".*" }],
    }]))?;
    eventually("metadata", || async {
        let url = format!("{}/api/v1/metadata", store.url());
        let answer = http_client().get(url).send().await?.text().await?;
        Ok(answer.contains("shop_memory_bytes").then_some(()))
    })
    .await?;
    Ok(exporter)
}

impl Console {
    async fn start() -> Result<Self> {
        let store = Prometheus::start_2().await?;
        let now = now()? / MINUTE * MINUTE;
        // In MiB, so that the numbers are short.
        let memory = |at: i64| {
            let turn = (at % HOUR) as f64 / HOUR as f64 * std::f64::consts::TAU;
            512.0 + 100.0 * turn.sin() + 15.0 * (67.0 * turn).sin()
        };
        // The oldest first: Prometheus takes nothing that is much older than the newest.
        let old = series(
            "shop_old_bytes",
            "web-1",
            now - 6 * HOUR,
            now - 5 * HOUR,
            memory,
        );
        load_into(Store::Prometheus2, &store.url(), &[old]).await?;
        let recent = |name, instance, value| series(name, instance, now - HOUR, now, value);
        let all = [
            recent("shop_memory_bytes", "web-1", memory),
            recent("shop_memory_bytes", "web-2", |_| 7.0),
            recent("shop_nothing_bytes", "web-1", |_| f64::NAN),
        ];
        load_into(Store::Prometheus2, &store.url(), &all).await?;
        let exporter = scraped(&store).await?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let config = MirrorConfig::for_targets(&[("shop", &store.url())])
            .with("console", json!({"enabled": true}))
            .with_target("nanInterpretation", json!("Skip"));
        let launch = Launch {
            arguments: &["--console-listen", &address],
            ..Launch::default()
        };
        Ok(Self {
            browser: Browser::start().await?,
            mirror: Mirror::launch(&config, &launch).await?,
            url: format!("http://{address}/"),
            now,
            _store: store,
            _exporter: exporter,
        })
    }

    /// Opens the page with this fragment, types a key, and asks for points.
    async fn ask(&self, fragment: &str, key: &str) -> Result<()> {
        // Only the fragment may differ, which would load nothing.
        self.browser.open("about:blank").await?;
        self.browser
            .open(&format!("{}#{fragment}", self.url))
            .await?;
        self.browser.press(&format!("{key}{}", keys::ENTER)).await
    }

    async fn status(&self) -> Result<String> {
        let done = "const said = document.getElementById('status').textContent;
            return !document.getElementById('results').hidden && /points|answer/.test(said) && said";
        let said = self.browser.until(done).await?;
        Ok(said.as_str().unwrap_or_default().to_owned())
    }

    /// Why there is nothing, as the page says.
    async fn why(&self) -> Result<String> {
        let shown = "const why = document.getElementById('why');
            return !why.hidden && (document.getElementById('why-text').textContent || null)";
        let said = self.browser.until(shown).await?;
        Ok(said.as_str().unwrap_or_default().to_owned())
    }

    /// The points in the page's table, and those of the API for the request that the page shows.
    async fn points(&self) -> Result<(Value, Value)> {
        let rows = "return [...document.querySelectorAll('#points tbody tr')]
            .map((row) => JSON.parse(row.dataset.point))";
        let shown = self.browser.run(rows).await?;
        let request = "return /-d '(.*)'$/s.exec(document.getElementById('curl').textContent)[1]";
        let request = self.browser.run(request).await?;
        let request = request.as_str().context("no request")?.to_owned();
        let url = format!("{}/api/metric", self.mirror.url());
        let answer = http_client().post(url).body(request).send().await?;
        let answer: Value = serde_json::from_str(&answer.text().await?)?;
        Ok((shown, answer["telemetry"]["points"].clone()))
    }

    /// Takes a picture for the documentation, if pictures are wanted.
    async fn picture(&self, name: &str) -> Result<()> {
        let Some(folder) = std::env::var_os("PROMETHEUS_MIRROR_PICTURES") else {
            return Ok(());
        };
        self.resize(900, 1060).await?;
        let picture = self.browser.picture().await?;
        std::fs::write(std::path::Path::new(&folder).join(name), picture)?;
        Ok(())
    }

    async fn resize(&self, width: i64, height: i64) -> Result<()> {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        let command = "Emulation.setDeviceMetricsOverride";
        self.browser.chromium(command, &size).await
    }

    /// What axe calls serious or critical.
    async fn barriers(&self, axe: &str) -> Result<()> {
        let script = format!(
            "{axe}; return axe.run(document, {{ resultTypes: ['violations'] }}).then((found) =>
                found.violations.filter(({{ impact }}) => /serious|critical/.test(impact))
                    .map(({{ id, nodes }}) => `${{id}}: ${{nodes.map((node) => node.html)}}`))"
        );
        let found = self.browser.run(&script).await?;
        ensure!(found == json!([]), "{found:#}");
        Ok(())
    }
}

/// A metric is chosen by keyboard, and the page shows what the API answers.
async fn by_keyboard(console: &Console) -> Result<()> {
    let Console { browser, url, .. } = console;
    browser.open(url).await?;
    let tab = keys::TAB;
    browser.press(&format!("{KEY}{tab}")).await?;
    browser
        .until("return document.getElementById('target').value === 'shop'")
        .await?;
    browser.press(&format!("{tab}{tab}shop_m")).await?;
    let offered = "return [...document.querySelectorAll('#metrics option')]
        .find((option) => option.value === 'shop_memory_bytes')?.label";
    let described = "gauge, bytes: Memory that the shop has in use.";
    let offered = browser.until(offered).await?;
    let expected = format!("shop_memory_bytes ({described})");
    ensure!(offered == *expected, "{offered}");
    browser
        .press(&format!("emory_bytes{tab}{}", keys::ENTER))
        .await?;
    browser.until(&labels_of("#labels")).await?;
    let counted = browser.run(&labels_of("#labels")).await?;
    let expected = json!(["instance (2 series)", "job (2 series)"]);
    ensure!(counted == expected, "{counted}");
    browser.press(&format!("instance{tab}")).await?;
    let counted = browser.until(&labels_of("#values-1")).await?;
    let expected = json!(["web-1 (1 series)", "web-2 (1 series)"]);
    ensure!(counted == expected, "{counted}");
    browser.press(&format!("web-1{}", keys::ENTER)).await?;
    let status = console.status().await?;
    let (shown, answered) = console.points().await?;
    ensure!(shown == answered, "{shown} is not {answered}");
    let count = answered.as_array().map_or(0, Vec::len);
    ensure!(
        count > 50 && status == format!("{count} points."),
        "{count}: {status}"
    );
    let drawn = browser
        .run("return document.querySelector('#chart svg').getAttribute('aria-label')")
        .await?;
    let drawn = drawn.as_str().unwrap_or_default();
    ensure!(
        drawn.ends_with(&format!("{count} aggregated points")),
        "{drawn}"
    );
    ensure!(!drawn.contains(" 0 raw"), "{drawn}");
    let promql = browser
        .run("return document.querySelector('#promql mark').textContent")
        .await?;
    ensure!(
        promql.as_str().is_some_and(|shown| shown.contains("web-1")),
        "{promql}"
    );
    let about = "return document.getElementById('about').textContent";
    let about = browser.run(about).await?;
    ensure!(about == described, "{about}");
    console.picture("console.png").await
}

/// What the options of a list say, once they say more than what can be chosen.
fn labels_of(list: &str) -> String {
    format!(
        "const all = [...document.querySelectorAll('{list} option')];
        return all.some(({{ label }}) => label.includes(' (')) && all.map(({{ label }}) => label)"
    )
}

/// The whole state is in the URL, and the key is nowhere.
async fn keeps_its_state_but_not_the_key(console: &Console) -> Result<()> {
    let browser = &console.browser;
    browser.reload().await?;
    let state = "return ['metric', 'label-1', 'value-1', 'key']
        .map((id) => document.getElementById(id).value)
        .concat([location.href.includes('test-key'), localStorage.length, sessionStorage.length])";
    let found = browser.run(state).await?;
    let expected = json!(["shop_memory_bytes", "instance", "web-1", "", false, 0, 0]);
    ensure!(found == expected, "{found}");
    // With the key, it is the same query.
    browser.press(&format!("{KEY}{}", keys::ENTER)).await?;
    console.status().await?;
    let (shown, answered) = console.points().await?;
    ensure!(shown == answered, "{shown} is not {answered}");
    Ok(())
}

/// An instant as the page's fields have it.
fn field(at: i64) -> String {
    Timestamp(at).rfc3339().trim_end_matches('Z').to_owned()
}

/// Each reason for an empty chart is provoked.
async fn says_why(console: &Console) -> Result<()> {
    let gauge = "kind=__gauge__&range=1h&bucket=1m&method=MEAN&metric=";
    let first = console.now - 6 * HOUR;
    let before = format!("shop_old_bytes&end={}", field(first - HOUR));
    let cut = format!("shop_old_bytes&end={}", field(first + 31_000));
    for (fragment, key, expected) in [
        ("shop_memory_bytes", "wrong", "the API key is wrong"),
        ("shop_missing", KEY, "no series of \"shop_missing\""),
        (
            "shop_memory_bytes&where=instance%3Dweb-9&where=job%3Dshop",
            KEY,
            "instance=\"web-9\" excludes all of them",
        ),
        ("shop_old_bytes", KEY, "the last one before it is at about"),
        (&before, KEY, "the first one after it is at about"),
        (&cut, KEY, "its last bucket, which the range cuts off"),
        ("shop_nothing_bytes", KEY, "every value is NaN"),
        (
            "shop_memory_bytes&bucket=9999d",
            KEY,
            "no bucket of this length is over",
        ),
    ] {
        // The last of two fields of a name is none: the one that the case sets comes alone.
        let gauge = match fragment.contains("bucket=") {
            true => gauge.replace("&bucket=1m", ""),
            false => gauge.to_owned(),
        };
        console.ask(&format!("{gauge}{fragment}"), key).await?;
        let why = console.why().await?;
        ensure!(why.contains(expected), "{fragment}: {why}");
        if expected.ends_with("excludes all of them") {
            console.status().await?;
            console.picture("console-why.png").await?;
        }
    }
    Ok(())
}

/// What tells several series apart can be chosen with a click.
async fn tells_series_apart(console: &Console) -> Result<()> {
    let raw = "kind=__gauge__&range=1h&bucket=1m&method=&metric=shop_memory_bytes";
    console.ask(raw, KEY).await?;
    let why = console.why().await?;
    ensure!(why.contains("too many series"), "{why}");
    let choices = "const all = [...document.querySelectorAll('#choices button')];
        return all.length > 0 && all.map((button) => button.textContent)";
    let choices = console.browser.until(choices).await?;
    let expected = json!(["instance = web-1", "instance = web-2"]);
    ensure!(choices == expected, "{choices}");
    console
        .browser
        .click("#choices li:nth-child(2) button")
        .await?;
    let shown = "return document.querySelectorAll('#points tbody tr').length > 0";
    console.browser.until(shown).await?;
    let (shown, answered) = console.points().await?;
    ensure!(shown == answered, "{shown} is not {answered}");
    ensure!(
        answered[0][0] == json!(7) || answered[0][0] == json!(7.0),
        "{answered}"
    );
    Ok(())
}

/// Nobody is kept from it: in the light and in the dark, on a wide screen and on a narrow one.
async fn is_for_everyone(console: &Console) -> Result<()> {
    let (browser, axe) = (&console.browser, axe()?);
    for colours in ["light", "dark"] {
        for width in [1100, 360] {
            let scheme = json!([{"name": "prefers-color-scheme", "value": colours}]);
            let media = json!({ "features": scheme });
            browser
                .chromium("Emulation.setEmulatedMedia", &media)
                .await?;
            console.resize(width, 900).await?;
            console
                .barriers(&axe)
                .await
                .with_context(|| format!("{colours}, {width}"))?;
            let wide = browser
                .run("return document.scrollingElement.scrollWidth")
                .await?;
            ensure!(wide.as_i64() <= Some(width), "{wide} of {width} pixels");
        }
    }
    Ok(())
}

/// The page does nothing that its policy forbids; and what does so is noticed.
async fn keeps_its_policy(console: &Console) -> Result<()> {
    let complaints = console.browser.complaints().await?;
    ensure!(complaints.is_empty(), "{complaints:#?}");
    let inline = "const script = document.createElement('script');
        script.textContent = 'document.title = 1';
        document.body.append(script);
        return document.title";
    let title = console.browser.run(inline).await?;
    ensure!(title == "Prometheus Mirror", "an inline script ran");
    let complaints = console.browser.complaints().await?;
    ensure!(complaints.len() == 1, "{complaints:#?}");
    ensure!(
        complaints[0].contains("Content Security Policy"),
        "{complaints:#?}"
    );
    Ok(())
}

async fn whole(console: &Console) -> Result<()> {
    by_keyboard(console).await.context("by keyboard")?;
    shown::shows_the_calls(console).await.context("calls")?;
    shown::copies_what_to_type(console)
        .await
        .context("copying")?;
    keeps_its_state_but_not_the_key(console)
        .await
        .context("state")?;
    says_why(console).await.context("why")?;
    tells_series_apart(console)
        .await
        .context("several series")?;
    is_for_everyone(console).await.context("for everyone")?;
    keeps_its_policy(console).await.context("policy")
}

#[tokio::test]
async fn people_see_in_a_browser_what_stackstate_gets_and_why() -> Result<()> {
    let console = Console::start().await?;
    let found = whole(&console).await;
    console.browser.end().await?;
    found
}

#[tokio::test]
async fn the_page_is_small_and_soon_there() -> Result<()> {
    let console = Console::start().await?;
    let found = shown::is_there_at_once(&console).await;
    console.browser.end().await?;
    found
}
