//! `check`: what each pod serves, and which targets it reaches.

use std::time::Duration;

use crds::contract::{ADMIN_PORT_NUMBER, Phase, Reachability, Readiness, pages};
use mirror::cli::print;
use serde::de::DeserializeOwned;

use crate::args::CheckArgs;
use crate::cluster::Cluster;
use crate::list::condition;
use crate::pods::Place;
use crate::problem::Problem;
use crate::table::one_line;
use crate::tunnel::Tunnel;

/// The mirror asks each target before it answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// Checks it, and prints what was found.
///
/// # Errors
/// If something is wrong, or a pod cannot be asked.
pub async fn run(cluster: &Cluster, args: &CheckArgs) -> Result<(), Problem> {
    let mirror = cluster.mirror(&args.name).await?;
    let ready = condition(&mirror, "Ready");
    let mut report = Report::default();
    if ready["status"] != "True" {
        let text = |field: &str| one_line(ready[field].as_str().unwrap_or("Unknown"));
        report.wrong(format!(
            "not ready: {}: {}",
            text("reason"),
            text("message")
        ));
    }
    let pods = Place::of(&mirror).pods(cluster).await?;
    if pods.is_empty() {
        report.wrong("it has no pods".to_owned());
    }
    for pod in pods {
        if !pod.ready {
            report.wrong(format!("pod {}: {}", pod.name, pod.state));
            continue;
        }
        let tunnel = Tunnel::open(cluster, &pod.name, ADMIN_PORT_NUMBER, 0).await?;
        let base = format!("http://{}", tunnel.address);
        let readiness = page(&base, pages::READINESS).await;
        let reachability = page(&base, pages::TARGETS).await;
        match (readiness, reachability) {
            (Ok(readiness), Ok(reachability)) => {
                report.pod(&pod.name, &readiness, &reachability);
            }
            (Err(problem), _) | (_, Err(problem)) => {
                let problem = tunnel.explained(problem);
                report.wrong(format!("pod {}: {problem}", pod.name));
            }
        }
    }
    print(&report.text)?;
    match report.faults {
        0 => Ok(()),
        1 => Err(Problem::Other("one thing is wrong".to_owned())),
        faults => Err(Problem::Other(format!("{faults} things are wrong"))),
    }
}

/// A page of the admin port. It says as much when the pod is not ready.
async fn page<T: DeserializeOwned>(base: &str, path: &str) -> Result<T, Problem> {
    let broken = |error: reqwest::Error| Problem::Other(format!("{path}: {error}"));
    let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE);
    let http = http.build().map_err(broken)?;
    let response = http.get(format!("{base}{path}")).send().await;
    let body = response.map_err(broken)?.bytes().await.map_err(broken)?;
    serde_json::from_slice(&body)
        .map_err(|_| Problem::Other(format!("{path} is not what a mirror answers")))
}

/// What was found.
#[derive(Debug, Default)]
struct Report {
    text: String,
    faults: usize,
}

impl Report {
    fn fine(&mut self, line: &str) {
        self.text += &format!("ok     {}\n", one_line(line));
    }

    fn wrong(&mut self, line: String) {
        self.text += &format!("WRONG  {}\n", one_line(&line));
        self.faults += 1;
    }

    fn pod(&mut self, name: &str, readiness: &Readiness, reachability: &Reachability) {
        let document = readiness.document.as_ref();
        let serves = document.map_or("nothing".to_owned(), |document| {
            let beginning = document.hash.chars().take(12).collect::<String>();
            format!("document {beginning}")
        });
        match readiness.status {
            Phase::Ready => self.fine(&format!("pod {name} serves {serves}")),
            phase => self.wrong(format!("pod {name} is {phase:?} and serves {serves}")),
        }
        if readiness.newer_document_refused {
            self.wrong(format!(
                "pod {name} refuses a newer document; kubectl pmirror logs says why"
            ));
        }
        for target in &reachability.targets {
            let version = target.version.as_deref().unwrap_or("an unknown version");
            let message = target.message.as_deref().unwrap_or("no reason given");
            let at = format!("pod {name}, target {}", target.name);
            match target.reachable {
                Some(true) => self.fine(&format!("{at}: reachable, {version}")),
                Some(false) => self.wrong(format!("{at}: not reachable: {message}")),
                None => self.wrong(format!("{at}: not asked in time: {message}")),
            }
            for notice in &target.notices {
                self.text += &format!("note   {at}: {}\n", one_line(notice));
            }
        }
        for notice in &reachability.notices {
            self.text += &format!("note   pod {name}: {}\n", one_line(notice));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_pod_says_what_it_serves_and_what_it_reaches() {
        let readiness = json!({
            "status": "ready", "newerDocumentRefused": true,
            "document": {"name": "production", "hash": "0123456789abcdef0123"},
        });
        let reachability = json!({
            "targets": [
                {"name": "a", "reachable": true, "version": "3.5.0", "notices": ["odd"]},
                {"name": "b", "reachable": false, "message": "refused\nhere"},
                {"name": "c"},
            ],
        });
        let mut report = Report::default();
        report.pod(
            "p",
            &serde_json::from_value(readiness).unwrap(),
            &serde_json::from_value(reachability).unwrap(),
        );
        let expected = "\
ok     pod p serves document 0123456789ab
WRONG  pod p refuses a newer document; kubectl pmirror logs says why
ok     pod p, target a: reachable, 3.5.0
note   pod p, target a: odd
WRONG  pod p, target b: not reachable: refused here
WRONG  pod p, target c: not asked in time: no reason given
";
        assert_eq!((report.text.as_str(), report.faults), (expected, 3));
    }
}
