//! A code host in memory, for tests of the layers above.
//!
//! It keeps the meaning of [`crate::LocalForge`] (one conformance suite runs over both) on a small model of git:
//! a commit is its parents and its files, and files merge as wholes. Faults are planned ahead, and every call is
//! recorded. It does not survive the process.

use crate::text::check_words;
use crate::{
    Author, ChangesToken, Check, Checks, Comment, CommentId, CommentKind, CommentPage, Cursor, Edit, Filter, Forge,
    ForgeError, Key, Merge, Mergeable, Merged, Method, Open, Opened, Place, Post, Posted, Pr, PrNumber, PrState,
    PrStatus, Review, ReviewMark, ReviewState, Trust, Verdict, WatchPoint, Which, without_markers,
};
use async_trait::async_trait;
use orcha_base::{BranchName, RepoUrl, Sha, Timestamp};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// How many revisions one page of comments holds.
const PAGE: usize = 50;

/// The calls of a [`Forge`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the call of its name")]
pub enum Op {
    RepoExists,
    DefaultBranch,
    FindByHead,
    Open,
    State,
    List,
    Comments,
    Comment,
    EditComment,
    Review,
    SetCheck,
    Edit,
    Merge,
    Close,
    Reopen,
    DeleteBranch,
    ChangesToken,
}

impl Op {
    const fn name(self) -> &'static str {
        match self {
            Self::RepoExists => "repo_exists",
            Self::DefaultBranch => "default_branch",
            Self::FindByHead => "find_by_head",
            Self::Open => "open",
            Self::State => "state",
            Self::List => "list",
            Self::Comments => "comments",
            Self::Comment => "comment",
            Self::EditComment => "edit_comment",
            Self::Review => "review",
            Self::SetCheck => "set_check",
            Self::Edit => "edit",
            Self::Merge => "merge",
            Self::Close => "close",
            Self::Reopen => "reopen",
            Self::DeleteBranch => "delete_branch",
            Self::ChangesToken => "changes_token",
        }
    }
}

/// A fault that one call will meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The host is not reached; nothing happens.
    Before,
    /// It happens, and the answer is lost.
    After,
    /// It happens, and the answer does not come in time.
    TimeOutAfter,
}

/// A call that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which.
    pub op: Op,
    /// On which repository.
    pub repo: RepoUrl,
    /// On which pull request.
    pub number: Option<PrNumber>,
    /// Under which key.
    pub key: Option<Key>,
}

/// The code host. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct FakeForge {
    world: Arc<Mutex<World>>,
}

#[derive(Debug, Default)]
struct World {
    repos: HashMap<RepoUrl, Repo>,
    commits: HashMap<Sha, Commit>,
    faults: HashMap<Op, VecDeque<Fault>>,
    calls: Vec<Call>,
    changes: u64,
}

#[derive(Debug, Default)]
struct Repo {
    default: Option<BranchName>,
    branches: BTreeMap<BranchName, Sha>,
    prs: BTreeMap<PrNumber, Entry>,
}

type Files = BTreeMap<String, String>;

#[derive(Clone, Debug)]
struct Commit {
    parents: Vec<Sha>,
    files: Files,
}

#[derive(Clone, Debug)]
struct Entry {
    open: Open,
    title: String,
    body: String,
    life: Life,
    tracked: Sha,
    checks: BTreeMap<String, Check>,
    reviews: BTreeMap<String, ReviewMark>,
    /// Every revision of every comment, as in a log.
    revisions: Vec<Comment>,
    keys: BTreeMap<Key, CommentId>,
    updated_at: Timestamp,
}

#[derive(Clone, Debug)]
enum Life {
    Draft,
    Open,
    Merged { head: Sha, sha: Sha },
    Closed { was_draft: bool },
}

impl Life {
    const fn status(&self) -> PrStatus {
        match self {
            Self::Draft => PrStatus::Draft,
            Self::Open => PrStatus::Open,
            Self::Merged { .. } => PrStatus::Merged,
            Self::Closed { .. } => PrStatus::Closed,
        }
    }
}

impl FakeForge {
    /// Makes a code host without repositories.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an empty repository.
    pub fn add_repo(&self, repo: &RepoUrl, default: BranchName) {
        self.world.lock().repos.entry(repo.clone()).or_default().default = Some(default);
    }

    /// Commits one file on a branch, which begins at the default branch if it is new. Returns the commit.
    pub fn commit(&self, repo: &RepoUrl, branch: &BranchName, path: &str, text: &str) -> Sha {
        let mut world = self.world.lock();
        let it = world.repos.entry(repo.clone()).or_default();
        let start = it.branches.get(branch).or_else(|| it.branches.get(it.default.as_ref()?)).cloned();
        let mut files =
            start.as_ref().and_then(|sha| world.commits.get(sha)).map_or_else(Files::new, |c| c.files.clone());
        files.insert(path.to_owned(), text.to_owned());
        let sha = world.add(start.into_iter().collect(), files);
        world.point(repo, branch, sha.clone());
        sha
    }

    /// Sets a branch to a commit, as a push does. A commit that is not known here becomes a child of what the
    /// branch, or else the default branch, had, with a file of its own.
    pub fn push(&self, repo: &RepoUrl, branch: &BranchName, sha: &Sha) {
        let mut world = self.world.lock();
        if !world.commits.contains_key(sha) {
            let it = world.repos.entry(repo.clone()).or_default();
            let start = it.branches.get(branch).or_else(|| it.branches.get(it.default.as_ref()?)).cloned();
            let mut files =
                start.as_ref().and_then(|sha| world.commits.get(sha)).map_or_else(Files::new, |c| c.files.clone());
            files.insert(format!("pushed/{sha}"), sha.to_string());
            world.commits.insert(sha.clone(), Commit { parents: start.into_iter().collect(), files });
        }
        world.point(repo, branch, sha.clone());
    }

    /// Removes a branch.
    pub fn remove_branch(&self, repo: &RepoUrl, branch: &BranchName) {
        let mut world = self.world.lock();
        world.changes += 1;
        if let Some(it) = world.repos.get_mut(repo) {
            it.branches.remove(branch);
        }
    }

    /// Returns the tip of a branch.
    pub fn tip(&self, repo: &RepoUrl, branch: &BranchName) -> Option<Sha> {
        self.world.lock().repos.get(repo)?.branches.get(branch).cloned()
    }

    /// Returns a file at the tip of a branch.
    pub fn file(&self, repo: &RepoUrl, branch: &BranchName, path: &str) -> Option<String> {
        let world = self.world.lock();
        let tip = world.repos.get(repo)?.branches.get(branch)?;
        world.commits.get(tip)?.files.get(path).cloned()
    }

    /// Plans a fault for the next call of a kind; several queue up.
    pub fn fail(&self, op: Op, fault: Fault) {
        self.world.lock().faults.entry(op).or_default().push_back(fault);
    }

    /// Returns the calls so far.
    pub fn calls(&self) -> Vec<Call> {
        self.world.lock().calls.clone()
    }

    /// Records a call, lets it meet its fault, and does it.
    fn call<T>(&self, call: Call, act: impl FnOnce(&mut World) -> Result<T, ForgeError>) -> Result<T, ForgeError> {
        let mut world = self.world.lock();
        let op = call.op;
        world.calls.push(call);
        let fault = world.faults.get_mut(&op).and_then(VecDeque::pop_front);
        match fault {
            None => act(&mut world),
            Some(Fault::Before) => Err(ForgeError::Unavailable { step: op.name() }),
            Some(Fault::After) => act(&mut world).and(Err(ForgeError::Unavailable { step: op.name() })),
            Some(Fault::TimeOutAfter) => {
                act(&mut world).and(Err(ForgeError::TimedOut { step: op.name(), after: Duration::from_secs(30) }))
            }
        }
    }
}

impl World {
    fn add(&mut self, parents: Vec<Sha>, files: Files) -> Sha {
        // The count makes every commit another one, as the time does in git.
        let text = format!("{} {parents:?} {files:?}", self.commits.len());
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(text.as_bytes()));
        let sha: Sha = digest[..40].parse().unwrap_or_else(|_| unreachable!("forty hexadecimal digits are a sha"));
        self.commits.insert(sha.clone(), Commit { parents, files });
        sha
    }

    fn point(&mut self, repo: &RepoUrl, branch: &BranchName, sha: Sha) {
        self.changes += 1;
        self.repos.entry(repo.clone()).or_default().branches.insert(branch.clone(), sha);
    }

    fn repo(&mut self, repo: &RepoUrl) -> Result<&mut Repo, ForgeError> {
        self.repos.get_mut(repo).ok_or_else(|| ForgeError::RepoAbsent { repo: repo.clone() })
    }

    fn entry(&mut self, repo: &RepoUrl, number: PrNumber) -> Result<&mut Entry, ForgeError> {
        let absent = || ForgeError::PrAbsent { repo: repo.clone(), number };
        self.repo(repo)?.prs.get_mut(&number).ok_or_else(absent)
    }

    fn branch(&mut self, repo: &RepoUrl, branch: &BranchName) -> Result<Sha, ForgeError> {
        let absent = || ForgeError::BranchAbsent { branch: branch.clone() };
        self.repo(repo)?.branches.get(branch).cloned().ok_or_else(absent)
    }

    fn head(&mut self, repo: &RepoUrl, number: PrNumber) -> Result<Sha, ForgeError> {
        let entry = self.entry(repo, number)?;
        let (tracked, branch) = (entry.tracked.clone(), entry.open.head.clone());
        match &entry.life {
            Life::Merged { head, .. } => Ok(head.clone()),
            Life::Closed { .. } => Ok(tracked),
            Life::Draft | Life::Open => Ok(self.repo(repo)?.branches.get(&branch).cloned().unwrap_or(tracked)),
        }
    }

    fn row(&mut self, repo: &RepoUrl, number: PrNumber) -> Result<Pr, ForgeError> {
        let head = self.head(repo, number)?;
        let entry = self.entry(repo, number)?;
        Ok(Pr {
            number,
            url: format!("https://forge.test/{}/pull/{}", repo.name(), number.0),
            key: Some(entry.open.key.clone()),
            title: entry.title.clone(),
            head_branch: entry.open.head.clone(),
            base_branch: entry.open.base.clone(),
            status: entry.life.status(),
            checks: Checks::of(entry.checks.values().filter(|check| check.sha == head)),
            review: ReviewState::of(&entry.marks(&head)),
            merged_sha: match &entry.life {
                Life::Merged { sha, .. } => Some(sha.clone()),
                Life::Draft | Life::Open | Life::Closed { .. } => None,
            },
            created_at: entry.open.at,
            updated_at: entry.updated_at,
            head_sha: head,
        })
    }

    fn ancestors(&self, of: &Sha) -> BTreeSet<Sha> {
        let mut seen = BTreeSet::new();
        let mut next = vec![of.clone()];
        while let Some(sha) = next.pop() {
            if let Some(commit) = self.commits.get(&sha) {
                next.extend(commit.parents.iter().filter(|parent| !seen.contains(*parent)).cloned());
            }
            seen.insert(sha);
        }
        seen
    }

    fn contains(&self, base: &Sha, head: &Sha) -> bool {
        self.ancestors(base).contains(head)
    }

    /// Returns the common ancestor that has the most ancestors itself.
    fn merge_base(&self, one: &Sha, other: &Sha) -> Option<Sha> {
        let others = self.ancestors(other);
        let common = self.ancestors(one).into_iter().filter(|sha| others.contains(sha));
        common.max_by_key(|sha| self.ancestors(sha).len())
    }

    fn files(&self, of: Option<&Sha>) -> Files {
        of.and_then(|sha| self.commits.get(sha)).map_or_else(Files::new, |commit| commit.files.clone())
    }

    /// Refuses a file that an open pull request does not change.
    fn changed(&mut self, repo: &RepoUrl, number: PrNumber, path: &str) -> Result<(), ForgeError> {
        let entry = self.entry(repo, number)?;
        if !entry.life.status().is_open() {
            return Ok(());
        }
        let base = entry.open.base.clone();
        let (base, head) = (self.branch(repo, &base)?, self.head(repo, number)?);
        let fork = self.merge_base(&base, &head);
        let (was, is) = (self.files(fork.as_ref()), self.files(Some(&head)));
        if was.get(path) == is.get(path) { Err(ForgeError::not_in_pr()) } else { Ok(()) }
    }

    /// Merges file by file: what only one side changed is taken from there.
    fn blend(&self, base: Option<&Sha>, ours: &Files, theirs: &Sha) -> Result<Files, Vec<String>> {
        let (base, theirs) = (self.files(base), self.files(Some(theirs)));
        let paths: BTreeSet<&String> = base.keys().chain(ours.keys()).chain(theirs.keys()).collect();
        let mut merged = Files::new();
        let mut conflicts = Vec::new();
        for path in paths {
            let (was, our, their) = (base.get(path), ours.get(path), theirs.get(path));
            let kept = if our == their || their == was { our } else { their };
            if our != their && our != was && their != was {
                conflicts.push(path.clone());
            } else if let Some(text) = kept {
                merged.insert(path.clone(), text.clone());
            }
        }
        if conflicts.is_empty() { Ok(merged) } else { Err(conflicts) }
    }

    fn combine(&mut self, number: PrNumber, base: &Sha, head: &Sha, method: Method) -> Result<Sha, ForgeError> {
        let conflict = |files| ForgeError::Conflict { number, files };
        let common = self.merge_base(base, head);
        match method {
            Method::Merge | Method::Squash => {
                let files = self.blend(common.as_ref(), &self.files(Some(base)), head).map_err(conflict)?;
                let second = (method == Method::Merge).then(|| head.clone());
                Ok(self.add(std::iter::once(base.clone()).chain(second).collect(), files))
            }
            Method::Rebase if common.as_ref() == Some(base) => Ok(head.clone()),
            Method::Rebase => {
                let known = self.ancestors(base);
                let mut commits: Vec<Sha> =
                    self.ancestors(head).into_iter().filter(|sha| !known.contains(sha)).collect();
                commits.retain(|sha| self.commits.get(sha).is_some_and(|commit| commit.parents.len() == 1));
                commits.sort_by_key(|sha| self.ancestors(sha).len());
                let mut tip = base.clone();
                for sha in commits {
                    let parent = self.commits.get(&sha).and_then(|commit| commit.parents.first().cloned());
                    let ours = self.files(Some(&tip));
                    let files = self.blend(parent.as_ref(), &ours, &sha).map_err(conflict)?;
                    if files != ours {
                        tip = self.add(vec![tip], files);
                    }
                }
                Ok(tip)
            }
        }
    }

    fn open_of(
        &mut self,
        repo: &RepoUrl,
        head: &BranchName,
        but: Option<PrNumber>,
    ) -> Result<Option<PrNumber>, ForgeError> {
        let mut prs = self.repo(repo)?.prs.iter();
        let found = prs.find(|(n, it)| Some(**n) != but && it.open.head == *head && it.life.status().is_open());
        Ok(found.map(|(number, _)| *number))
    }

    fn post(&mut self, repo: &RepoUrl, number: PrNumber, new: NewComment<'_>) -> Result<Posted, ForgeError> {
        self.changes += 1;
        let entry = self.entry(repo, number)?;
        let id = CommentId((entry.revisions.len() + 1).to_string());
        entry.keys.insert(new.key.clone(), id.clone());
        entry.revisions.push(Comment {
            id: id.clone(),
            revision: 1,
            author: new.author.clone(),
            kind: new.kind,
            body: without_markers(new.body),
            created_at: new.at,
            updated_at: new.at,
            key: (new.author.trust == Trust::System).then(|| new.key.clone()),
        });
        entry.updated_at = entry.updated_at.max(new.at);
        Ok(Posted { id, fresh: true })
    }
}

struct NewComment<'a> {
    key: &'a Key,
    author: &'a Author,
    kind: CommentKind,
    body: &'a str,
    at: Timestamp,
}

impl Entry {
    fn marks(&self, head: &Sha) -> Vec<ReviewMark> {
        self.reviews.values().map(|mark| ReviewMark { stale: mark.sha != *head, ..mark.clone() }).collect()
    }

    fn posted(&self, key: &Key) -> Option<Posted> {
        self.keys.get(key).map(|id| Posted { id: id.clone(), fresh: false })
    }
}

fn call(op: Op, repo: &RepoUrl, number: Option<PrNumber>, key: Option<&Key>) -> Call {
    Call { op, repo: repo.clone(), number, key: key.cloned() }
}

#[async_trait]
impl Forge for FakeForge {
    async fn repo_exists(&self, repo: &RepoUrl) -> Result<bool, ForgeError> {
        self.call(call(Op::RepoExists, repo, None, None), |world| Ok(world.repos.contains_key(repo)))
    }

    async fn default_branch(&self, repo: &RepoUrl) -> Result<BranchName, ForgeError> {
        self.call(call(Op::DefaultBranch, repo, None, None), |world| {
            let it = world.repo(repo)?;
            let existing = it.default.clone().filter(|branch| it.branches.contains_key(branch));
            existing.ok_or_else(|| ForgeError::NoDefaultBranch { repo: repo.clone() })
        })
    }

    async fn find_by_head(&self, repo: &RepoUrl, head: &BranchName) -> Result<Option<Pr>, ForgeError> {
        self.call(call(Op::FindByHead, repo, None, None), |world| {
            let prs = world.repo(repo)?.prs.iter().filter(|(_, it)| it.open.head == *head);
            let found =
                prs.max_by_key(|(number, it)| (it.life.status().is_open(), **number)).map(|(number, _)| *number);
            found.map(|number| world.row(repo, number)).transpose()
        })
    }

    async fn open(&self, repo: &RepoUrl, open: &Open) -> Result<Opened, ForgeError> {
        self.call(call(Op::Open, repo, None, Some(&open.key)), |world| {
            open.validate()?;
            let same_key =
                world.repo(repo)?.prs.iter().find(|(_, it)| it.open.key == open.key).map(|(number, _)| *number);
            let found = match same_key {
                Some(number) => Some(number),
                None => world.open_of(repo, &open.head, None)?,
            };
            if let Some(number) = found {
                return Ok(Opened { pr: world.row(repo, number)?, fresh: false });
            }
            let (head, base) = (world.branch(repo, &open.head)?, world.branch(repo, &open.base)?);
            if world.merge_base(&base, &head).is_none() {
                return Err(ForgeError::Unrelated { base: open.base.clone() });
            }
            if world.contains(&base, &head) {
                return Err(ForgeError::NothingToMerge { head: open.head.clone(), base: open.base.clone() });
            }
            world.changes += 1;
            let prs = &mut world.repo(repo)?.prs;
            let number = PrNumber(prs.keys().next_back().map_or(1, |last| last.0 + 1));
            prs.insert(
                number,
                Entry {
                    open: open.clone(),
                    title: open.title.clone(),
                    body: without_markers(&open.body),
                    life: if open.draft { Life::Draft } else { Life::Open },
                    tracked: head,
                    checks: BTreeMap::new(),
                    reviews: BTreeMap::new(),
                    revisions: Vec::new(),
                    keys: BTreeMap::new(),
                    updated_at: open.at,
                },
            );
            Ok(Opened { pr: world.row(repo, number)?, fresh: true })
        })
    }

    async fn state(&self, repo: &RepoUrl, number: PrNumber) -> Result<PrState, ForgeError> {
        self.call(call(Op::State, repo, Some(number), None), |world| {
            let head = world.head(repo, number)?;
            let entry = world.entry(repo, number)?.clone();
            let base = world.repo(repo)?.branches.get(&entry.open.base).cloned();
            let (mut mergeable, mut conflicts) = (Mergeable::Unknown, Vec::new());
            if let (true, Some(base)) = (entry.life.status().is_open(), base) {
                let contained = world.contains(&base, &head);
                if contained && world.contains(&base, &entry.tracked) {
                    let entry = world.entry(repo, number)?;
                    entry.life = Life::Merged { head: head.clone(), sha: head.clone() };
                    entry.tracked = head.clone();
                    world.changes += 1;
                } else {
                    if !contained {
                        world.entry(repo, number)?.tracked = head.clone();
                    }
                    let common = world.merge_base(&base, &head);
                    match world.blend(common.as_ref(), &world.files(Some(&base)), &head) {
                        _ if common.is_none() => {}
                        Ok(_) => mergeable = Mergeable::Yes,
                        Err(files) => (mergeable, conflicts) = (Mergeable::Conflicting, files),
                    }
                }
            }
            Ok(PrState {
                pr: world.row(repo, number)?,
                body: entry.body.clone(),
                check_runs: entry.checks.values().filter(|check| check.sha == head).cloned().collect(),
                reviews: entry.marks(&head),
                mergeable,
                conflicts,
            })
        })
    }

    async fn list(&self, repo: &RepoUrl, filter: &Filter) -> Result<Vec<Pr>, ForgeError> {
        self.call(call(Op::List, repo, None, None), |world| {
            let wanted = |it: &Entry| {
                (filter.which == Which::All || it.life.status().is_open())
                    && filter.head.as_ref().is_none_or(|head| it.open.head == *head)
            };
            let prs = world.repo(repo)?.prs.iter().rev().filter(|(_, it)| wanted(it));
            let numbers: Vec<PrNumber> = prs.map(|(number, _)| *number).take(filter.limit).collect();
            numbers.into_iter().map(|number| world.row(repo, number)).collect()
        })
    }

    async fn comments(
        &self,
        repo: &RepoUrl,
        number: PrNumber,
        after: Option<&Cursor>,
    ) -> Result<CommentPage, ForgeError> {
        self.call(call(Op::Comments, repo, Some(number), None), |world| {
            let bad = |_| ForgeError::Invalid { field: "after", rule: "it is not a cursor of this code host" };
            let seen = after.map_or(Ok(0), |Cursor(text)| text.parse::<usize>().map_err(bad))?;
            let revisions = &world.entry(repo, number)?.revisions;
            let from = seen.min(revisions.len());
            let next = revisions.len().min(from + PAGE);
            let comments = revisions[from..next].to_vec();
            Ok(CommentPage { comments, next: Cursor(next.to_string()), more: next < revisions.len() })
        })
    }

    async fn comment(&self, repo: &RepoUrl, number: PrNumber, post: &Post) -> Result<Posted, ForgeError> {
        self.call(call(Op::Comment, repo, Some(number), Some(&post.key)), |world| {
            post.validate()?;
            if let Some(posted) = world.entry(repo, number)?.posted(&post.key) {
                return Ok(posted);
            }
            if let Place::Line { path, .. } = &post.place {
                world.changed(repo, number, path)?;
            }
            let new =
                NewComment { key: &post.key, author: &post.author, kind: post.kind(), body: &post.body, at: post.at };
            world.post(repo, number, new)
        })
    }

    async fn edit_comment(
        &self,
        repo: &RepoUrl,
        number: PrNumber,
        id: &CommentId,
        body: &str,
        at: Timestamp,
    ) -> Result<(), ForgeError> {
        self.call(call(Op::EditComment, repo, Some(number), None), |world| {
            check_words("body", body)?;
            let entry = world.entry(repo, number)?;
            let latest = entry.revisions.iter().rev().find(|it| it.id == *id).cloned();
            let latest = latest.ok_or_else(|| ForgeError::CommentAbsent { number, id: id.clone() })?;
            let body = without_markers(body);
            if latest.body != body {
                entry.revisions.push(Comment { revision: latest.revision + 1, body, updated_at: at, ..latest });
                entry.updated_at = entry.updated_at.max(at);
                world.changes += 1;
            }
            Ok(())
        })
    }

    async fn review(&self, repo: &RepoUrl, number: PrNumber, review: &Review) -> Result<Posted, ForgeError> {
        self.call(call(Op::Review, repo, Some(number), Some(&review.key)), |world| {
            review.validate()?;
            let entry = world.entry(repo, number)?;
            if let Some(posted) = entry.posted(&review.key) {
                return Ok(posted);
            }
            let status = entry.life.status();
            match review.verdict {
                Verdict::Comment => {}
                Verdict::Approve | Verdict::RequestChanges if !status.is_open() => {
                    return Err(ForgeError::NotNow { number, status });
                }
                Verdict::Approve | Verdict::RequestChanges => {
                    let mark = ReviewMark {
                        author: review.author.clone(),
                        verdict: review.verdict,
                        sha: review.sha.clone(),
                        stale: false,
                        at: review.at,
                    };
                    entry.reviews.insert(review.author.name.clone(), mark);
                }
            }
            let kind = CommentKind::Review { verdict: review.verdict, sha: review.sha.clone() };
            let new = NewComment { key: &review.key, author: &review.author, kind, body: &review.body, at: review.at };
            world.post(repo, number, new)
        })
    }

    async fn set_check(&self, repo: &RepoUrl, number: PrNumber, check: &Check) -> Result<(), ForgeError> {
        self.call(call(Op::SetCheck, repo, Some(number), None), |world| {
            check.validate()?;
            let head = world.head(repo, number)?;
            let entry = world.entry(repo, number)?;
            let late = entry.checks.get(&check.name).is_some_and(|old| old.sha == head && check.sha != head);
            if !late {
                entry.checks.insert(check.name.clone(), check.clone());
                entry.updated_at = entry.updated_at.max(check.at);
                world.changes += 1;
            }
            Ok(())
        })
    }

    async fn edit(&self, repo: &RepoUrl, number: PrNumber, edit: &Edit) -> Result<(), ForgeError> {
        self.call(call(Op::Edit, repo, Some(number), None), |world| {
            edit.validate()?;
            let entry = world.entry(repo, number)?;
            let life = match (edit.draft, &entry.life) {
                (None, life) => life.clone(),
                (Some(true), Life::Draft | Life::Open) => Life::Draft,
                (Some(false), Life::Draft | Life::Open) => Life::Open,
                (Some(was_draft), Life::Closed { .. }) => Life::Closed { was_draft },
                (Some(_), Life::Merged { .. }) => return Err(ForgeError::NotNow { number, status: PrStatus::Merged }),
            };
            entry.life = life;
            if let Some(title) = &edit.title {
                entry.title.clone_from(title);
            }
            if let Some(body) = &edit.body {
                entry.body = without_markers(body);
            }
            entry.updated_at = entry.updated_at.max(edit.at);
            world.changes += 1;
            Ok(())
        })
    }

    async fn merge(&self, repo: &RepoUrl, number: PrNumber, merge: &Merge) -> Result<Merged, ForgeError> {
        self.call(call(Op::Merge, repo, Some(number), None), |world| {
            merge.validate()?;
            let entry = world.entry(repo, number)?.clone();
            match &entry.life {
                Life::Merged { head, sha } => return Ok(Merged { sha: sha.clone(), head: head.clone(), fresh: false }),
                Life::Draft | Life::Closed { .. } => {
                    return Err(ForgeError::NotNow { number, status: entry.life.status() });
                }
                Life::Open => {}
            }
            let head = world.head(repo, number)?;
            if head != merge.expected_head {
                return Err(ForgeError::HeadMoved { number, expected: merge.expected_head.clone(), found: head });
            }
            let base = world.branch(repo, &entry.open.base)?;
            let sha = if world.contains(&base, &head) {
                head.clone()
            } else if world.merge_base(&base, &head).is_none() {
                return Err(ForgeError::Unrelated { base: entry.open.base });
            } else {
                let sha = world.combine(number, &base, &head, merge.method)?;
                world.point(repo, &entry.open.base, sha.clone());
                sha
            };
            let entry = world.entry(repo, number)?;
            entry.life = Life::Merged { head: head.clone(), sha: sha.clone() };
            entry.tracked = head.clone();
            entry.updated_at = entry.updated_at.max(merge.at);
            world.changes += 1;
            Ok(Merged { sha, head, fresh: true })
        })
    }

    async fn close(&self, repo: &RepoUrl, number: PrNumber, at: Timestamp) -> Result<(), ForgeError> {
        self.call(call(Op::Close, repo, Some(number), None), |world| {
            let head = world.head(repo, number)?;
            let entry = world.entry(repo, number)?;
            entry.life = match entry.life {
                Life::Draft => Life::Closed { was_draft: true },
                Life::Open => Life::Closed { was_draft: false },
                Life::Closed { .. } => return Ok(()),
                Life::Merged { .. } => return Err(ForgeError::NotNow { number, status: PrStatus::Merged }),
            };
            entry.tracked = head;
            entry.updated_at = entry.updated_at.max(at);
            world.changes += 1;
            Ok(())
        })
    }

    async fn reopen(&self, repo: &RepoUrl, number: PrNumber, at: Timestamp) -> Result<(), ForgeError> {
        self.call(call(Op::Reopen, repo, Some(number), None), |world| {
            let entry = world.entry(repo, number)?.clone();
            let life = match entry.life {
                Life::Closed { was_draft: true } => Life::Draft,
                Life::Closed { was_draft: false } => Life::Open,
                Life::Draft | Life::Open => return Ok(()),
                Life::Merged { .. } => return Err(ForgeError::NotNow { number, status: PrStatus::Merged }),
            };
            if let Some(by) = world.open_of(repo, &entry.open.head, Some(number))? {
                return Err(ForgeError::BranchInUse { branch: entry.open.head, by });
            }
            let entry = world.entry(repo, number)?;
            entry.life = life;
            entry.updated_at = entry.updated_at.max(at);
            world.changes += 1;
            Ok(())
        })
    }

    async fn delete_branch(&self, repo: &RepoUrl, number: PrNumber) -> Result<(), ForgeError> {
        self.call(call(Op::DeleteBranch, repo, Some(number), None), |world| {
            let kept = world.head(repo, number)?;
            let entry = world.entry(repo, number)?.clone();
            let status = entry.life.status();
            if status.is_open() {
                return Err(ForgeError::NotNow { number, status });
            }
            let branch = &entry.open.head;
            let it = world.repo(repo)?;
            let Some(tip) = it.branches.get(branch).cloned() else { return Ok(()) };
            if it.default.as_ref() == Some(branch) {
                return Err(ForgeError::DefaultBranch { branch: branch.clone() });
            }
            let needs = |other: &Entry| {
                other.life.status().is_open() && (other.open.head == *branch || other.open.base == *branch)
            };
            if let Some((by, _)) = it.prs.iter().find(|(_, other)| needs(other)) {
                return Err(ForgeError::BranchInUse { branch: branch.clone(), by: *by });
            }
            if tip != kept {
                return Err(ForgeError::HeadMoved { number, expected: kept, found: tip });
            }
            it.branches.remove(branch);
            world.changes += 1;
            Ok(())
        })
    }

    async fn changes_token(&self, repo: &RepoUrl) -> Result<ChangesToken, ForgeError> {
        self.call(call(Op::ChangesToken, repo, None, None), |world| {
            world.repo(repo)?;
            Ok(ChangesToken(world.changes.to_string()))
        })
    }

    async fn watch_points(&self, repo: &RepoUrl) -> Result<Vec<WatchPoint>, ForgeError> {
        self.world.lock().repo(repo)?;
        Ok(Vec::new())
    }
}
