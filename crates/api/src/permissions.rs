//! Rules for what agents ask, between the wire and the model. What is no rule is refused by its place.

use crate::problem::ApiError;
use orcha_model::permission::{Mode, Rule, RuleText, Rules};
use orcha_model::sandbox::{Demand, Wanted};
use orcha_wire::{PermissionMode, PermissionRule, PermissionRules, SandboxChoice, SandboxRules};

/// How many rules a project may have of a kind.
const RULES: usize = 200;

/// Shows rules.
pub(crate) fn to_wire(rules: &Rules) -> PermissionRules {
    let rule = |it: &Rule| {
        let RuleText { tool, command, path } = it.clone().into();
        PermissionRule { tool, command, path }
    };
    PermissionRules {
        mode: rules.mode.map(|it| match it {
            Mode::Auto => PermissionMode::Auto,
            Mode::Ask => PermissionMode::Ask,
            Mode::Deny => PermissionMode::Deny,
        }),
        allow: rules.allow.iter().map(rule).collect(),
        deny: rules.deny.iter().map(rule).collect(),
        sandbox: SandboxRules {
            level: rules.sandbox.level.map(|it| match it {
                Wanted::None => SandboxChoice::None,
                Wanted::Auto => SandboxChoice::Auto,
                Wanted::Landlock => SandboxChoice::Landlock,
                Wanted::Bubblewrap => SandboxChoice::Bubblewrap,
            }),
            strict: rules.sandbox.strict,
        },
    }
}

/// Reads rules.
pub(crate) fn from_wire(rules: PermissionRules) -> Result<Rules, ApiError> {
    let read = |field: &str, rules: Vec<PermissionRule>| {
        if rules.len() > RULES {
            return Err(ApiError::invalid("permissions", &format!("{field} has at most {RULES} rules")));
        }
        let rule = |(n, it): (usize, PermissionRule)| {
            let PermissionRule { tool, command, path } = it;
            Rule::try_from(RuleText { tool, command, path })
                .map_err(|wrong| ApiError::invalid("permissions", &format!("{field}[{n}]: {wrong}")))
        };
        rules.into_iter().enumerate().map(rule).collect()
    };
    Ok(Rules {
        mode: rules.mode.map(|it| match it {
            PermissionMode::Auto => Mode::Auto,
            PermissionMode::Ask => Mode::Ask,
            PermissionMode::Deny => Mode::Deny,
        }),
        allow: read("allow", rules.allow)?,
        deny: read("deny", rules.deny)?,
        sandbox: Demand {
            level: rules.sandbox.level.map(|it| match it {
                SandboxChoice::None => Wanted::None,
                SandboxChoice::Auto => Wanted::Auto,
                SandboxChoice::Landlock => Wanted::Landlock,
                SandboxChoice::Bubblewrap => Wanted::Bubblewrap,
            }),
            strict: rules.sandbox.strict,
        },
    })
}
