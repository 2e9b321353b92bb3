//! What a kind of agent cannot do, and why: declared here, never skipped in silence.

use super::cases::Case;

/// A case that a kind of agent cannot do.
pub struct Exception {
    /// The kind.
    pub kind: &'static str,
    /// The case.
    pub case: Case,
    /// Why.
    pub why: &'static str,
}

const fn cannot(kind: &'static str, case: Case, why: &'static str) -> Exception {
    Exception { kind, case, why }
}

const NOBODY: &str = "nobody can be asked in this mode: what would be a question is a no";

const SYSTEM_FILE: &str = "it reads its tools from a file of system settings, and skips that unless root alone may write to it and to \
every folder above it, which the folder of a test is not";

/// All of them.
pub const EXCEPTIONS: &[Exception] = &[
    cannot("codex-exec", Case::Allow, NOBODY),
    cannot("codex-exec", Case::Deny, NOBODY),
    cannot("gemini-headless", Case::Allow, NOBODY),
    cannot("gemini-headless", Case::Deny, NOBODY),
    cannot("gemini-headless", Case::Tool, SYSTEM_FILE),
    cannot("gemini-headless", Case::ToolsBack, SYSTEM_FILE),
    cannot("opencode-run", Case::Allow, NOBODY),
    cannot("opencode-run", Case::Deny, NOBODY),
    cannot("qwen-headless", Case::Allow, NOBODY),
    cannot("qwen-headless", Case::Deny, NOBODY),
];

/// Returns why a kind cannot do a case, if it cannot.
pub fn exception(kind: &str, case: Case) -> Option<&'static str> {
    EXCEPTIONS.iter().find(|it| it.kind == kind && it.case == case).map(|it| it.why)
}
