//! What is there and what is missing. It looks; nothing is stored.

use crate::auth::Asker;
use crate::input::{Id, Nothing, OptionalJson};
use crate::problem::ApiError;
use crate::shared::Api;
use axum::Json as Answer;
use axum::extract::State;
use futures::future::join_all;
use orcha_orch::{Finding, Grade};
use orcha_store::TargetRow;
use orcha_wire::{CheckGrade, Doctor, DoctorCheck, TargetDoctor};

/// How many targets are looked at in one go.
const TARGETS: usize = 100;

pub(crate) async fn daemon(State(api): State<Api>, asker: Asker) -> Result<Answer<Doctor>, ApiError> {
    // What is found tells of the machine and of all tenants together.
    asker.operates()?;
    let mut targets = api.orch.store().targets(&asker.viewer).await?;
    targets.truncate(TARGETS);
    let looked = join_all(targets.iter().map(|it| examine(&api, it)));
    let (own, targets) = tokio::join!(api.orch.examine_daemon(), looked);
    let checks = checks(own?);
    let ok = stopping(&checks).is_empty() && targets.iter().all(|it| it.ok);
    Ok(Answer(Doctor { ok, version: api.settings.version.clone(), checks, targets }))
}

pub(crate) async fn target(State(api): State<Api>, asker: Asker, Id(id): Id) -> Result<Answer<TargetDoctor>, ApiError> {
    let row = api.target(&asker, &id).await?;
    Ok(Answer(examine(&api, &row).await))
}

pub(crate) async fn target_now(
    State(api): State<Api>,
    asker: Asker,
    Id(id): Id,
    OptionalJson(Nothing {}): OptionalJson<Nothing>,
) -> Result<Answer<TargetDoctor>, ApiError> {
    target(State(api), asker, Id(id)).await
}

async fn examine(api: &Api, row: &TargetRow) -> TargetDoctor {
    let checks = checks(api.orch.examine_target(row.target.id).await);
    let missing = stopping(&checks);
    let ok = missing.is_empty();
    TargetDoctor { target_id: row.target.id, target: row.target.name.clone(), ok, missing, checks }
}

fn stopping(checks: &[DoctorCheck]) -> Vec<String> {
    checks.iter().filter(|it| it.grade == CheckGrade::Stops).map(|it| it.name.clone()).collect()
}

fn checks(findings: Vec<Finding>) -> Vec<DoctorCheck> {
    let check = |it: Finding| {
        let grade = match it.grade {
            Grade::Fine => CheckGrade::Fine,
            Grade::Gap => CheckGrade::Gap,
            Grade::Stops => CheckGrade::Stops,
        };
        DoctorCheck { name: it.name, ok: grade == CheckGrade::Fine, grade, detail: it.detail, advice: it.advice }
    };
    findings.into_iter().map(check).collect()
}
