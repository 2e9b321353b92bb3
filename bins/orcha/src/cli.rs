//! What can be typed. No behaviour: see `commands`.

use crate::commands::workflow::{check, persona};
use clap::builder::{NonEmptyStringValueParser, PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use orcha_base::{BranchName, Effort, RepoUrl, Sha};
use orcha_wire::workflow::Check;
use orcha_wire::{
    CheckVerdict, CustomizationKind, IdRef, Limits, MergeMethod, Persona, PersonaChoice, ProposalStatus, ReviewVerdict,
    Step, Strategy, WorkflowStatus,
};
use std::path::PathBuf;

const EXIT_CODES: &str = "\
Ids: every list shows short ids of eight digits; any command takes them, or the full ones that --json prints.

Exit codes:
  0  done; for `run`, the objective succeeded
  1  refused or failed; for `run`, the objective did not succeed
  2  the command line is wrong
  3  the daemon cannot be reached
  4  there is no token, or the daemon does not accept it
  130  following was interrupted; the objective goes on

With --json an error is the last line of the standard error stream, as JSON.";

/// Tells a running orchad what to do, and shows what it does.
#[derive(Debug, Parser)]
#[command(name = "orcha", version, propagate_version = true, after_help = EXIT_CODES)]
pub struct Cli {
    /// Print JSON: one document, or one per line for what goes on and on.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(flatten)]
    pub connection: Connection,
    #[command(subcommand)]
    pub command: Command,
}

/// Where the daemon is. The token never stands on the command line, where other users of the machine would see it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// The daemon's address [default: the one that the daemon left in its data folder].
    #[arg(long, global = true, env = "ORCHA_URL", value_name = "URL")]
    pub url: Option<String>,
    /// The file that holds the token [default: `token` in the data folder; ORCHA_TOKEN is the token itself].
    #[arg(long, global = true, env = "ORCHA_TOKEN_FILE", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub token_file: Option<PathBuf>,
    /// The tenant, among those that the token opens [default: the one of the token].
    #[arg(long, global = true, env = "ORCHA_TENANT", value_name = "NAME")]
    pub tenant: Option<String>,
    /// The scope, among those that the token opens [default: the first of the token; without one, `global` for what is
    /// made and all for what is looked at].
    #[arg(long, global = true, env = "ORCHA_SCOPE", value_name = "NAME")]
    pub scope: Option<String>,
    /// The daemon's data folder [default: `orcha` in the user's data folder].
    #[arg(long, global = true, env = "ORCHA_DATA", value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub data: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an objective, and follow it to its end.
    Run(Run),
    /// Let a fixed row of roles turn a request into a delivered result, and steer that.
    #[command(subcommand)]
    Workflow(Workflow),
    /// List things: what lives, or everything.
    Ls(Ls),
    /// Show one thing, whatever it is.
    Show { id: IdRef },
    /// Show what was said in a session, or what happened to an objective.
    Logs(Logs),
    /// List the files that came with an objective or a workflow, or show what stands in one.
    Attachments {
        id: IdRef,
        /// The name of one file: show what stands in it.
        name: Option<String>,
        /// Write it into this file, byte by byte, instead of showing it.
        #[arg(long, requires = "name", value_name = "FILE", value_hint = ValueHint::FilePath)]
        save: Option<PathBuf>,
    },
    /// Say something to an agent: a session's, an objective's manager, or whoever works on a pull request.
    Steer {
        id: IdRef,
        /// The text, `@FILE`, or `-` for the standard input.
        text: String,
        /// Cut the running turn off for it.
        #[arg(long)]
        interrupt: bool,
    },
    /// List what was said to agents from outside, newest first, and how far it has come.
    Messages(Messages),
    /// Take part in a session: in its terminal if it has one, otherwise as a live view with a line to type in.
    ///
    /// While you are attached to a terminal nobody else types there. In a live view each line is a message;
    /// `/interrupt TEXT` cuts the running turn off for it, `/quit` leaves.
    Attach {
        id: IdRef,
        /// Only look.
        #[arg(long)]
        view: bool,
    },
    /// Take the keyboard of a session's terminal from whoever is attached.
    Release { id: IdRef },
    /// Answer a question.
    Answer {
        id: IdRef,
        /// The text, `@FILE`, or `-` for the standard input.
        text: String,
    },
    /// End an objective or a session.
    Cancel {
        id: IdRef,
        /// Why, for people.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Try a failed session or objective again.
    Retry { id: IdRef },
    /// Pause an objective or a session.
    Pause { id: IdRef },
    /// Let a paused objective or session go on.
    Resume { id: IdRef },
    /// Explain why something does not move, and what will change that.
    Why { id: IdRef },
    /// Change title, priority or limits of an objective.
    Edit {
        id: IdRef,
        #[arg(long)]
        title: Option<String>,
        /// Higher goes first.
        #[arg(long, allow_negative_numbers = true)]
        priority: Option<i32>,
        /// A limit of its own, `NAME=N`, for instance `same_error=5`; 0 switches it off. May be given several times.
        #[arg(long, value_name = "NAME=N")]
        limit: Vec<Limit>,
    },
    /// Look at pull requests, comment on them, review and merge them.
    #[command(subcommand)]
    Pr(Pr),
    /// Show the accounts that agents spend: what is used, when it starts anew, and who waits for it.
    Providers {
        /// Ask this one which models it has now.
        #[arg(long, value_name = "PROVIDER")]
        models: Option<String>,
    },
    /// Look after the machines that run sessions.
    #[command(subcommand)]
    Target(Target),
    /// Look after repositories and their settings.
    #[command(subcommand)]
    Project(Project),
    /// Look after the texts that steer roles; `--scope` names where.
    #[command(subcommand)]
    Customization(Customization),
    /// Look at the tool servers that roles are lent, and approve of what they say of their tools.
    #[command(subcommand)]
    Mcp(Mcp),
    /// Look at what the Refiner proposes, and let it be tried.
    #[command(subcommand)]
    Proposals(Proposals),
    /// Show how finished workflows went: health, score, cost, troubles.
    Runs {
        /// At most so many; 0 for no end.
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Give others a token of their own that opens one tenant, and take it away again.
    #[command(subcommand)]
    Token(Token),
    /// Look at the folders that sessions work in, and get lost work back.
    #[command(subcommand)]
    Workspace(Workspace),
    /// Show what happened, and what happens.
    Events(Events),
    /// Show how the daemon fares.
    Health,
    /// Look whether everything is there, from this client to the agents, and say what to do about each gap.
    Doctor,
    /// Print a link that logs a browser in, once.
    Login,
    /// Stop the daemon; agents go on, and the next daemon takes them up again.
    Shutdown,
    /// Print completions for a shell.
    Completions { shell: clap_complete::Shell },
    /// Print the manual page, or write all of them into a folder.
    Man {
        #[arg(value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
}

/// One limit, as a person writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    pub name: String,
    pub most: u64,
}

impl std::str::FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, most) = text.split_once('=').ok_or("a limit is written NAME=N, for instance same_error=5")?;
        let most = most.parse().map_err(|_| format!("`{most}` is no whole number"))?;
        let limit = Self { name: name.to_owned(), most };
        limits(std::slice::from_ref(&limit)).map(|_| limit)
    }
}

/// Puts limits together; none is nothing to change. The names are those of the wire.
pub fn limits(all: &[Limit]) -> Result<Option<Limits>, String> {
    if all.is_empty() {
        return Ok(None);
    }
    let named = all.iter().map(|it| (it.name.clone(), it.most.into())).collect();
    serde_json::from_value(serde_json::Value::Object(named)).map(Some).map_err(|fault| fault.to_string())
}

/// Reads a length of time as seconds.
fn seconds(text: &str) -> Result<u64, String> {
    let said: jiff::SignedDuration = text.parse().map_err(|_| "a time is written like 90m, 2h or 1h30m".to_owned())?;
    match u64::try_from(said.as_secs()) {
        Ok(secs) if secs > 0 => Ok(secs),
        _ => Err("it must be at least a second".into()),
    }
}

/// Reads how hard a model thinks; the words stand in the help and in completions.
fn effort() -> impl TypedValueParser<Value = Effort> {
    PossibleValuesParser::new(Effort::ALL.map(Effort::name)).try_map(|word| word.parse::<Effort>())
}

/// Puts limits together, with a deadline.
pub fn limits_by(all: &[Limit], deadline: Option<u64>) -> Result<Option<Limits>, String> {
    match (limits(all)?, deadline) {
        (Some(Limits { deadline_secs: Some(_), .. }), Some(_)) => {
            Err("the deadline is said twice, by --deadline and by --limit deadline_secs".to_owned())
        }
        (limits, Some(_)) => Ok(Some(Limits { deadline_secs: deadline, ..limits.unwrap_or_default() })),
        (limits, None) => Ok(limits),
    }
}

#[derive(Debug, Args)]
pub struct Run {
    /// What it is about, in a line.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub title: String,
    /// The repository: a folder of this machine or an address.
    #[arg(long, value_name = "PATH|URL", conflicts_with = "project", value_hint = ValueHint::DirPath)]
    pub repo: Option<String>,
    /// The project, instead of a repository.
    #[arg(long, value_name = "ID")]
    pub project: Option<IdRef>,
    /// What shall be done: the text, `@FILE`, or `-` for the standard input [default: the title].
    #[arg(long, value_name = "TEXT|@FILE|-")]
    pub prompt: Option<String>,
    /// The kind of agent.
    #[arg(long, value_name = "KIND")]
    pub agent: Option<String>,
    /// Another program than the kind's usual one.
    #[arg(long, value_name = "PROGRAM", value_hint = ValueHint::CommandName)]
    pub agent_program: Option<String>,
    /// An argument that the program gets first; may be given several times.
    #[arg(long, value_name = "ARG", requires = "agent_program", allow_hyphen_values = true)]
    pub agent_arg: Vec<String>,
    /// The model.
    #[arg(long)]
    pub model: Option<String>,
    /// How hard the model thinks [default: as its kind usually does].
    #[arg(long, value_parser = effort())]
    pub effort: Option<Effort>,
    /// A kind of agent that may take over while the provider of this one refuses; may be given several times, and `none`
    /// forbids it [default: what the daemon's settings say].
    #[arg(long, value_name = "KIND")]
    pub fallback: Vec<String>,
    /// The base branch [default: the repository's default branch].
    #[arg(long, value_name = "BRANCH")]
    pub base: Option<BranchName>,
    /// Higher goes first.
    #[arg(long, allow_negative_numbers = true)]
    pub priority: Option<i32>,
    /// A limit of its own, `NAME=N`, for instance `same_error=5`; 0 switches it off. May be given several times.
    #[arg(long, value_name = "NAME=N")]
    pub limit: Vec<Limit>,
    /// End it after this time with what stands, for instance `90m` or `2h`.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub deadline: Option<u64>,
    /// How it is run: `manager`, `direct` or `pipeline`.
    #[arg(long)]
    pub strategy: Option<Strategy>,
    /// A file that comes with it: text, code or data as text, of up to 2 MiB. May be given several times.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub attach: Vec<PathBuf>,
    /// Do not wait for its end.
    #[arg(long)]
    pub detach: bool,
}

#[derive(Debug, Subcommand)]
pub enum Workflow {
    /// Make a workflow, and follow it to its end.
    Run(Box<WorkflowRun>),
    /// List workflows, newest first.
    #[command(visible_alias = "list")]
    Ls {
        /// Only those that stand there: `pending`, `running`, `paused`, `completed`, `failed` or `cancelled`.
        #[arg(long)]
        status: Option<WorkflowStatus>,
        /// At most so many; 0 for no end.
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show a workflow: tasks, receipts, verdict, delivery.
    Show { id: IdRef },
    /// Show what happened to a workflow, in the published events.
    Events {
        id: IdRef,
        /// Go on as it happens, to the end.
        #[arg(long, short)]
        follow: bool,
    },
    /// Fetch the file that a workflow was delivered as: archive, export or draft.
    Fetch {
        id: IdRef,
        /// Where to put it: a file, or a folder [default: under its own name into the present folder].
        #[arg(long, short, value_name = "PATH", value_hint = ValueHint::AnyPath)]
        out: Option<PathBuf>,
        /// Take the place of a file that is there.
        #[arg(long)]
        force: bool,
    },
    /// Follow a workflow to its end.
    Watch { id: IdRef },
    /// Let a workflow rest.
    Pause { id: IdRef },
    /// Let a workflow go on with the very step that it stood at.
    Resume { id: IdRef },
    /// End a workflow; running calls are cut off.
    Cancel {
        id: IdRef,
        /// Why, for people.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Send a workflow back to a step, which is done anew with all after it.
    Retry {
        id: IdRef,
        /// The step: `direct`, `charter`, `design`, `implement`, `check`, `verify`, `finalize` or `deliver`.
        #[arg(long, value_name = "STEP")]
        from: Step,
        /// What whoever plays it shall hear.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Do without a task.
    Skip {
        id: IdRef,
        /// The task's number, or its id.
        task: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Add a task by hand.
    AddTask {
        id: IdRef,
        /// Its title.
        title: String,
        /// What is to be done: the text, `@FILE`, or `-` for the standard input [default: the title].
        #[arg(long, value_name = "TEXT|@FILE|-")]
        description: Option<String>,
        /// What it needs somebody to be good at: `backend`, `frontend`, `writer`, `ops` or `data`.
        #[arg(long)]
        specialty: Option<String>,
    },
    /// Make the same workflow anew.
    Clone { id: IdRef },
    /// Agree to the plan or the result that a workflow waits with.
    Approve {
        id: IdRef,
        /// Do not agree: what is to be different.
        #[arg(long, value_name = "WHAT")]
        reject: Option<String>,
    },
    /// Write charter or design in the role's place, while the workflow is paused or waits for you.
    Edit {
        id: IdRef,
        /// `charter` or `design`.
        step: Step,
        /// The whole document as JSON: the text, `@FILE`, or `-` for the standard input.
        document: String,
    },
    /// List the templates.
    Templates,
}

#[derive(Debug, Args)]
pub struct WorkflowRun {
    /// What is asked for: the text, `@FILE`, or `-` for the standard input.
    #[arg(value_parser = NonEmptyStringValueParser::new())]
    pub request: String,
    /// Its title [default: the Director finds one].
    #[arg(long)]
    pub title: Option<String>,
    /// The repository: a folder of this machine or an address.
    #[arg(long, value_name = "PATH|URL", conflicts_with = "project", value_hint = ValueHint::DirPath)]
    pub repo: Option<String>,
    /// The project, instead of a repository.
    #[arg(long, value_name = "ID")]
    pub project: Option<IdRef>,
    /// The base branch [default: the repository's default branch].
    #[arg(long, value_name = "BRANCH")]
    pub base: Option<BranchName>,
    /// What kind of work it is: `software`, `content`, `docs`, `research`, `ops` or `mixed` [default: the Director says].
    #[arg(long)]
    pub mode: Option<String>,
    /// The kind of agent that plays what no other is named for.
    #[arg(long, value_name = "KIND")]
    pub agent: Option<String>,
    /// Its model.
    #[arg(long)]
    pub model: Option<String>,
    /// How hard it thinks [default: as its kind usually does].
    #[arg(long, value_parser = effort())]
    pub effort: Option<Effort>,
    /// Another agent for a role: `qa=codex`, `qa=codex:MODEL`, `qa=@high` for the same one that thinks harder, or all of it,
    /// `qa=codex:MODEL@high`. May be given several times.
    #[arg(long, value_name = "ROLE=[KIND][:MODEL][@EFFORT]", value_parser = persona)]
    pub persona: Vec<(Persona, PersonaChoice)>,
    /// How the result is delivered: `pull_request`, `direct_commit`, `artifact_bundle`, `markdown_export`, `blog_draft`,
    /// `doc_draft`, `webhook` or `answer` [default: the Director says].
    #[arg(long, value_name = "ACTION")]
    pub delivery: Option<String>,
    /// What the delivery takes, as a JSON object: for a webhook `{"url": …, "secret": {"name": "NAME"}}`.
    #[arg(long, value_name = "JSON|@FILE|-", requires = "delivery")]
    pub delivery_config: Option<String>,
    /// Merge the pull request without asking anybody.
    #[arg(long)]
    pub merge: bool,
    /// A command that checks the work besides those of the project. May be given several times.
    #[arg(long, value_name = "NAME=COMMAND", value_parser = check)]
    pub check: Vec<Check>,
    /// Call the work good although nothing checks it.
    #[arg(long)]
    pub without_checks: bool,
    /// How often the result is repaired before it gives up [default: 2].
    #[arg(long, value_name = "N")]
    pub max_repairs: Option<u32>,
    /// Look at the plan before anything is written.
    #[arg(long)]
    pub approve_plan: bool,
    /// Look at the result before it is delivered.
    #[arg(long)]
    pub approve_delivery: bool,
    /// End without looking back.
    #[arg(long)]
    pub no_refiner: bool,
    /// A template, which supplies what is left open; `orcha workflow templates` lists them.
    #[arg(long, value_name = "ID")]
    pub template: Option<String>,
    /// Higher goes first.
    #[arg(long, allow_negative_numbers = true)]
    pub priority: Option<i32>,
    /// A limit of its own, `NAME=N`, for instance `same_error=5`; 0 switches it off. May be given several times.
    #[arg(long, value_name = "NAME=N")]
    pub limit: Vec<Limit>,
    /// End it after this time with what stands, for instance `90m` or `2h`.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub deadline: Option<u64>,
    /// A file that comes with it: text, code or data as text, of up to 2 MiB. May be given several times.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub attach: Vec<PathBuf>,
    /// Do not wait for its end.
    #[arg(long)]
    pub detach: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum What {
    #[default]
    Objectives,
    Sessions,
    Questions,
    Prs,
    Targets,
    Projects,
    Workspaces,
}

#[derive(Debug, Args)]
pub struct Ls {
    #[arg(value_enum, default_value_t)]
    pub what: What,
    /// Also what has ended.
    #[arg(long, short)]
    pub all: bool,
    /// Only what belongs to this objective.
    #[arg(long, value_name = "ID")]
    pub objective: Option<IdRef>,
    /// At most so many; 0 for no end.
    #[arg(long, default_value_t = 100)]
    pub limit: usize,
}

#[derive(Debug, Args)]
pub struct Messages {
    /// Only to this session, or to the sessions of this objective.
    pub id: Option<IdRef>,
    /// At most so many; 0 for no end.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
}

#[derive(Debug, Args)]
pub struct Logs {
    /// A session or an objective.
    pub id: IdRef,
    /// Go on as it happens.
    #[arg(long, short)]
    pub follow: bool,
    /// Only the last so many entries.
    #[arg(long, value_name = "N")]
    pub tail: Option<u32>,
}

#[derive(Debug, Args)]
pub struct Events {
    /// Go on as it happens.
    #[arg(long, short)]
    pub follow: bool,
    /// Only events after this number.
    #[arg(long, value_name = "N")]
    pub after: Option<u64>,
    /// Only those of this objective.
    #[arg(long, value_name = "ID")]
    pub objective: Option<IdRef>,
    /// At most so many of what already happened.
    #[arg(long, default_value_t = 50)]
    pub limit: u32,
}

#[derive(Debug, Subcommand)]
pub enum Pr {
    /// List pull requests.
    #[command(visible_alias = "ls")]
    List {
        /// Also merged and closed ones.
        #[arg(long, short)]
        all: bool,
        /// Only those of this objective.
        #[arg(long, value_name = "ID")]
        objective: Option<IdRef>,
    },
    /// Show a pull request with what was said about it.
    Show { id: IdRef },
    /// Comment on a pull request.
    Comment {
        id: IdRef,
        /// The text, `@FILE`, or `-` for the standard input.
        body: String,
        /// The file that it is about.
        #[arg(long)]
        path: Option<String>,
        /// The line in that file.
        #[arg(long, requires = "path")]
        line: Option<u32>,
    },
    /// Review a pull request.
    Review {
        id: IdRef,
        /// `approve`, `request_changes` or `comment`.
        verdict: ReviewVerdict,
        /// The text, `@FILE`, or `-` for the standard input.
        #[arg(default_value = "")]
        body: String,
    },
    /// Report what a check says about the head of a pull request.
    Check {
        id: IdRef,
        /// The check's name.
        name: String,
        /// `pending`, `passing` or `failing`.
        state: CheckVerdict,
        /// Where one can read more.
        #[arg(long)]
        link: Option<String>,
    },
    /// Merge a pull request.
    Merge {
        id: IdRef,
        /// `merge`, `squash` or `rebase`.
        #[arg(long)]
        method: Option<MergeMethod>,
    },
    /// Close a pull request without merging.
    Close {
        id: IdRef,
        /// Why; posted as a comment first.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Open a closed pull request again.
    Reopen { id: IdRef },
    /// Ask the code host about a pull request now.
    Refresh { id: IdRef },
}

#[derive(Debug, Subcommand)]
pub enum Target {
    /// List targets.
    #[command(visible_alias = "ls")]
    List,
    /// Register a target.
    Add {
        name: String,
        /// The folder below which everything of ours shall lie.
        #[arg(long, value_hint = ValueHint::DirPath)]
        work_root: Option<PathBuf>,
        /// What it offers; may be given several times.
        #[arg(long)]
        label: Vec<String>,
        /// How many workers it takes at once.
        #[arg(long)]
        capacity: Option<u32>,
    },
    /// Show a target.
    Show { id: IdRef },
    /// Change a target.
    Edit {
        id: IdRef,
        #[arg(long)]
        name: Option<String>,
        /// What it offers instead; may be given several times.
        #[arg(long)]
        label: Vec<String>,
        /// Take all labels away.
        #[arg(long, conflicts_with = "label")]
        no_labels: bool,
        /// How many workers it takes at once.
        #[arg(long)]
        capacity: Option<u32>,
    },
    /// Let it finish what it has.
    Drain { id: IdRef },
    /// Let it take sessions again.
    Enable { id: IdRef },
    /// Leave it alone.
    Disable { id: IdRef },
    /// Look at it now.
    Check { id: IdRef },
    /// Look at its programs, its agents and its folder, and say what to do about each gap.
    Doctor { id: IdRef },
}

#[derive(Debug, Subcommand)]
pub enum Project {
    /// List projects.
    #[command(visible_alias = "ls")]
    List,
    /// Register a repository.
    Add {
        /// The repository: a folder of this machine or an address.
        #[arg(value_name = "PATH|URL", value_hint = ValueHint::DirPath)]
        repo: String,
        #[arg(long)]
        name: Option<String>,
        /// The base branch [default: the repository's default branch].
        #[arg(long, value_name = "BRANCH")]
        base: Option<BranchName>,
        /// What is said of the requests of its agents, as JSON: text, `@FILE`, or `-` for the standard input.
        #[arg(long, value_name = "JSON|@FILE|-")]
        permissions: Option<String>,
    },
    /// Change a project.
    Edit {
        id: IdRef,
        #[arg(long)]
        name: Option<String>,
        #[arg(long, value_name = "URL")]
        repo: Option<RepoUrl>,
        /// The base branch; an empty text goes back to the repository's default branch.
        #[arg(long, value_name = "BRANCH")]
        base: Option<String>,
        /// What is said of the requests of its agents instead, as JSON: text, `@FILE`, or `-` for the standard input.
        /// For instance `{"mode":"auto","allow":[{"command":"make test"}],"deny":[{"command":"git push"}]}`.
        #[arg(long, value_name = "JSON|@FILE|-")]
        permissions: Option<String>,
    },
    /// Forget a project; the repository stays as it is.
    Rm { id: IdRef },
}

#[derive(Debug, Subcommand)]
pub enum Customization {
    /// Show what a run would go by, and from which scope and version each text comes.
    Show {
        /// Also what this role would be told, word by word.
        #[arg(long)]
        role: Option<Persona>,
        /// What the run would be about: skills are chosen by that.
        #[arg(long, requires = "role", value_name = "TEXT")]
        about: Option<String>,
    },
    /// List texts.
    #[command(visible_alias = "list")]
    Ls {
        /// Every version, also those that are out of use.
        #[arg(long, short)]
        all: bool,
        /// At most so many; 0 for no end.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Write a version of a text; runs that begin from now on go by it.
    Set {
        /// `role_overlay`, `prompt_overlay`, `skill` or `policy`.
        kind: CustomizationKind,
        /// Its name; a role for what one role is told, `run` for a policy.
        name: String,
        /// The file with the words, or `-` for the standard input.
        #[arg(long, value_name = "FILE|-", value_hint = ValueHint::FilePath)]
        file: String,
    },
    /// Show what changed between two versions.
    Diff {
        kind: CustomizationKind,
        name: String,
        /// The older version.
        old: u32,
        /// The newer version.
        new: u32,
    },
    /// Bring the words of a version back, as a new version.
    Revert {
        kind: CustomizationKind,
        name: String,
        /// Which version.
        #[arg(value_name = "VERSION")]
        number: u32,
    },
    /// Take a text out of use; its versions stay.
    Rm { kind: CustomizationKind, name: String },
}

#[derive(Debug, Subcommand)]
pub enum Mcp {
    /// List tool servers, and whether their tools are offered.
    #[command(visible_alias = "list")]
    Ls,
    /// Ask a server what it says of its tools now, and show what differs from what was approved of.
    Show { name: String },
    /// Approve of what `show` showed: sessions that are launched from now on get these tools.
    Pin {
        name: String,
        /// The hash that `show` named. A server that says something else by then is not approved of.
        hash: String,
    },
    /// Take that back: sessions that are launched from now on do not get them.
    Unpin { name: String },
}

#[derive(Debug, Subcommand)]
pub enum Proposals {
    /// List proposals.
    #[command(visible_alias = "list")]
    Ls {
        /// Only those that stand here.
        #[arg(long)]
        status: Option<ProposalStatus>,
        /// At most so many; 0 for no end.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Show a proposal with its text and its trial.
    Show { id: IdRef },
    /// Put a proposal on trial: new runs are split between the old text and the new one.
    Approve { id: IdRef },
    /// Decline a proposal; a trial of it ends.
    Decline {
        id: IdRef,
        /// Why, for people.
        #[arg(long)]
        reason: String,
    },
    /// Go back to the text that was in use before a proposal was adopted.
    Revert {
        id: IdRef,
        /// Why, for people.
        #[arg(long)]
        reason: String,
    },
    /// Search finished runs now for what comes again, as it is done once a day.
    Search,
}

#[derive(Debug, Subcommand)]
pub enum Token {
    /// List the named tokens.
    #[command(visible_alias = "ls")]
    List,
    /// Make a token, and print it: it is shown this once.
    Add {
        /// Its name.
        name: String,
        /// The tenant that it opens.
        #[arg(long)]
        tenant: String,
        /// A scope of the tenant that it opens, the usual one first; may be given several times [default: all].
        #[arg(long)]
        scope: Vec<String>,
    },
    /// Revoke a token, at once.
    Rm { id: IdRef },
}

#[derive(Debug, Subcommand)]
pub enum Workspace {
    /// List workspaces.
    #[command(visible_alias = "ls")]
    List {
        /// Also those that were let go.
        #[arg(long, short)]
        all: bool,
        /// Only those of this objective.
        #[arg(long, value_name = "ID")]
        objective: Option<IdRef>,
    },
    /// Show a workspace with its snapshots.
    Show { id: IdRef },
    /// Put a snapshot back into a folder of its own.
    Restore {
        id: IdRef,
        /// Which [default: the newest].
        #[arg(long, value_name = "COMMIT")]
        snapshot: Option<Sha>,
    },
    /// Let a workspace go if that loses nothing.
    Reclaim { id: IdRef },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_token_cannot_stand_on_the_command_line() {
        let takes_token = |it: &clap::Command| it.get_arguments().any(|arg| arg.get_long() == Some("token"));
        let cli = Cli::command();
        assert!(!takes_token(&cli) && !cli.get_subcommands().any(takes_token));
    }

    #[test]
    fn a_deadline_stands_beside_other_limits_and_is_said_once() {
        let limit = |text: &str| text.parse::<Limit>().unwrap();
        let both = limits_by(&[limit("same_error=5")], Some(60)).unwrap().unwrap();
        assert_eq!((both.same_error, both.deadline_secs), (Some(5), Some(60)));
        assert_eq!(limits_by(&[], None), Ok(None));
        assert!(limits_by(&[limit("deadline_secs=5")], Some(60)).unwrap_err().contains("said twice"));
    }

    #[test]
    fn a_wrong_id_is_refused_before_anything_is_asked() {
        let error = Cli::try_parse_from(["orcha", "show", "../../x"]).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        assert!(error.to_string().contains("eight hexadecimal digits"), "{error}");
    }
}
