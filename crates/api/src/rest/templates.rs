//! Templates of workflows: what a request may leave open. Each line of one has its effect.

use crate::auth::Asker;
use crate::input::Name;
use crate::problem::ApiError;
use axum::Json as Answer;
use orcha_wire::workflow::TemplateFills;
use orcha_wire::{Approvals, CreateWorkflow, WorkflowTemplate, WorkflowTemplates};

/// The templates: id, name, what it is for, and what it fills in.
const ALL: [(&str, &str, &str, Fills); 4] = [
    (
        "software-default",
        "Software",
        "A change of a repository, checked by its own commands and delivered as a pull request.",
        Fills { mode: "software", delivery: Some("pull_request"), retries: 2, plan: false, result: false },
    ),
    (
        "software-careful",
        "Software, with a look before and after",
        "The same; a person agrees to the plan and to the result.",
        Fills { mode: "software", delivery: Some("pull_request"), retries: 3, plan: true, result: true },
    ),
    (
        "content-default",
        "Content",
        "Texts for readers; the result stands in the workflow.",
        Fills { mode: "content", delivery: Some("answer"), retries: 2, plan: false, result: false },
    ),
    (
        "research-default",
        "Research",
        "A question answered by documents; the result stands in the workflow.",
        Fills { mode: "research", delivery: Some("answer"), retries: 1, plan: false, result: false },
    ),
];

struct Fills {
    mode: &'static str,
    delivery: Option<&'static str>,
    retries: u32,
    plan: bool,
    result: bool,
}

pub(crate) async fn list(_: Asker) -> Answer<WorkflowTemplates> {
    Answer(WorkflowTemplates { templates: all() })
}

pub(crate) async fn show(_: Asker, Name(id): Name) -> Result<Answer<WorkflowTemplate>, ApiError> {
    find(&id).map(Answer).ok_or_else(|| ApiError::unknown("template", id.chars().take(80).collect::<String>()))
}

fn all() -> Vec<WorkflowTemplate> {
    let template = |(id, name, description, fills): &(&str, &str, &str, Fills)| WorkflowTemplate {
        id: (*id).to_owned(),
        name: (*name).to_owned(),
        description: (*description).to_owned(),
        fills: TemplateFills {
            mode: fills.mode.to_owned(),
            delivery: fills.delivery.map(str::to_owned),
            max_qa_retries: fills.retries,
            approve_plan: fills.plan,
            approve_delivery: fills.result,
        },
    };
    ALL.iter().map(template).collect()
}

fn find(id: &str) -> Option<WorkflowTemplate> {
    all().into_iter().find(|it| it.id == id)
}

/// Fills in what a request leaves open, from the template that it names.
pub(super) fn fill(mut wish: CreateWorkflow) -> Result<CreateWorkflow, ApiError> {
    let Some(id) = &wish.template_id else { return Ok(wish) };
    let names: Vec<&str> = ALL.iter().map(|(id, ..)| *id).collect();
    let template =
        find(id).ok_or_else(|| ApiError::invalid("template_id", &format!("must be one of {}", names.join(", "))))?;
    let fills = template.fills;
    wish.mode.get_or_insert(fills.mode);
    if let Some(action) = fills.delivery {
        wish.delivery.get_or_insert(orcha_wire::workflow::Delivery { action, ..Default::default() });
    }
    wish.max_qa_retries.get_or_insert(fills.max_qa_retries);
    wish.approvals.get_or_insert(Approvals { plan: fills.approve_plan, delivery: fills.approve_delivery });
    Ok(wish)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_fills_what_is_open_and_leaves_what_was_said() {
        let wish = |mode: Option<&str>, template: &str| CreateWorkflow {
            request: "it".into(),
            mode: mode.map(str::to_owned),
            template_id: Some(template.to_owned()),
            ..CreateWorkflow::default()
        };
        let filled = fill(wish(None, "software-careful")).unwrap();
        assert_eq!((filled.mode.as_deref(), filled.max_qa_retries), (Some("software"), Some(3)));
        assert_eq!(filled.approvals, Some(Approvals { plan: true, delivery: true }));
        assert_eq!(fill(wish(Some("ops"), "software-default")).unwrap().mode.as_deref(), Some("ops"));
        assert_eq!(fill(wish(None, "nonsense")).unwrap_err().problem().field.as_deref(), Some("template_id"));
        // Each fills in modes and actions that there are.
        for it in all() {
            assert!(orcha_model::workflow::Mode::said(&it.fills.mode).is_some(), "{}", it.id);
            let action = it.fills.delivery.as_deref().map(orcha_model::workflow::Action::said);
            assert!(action.is_none_or(|it| it.is_some()), "{}", it.id);
        }
    }
}
