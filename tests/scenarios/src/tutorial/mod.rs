//! `docs/tutorial.md`, as a reader follows it: its commands word for word, on a new cluster, and
//! the output that it shows.

mod page;
mod reader;

use anyhow::Result;
use futures::future::LocalBoxFuture;

use crate::operator_pods::{PODS, SYSTEM};
use crate::scene::Scene;
use crate::suite::{Suite, alone};

pub(crate) fn suite() -> Suite {
    Suite {
        prepare,
        scenarios: alone![reader: the_tutorial_works_word_for_word;].into(),
        describe: &[
            &["get", "pmirror,pods", "-A"],
            &["-n", SYSTEM, "logs", "-l", PODS, "--tail=20"],
        ],
    }
}

fn prepare(scene: &Scene) -> LocalBoxFuture<'_, Result<()>> {
    Box::pin(async { scene.place().load_images().await })
}
