//! A subject's scenarios, and how they are gone through.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail, ensure};
use futures::StreamExt as _;
use futures::future::LocalBoxFuture;

use crate::programs::Place;
use crate::scene::{Common, Scene};

/// What happens in a scenario.
pub(crate) type Story = for<'a> fn(&'a Scene) -> LocalBoxFuture<'a, Result<()>>;

/// What must hold, and whether others may run beside it.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) alone: bool,
    pub(crate) story: Story,
}

/// All of a subject.
pub(crate) struct Suite {
    /// What all of them need.
    pub(crate) prepare: Story,
    /// In order.
    pub(crate) scenarios: Vec<Scenario>,
    /// What to print of the whole cluster when one fails: arguments of kubectl.
    pub(crate) describe: &'static [&'static [&'static str]],
}

/// Scenarios that may run beside each other.
macro_rules! together {
    ($($module:ident: $($name:ident),+;)+) => {
        [$($($crate::suite::Scenario {
            name: stringify!($name),
            alone: false,
            story: |scene| Box::pin($module::$name(scene)),
        }),+),+]
    };
}
pub(crate) use together;

/// Scenarios that run one after the other and beside none.
macro_rules! alone {
    ($($module:ident: $($name:ident),+;)+) => {
        [$($($crate::suite::Scenario {
            name: stringify!($name),
            alone: true,
            story: |scene| Box::pin($module::$name(scene)),
        }),+),+]
    };
}
pub(crate) use alone;

impl Suite {
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.scenarios.iter().map(|scenario| scenario.name)
    }

    /// Goes through all scenarios, or only the named, whatever comes of each.
    pub(crate) async fn run(self, place: Place, names: &[String], parallel: usize) -> Result<()> {
        let began = Instant::now();
        let unknown = names
            .iter()
            .find(|name| !self.names().any(|known| known == **name));
        if let Some(name) = unknown {
            bail!("there is no scenario {name}: --list lists them");
        }
        let common = Arc::new(Common::new(place, self.describe).await?);
        let preparation = Scenario {
            name: "preparation",
            alone: true,
            story: self.prepare,
        };
        if let Err(why) = preparation.run(&common).await {
            bail!("the preparation failed: {why}");
        }
        let chosen = self
            .scenarios
            .into_iter()
            .filter(|scenario| names.is_empty() || names.iter().any(|name| name == scenario.name));
        let (mut failed, mut passed) = (vec![], 0);
        for batch in batches(chosen.collect()) {
            let results = futures::stream::iter(&batch)
                .map(async |scenario| (scenario.name, scenario.run(&common).await))
                .buffer_unordered(parallel.max(1))
                .collect::<Vec<_>>()
                .await;
            passed += results.iter().filter(|(_, result)| result.is_ok()).count();
            let failures = results.into_iter();
            failed.extend(failures.filter_map(|(name, result)| Some((name, result.err()?))));
        }
        let took = began.elapsed().as_secs();
        println!(
            "{passed} scenarios hold, {} do not, in {took} s",
            failed.len()
        );
        // Said again in the last lines, which may be all that is kept of a long log.
        let failed: Vec<_> = failed
            .iter()
            .map(|(name, why)| format!("{name}: {why}"))
            .collect();
        ensure!(failed.is_empty(), "{}", failed.join("\n"));
        Ok(())
    }
}

impl Scenario {
    /// Why it does not hold, if so.
    async fn run(&self, common: &Arc<Common>) -> Result<(), String> {
        let began = Instant::now();
        let scene = Scene::new(Arc::clone(common), self.name);
        let result = async {
            scene.open().await?;
            (self.story)(&scene).await?;
            scene.close().await
        };
        let result = result.await;
        let took = began.elapsed().as_secs();
        let Err(error) = result else {
            println!("== {} holds ({took} s)", self.name);
            return Ok(());
        };
        let why = format!("{error:#}");
        println!("== {} FAILED ({took} s): {why}", self.name);
        scene.describe().await;
        Err(why)
    }
}

/// Neighbours that may run beside each other, and each other scenario for itself.
fn batches(scenarios: Vec<Scenario>) -> Vec<Vec<Scenario>> {
    let mut batches: Vec<Vec<Scenario>> = vec![];
    for scenario in scenarios {
        match batches.last_mut() {
            Some(batch) if !scenario.alone && !batch[0].alone => batch.push(scenario),
            _ => batches.push(vec![scenario]),
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_that_wants_to_be_alone_is_in_no_batch() {
        let scenario = |(name, alone)| Scenario {
            name,
            alone,
            story: |_| Box::pin(async { Ok(()) }),
        };
        let all = [
            ("a", false),
            ("b", false),
            ("c", true),
            ("d", true),
            ("e", false),
        ];
        let found: Vec<Vec<_>> = batches(all.map(scenario).into())
            .iter()
            .map(|batch| batch.iter().map(|scenario| scenario.name).collect())
            .collect();
        assert_eq!(found, [vec!["a", "b"], vec!["c"], vec!["d"], vec!["e"]]);
    }
}
