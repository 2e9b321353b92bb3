//! Pull requests without a code host: they live in the git repository itself.
//!
//! ```text
//! refs/orcha/pr/<n>/head   the newest commit of the head branch that was seen; keeps it when the branch is gone
//! refs/orcha/pr/<n>/meta   a chain of commits, one for each change; its tip holds
//!                            pr.json      title, branches, status, checks, reviews
//!                            body.md      the description
//!                            index.json   which key wrote which line of the log
//!                          and the message of each commit is one line of the log: a comment, a review, a merge
//! refs/orcha/pr/gate       the meta commit that last opened or reopened a pull request: moves with each of these
//! ```
//!
//! Every change compares and swaps: it reads, makes objects, and moves all refs in one git transaction that
//! fails if any of them has moved meanwhile; then it reads again. So any number of processes may work on one
//! repository, numbers are never given twice, and a merge moves the base branch and the record together or not
//! at all. Nobody has to run: the repository is the only state, and a clone or a backup of it carries all.
//!
//! It never touches a work tree, and it executes nothing that the repository brings along.

mod merge;
mod plumbing;
mod record;

use crate::text::check_words;
use crate::{
    ChangesToken, Check, CommentId, CommentKind, CommentPage, Cursor, Edit, Filter, Forge, ForgeError, Merge,
    Mergeable, Merged, Open, Opened, Place, Post, Posted, Pr, PrNumber, PrState, PrStatus, Review, Trust, Verdict,
    WatchPoint, Which, add_marker, without_markers,
};
use async_trait::async_trait;
use merge::{NewCommit, Relation, Task, identity_line, relate};
use orcha_base::{BranchName, RepoUrl, Sha, Timestamp};
use orcha_exec::Host;
use orcha_exec::git::{Git, GitError, Identity};
use parking_lot::Mutex;
use plumbing::{Object, Plumbing, RefChange, Site, Transaction};
use record::{Entry, FORMAT, Index, Judgement, Life, Line, Record, StoredComment};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tracing::debug;

const PRS: &str = "refs/orcha/pr";
const HEADS: &str = "refs/heads";
const GATE: &str = "refs/orcha/pr/gate";
/// How many lines of the log one page of comments looks at.
const PAGE: u64 = 50;
/// How many checks one pull request remembers.
const MAX_CHECKS: usize = 100;
/// How often a listing is repeated that shows a record without its head: refs are listed one by one, and an
/// opening may have come in between.
const MAX_TORN: u32 = 5;
/// How many answers about mergeability are remembered.
const MAX_RELATIONS: usize = 4096;

/// Returns the address of a pull request in a repository on this machine: `file:///srv/a.git#pr/3`.
pub fn pr_url(repo: &RepoUrl, number: PrNumber) -> String {
    let repo = repo.as_str();
    let scheme = if repo.starts_with('/') { "file://" } else { "" };
    format!("{scheme}{repo}#pr/{}", number.0)
}

/// Reads such an address.
pub fn parse_pr_url(url: &str) -> Option<(RepoUrl, PrNumber)> {
    let (repo, number) = url.rsplit_once("#pr/")?;
    let number = number.parse().ok().filter(|n| *n > 0)?;
    let repo: RepoUrl = repo.parse().ok()?;
    repo.local_path()?;
    Some((repo, PrNumber(number)))
}

/// Keeps pull requests in the repositories of one machine.
#[derive(Debug)]
pub struct LocalForge {
    git: Plumbing,
    /// Commits never change, so an answer about two of them is true for ever.
    relations: Mutex<HashMap<(Sha, Sha), Relation>>,
}

impl LocalForge {
    /// Runs git on a host. Below its work root a small git directory is kept to compute merges in.
    pub fn new(host: Arc<dyn Host>, git: Git) -> Self {
        Self { git: Plumbing::new(host, git), relations: Mutex::default() }
    }
}

/// A pull request as it was read, with everything that a change depends on.
#[derive(Clone)]
struct Loaded {
    meta: Sha,
    tracked: Sha,
    branch: Option<Sha>,
    base: Option<Sha>,
    gate: Option<Sha>,
    files: Files,
    ids: Ids,
}

/// What the tip of the chain holds.
#[derive(Clone)]
struct Files {
    record: Record,
    index: Index,
    body: String,
}

/// The blobs that hold what seldom changes.
#[derive(Clone)]
struct Ids {
    index: Sha,
    body: Sha,
}

impl Loaded {
    fn head(&self) -> &Sha {
        self.files.record.head_sha(self.branch.as_ref(), &self.tracked)
    }

    /// Everything that a transaction compares: if it is the same after a refusal, nobody else was faster.
    fn seen(&self) -> Seen {
        Seen {
            refs: [
                Some(self.meta.clone()),
                Some(self.tracked.clone()),
                self.branch.clone(),
                self.base.clone(),
                self.gate.clone(),
            ],
        }
    }
}

#[derive(PartialEq, Eq)]
struct Seen {
    refs: [Option<Sha>; 5],
}

/// A pull request as a row of all.
struct Row {
    record: Record,
    tracked: Sha,
}

/// Branches, pull requests and the gate, read at one moment.
struct Survey {
    branches: BTreeMap<BranchName, Sha>,
    rows: Vec<Row>,
    gate: Option<Sha>,
    /// The highest number that was ever given, were it to an opening that did not come to its end.
    highest: u64,
}

impl Survey {
    fn pr(&self, repo: &RepoUrl, row: &Row) -> Pr {
        let head = row.record.head_sha(self.branches.get(&row.record.head), &row.tracked);
        row.record.row(pr_url(repo, row.record.number), head)
    }

    /// Returns the pull request of a head branch: the open one, otherwise the newest.
    fn of_head(&self, head: &BranchName) -> Option<&Row> {
        let open_then_newest = |row: &&Row| (row.record.life.status().is_open(), row.record.number);
        self.rows.iter().filter(|row| row.record.head == *head).max_by_key(open_then_newest)
    }
}

/// What a change wants after looking at a pull request.
enum Turn<T> {
    /// Nothing has to be written.
    Done(T),
    /// These files, this line in the log, and these refs with it.
    Write { files: Box<Files>, entry: Entry, refs: Vec<RefChange>, gate: bool, answer: T },
}

/// Counts refused transactions, and tells others' success from a fault.
struct Attempts {
    step: &'static str,
    lost: u32,
    still: u32,
    last: Option<(Seen, GitError)>,
}

impl Attempts {
    const MAX_LOST: u32 = 100;
    const MAX_STILL: u32 = 2;

    fn new(step: &'static str) -> Self {
        Self { step, lost: 0, still: 0, last: None }
    }

    /// Judges a new try by what is seen now.
    fn again(&mut self, seen: &Seen) -> Result<(), ForgeError> {
        let Some((before, error)) = self.last.take() else { return Ok(()) };
        self.still = if before == *seen { self.still + 1 } else { 0 };
        if self.still > Self::MAX_STILL {
            return Err(error.into());
        }
        if self.lost > Self::MAX_LOST {
            return Err(ForgeError::Busy { step: self.step, attempts: self.lost });
        }
        Ok(())
    }

    fn refused(&mut self, seen: Seen, error: GitError) {
        self.lost += 1;
        debug!(attempt = self.lost, "{}: another writer was faster, or a ref is locked", self.step);
        self.last = Some((seen, error));
    }
}

impl LocalForge {
    fn path<'a>(&self, repo: &'a RepoUrl) -> Result<&'a str, ForgeError> {
        repo.local_path()
            .ok_or_else(|| ForgeError::Foreign { repo: repo.clone(), expected: "a repository on this machine" })
    }

    async fn site(&self, repo: &RepoUrl) -> Result<Arc<Site>, ForgeError> {
        let path = self.path(repo)?;
        self.git.site(repo, path).await?.ok_or_else(|| ForgeError::RepoAbsent { repo: repo.clone() })
    }

    /// Lists refs; if that fails, finds out whether the repository is still there.
    async fn refs(&self, repo: &RepoUrl, site: &Site, below: &[&str]) -> Result<Vec<plumbing::Ref>, ForgeError> {
        match self.git.refs(site, below).await {
            Ok(refs) => Ok(refs),
            Err(error) => match self.git.site_again(repo, self.path(repo)?).await? {
                Some(_) => Err(error.into()),
                None => Err(ForgeError::RepoAbsent { repo: repo.clone() }),
            },
        }
    }

    /// Reads all pull requests in two processes.
    async fn survey(&self, repo: &RepoUrl, site: &Site) -> Result<Survey, ForgeError> {
        let mut torn = 0;
        let (branches, gate, mut heads, metas) = loop {
            let mut branches = BTreeMap::new();
            let mut gate = None;
            let mut heads = BTreeMap::new();
            let mut metas = BTreeMap::new();
            for found in self.refs(repo, site, &[HEADS, PRS]).await? {
                if let Some(branch) = branch_of(&found.name) {
                    branches.insert(branch, found.sha);
                } else if found.name == GATE {
                    gate = Some(found.sha);
                } else if let Some((number, part)) = part_of_pr(&found.name) {
                    match part {
                        Part::Head => heads.insert(number, found.sha),
                        Part::Meta => metas.insert(number, found.sha),
                    };
                }
            }
            let Some(number) = metas.keys().find(|number| !heads.contains_key(number)) else {
                break (branches, gate, heads, metas);
            };
            torn += 1;
            if torn > MAX_TORN {
                return Err(ForgeError::Corrupt { number: *number, what: "the head", source: None });
            }
        };
        let names: Vec<String> = metas.values().map(|meta| format!("{meta}:pr.json")).collect();
        let objects = self.git.read(site, &names).await?;
        let highest = heads.keys().next_back().map_or(0, |number| number.0);
        let mut rows = Vec::with_capacity(objects.len());
        for (number, object) in metas.keys().zip(objects) {
            let (record, _) = parse::<Record>(*number, "pr.json", object)?;
            if let Some(tracked) = heads.remove(number) {
                rows.push(Row { record: understood(record)?, tracked });
            }
        }
        Ok(Survey { branches, rows, gate, highest })
    }

    /// Reads one pull request in two processes, however many there are.
    async fn load(&self, repo: &RepoUrl, site: &Site, number: PrNumber) -> Result<Loaded, ForgeError> {
        let below = format!("{PRS}/{}", number.0);
        let mut torn = 0;
        let (branches, gate, meta, tracked) = loop {
            let mut branches = BTreeMap::new();
            let (mut head, mut meta, mut gate) = (None, None, None);
            for found in self.refs(repo, site, &[HEADS, &below, GATE]).await? {
                if let Some(branch) = branch_of(&found.name) {
                    branches.insert(branch, found.sha);
                } else if found.name == GATE {
                    gate = Some(found.sha);
                } else {
                    match part_of_pr(&found.name) {
                        Some((_, Part::Head)) => head = Some(found.sha),
                        Some((_, Part::Meta)) => meta = Some(found.sha),
                        None => {}
                    }
                }
            }
            match (meta, head) {
                (None, _) => return Err(ForgeError::PrAbsent { repo: repo.clone(), number }),
                (Some(meta), Some(tracked)) => break (branches, gate, meta, tracked),
                (Some(_), None) if torn < MAX_TORN => torn += 1,
                (Some(_), None) => return Err(ForgeError::Corrupt { number, what: "the head", source: None }),
            }
        };
        let names = ["pr.json", "index.json", "body.md"].map(|file| format!("{meta}:{file}"));
        let mut objects = self.git.read(site, &names).await?.into_iter();
        let mut next = || objects.next().flatten();
        let (record, _) = parse::<Record>(number, "pr.json", next())?;
        let (index, index_id) = parse::<Index>(number, "index.json", next())?;
        let body = next().ok_or(ForgeError::Corrupt { number, what: "body.md", source: None })?;
        let record = understood(record)?;
        Ok(Loaded {
            branch: branches.get(&record.head).cloned(),
            base: branches.get(&record.base).cloned(),
            meta,
            tracked,
            gate,
            ids: Ids { index: index_id, body: body.id },
            files: Files { record, index, body: String::from_utf8_lossy(&body.bytes).into_owned() },
        })
    }

    /// Adds one commit to the chain of a pull request, and returns it. No ref moves.
    async fn store(
        &self,
        site: &Site,
        before: Option<&Loaded>,
        files: &mut Files,
        entry: &Entry,
        at: Timestamp,
    ) -> Result<Sha, ForgeError> {
        let record = &mut files.record;
        record.lines += 1;
        record.updated_at = record.updated_at.max(at);
        let number = record.number;
        // What did not change keeps its blob; the rest is written side by side.
        let kept_index = before.filter(|it| it.files.index == files.index).map(|it| it.ids.index.clone());
        let kept_body = before.filter(|it| it.files.body == files.body).map(|it| it.ids.body.clone());
        let record = json(number, "pr.json", &files.record)?;
        let index = json(number, "index.json", &files.index)?;
        let (record_id, index_id, body_id) = tokio::try_join!(
            self.git.write(site, "blob", record),
            async {
                match kept_index {
                    Some(id) => Ok(id),
                    None => self.git.write(site, "blob", index).await,
                }
            },
            async {
                match kept_body {
                    Some(id) => Ok(id),
                    None => self.git.write(site, "blob", files.body.clone().into_bytes()).await,
                }
            },
        )?;
        let tree = self
            .git
            .write_tree(site, &[("body.md", &body_id), ("index.json", &index_id), ("pr.json", &record_id)])
            .await?;
        let line = Line { line: files.record.lines, entry: entry.clone() };
        let mut message = format!("pr {}: {}\n\n", number.0, entry.word()).into_bytes();
        message.extend(serde_json::to_vec(&line).map_err(|source| ForgeError::Corrupt {
            number,
            what: "the log",
            source: Some(source),
        })?);
        message.push(b'\n');
        let who = identity_line(&Identity { name: "orcha".to_owned(), email: "orcha@localhost".to_owned() }, at);
        let parents: Vec<&Sha> = before.iter().map(|it| &it.meta).collect();
        let commit = NewCommit {
            tree: &tree,
            parents: &parents,
            author: who.as_bytes(),
            committer: &who,
            encoding: None,
            message: &message,
        };
        Ok(self.git.write(site, "commit", commit.bytes()).await?)
    }

    /// Changes one pull request: reads, asks `decide`, writes, and starts over if somebody else was faster.
    async fn change<T: Send>(
        &self,
        repo: &RepoUrl,
        number: PrNumber,
        step: &'static str,
        at: Timestamp,
        decide: impl Fn(&Loaded) -> Result<Turn<T>, ForgeError> + Send + Sync,
    ) -> Result<T, ForgeError> {
        let site = self.site(repo).await?;
        let mut attempts = Attempts::new(step);
        loop {
            let loaded = self.load(repo, &site, number).await?;
            attempts.again(&loaded.seen())?;
            match decide(&loaded)? {
                Turn::Done(answer) => return Ok(answer),
                Turn::Write { mut files, entry, mut refs, gate, answer } => {
                    let meta = self.store(&site, Some(&loaded), &mut files, &entry, at).await?;
                    if gate {
                        refs.push(move_gate(loaded.gate.as_ref(), &meta));
                    }
                    refs.push(RefChange::Update { name: pr_ref(number, "meta"), new: meta, old: loaded.meta.clone() });
                    match self.git.transact(&site, &refs).await? {
                        Transaction::Done => return Ok(answer),
                        Transaction::Refused(error) => attempts.refused(loaded.seen(), error),
                    }
                }
            }
        }
    }

    async fn relation(&self, site: &Site, head: &Sha, base: &Sha) -> Result<Relation, ForgeError> {
        let key = (head.clone(), base.clone());
        if let Some(known) = self.relations.lock().get(&key) {
            return Ok(known.clone());
        }
        let found = relate(&self.git, site, head, base).await?;
        let mut relations = self.relations.lock();
        if relations.len() >= MAX_RELATIONS {
            relations.clear();
        }
        relations.insert(key, found.clone());
        Ok(found)
    }

    /// Writes a comment of any kind under its key.
    async fn post(
        &self,
        repo: &RepoUrl,
        number: PrNumber,
        step: &'static str,
        new: NewComment<'_>,
        judge: impl Fn(&Loaded, &mut Record) -> Result<(), ForgeError> + Send + Sync,
    ) -> Result<Posted, ForgeError> {
        self.change(repo, number, step, new.at, |loaded| {
            if let Some(line) = loaded.files.index.keys.get(new.key) {
                return Ok(Turn::Done(Posted { id: CommentId(line.to_string()), fresh: false }));
            }
            let mut files = loaded.files.clone();
            judge(loaded, &mut files.record)?;
            let line = files.record.lines + 1;
            files.index.keys.insert(new.key.clone(), line);
            let text = match new.author.trust {
                Trust::System => add_marker(new.body, new.key),
                Trust::Member | Trust::Outside => new.body.to_owned(),
            };
            let entry = Entry::Comment(Box::new(StoredComment {
                id: line,
                revision: 1,
                author: new.author.clone(),
                on: new.kind.clone(),
                text,
                created_at: new.at,
                updated_at: new.at,
            }));
            let answer = Posted { id: CommentId(line.to_string()), fresh: true };
            Ok(Turn::Write { files: Box::new(files), entry, refs: Vec::new(), gate: false, answer })
        })
        .await
    }

    /// Reads one line of the log.
    async fn stored_comment(
        &self,
        site: &Site,
        loaded: &Loaded,
        line: u64,
    ) -> Result<Option<StoredComment>, ForgeError> {
        let number = loaded.files.record.number;
        let Some(newest) = loaded.files.record.lines.checked_sub(line) else { return Ok(None) };
        let messages = self.git.messages(site, &loaded.meta, newest, 1).await?;
        let Some(message) = messages.first() else { return Ok(None) };
        match parse_line(number, message)?.entry {
            Entry::Comment(comment) => Ok(Some(*comment)),
            Entry::Opened | Entry::Edited | Entry::Checked | Entry::Closed | Entry::Reopened | Entry::Merged => {
                Ok(None)
            }
        }
    }
}

/// A comment of any kind on its way.
struct NewComment<'a> {
    key: &'a crate::Key,
    author: &'a crate::Author,
    kind: CommentKind,
    body: &'a str,
    at: Timestamp,
}

#[async_trait]
impl Forge for LocalForge {
    async fn repo_exists(&self, repo: &RepoUrl) -> Result<bool, ForgeError> {
        Ok(self.git.site_again(repo, self.path(repo)?).await?.is_some())
    }

    async fn default_branch(&self, repo: &RepoUrl) -> Result<BranchName, ForgeError> {
        let site = self.site(repo).await?;
        let refs = self.refs(repo, &site, &[HEADS]).await?;
        let branches: Vec<BranchName> = refs.iter().filter_map(|found| branch_of(&found.name)).collect();
        let head = self.git.head_ref(&site).await?.as_deref().and_then(branch_of);
        let usual = ["main", "master"].iter().filter_map(|name| name.parse().ok());
        // `HEAD` of a fresh repository often names a branch that nobody ever pushed.
        let mut candidates = head.into_iter().chain(usual);
        let only = || if let [only] = branches.as_slice() { Some(only.clone()) } else { None };
        let found = candidates.find(|candidate| branches.contains(candidate)).or_else(only);
        found.ok_or_else(|| ForgeError::NoDefaultBranch { repo: repo.clone() })
    }

    async fn find_by_head(&self, repo: &RepoUrl, head: &BranchName) -> Result<Option<Pr>, ForgeError> {
        let site = self.site(repo).await?;
        let survey = self.survey(repo, &site).await?;
        Ok(survey.of_head(head).map(|row| survey.pr(repo, row)))
    }

    async fn open(&self, repo: &RepoUrl, open: &Open) -> Result<Opened, ForgeError> {
        open.validate()?;
        let site = self.site(repo).await?;
        let mut attempts = Attempts::new("open");
        loop {
            let survey = self.survey(repo, &site).await?;
            let same_key = survey.rows.iter().find(|row| row.record.key == open.key);
            let same_head = || survey.of_head(&open.head).filter(|row| row.record.life.status().is_open());
            if let Some(row) = same_key.or_else(same_head) {
                return Ok(Opened { pr: survey.pr(repo, row), fresh: false });
            }
            let branch = |name: &BranchName| {
                survey.branches.get(name).ok_or_else(|| ForgeError::BranchAbsent { branch: name.clone() })
            };
            let (head, base) = (branch(&open.head)?, branch(&open.base)?);
            let seen = || Seen { refs: [survey.gate.clone(), Some(head.clone()), Some(base.clone()), None, None] };
            attempts.again(&seen())?;
            match self.relation(&site, head, base).await? {
                Relation::Contained => {
                    return Err(ForgeError::NothingToMerge { head: open.head.clone(), base: open.base.clone() });
                }
                Relation::Unrelated => return Err(ForgeError::Unrelated { base: open.base.clone() }),
                Relation::Clean | Relation::Conflict(_) => {}
            }
            let number = PrNumber(survey.highest + 1);
            let mut files = Files {
                record: Record {
                    format: FORMAT,
                    number,
                    key: open.key.clone(),
                    title: open.title.clone(),
                    head: open.head.clone(),
                    base: open.base.clone(),
                    life: if open.draft { Life::Draft } else { Life::Open },
                    checks: BTreeMap::new(),
                    reviews: BTreeMap::new(),
                    created_at: open.at,
                    updated_at: open.at,
                    lines: 0,
                },
                index: Index::default(),
                body: add_marker(&open.body, &open.key),
            };
            let meta = self.store(&site, None, &mut files, &Entry::Opened, open.at).await?;
            // Whoever creates the number first wins, and the others read again. The gate does the same for a
            // reopening and a deletion, which create nothing.
            let changes = [
                move_gate(survey.gate.as_ref(), &meta),
                RefChange::Create { name: pr_ref(number, "head"), new: head.clone() },
                RefChange::Create { name: pr_ref(number, "meta"), new: meta },
            ];
            match self.git.transact(&site, &changes).await? {
                Transaction::Done => {
                    return Ok(Opened { pr: files.record.row(pr_url(repo, number), head), fresh: true });
                }
                Transaction::Refused(error) => attempts.refused(seen(), error),
            }
        }
    }

    async fn state(&self, repo: &RepoUrl, number: PrNumber) -> Result<PrState, ForgeError> {
        let site = self.site(repo).await?;
        let mut loaded = self.load(repo, &site, number).await?;
        let mut relation = None;
        if let (true, Some(base)) = (loaded.files.record.life.status().is_open(), &loaded.base) {
            let head = loaded.head().clone();
            let found = self.relation(&site, &head, base).await?;
            let elsewhere = found == Relation::Contained
                && (head == loaded.tracked
                    || self.relation(&site, &loaded.tracked, base).await? == Relation::Contained);
            if elsewhere {
                self.note_merge(repo, number, &head, loaded.files.record.updated_at).await?;
                loaded = self.load(repo, &site, number).await?;
            } else {
                if found != Relation::Contained && head != loaded.tracked {
                    let follow =
                        RefChange::Update { name: pr_ref(number, "head"), new: head, old: loaded.tracked.clone() };
                    // Whoever was faster has followed the branch as well; the next reading looks again.
                    if let Transaction::Refused(error) = self.git.transact(&site, &[follow]).await? {
                        debug!(%number, %error, "the kept head of pull request {number} was moved by somebody else");
                    }
                }
                relation = Some(found);
            }
        }
        let (mergeable, conflicts) = match relation {
            None | Some(Relation::Unrelated) => (Mergeable::Unknown, Vec::new()),
            Some(Relation::Clean | Relation::Contained) => (Mergeable::Yes, Vec::new()),
            Some(Relation::Conflict(files)) => (Mergeable::Conflicting, files),
        };
        let record = &loaded.files.record;
        let head = loaded.head();
        Ok(PrState {
            pr: record.row(pr_url(repo, number), head),
            body: without_markers(&loaded.files.body),
            check_runs: record.checks_of(head).cloned().collect(),
            reviews: record.marks(head),
            mergeable,
            conflicts,
        })
    }

    async fn list(&self, repo: &RepoUrl, filter: &Filter) -> Result<Vec<Pr>, ForgeError> {
        let site = self.site(repo).await?;
        let survey = self.survey(repo, &site).await?;
        let wanted = |row: &&Row| {
            let by_life = match filter.which {
                Which::Open => row.record.life.status().is_open(),
                Which::All => true,
            };
            by_life && filter.head.as_ref().is_none_or(|head| row.record.head == *head)
        };
        let mut rows: Vec<&Row> = survey.rows.iter().filter(wanted).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.record.number));
        rows.truncate(filter.limit);
        Ok(rows.into_iter().map(|row| survey.pr(repo, row)).collect())
    }

    async fn comments(
        &self,
        repo: &RepoUrl,
        number: PrNumber,
        after: Option<&Cursor>,
    ) -> Result<CommentPage, ForgeError> {
        let site = self.site(repo).await?;
        let seen: u64 = match after {
            None => 0,
            Some(Cursor(text)) => text
                .parse()
                .map_err(|_| ForgeError::Invalid { field: "after", rule: "it is not a cursor of this code host" })?,
        };
        let loaded = self.load(repo, &site, number).await?;
        let lines = loaded.files.record.lines;
        let count = lines.saturating_sub(seen).min(PAGE);
        let mut comments = Vec::new();
        if count > 0 {
            let messages = self.git.messages(&site, &loaded.meta, lines - seen - count, count).await?;
            for message in &messages {
                if let Entry::Comment(comment) = parse_line(number, message)?.entry {
                    comments.push(comment.into_comment());
                }
            }
        }
        let next = seen.min(lines) + count;
        Ok(CommentPage { comments, next: Cursor(next.to_string()), more: next < lines })
    }

    async fn comment(&self, repo: &RepoUrl, number: PrNumber, post: &Post) -> Result<Posted, ForgeError> {
        post.validate()?;
        if let Place::Line { path, .. } = &post.place {
            let site = self.site(repo).await?;
            let loaded = self.load(repo, &site, number).await?;
            let known = loaded.files.index.keys.contains_key(&post.key);
            // A merged one differs from its base no more; what it changed is there to be talked about.
            if let (false, true, Some(base)) = (known, loaded.files.record.life.status().is_open(), &loaded.base)
                && !self.git.changes(&site, base, loaded.head(), path).await?
            {
                return Err(ForgeError::not_in_pr());
            }
        }
        let new = NewComment { key: &post.key, author: &post.author, kind: post.kind(), body: &post.body, at: post.at };
        self.post(repo, number, "comment", new, |_, _| Ok(())).await
    }

    async fn edit_comment(
        &self,
        repo: &RepoUrl,
        number: PrNumber,
        id: &CommentId,
        body: &str,
        at: Timestamp,
    ) -> Result<(), ForgeError> {
        check_words("body", body)?;
        let absent = || ForgeError::CommentAbsent { number, id: id.clone() };
        let first: u64 = id.0.parse().map_err(|_| absent())?;
        let site = self.site(repo).await?;
        loop {
            let loaded = self.load(repo, &site, number).await?;
            let latest = *loaded.files.index.edits.get(&first).unwrap_or(&first);
            let old =
                self.stored_comment(&site, &loaded, latest).await?.filter(|it| it.id == first).ok_or_else(absent)?;
            let edited = self
                .change(repo, number, "edit_comment", at, |now| {
                    if *now.files.index.edits.get(&first).unwrap_or(&first) != latest {
                        return Ok(Turn::Done(false));
                    }
                    let old = old.clone();
                    let key = old.clone().into_comment().key;
                    let text = key.map_or_else(|| body.to_owned(), |key| add_marker(body, &key));
                    if text == old.text {
                        return Ok(Turn::Done(true));
                    }
                    let mut files = now.files.clone();
                    files.index.edits.insert(first, files.record.lines + 1);
                    let entry = Entry::Comment(Box::new(StoredComment {
                        revision: old.revision + 1,
                        text,
                        updated_at: at,
                        ..old
                    }));
                    Ok(Turn::Write { files: Box::new(files), entry, refs: Vec::new(), gate: false, answer: true })
                })
                .await?;
            // Otherwise somebody else edited the same comment in between: look at that edit first.
            if edited {
                return Ok(());
            }
        }
    }

    async fn review(&self, repo: &RepoUrl, number: PrNumber, review: &Review) -> Result<Posted, ForgeError> {
        review.validate()?;
        let new = NewComment {
            key: &review.key,
            author: &review.author,
            kind: CommentKind::Review { verdict: review.verdict, sha: review.sha.clone() },
            body: &review.body,
            at: review.at,
        };
        self.post(repo, number, "review", new, |_, record| {
            let status = record.life.status();
            match review.verdict {
                Verdict::Comment => return Ok(()),
                Verdict::Approve | Verdict::RequestChanges if !status.is_open() => {
                    return Err(ForgeError::NotNow { number, status });
                }
                Verdict::Approve | Verdict::RequestChanges => {}
            }
            let judgement = Judgement {
                trust: review.author.trust,
                verdict: review.verdict,
                sha: review.sha.clone(),
                at: review.at,
            };
            record.reviews.insert(review.author.name.clone(), judgement);
            Ok(())
        })
        .await
    }

    async fn set_check(&self, repo: &RepoUrl, number: PrNumber, check: &Check) -> Result<(), ForgeError> {
        check.validate()?;
        self.change(repo, number, "set_check", check.at, |loaded| {
            let mut files = loaded.files.clone();
            let head = loaded.head();
            if let Some(old) = files.record.checks.get(&check.name) {
                let late = old.sha == *head && check.sha != *head;
                let same = (&old.sha, old.state, &old.url) == (&check.sha, check.state, &check.url);
                if late || same {
                    return Ok(Turn::Done(()));
                }
            } else if files.record.checks.len() >= MAX_CHECKS {
                files.record.checks.retain(|_, old| old.sha == *head);
                if files.record.checks.len() >= MAX_CHECKS {
                    return Err(ForgeError::Invalid { field: "check.name", rule: "the head has 100 checks already" });
                }
            }
            files.record.checks.insert(check.name.clone(), check.clone());
            Ok(Turn::Write { files: Box::new(files), entry: Entry::Checked, refs: Vec::new(), gate: false, answer: () })
        })
        .await
    }

    async fn edit(&self, repo: &RepoUrl, number: PrNumber, edit: &Edit) -> Result<(), ForgeError> {
        edit.validate()?;
        self.change(repo, number, "edit", edit.at, |loaded| {
            let mut files = loaded.files.clone();
            if let Some(title) = &edit.title {
                files.record.title.clone_from(title);
            }
            if let Some(body) = &edit.body {
                files.body = add_marker(body, &files.record.key);
            }
            match (edit.draft, &files.record.life) {
                (None, _) => {}
                (Some(draft), Life::Draft | Life::Open) => {
                    files.record.life = if draft { Life::Draft } else { Life::Open }
                }
                (Some(draft), Life::Closed { .. }) => files.record.life = Life::Closed { was_draft: draft },
                (Some(_), Life::Merged { .. }) => return Err(ForgeError::NotNow { number, status: PrStatus::Merged }),
            }
            if files.record == loaded.files.record && files.body == loaded.files.body {
                return Ok(Turn::Done(()));
            }
            Ok(Turn::Write { files: Box::new(files), entry: Entry::Edited, refs: Vec::new(), gate: false, answer: () })
        })
        .await
    }

    async fn merge(&self, repo: &RepoUrl, number: PrNumber, merge: &Merge) -> Result<Merged, ForgeError> {
        merge.validate()?;
        let site = self.site(repo).await?;
        let mut attempts = Attempts::new("merge");
        loop {
            let loaded = self.load(repo, &site, number).await?;
            attempts.again(&loaded.seen())?;
            let record = &loaded.files.record;
            match &record.life {
                Life::Merged { head, sha } => return Ok(Merged { sha: sha.clone(), head: head.clone(), fresh: false }),
                Life::Draft | Life::Closed { .. } => {
                    return Err(ForgeError::NotNow { number, status: record.life.status() });
                }
                Life::Open => {}
            }
            let head = loaded.head().clone();
            if head != merge.expected_head {
                return Err(ForgeError::HeadMoved { number, expected: merge.expected_head.clone(), found: head });
            }
            let base_branch = record.base.clone();
            let base = loaded.base.clone().ok_or_else(|| ForgeError::BranchAbsent { branch: base_branch.clone() })?;
            let base_ref = base_branch.full_ref();
            let contained = self.relation(&site, &head, &base).await? == Relation::Contained;
            let sha = if contained {
                head.clone()
            } else {
                if let Some(path) = self.git.checked_out(&site, &base_ref).await? {
                    return Err(ForgeError::CheckedOut { branch: base_branch, path });
                }
                let task = Task { site: &site, number, base_branch: &base_branch, base: &base, head: &head, merge };
                task.run(&self.git).await?
            };
            let mut files = loaded.files.clone();
            files.record.life = Life::Merged { head: head.clone(), sha: sha.clone() };
            let meta = self.store(&site, Some(&loaded), &mut files, &Entry::Merged, merge.at).await?;
            let mut changes = vec![
                if sha == base || contained {
                    RefChange::Verify { name: base_ref, old: base }
                } else {
                    RefChange::Update { name: base_ref, new: sha.clone(), old: base }
                },
                RefChange::Update { name: pr_ref(number, "head"), new: head.clone(), old: loaded.tracked.clone() },
            ];
            if let Some(branch) = &loaded.branch {
                changes.push(RefChange::Verify { name: record.head.full_ref(), old: branch.clone() });
            }
            changes.push(RefChange::Update { name: pr_ref(number, "meta"), new: meta, old: loaded.meta.clone() });
            match self.git.transact(&site, &changes).await? {
                Transaction::Done => return Ok(Merged { sha, head, fresh: true }),
                Transaction::Refused(error) => attempts.refused(loaded.seen(), error),
            }
        }
    }

    async fn close(&self, repo: &RepoUrl, number: PrNumber, at: Timestamp) -> Result<(), ForgeError> {
        self.change(repo, number, "close", at, |loaded| {
            let mut files = loaded.files.clone();
            files.record.life = match &files.record.life {
                Life::Draft => Life::Closed { was_draft: true },
                Life::Open => Life::Closed { was_draft: false },
                Life::Closed { .. } => return Ok(Turn::Done(())),
                Life::Merged { .. } => return Err(ForgeError::NotNow { number, status: PrStatus::Merged }),
            };
            // From here on the kept head is the head: it has to be the one that the branch has now.
            let follow = RefChange::Update {
                name: pr_ref(number, "head"),
                new: loaded.head().clone(),
                old: loaded.tracked.clone(),
            };
            Ok(Turn::Write {
                files: Box::new(files),
                entry: Entry::Closed,
                refs: vec![follow],
                gate: false,
                answer: (),
            })
        })
        .await
    }

    async fn reopen(&self, repo: &RepoUrl, number: PrNumber, at: Timestamp) -> Result<(), ForgeError> {
        let site = self.site(repo).await?;
        loop {
            let survey = self.survey(repo, &site).await?;
            let other_open = |head: &BranchName| {
                let rows = survey.rows.iter().map(|row| &row.record);
                rows.filter(|it| it.head == *head && it.number != number)
                    .find(|it| it.life.status().is_open())
                    .map(|it| it.number)
            };
            let reopened = self
                .change(repo, number, "reopen", at, |loaded| {
                    if loaded.gate != survey.gate {
                        return Ok(Turn::Done(false));
                    }
                    let mut files = loaded.files.clone();
                    files.record.life = match files.record.life {
                        Life::Closed { was_draft: true } => Life::Draft,
                        Life::Closed { was_draft: false } => Life::Open,
                        Life::Draft | Life::Open => return Ok(Turn::Done(true)),
                        Life::Merged { .. } => return Err(ForgeError::NotNow { number, status: PrStatus::Merged }),
                    };
                    if let Some(by) = other_open(&files.record.head) {
                        return Err(ForgeError::BranchInUse { branch: files.record.head, by });
                    }
                    Ok(Turn::Write {
                        files: Box::new(files),
                        entry: Entry::Reopened,
                        refs: Vec::new(),
                        gate: true,
                        answer: true,
                    })
                })
                .await?;
            // Otherwise another one was opened since the survey: look at that one first.
            if reopened {
                return Ok(());
            }
        }
    }

    async fn delete_branch(&self, repo: &RepoUrl, number: PrNumber) -> Result<(), ForgeError> {
        let site = self.site(repo).await?;
        let mut attempts = Attempts::new("delete_branch");
        loop {
            let survey = self.survey(repo, &site).await?;
            let absent = || ForgeError::PrAbsent { repo: repo.clone(), number };
            let row = survey.rows.iter().find(|row| row.record.number == number).ok_or_else(absent)?;
            let status = row.record.life.status();
            if status.is_open() {
                return Err(ForgeError::NotNow { number, status });
            }
            let branch = &row.record.head;
            let Some(tip) = survey.branches.get(branch) else { return Ok(()) };
            if self.default_branch(repo).await? == *branch {
                return Err(ForgeError::DefaultBranch { branch: branch.clone() });
            }
            let needs = |it: &&Row| {
                it.record.life.status().is_open() && (it.record.head == *branch || it.record.base == *branch)
            };
            if let Some(by) = survey.rows.iter().find(needs) {
                return Err(ForgeError::BranchInUse { branch: branch.clone(), by: by.record.number });
            }
            let kept = row.record.head_sha(None, &row.tracked);
            if tip != kept {
                return Err(ForgeError::HeadMoved { number, expected: kept.clone(), found: tip.clone() });
            }
            if let Some(path) = self.git.checked_out(&site, &branch.full_ref()).await? {
                return Err(ForgeError::CheckedOut { branch: branch.clone(), path });
            }
            let seen =
                || Seen { refs: [survey.gate.clone(), Some(tip.clone()), Some(row.tracked.clone()), None, None] };
            attempts.again(&seen())?;
            let mut changes = vec![
                RefChange::Delete { name: branch.full_ref(), old: tip.clone() },
                RefChange::Verify { name: pr_ref(number, "head"), old: row.tracked.clone() },
            ];
            changes.extend(survey.gate.clone().map(|old| RefChange::Verify { name: GATE.to_owned(), old }));
            match self.git.transact(&site, &changes).await? {
                Transaction::Done => return Ok(()),
                Transaction::Refused(error) => attempts.refused(seen(), error),
            }
        }
    }

    async fn changes_token(&self, repo: &RepoUrl) -> Result<ChangesToken, ForgeError> {
        let site = self.site(repo).await?;
        let text = match self.git.refs_text(&site, &[HEADS, PRS]).await {
            Ok(text) => text,
            Err(error) => match self.git.site_again(repo, self.path(repo)?).await? {
                Some(_) => return Err(error.into()),
                None => return Err(ForgeError::RepoAbsent { repo: repo.clone() }),
            },
        };
        Ok(ChangesToken(data_encoding::HEXLOWER.encode(&Sha256::digest(&text))))
    }

    async fn watch_points(&self, repo: &RepoUrl) -> Result<Vec<WatchPoint>, ForgeError> {
        let site = self.site(repo).await?;
        if self.git.uses_reftable(&site).await? {
            return Ok(vec![WatchPoint::Folder(site.git_dir.join("reftable"))]);
        }
        // `packed-refs` lies in the folder itself and is replaced, not written.
        Ok(vec![WatchPoint::Folder(site.git_dir.clone()), WatchPoint::Tree(site.git_dir.join("refs"))])
    }
}

impl LocalForge {
    /// Records a merge that somebody made with git alone. When that was is not known: the record keeps its time.
    async fn note_merge(&self, repo: &RepoUrl, number: PrNumber, head: &Sha, at: Timestamp) -> Result<(), ForgeError> {
        self.change(repo, number, "note_merge", at, |loaded| {
            if !loaded.files.record.life.status().is_open() || loaded.head() != head {
                return Ok(Turn::Done(()));
            }
            let mut files = loaded.files.clone();
            files.record.life = Life::Merged { head: head.clone(), sha: head.clone() };
            let keep =
                RefChange::Update { name: pr_ref(number, "head"), new: head.clone(), old: loaded.tracked.clone() };
            Ok(Turn::Write { files: Box::new(files), entry: Entry::Merged, refs: vec![keep], gate: false, answer: () })
        })
        .await
    }
}

enum Part {
    Head,
    Meta,
}

fn pr_ref(number: PrNumber, part: &str) -> String {
    format!("{PRS}/{}/{part}", number.0)
}

fn move_gate(old: Option<&Sha>, new: &Sha) -> RefChange {
    let name = GATE.to_owned();
    match old {
        Some(old) => RefChange::Update { name, new: new.clone(), old: old.clone() },
        None => RefChange::Create { name, new: new.clone() },
    }
}

/// Returns the branch of a ref; none for names that we would never hand to git.
fn branch_of(full_ref: &str) -> Option<BranchName> {
    full_ref.strip_prefix("refs/heads/")?.parse().ok()
}

fn part_of_pr(full_ref: &str) -> Option<(PrNumber, Part)> {
    let (number, part) = full_ref.strip_prefix(PRS)?.strip_prefix('/')?.split_once('/')?;
    let number = PrNumber(number.parse().ok()?);
    match part {
        "head" => Some((number, Part::Head)),
        "meta" => Some((number, Part::Meta)),
        _ => None,
    }
}

fn parse<T: serde::de::DeserializeOwned>(
    number: PrNumber,
    what: &'static str,
    object: Option<Object>,
) -> Result<(T, Sha), ForgeError> {
    let object = object.ok_or(ForgeError::Corrupt { number, what, source: None })?;
    let value = serde_json::from_slice(&object.bytes).map_err(|source| ForgeError::Corrupt {
        number,
        what,
        source: Some(source),
    })?;
    Ok((value, object.id))
}

fn parse_line(number: PrNumber, message: &str) -> Result<Line, ForgeError> {
    let json = message.rsplit('\n').next().unwrap_or_default();
    serde_json::from_str(json).map_err(|source| ForgeError::Corrupt { number, what: "the log", source: Some(source) })
}

/// Refuses a record that a newer version wrote.
fn understood(record: Record) -> Result<Record, ForgeError> {
    if record.format == FORMAT {
        Ok(record)
    } else {
        Err(ForgeError::Corrupt { number: record.number, what: "the format of pr.json", source: None })
    }
}

fn json<T: serde::Serialize>(number: PrNumber, what: &'static str, value: &T) -> Result<Vec<u8>, ForgeError> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|source| ForgeError::Corrupt {
        number,
        what,
        source: Some(source),
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_a_pull_request_survives_its_text() {
        for repo in ["/srv/a.git", "file:///srv/a#b.git"] {
            let repo: RepoUrl = repo.parse().unwrap();
            let (read, number) = parse_pr_url(&pr_url(&repo, PrNumber(12))).unwrap();
            assert_eq!((read.local_path(), number), (repo.local_path(), PrNumber(12)));
        }
        for bad in ["", "file:///srv/a.git", "file:///a#pr/0", "file:///a#pr/-1", "https://h/a#pr/1", "--x#pr/1"] {
            assert_eq!(parse_pr_url(bad), None, "{bad:?} was accepted");
        }
    }
}
