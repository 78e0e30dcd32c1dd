//! `query`: in the terminal, exactly what StackState would be answered.
//!
//! The request is made as the JSON that StackState sends and handed to the router that serves it,
//! or with `--mirror` posted to a running mirror, so there is no second way to an answer.

pub mod client;
mod outline;
mod request;

use std::io::IsTerminal as _;

use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::Value;

use self::client::{Answered, Mirror};
use self::outline::outline;
use self::request::request;
use super::table::Point;
use super::{Failure, plot, print, table};
use crate::cli::args::{Output, QueryArgs, QuestionArgs};
use crate::model::api_method::ApiMethod;
use crate::model::time::Timestamp;
use crate::prometheus::remarks::Meaning;

/// Lines of a chart proper.
const PLOT_HEIGHT: usize = 15;

/// Clears a terminal, and goes to its first line.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// What is to be known about a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Its answer.
    Points,
    /// How it is answered.
    Explanation,
    /// Why its answer has no points.
    Reason,
}

/// Asks, and prints the answer; with `--watch` again and again.
///
/// # Errors
/// If the configuration has faults or the answer is an error.
pub async fn run(args: QueryArgs) -> Result<(), Failure> {
    let about = match (args.explain, args.why) {
        (true, _) => About::Explanation,
        (_, true) => About::Reason,
        _ => About::Points,
    };
    ask(&args.question, about, &Mirror::new(&args)?).await
}

/// Asks a mirror, and prints the answer; with `--watch` again and again.
///
/// # Errors
/// If the answer is an error.
pub async fn ask(args: &QuestionArgs, about: About, mirror: &Mirror) -> Result<(), Failure> {
    let Some(every) = args.watch else {
        return print(&answer(args, about, mirror).await?);
    };
    // Where nothing is drawn over, answers follow each other.
    let clear = if std::io::stdout().is_terminal() {
        CLEAR
    } else {
        ""
    };
    loop {
        // A server that is away for a moment is no reason to end.
        let seen = answer(args, about, mirror)
            .await
            .unwrap_or_else(|failure| failure.0 + "\n");
        print(&format!("{clear}{seen}"))?;
        tokio::time::sleep(every).await;
    }
}

/// What is printed.
async fn answer(args: &QuestionArgs, about: About, mirror: &Mirror) -> Result<String, Failure> {
    let now = Timestamp::now();
    let (from, to) = (args.from.at(now), args.to.at(now));
    if from >= to {
        return Err(Failure(format!(
            "--from ({}) is not before --to ({})",
            from.rfc3339(),
            to.rfc3339()
        )));
    }
    let request = request(args, from, to).to_string();
    let method = match about {
        About::Points => ApiMethod::Metric,
        About::Explanation => ApiMethod::Explain,
        About::Reason => ApiMethod::Why,
    };
    let answered = mirror.ask(method.path(), &request).await?;
    match about {
        About::Points => {}
        About::Explanation => return outlined(args.output, &answered.body),
        About::Reason => return reason(args.output, &answered.body),
    }
    if args.output == Output::Json {
        // Not parsed and printed again: the digits are to be seen as they are answered.
        return Ok(answered.body + "\n");
    }
    let answer: MetricAnswer = serde_json::from_str(&answered.body).map_err(Failure::from_error)?;
    let points = answer.points()?;
    let drawn = match args.output {
        Output::Plot => plot::render(&points, from, to, &canvas()),
        _ => table::render(&points),
    };
    Ok(drawn + &footnotes(answer.telemetry.is_partial, &answered))
}

/// An explanation for people, or as it was answered.
fn outlined(output: Output, explanation: &str) -> Result<String, Failure> {
    if output == Output::Json {
        return Ok(format!("{explanation}\n"));
    }
    let explained: Value = serde_json::from_str(explanation).map_err(Failure::from_error)?;
    Ok(outline(&explained, 0))
}

/// The reason why there are no points, for people, or as it was answered.
fn reason(output: Output, why: &str) -> Result<String, Failure> {
    if output == Output::Json {
        return Ok(format!("{why}\n"));
    }
    let why: Reason = serde_json::from_str(why).map_err(Failure::from_error)?;
    Ok(why.message + "\n")
}

/// What stands below the points: why the answer is partial, and what the store remarks.
fn footnotes(is_partial: bool, answered: &Answered) -> String {
    let because = |reason: &str| answered.partial.split(", ").any(|one| one == reason);
    let mut lines = Vec::new();
    if because("limit") {
        lines.push(
            "partial: there is more; ask again from the last point, or raise --limit".to_owned(),
        );
    }
    if because("store") {
        lines.push(
            "partial: the store left something out; asking again from the last point does not bring it"
                .to_owned(),
        );
    }
    if because("value") {
        lines.push(
            "partial: values of +Inf or -Inf are left out, JSON has no number for them".to_owned(),
        );
    }
    if is_partial && lines.is_empty() {
        lines.push("partial: this mirror does not say why".to_owned());
    }
    lines.extend(answered.remarks.iter().map(|remark| {
        let says = match remark.meaning {
            Meaning::DataMissing => "the store warns",
            Meaning::Comment => "the store comments",
        };
        format!("{says}: {}", remark.text)
    }));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

fn canvas() -> plot::Canvas {
    let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
    plot::Canvas {
        width: width.clamp(20, 240),
        height: PLOT_HEIGHT,
        zone: TimeZone::system(),
    }
}

/// The answer to the question why.
#[derive(Deserialize)]
struct Reason {
    message: String,
}

#[derive(Deserialize)]
struct MetricAnswer {
    telemetry: Telemetry,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Telemetry {
    points: Vec<Vec<f64>>,
    is_partial: bool,
}

impl MetricAnswer {
    fn points(&self) -> Result<Vec<Point>, Failure> {
        // Milliseconds since the epoch are far below 2^53.
        let time = |ms: f64| Timestamp(ms as i64);
        let point = |fields: &Vec<f64>| match fields[..] {
            [value, at] => Ok(Point {
                value,
                at: time(at),
                end: None,
            }),
            [value, start, end] => Ok(Point {
                value,
                at: time(start),
                end: Some(time(end)),
            }),
            _ => Err(Failure(format!("a point has {} fields", fields.len()))),
        };
        self.telemetry.points.iter().map(point).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prometheus::remarks::Remark;

    #[test]
    fn a_partial_answer_says_why_and_the_store_is_quoted() {
        let answered = |partial: &str, remarks: Vec<Remark>| Answered {
            body: String::new(),
            partial: partial.to_owned(),
            remarks,
        };
        let info = Remark::warning("PromQL info: metric might not be a counter (1:6)");
        let down = Remark::warning("No StoreAPIs matched for this query");
        let table = [
            (false, answered("", vec![]), ""),
            (
                true,
                answered("limit", vec![]),
                "partial: there is more; ask again from the last point, or raise --limit\n",
            ),
            (
                false,
                answered("", vec![info]),
                "the store comments: PromQL info: metric might not be a counter (1:6)\n",
            ),
            (
                true,
                answered("store, value", vec![down]),
                "partial: the store left something out; asking again from the last point does not bring it\n\
                 partial: values of +Inf or -Inf are left out, JSON has no number for them\n\
                 the store warns: No StoreAPIs matched for this query\n",
            ),
            (
                true,
                answered("", vec![]),
                "partial: this mirror does not say why\n",
            ),
        ];
        for (is_partial, answered, expected) in table {
            assert_eq!(footnotes(is_partial, &answered), expected);
        }
    }
}
