//! `conform`: does a mirror keep the contract?

use clap::error::ErrorKind;

use super::{Failure, print};
use crate::cli::args::{ConformArgs, ReportOutput};
use crate::conform::{self, Options};
use crate::settings::ApiKey;

/// Prints a report.
///
/// # Errors
/// If there is a fault.
pub async fn run(args: ConformArgs) -> Result<(), Failure> {
    let output = args.output;
    report(options(args), output).await
}

/// Checks a mirror, and prints the report.
///
/// # Errors
/// If there is a fault.
pub async fn report(options: Options, output: ReportOutput) -> Result<(), Failure> {
    let report = conform::run(options).await.map_err(Failure::from_error)?;
    match output {
        ReportOutput::Table => print(&report.table())?,
        ReportOutput::Json => {
            let json = serde_json::to_string_pretty(&report).map_err(Failure::from_error)?;
            print(&(json + "\n"))?;
        }
    }
    if !report.kept {
        return Err(Failure(report.summary()));
    }
    if output == ReportOutput::Table {
        print(&(report.summary() + "\n"))?;
    }
    Ok(())
}

fn options(args: ConformArgs) -> Options {
    let api_key = args.api_key.map(|key| {
        // Not by the parser of arguments: it would quote the key.
        ApiKey::parse(key.text()).unwrap_or_else(|| {
            let message =
                "the API key is empty, or has a character that no HTTP header can carry\n";
            clap::Error::raw(ErrorKind::ValueValidation, message).exit()
        })
    });
    Options {
        api_key,
        connection_details: args.connection_details.unwrap_or_default().0,
        gauge: args.gauge,
        counter: args.counter,
        histogram: args.histogram,
        label: args.label,
        authorities: args.ca_file.map(|file| file.0),
        timeout: args.timeout,
        streams: usize::from(args.streams),
        interval: args.interval,
        rounds: u32::from(args.rounds),
        ..Options::new(args.url)
    }
}
