//! Somebody who follows the page.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use tokio::process::{Child, Command};

use super::page::{Block, How, blocks, is_shown};
use crate::install::start_over;
use crate::operator_pods::SYSTEM;
use crate::programs::{DEFINITION, run};
use crate::scene::Scene;
use crate::wait::eventually;

/// What the reader creates beside the operator.
const NAMESPACES: [&str; 2] = ["observability", "monitoring"];

pub(super) async fn the_tutorial_works_word_for_word(scene: &Scene) -> Result<()> {
    // Left by a run before, on a cluster that was kept.
    start_over(scene).await?;
    for namespace in NAMESPACES {
        scene.remove_namespace(namespace).await?;
    }
    let page = std::fs::read_to_string(scene.place().file("docs/tutorial.md"))?;
    let reader = Reader::new(scene).await?;
    let blocks = blocks(&page);
    // Each ends with the one after it: they forward ports until Ctrl-C.
    let mut running: Option<Child> = None;
    let mut followed = 0;
    for block in &blocks {
        match block.how {
            How::ByHand => continue,
            How::KeepsRunning => running = Some(reader.starts(block).await?),
            How::Once => reader.follows(block).await?,
            How::Repeated => {
                let what = format!("this works as shown: {}", block.commands);
                eventually(what, async || reader.follows(block).await).await?;
            }
        }
        followed += 1;
    }
    drop(running);
    ensure!(followed > 15, "only {followed} blocks of the page were run");
    scene.claim(format!("{followed} blocks of the page do what it says"));

    for namespace in NAMESPACES.into_iter().chain([SYSTEM]) {
        let left = ["get", "namespace", namespace, "--ignore-not-found"];
        let left = run("kubectl", &left).await?;
        ensure!(left.is_empty(), "left: {left}");
    }
    let left = ["get", DEFINITION, "--ignore-not-found"];
    let left = run("kubectl", &left).await?;
    ensure!(left.is_empty(), "left: {left}");
    scene.claim("nothing is left after the last step");
    Ok(())
}

/// Somebody with a terminal in the checkout, and with Helm and the plugin installed.
struct Reader<'a> {
    scene: &'a Scene,
    path: String,
}

impl<'a> Reader<'a> {
    async fn new(scene: &'a Scene) -> Result<Self> {
        let place = scene.place();
        let helm = run(&place.file("tests/tools/build"), &["helm4"]).await?;
        let plugin = place.plugin.parent().context("the plugin has no folder")?;
        let path = std::env::var("PATH")?;
        Ok(Self {
            scene,
            path: format!("{}:{}:{path}", helm.trim(), plugin.display()),
        })
    }

    fn shell(&self, commands: &str) -> Command {
        let mut shell = Command::new("bash");
        shell
            .args(["-euo", "pipefail", "-c", commands])
            .current_dir(&self.scene.place().root)
            .env("PATH", &self.path)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .kill_on_drop(true);
        shell
    }

    /// Runs a block; it must succeed and print what is shown.
    async fn follows(&self, block: &Block) -> Result<()> {
        let done = self.shell(&block.commands).output().await?;
        let said = String::from_utf8_lossy(&done.stdout);
        let complained = String::from_utf8_lossy(&done.stderr);
        println!("$ {}\n{said}{complained}", block.commands);
        ensure!(
            done.status.success(),
            "{}: {}\n{complained}{said}",
            block.commands,
            done.status
        );
        if let Some(shown) = &block.output {
            ensure!(
                is_shown(shown, &said),
                "{} prints\n{said}\nand not\n{shown}",
                block.commands
            );
        }
        Ok(())
    }

    /// Starts a block that forwards a port, the last word of it, and waits until the port answers.
    async fn starts(&self, block: &Block) -> Result<Child> {
        println!("$ {} &", block.commands);
        // The shell must become the program, so that both end together.
        let mut shell = self.shell(&format!("exec {}", block.commands));
        let child = shell.stdout(Stdio::null()).spawn()?;
        let port = block.commands.split_whitespace().last();
        let url = format!("http://127.0.0.1:{}", port.context("no command")?);
        let client = reqwest::Client::builder().no_proxy().build()?;
        eventually(format!("{url} answers"), async || {
            client.get(&url).send().await?;
            Ok(())
        })
        .await?;
        Ok(child)
    }
}
