//! `orcha doctor`: whether everything is there, from this client to the agents, and what to do about each gap.

use crate::cli::Connection;
use crate::connect;
use crate::say::Say;
use crate::tables;
use anyhow::Result;
use orcha_client::{Client, ClientError};
use orcha_wire::{CheckGrade, Doctor, DoctorCheck, IdRef};
use serde::Serialize;
use std::process::ExitCode;

/// What was found on the way to the daemon, and what the daemon found.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether nothing stops work.
    pub ok: bool,
    /// What this client needs.
    pub client: Vec<DoctorCheck>,
    /// What the daemon and its targets have; none if it cannot be reached.
    pub daemon: Option<Doctor>,
}

/// Looks from here to the agents.
pub async fn all(connection: &Connection, say: Say) -> Result<ExitCode> {
    let mut client = Vec::new();
    let mut daemon = None;
    match connect::client(connection) {
        Ok(reached) => {
            client.push(fine("connection", format!("{} and its token are known", reached.url())));
            daemon = ask(&reached, &mut client).await?;
        }
        Err(fault) => {
            let advice = "start a daemon with `orchad serve`, or name one by --data or --url";
            client.push(stops("connection", fault.to_string(), advice));
        }
    }
    let stopped = client.iter().any(|it| it.grade == CheckGrade::Stops);
    let report = Report { ok: !stopped && daemon.as_ref().is_some_and(|it| it.ok), client, daemon };
    say.answer(&report, tables::doctor)?;
    Ok(code(report.ok))
}

/// Looks at one target.
pub async fn target(client: &Client, say: Say, id: IdRef) -> Result<ExitCode> {
    let report = client.target_doctor(id).await?;
    say.answer(&report, tables::target_doctor)?;
    Ok(code(report.ok))
}

async fn ask(client: &Client, checks: &mut Vec<DoctorCheck>) -> Result<Option<Doctor>> {
    match client.doctor().await {
        Ok(doctor) => {
            let mine = env!("CARGO_PKG_VERSION");
            checks.push(if doctor.version == mine {
                fine("daemon", format!("it answers, version {mine}"))
            } else {
                let detail = format!("it answers, version {}, and this client is {mine}", doctor.version);
                let advice = "install both from the same build; `orcha shutdown`, then `orchad serve`";
                DoctorCheck { grade: CheckGrade::Gap, ..stops("daemon", detail, advice) }
            });
            Ok(Some(doctor))
        }
        Err(fault @ ClientError::Unauthorized(_)) => {
            let advice = "name the token's file by --token-file, or set ORCHA_TOKEN";
            checks.push(stops("daemon", fault.to_string(), advice));
            Ok(None)
        }
        Err(fault) if fault.is_unreachable() => {
            checks.push(stops("daemon", fault.to_string(), "start it with `orchad serve`"));
            Ok(None)
        }
        Err(fault) => Err(fault.into()),
    }
}

fn fine(name: &str, detail: String) -> DoctorCheck {
    DoctorCheck { name: name.to_owned(), ok: true, grade: CheckGrade::Fine, detail, advice: None }
}

fn stops(name: &str, detail: String, advice: &str) -> DoctorCheck {
    let advice = Some(advice.to_owned());
    DoctorCheck { name: name.to_owned(), ok: false, grade: CheckGrade::Stops, detail, advice }
}

fn code(ok: bool) -> ExitCode {
    if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
