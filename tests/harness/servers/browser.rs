//! A real browser: Debian's Chromium, driven over W3C WebDriver.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::tool::tool;
use super::{Process, eventually, free_port, http_client, program};

/// The name under which WebDriver's answers have the id of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys that have no character of their own, as WebDriver writes them.
pub mod keys {
    /// To the next field.
    pub const TAB: &str = "\u{e004}";
    /// Submits a form, presses a button.
    pub const ENTER: &str = "\u{e007}";
}

/// A browser with one window and a profile of its own. It ends with its driver.
#[derive(Debug)]
pub struct Browser {
    driver: Process,
    /// The base URL of the session.
    session: String,
}

impl Browser {
    /// Starts it.
    ///
    /// # Errors
    /// If Chromium or its driver is not installed or does not start.
    pub async fn start() -> Result<Self> {
        program("chromium", "chromium")?;
        let driver = program("chromedriver", "chromium-driver")?;
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        let profile = folder.path().join("profile");
        let arguments = [format!("--port={port}"), "--allowed-ips=".to_owned()];
        let driver = Process::start("chromedriver", &driver, arguments, folder)?;
        let url = format!("http://127.0.0.1:{port}");
        super::wait_until_ready(&driver, &format!("{url}/status")).await?;
        let options = json!({"args": [
            "--headless=new",
            // Tests may run as root, which Chromium's sandbox refuses.
            "--no-sandbox",
            "--disable-dev-shm-usage",
            "--window-size=1100,1000",
            // So it ends when the driver does, for whatever reason.
            "--remote-debugging-pipe",
            format!("--user-data-dir={}", profile.display()),
        ]});
        let wanted =
            json!({"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}});
        let mut browser = Self {
            driver,
            session: format!("{url}/session"),
        };
        let capabilities = json!({"capabilities": {"alwaysMatch": wanted}});
        let started = browser.send("", &capabilities).await?;
        let id = started["sessionId"].as_str().context("no session")?;
        browser.session = format!("{url}/session/{id}");
        Ok(browser)
    }

    /// Sends a command of WebDriver, and answers its value.
    async fn send(&self, command: &str, body: &Value) -> Result<Value> {
        let url = format!("{}{command}", self.session);
        let request = http_client().post(url).body(body.to_string());
        let answer = request.send().await?.text().await?;
        let answer: Value = serde_json::from_str(&answer)?;
        let value = &answer["value"];
        ensure!(
            value.get("error").is_none(),
            "{command}: {}: {}",
            value["message"],
            self.driver.log()
        );
        Ok(value.clone())
    }

    /// Opens a page, and waits until it is loaded.
    ///
    /// # Errors
    /// If it cannot be loaded.
    pub async fn open(&self, url: &str) -> Result<()> {
        self.send("/url", &json!({ "url": url })).await?;
        Ok(())
    }

    /// Loads the page again.
    ///
    /// # Errors
    /// If it cannot be loaded.
    pub async fn reload(&self) -> Result<()> {
        self.send("/refresh", &json!({})).await?;
        Ok(())
    }

    /// What the body of a function returns in the page. A promise is waited for.
    ///
    /// # Errors
    /// If it throws.
    pub async fn run(&self, body: &str) -> Result<Value> {
        let script = json!({ "script": body, "args": [] });
        self.send("/execute/sync", &script).await
    }

    /// Presses keys, one after the other, wherever the focus is.
    ///
    /// # Errors
    /// If the browser has ended.
    pub async fn press(&self, text: &str) -> Result<()> {
        let strokes = text.chars().flat_map(|key| {
            ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key.to_string() }))
        });
        let strokes: Vec<_> = strokes.collect();
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes });
        self.send("/actions", &json!({ "actions": [keyboard] }))
            .await?;
        Ok(())
    }

    /// Clicks an element, as a mouse does.
    ///
    /// # Errors
    /// If there is none, or it cannot be clicked.
    pub async fn click(&self, selector: &str) -> Result<()> {
        let wanted = json!({ "using": "css selector", "value": selector });
        let found = self.send("/element", &wanted).await?;
        let id = found[ELEMENT].as_str().context("no element")?;
        self.send(&format!("/element/{id}/click"), &json!({}))
            .await?;
        Ok(())
    }

    /// Waits until a function's body returns something else than null and false, and answers it.
    ///
    /// # Errors
    /// If it does not within 30 s.
    pub async fn until(&self, body: &str) -> Result<Value> {
        eventually(body, || async {
            let found = self.run(body).await?;
            Ok(Some(found).filter(|found| *found != Value::Null && *found != json!(false)))
        })
        .await
    }

    /// What the window shows, as PNG.
    ///
    /// # Errors
    /// If the browser has ended.
    pub async fn picture(&self) -> Result<Vec<u8>> {
        let url = format!("{}/screenshot", self.session);
        let answer = http_client().get(url).send().await?.text().await?;
        let answer: Value = serde_json::from_str(&answer)?;
        let picture = answer["value"].as_str().context("no picture")?;
        Ok(from_base64(picture))
    }

    /// Sends a command of Chromium's own protocol.
    ///
    /// # Errors
    /// If it is refused.
    pub async fn chromium(&self, command: &str, parameters: &Value) -> Result<()> {
        let body = json!({ "cmd": command, "params": parameters });
        self.send("/goog/cdp/execute", &body).await?;
        Ok(())
    }

    /// What the last copying put on the clipboard. The page may do both from then on.
    ///
    /// # Errors
    /// If there is no text.
    pub async fn copied(&self) -> Result<String> {
        let allowed = json!({ "permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"] });
        self.chromium("Browser.grantPermissions", &allowed).await?;
        let text = self.run("return navigator.clipboard.readText()").await?;
        Ok(text.as_str().context("no text")?.to_owned())
    }

    /// Errors on the page's console since the last look: exceptions and violations of its policy.
    /// That a request was answered with an error is none.
    ///
    /// # Errors
    /// If the browser has ended.
    pub async fn complaints(&self) -> Result<Vec<String>> {
        let lines = self.send("/se/log", &json!({"type": "browser"})).await?;
        let lines = lines.as_array().cloned().unwrap_or_default();
        let bad = lines
            .iter()
            .filter(|line| line["level"] == "SEVERE" && line["source"] != "network");
        Ok(bad.map(|line| line["message"].to_string()).collect())
    }

    /// Ends it.
    ///
    /// # Errors
    /// If it has ended before.
    pub async fn end(self) -> Result<()> {
        http_client().delete(&self.session).send().await?;
        Ok(())
    }
}

/// The bytes that are written so. Other characters are left out.
fn from_base64(text: &str) -> Vec<u8> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for character in text.bytes() {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.extend(u8::try_from(bits >> count & 0xff));
        }
    }
    bytes
}

/// The script of axe-core: in a page, it finds what keeps people from using it.
///
/// # Errors
/// If it cannot be installed.
pub fn axe() -> Result<String> {
    let program: PathBuf = tool("axe")?.join("axe");
    let printed = Command::new(program).output()?;
    ensure!(printed.status.success(), "axe: {}", printed.status);
    Ok(String::from_utf8(printed.stdout)?)
}
