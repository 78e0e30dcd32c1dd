//! One run: a namespace of its own, a proxy, and operators that see nothing else.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use cluster_client::{condition, is_ready, mirror};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::cluster::{self, Cluster, Kind, MIRROR};
use crate::plan::Rule;
use crate::proxy::{Proxy, Upstream};
use crate::record::{self, Lives};
use crate::reference::Reference;
use crate::replica::{Replica, Settings};
use crate::report::Tally;
use crate::snapshot::{self, Comparison, Snapshot};
use crate::story::{self, NAME, Step};

/// What all trials share.
pub struct Harness {
    /// The cluster.
    pub cluster: Cluster,
    /// The way to it with the operator's rights.
    pub upstream: Upstream,
    /// The operator.
    pub operator: PathBuf,
    /// The operator of another version, if there is one.
    pub next: Option<PathBuf>,
    /// Where the operator's rights are written.
    pub operator_yaml: PathBuf,
    /// Where the documents are that must be refused.
    pub corpus: PathBuf,
    /// Whether fake pods answer on their admin ports.
    pub pods_answer: bool,
    /// Every position of every fault, or some of each.
    pub full: bool,
    /// How long no write may come after a match.
    pub quiet: Duration,
    /// Of kubeconfigs and logs.
    pub directory: PathBuf,
    /// What came of it all.
    pub tally: Tally,
    /// How many trials have begun.
    pub begun: AtomicUsize,
}

/// How long everything may take to come to rest while nothing goes wrong any more.
pub const PATIENCE: Duration = Duration::from_secs(150);
/// What is written right after a match, such as its event, is part of the work.
const AFTERMATH: Duration = Duration::from_secs(2);
/// A status that tells only of progress may come five seconds after the one before.
const PROGRESS: Duration = Duration::from_secs(6);
/// Between two looks while waiting.
const POLL: Duration = Duration::from_millis(400);

impl Harness {
    /// Runs `story` in a trial with so many replicas and enters what came of it. The operators have
    /// panicked or ended by themselves in none that is fine.
    pub async fn trial(
        &self,
        class: u8,
        name: &str,
        replicas: usize,
        story: impl AsyncFnOnce(&Trial<'_>) -> Result<()>,
    ) {
        let began = Instant::now();
        let result = match Trial::begin(self, replicas).await {
            Err(error) => Err(error.context("the trial could not begin")),
            Ok(trial) => {
                let mut result = story(&trial).await;
                if let (Ok(()), Some(problem)) = (&result, trial.problem()) {
                    result = Err(anyhow::anyhow!(problem));
                }
                self.tally.injected(class, &trial.proxy.plan.injected());
                self.tally
                    .compared(class, trial.compared.load(Ordering::Relaxed));
                trial.keep_record();
                if result.is_err() {
                    println!("{}: log and record of: {name}", trial.namespace);
                }
                trial.end().await;
                result
            }
        };
        self.tally.ran(class, name, began.elapsed(), result.err());
    }
}

/// One run.
pub struct Trial<'a> {
    /// What it has in common with others.
    pub harness: &'a Harness,
    /// Where it takes place.
    pub namespace: String,
    /// Between its operators and the API server.
    pub proxy: Arc<Proxy>,
    /// Its operators.
    pub replicas: Vec<Arc<Replica>>,
    listeners: Vec<JoinHandle<()>>,
    compared: AtomicUsize,
}

impl<'a> Trial<'a> {
    async fn begin(harness: &'a Harness, replicas: usize) -> Result<Self> {
        let number = harness.begun.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("trial-{}-{number:04}", std::process::id());
        let cluster = &harness.cluster;
        let manifest =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        cluster.apply(&manifest).await?;
        for manifest in cluster::lease_rights(&harness.operator_yaml, &namespace)? {
            cluster.apply(&manifest).await?;
        }
        for manifest in story::fixtures(&namespace) {
            cluster.apply(&manifest).await?;
        }
        let directory = harness.directory.join(&namespace);
        std::fs::create_dir_all(&directory)?;
        let settings = Settings {
            program: harness.operator.clone(),
            next: harness.next.clone(),
            directory,
            namespace: namespace.clone(),
        };
        let mut trial = Self {
            harness,
            namespace,
            proxy: Arc::new(Proxy::new(harness.upstream.clone())),
            replicas: vec![],
            listeners: vec![],
            compared: AtomicUsize::new(0),
        };
        for number in 0..replicas {
            let replica = Arc::new(Replica::new(number, settings.clone()));
            let (address, listener) = trial.proxy.listen(&replica).await?;
            replica.start(address)?;
            trial.replicas.push(replica);
            trial.listeners.push(listener);
        }
        Ok(trial)
    }

    async fn end(self) {
        for replica in &self.replicas {
            // It may be stopped, or have ended: its trial has said so.
            let _ = replica.kill().await;
        }
        for listener in &self.listeners {
            listener.abort();
        }
        let namespace = cluster::kind("Namespace").map(|kind| (kind, &self.namespace));
        if let Ok((kind, name)) = namespace
            && let Err(error) = self.harness.cluster.delete(kind, "", name).await
        {
            eprintln!("cannot delete {name}: {error:#}");
        }
    }

    fn problem(&self) -> Option<String> {
        self.replicas.iter().find_map(|replica| replica.problem())
    }

    /// For whoever looks for the cause: what was asked, beside the operators' logs.
    fn keep_record(&self) {
        let entries = self.proxy.record.since(0);
        let Some(first) = entries.first().map(|entry| entry.at) else {
            return;
        };
        let lines: String = entries
            .iter()
            .map(|entry| {
                let seconds = entry.at.duration_since(first).as_secs_f64();
                let answer = entry
                    .answered
                    .map_or("-".to_owned(), |code| code.to_string());
                format!(
                    "{seconds:8.3} {} {} {answer}\n",
                    entry.replica, entry.request
                )
            })
            .collect();
        let file = self.harness.directory.join(&self.namespace).join("record");
        if let Err(error) = std::fs::write(&file, lines) {
            eprintln!("cannot write {}: {error}", file.display());
        }
    }

    /// The only operator, or the first.
    #[must_use]
    pub fn operator(&self) -> &Replica {
        &self.replicas[0]
    }

    /// Puts rules in force.
    pub fn plan(&self, rules: Vec<Rule>) {
        self.proxy.plan.set(rules);
    }

    /// Makes the resource so, or removes it.
    ///
    /// # Errors
    /// If the API server refuses it.
    pub async fn set(&self, spec: Option<&Value>) -> Result<()> {
        self.set_named(NAME, spec).await
    }

    /// The same for a resource of another name.
    ///
    /// # Errors
    /// If the API server refuses it.
    pub async fn set_named(&self, name: &str, spec: Option<&Value>) -> Result<()> {
        let cluster = &self.harness.cluster;
        let Some(spec) = spec else {
            return cluster.delete(MIRROR, &self.namespace, name).await;
        };
        let manifest = mirror(&self.namespace, name, spec);
        match cluster.get(MIRROR, &self.namespace, name).await? {
            Some(_) => cluster.replace(MIRROR, &manifest).await?,
            None => cluster.apply(&manifest).await?,
        };
        Ok(())
    }

    /// What there is now.
    ///
    /// # Errors
    /// If a request fails.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        snapshot::take(&self.harness.cluster, &self.namespace).await
    }

    /// One object.
    ///
    /// # Errors
    /// If the request fails or there is none.
    pub async fn object(&self, kind: Kind, name: &str) -> Result<Value> {
        let object = self
            .harness
            .cluster
            .get(kind, &self.namespace, name)
            .await?;
        Ok(json!(object.with_context(|| format!(
            "there is no {} {name}",
            kind.2
        ))?))
    }

    /// O1: waits until what there is equals `expected`.
    ///
    /// # Errors
    /// With the differences, if that takes too long.
    pub async fn reaches(
        &self,
        expected: &Snapshot,
        how: &Comparison,
        patience: Duration,
    ) -> Result<()> {
        let deadline = Instant::now() + patience;
        let mirrors = snapshot::mirrors(expected);
        loop {
            let late = Instant::now() > deadline;
            if let Some(problem) = self.problem() {
                bail!(problem);
            }
            // Its status is the last to become what it should be, so that most looks need one
            // request only.
            let found = snapshot::take_mirrors(&self.harness.cluster, &self.namespace).await?;
            if !late && !how.differences(&mirrors, &found).is_empty() {
                tokio::time::sleep(POLL).await;
                continue;
            }
            let found = self.snapshot().await?;
            let differences = how.differences(expected, &found);
            self.compared.fetch_add(expected.len(), Ordering::Relaxed);
            if differences.is_empty() {
                return Ok(());
            }
            if late {
                let listed: Vec<_> = differences
                    .iter()
                    .take(8)
                    .map(ToString::to_string)
                    .collect();
                bail!(
                    "O1: {} differences after {patience:?}:\n  {}",
                    differences.len(),
                    listed.join("\n  ")
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// O1 and O3: comes to equal `expected`, and stays so.
    ///
    /// # Errors
    /// Those of [`Self::reaches`] and [`Self::stays`].
    pub async fn settles_as(&self, expected: &Snapshot, how: &Comparison) -> Result<()> {
        self.reaches(expected, how, PATIENCE).await?;
        self.stays(expected, how).await
    }

    /// What there is once pods and their controllers have followed; for what is neither ready nor
    /// has a reference.
    ///
    /// # Errors
    /// If that takes too long.
    pub async fn settled(&self) -> Result<Snapshot> {
        let deadline = Instant::now() + PATIENCE;
        let mut before = self.snapshot().await?;
        loop {
            tokio::time::sleep(PROGRESS).await;
            let now = self.snapshot().await?;
            if Comparison::STATE.differences(&before, &now).is_empty() {
                return Ok(now);
            }
            ensure!(Instant::now() < deadline, "it goes on changing");
            before = now;
        }
    }

    /// O3: nothing is written for a while, and what there is stays `expected`.
    ///
    /// # Errors
    /// With the writes or differences.
    pub async fn stays(&self, expected: &Snapshot, how: &Comparison) -> Result<()> {
        self.stays_for(self.harness.quiet, expected, how).await
    }

    /// The same for a while of its own.
    ///
    /// # Errors
    /// With the writes or differences.
    pub async fn stays_for(
        &self,
        quiet: Duration,
        expected: &Snapshot,
        how: &Comparison,
    ) -> Result<()> {
        tokio::time::sleep(AFTERMATH).await;
        let from = self.proxy.record.len();
        tokio::time::sleep(quiet).await;
        let entries = self.proxy.record.since(from);
        let writes: Vec<_> = record::writes(&entries)
            .iter()
            .map(|entry| entry.request.to_string())
            .collect();
        ensure!(
            writes.is_empty(),
            "O3: written after all was as it should be: {}",
            writes.join(", ")
        );
        let differences = how.differences(expected, &self.snapshot().await?);
        ensure!(
            differences.is_empty(),
            "O3: did not stay as it was: {}",
            differences
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("; ")
        );
        Ok(())
    }

    /// O2: since `from`, every child was made and removed as often as in the reference run.
    ///
    /// # Errors
    /// With the two numbers.
    pub fn lived(&self, from: usize, expected: &BTreeMap<String, Lives>) -> Result<()> {
        let found = record::lives(&self.proxy.record.since(from));
        ensure!(found == *expected, "O2: {found:?} instead of {expected:?}");
        Ok(())
    }

    /// One step of the story under the rules in force, until it looks as in the reference run; then
    /// without rules, O2.
    ///
    /// # Errors
    /// If an oracle says no.
    pub async fn step(&self, step: Step, reference: &Reference) -> Result<()> {
        let from = self.proxy.record.len();
        let expected = &reference.steps[&step];
        let context = || format!("in step {step:?}");
        self.set(step.spec().as_ref()).await.with_context(context)?;
        let how = Comparison::EXACT;
        self.reaches(&expected.snapshot, &how, PATIENCE)
            .await
            .with_context(context)?;
        self.plan(vec![]);
        self.lived(from, &expected.lives).with_context(context)
    }

    /// The same, and O3.
    ///
    /// # Errors
    /// If an oracle says no.
    pub async fn step_and_rest(&self, step: Step, reference: &Reference) -> Result<()> {
        self.step(step, reference).await?;
        self.stays(&reference.steps[&step].snapshot, &Comparison::EXACT)
            .await
            .with_context(|| format!("in step {step:?}"))
    }

    /// Waits until the resource is ready and its operator has come to rest; for what there is no
    /// reference of.
    ///
    /// # Errors
    /// If that takes too long.
    pub async fn rests(&self, name: &str, rest: Duration) -> Result<Snapshot> {
        let deadline = Instant::now() + PATIENCE;
        let began = Instant::now();
        loop {
            let quiet = self.proxy.record.quiet_for().unwrap_or(began.elapsed());
            let mirror = self
                .harness
                .cluster
                .get(MIRROR, &self.namespace, name)
                .await?;
            let mirror = mirror.map(|mirror| json!(mirror)).unwrap_or_default();
            let done = mirror.is_null() || !self.harness.pods_answer || is_ready(&mirror);
            if quiet > rest && began.elapsed() > rest && done {
                let snapshot = self.snapshot().await?;
                let empty = snapshot.keys().all(|object| !object.contains(NAME));
                if !mirror.is_null() || name != NAME || empty {
                    return Ok(snapshot);
                }
            }
            if Instant::now() > deadline {
                bail!("does not come to rest: {}", mirror["status"]["conditions"]);
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }

    /// Waits until a condition of a resource is `Status Reason`, and returns its message.
    ///
    /// # Errors
    /// If that takes too long.
    pub async fn becomes(&self, name: &str, type_: &str, expected: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = condition(&self.object(MIRROR, name).await?, type_);
            if let Some(found) = &found
                && found.state == expected
            {
                return Ok(found.message.clone());
            }
            if Instant::now() > deadline {
                bail!("{name}: {type_} is not {expected} but {found:?}");
            }
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    }
}
