//! Those who must notice nothing: the kubelet and an honest client.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How long a probe may take, as the operator sets it for the kubelet, is a second. This is what we
/// want.
pub(crate) const WANTED: Duration = Duration::from_millis(100);

/// How often the honest client asks: in the shortest row often enough for a p99.
const BETWEEN_REQUESTS: Duration = Duration::from_millis(10);

/// What was seen.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Seen {
    /// How long each probe took.
    pub(crate) probes: Vec<Duration>,
    /// Probes without a 200.
    pub(crate) failed_probes: Vec<String>,
    /// How long each honest request took.
    pub(crate) requests: Vec<Duration>,
    /// Honest requests without their points.
    pub(crate) failed_requests: Vec<String>,
}

/// The value that a share of all values does not exceed.
pub(crate) fn quantile(values: &[Duration], share: f64) -> Duration {
    let mut values = values.to_vec();
    values.sort();
    let last = values.len().saturating_sub(1);
    values
        .get(((last as f64) * share).round() as usize)
        .copied()
        .unwrap_or_default()
}

/// The argument that makes this program the process of those who watch.
pub(crate) const ARGUMENT: &str = "watch";

/// Those who watch, in a process of their own: in that of the attackers they would wait for locks
/// of its memory, which a thread that gets only what others leave may hold for long.
#[derive(Debug)]
pub(crate) struct Watch {
    process: Child,
    asked: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Watch {
    pub(crate) fn start(livez: &str, metric: &str) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args([ARGUMENT, livez, metric])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (asked, answers) = (process.stdin.take(), process.stdout.take());
        Ok(Self {
            asked: asked.context("no pipe")?,
            answers: BufReader::new(answers.context("no pipe")?),
            process,
        })
    }

    /// What was seen since the last time.
    pub(crate) fn take(&mut self) -> Result<Seen> {
        self.asked.write_all(b"\n")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).context("those who watch have ended")
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Watches, and prints what was seen for each line of standard input, until that ends.
pub(crate) fn run(livez: String, metric: String, honest: Value) -> Result<()> {
    // It sets the process up for clients of its kind.
    drop(harness::servers::http_client());
    let watching = Watching::start(livez, metric, honest);
    for line in std::io::stdin().lines() {
        line?;
        println!("{}", serde_json::to_string(&watching.take())?);
    }
    Ok(())
}

/// Probes every second and asks a hundred times a second, on threads of their own. An answer that
/// is late does not delay the next request.
#[derive(Debug)]
struct Watching {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Watching {
    fn start(livez: String, metric: String, honest: Value) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let stop = Arc::new(AtomicBool::new(false));
        let probing = {
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            on_its_own(stop, Duration::from_secs(1), move |http| {
                // A new connection each time, as the kubelet has it.
                let (seen, probe) = (
                    Arc::clone(&seen),
                    http.get(&livez).header("Connection", "close"),
                );
                async move {
                    let began = Instant::now();
                    let answered = probe.timeout(Duration::from_secs(1)).send().await;
                    let took = began.elapsed();
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.probes.push(took);
                    match answered {
                        Ok(answer) if answer.status().is_success() => {}
                        Ok(answer) => seen.failed_probes.push(answer.status().to_string()),
                        Err(error) => seen.failed_probes.push(format!("{error:?}")),
                    }
                }
            })
        };
        let asking = {
            let (seen, stop) = (Arc::clone(&seen), Arc::clone(&stop));
            on_its_own(stop, BETWEEN_REQUESTS, move |http| {
                let (seen, request) = (Arc::clone(&seen), http.post(&metric).json(&honest));
                async move {
                    let began = Instant::now();
                    let answer = async { request.send().await?.text().await }.await;
                    let took = began.elapsed();
                    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    match answer {
                        Ok(body)
                            if body.contains("MetricTelemetry") || body.contains("telemetry") =>
                        {
                            seen.requests.push(took)
                        }
                        Ok(body) => seen.failed_requests.push(body),
                        Err(error) => seen.failed_requests.push(format!("{error:?}")),
                    }
                }
            })
        };
        Self {
            seen,
            stop,
            threads: vec![probing, asking],
        }
    }

    fn take(&self) -> Seen {
        std::mem::take(&mut self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic there shows as nothing seen.
            let _ = thread.join();
        }
    }
}

fn on_its_own<F: Future<Output = ()> + 'static>(
    stop: Arc<AtomicBool>,
    every: Duration,
    mut act: impl FnMut(&reqwest::Client) -> F + Send + 'static,
) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        else {
            return;
        };
        let asking = async {
            // Another client than those who attack, as its address says.
            let address = std::net::Ipv4Addr::new(127, 0, 0, 2);
            let http = reqwest::Client::builder()
                .no_proxy()
                .local_address(std::net::IpAddr::from(address))
                .timeout(Duration::from_secs(60))
                .build();
            let Ok(http) = http else { return };
            let mut ticks = tokio::time::interval(every);
            while !stop.load(Ordering::Relaxed) {
                ticks.tick().await;
                tokio::task::spawn_local(act(&http));
            }
        };
        tokio::task::LocalSet::new().block_on(&runtime, asking);
    })
}
