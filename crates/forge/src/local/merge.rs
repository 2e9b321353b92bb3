//! How commits come into a base without a work tree.
//!
//! Makes objects only; which ref moves to them is decided by the caller, in one transaction.

use super::plumbing::{Blend, Plumbing, Site};
use crate::{ForgeError, Merge, Method, PrNumber};
use orcha_base::{BranchName, Sha, Timestamp};
use orcha_exec::git::{GitError, Identity};

/// How many commits a rebase replays at most: two processes for each.
const MAX_REPLAY: usize = 250;

/// How a head stands to a base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    /// The base has everything already.
    Contained,
    /// A merge goes through.
    Clean,
    /// These files conflict.
    Conflict(Vec<String>),
    /// They share no history.
    Unrelated,
}

/// Finds out how a head stands to a base.
pub(super) async fn relate(git: &Plumbing, site: &Site, head: &Sha, base: &Sha) -> Result<Relation, GitError> {
    match git.merge_base(site, base, head).await? {
        None => Ok(Relation::Unrelated),
        Some(common) if common == *head => Ok(Relation::Contained),
        Some(common) if common == *base => Ok(Relation::Clean),
        Some(_) => match git.blend(site, None, base, head).await? {
            Blend::Clean(_) => Ok(Relation::Clean),
            Blend::Conflict(files) => Ok(Relation::Conflict(files)),
        },
    }
}

/// What is to be combined.
pub(super) struct Task<'a> {
    pub site: &'a Site,
    pub number: PrNumber,
    pub base_branch: &'a BranchName,
    pub base: &'a Sha,
    pub head: &'a Sha,
    pub merge: &'a Merge,
}

impl Task<'_> {
    /// Makes the commits and returns the new tip of the base.
    pub(super) async fn run(&self, git: &Plumbing) -> Result<Sha, ForgeError> {
        let common = git.merge_base(self.site, self.base, self.head).await?;
        let common = common.ok_or_else(|| ForgeError::Unrelated { base: self.base_branch.clone() })?;
        match self.merge.method {
            Method::Merge => {
                let tree = self.blend(git, None, self.base, self.head).await?;
                self.join(git, &tree, &[self.base, self.head]).await
            }
            Method::Squash => {
                let tree = self.blend(git, None, self.base, self.head).await?;
                // Everything is there already, perhaps by a merge that a crash cut short: no empty commit.
                if self.tree_of_base(git).await? == tree {
                    return Ok(self.base.clone());
                }
                self.join(git, &tree, &[self.base]).await
            }
            Method::Rebase if common == *self.base => Ok(self.head.clone()),
            Method::Rebase => self.replay(git).await,
        }
    }

    async fn tree_of_base(&self, git: &Plumbing) -> Result<Sha, GitError> {
        let object = git.read(self.site, &[self.base.to_string()]).await?.into_iter().next().flatten();
        let object = object.ok_or_else(|| GitError::answer("cat-file", "a commit is missing"))?;
        Ok(OldCommit::parse(&object.bytes)?.tree)
    }

    async fn join(&self, git: &Plumbing, tree: &Sha, parents: &[&Sha]) -> Result<Sha, ForgeError> {
        let who = identity_line(&self.merge.identity, self.merge.at);
        let mut message = self.merge.message.clone();
        if !message.ends_with('\n') {
            message.push('\n');
        }
        let commit = NewCommit {
            tree,
            parents,
            author: who.as_bytes(),
            committer: &who,
            encoding: None,
            message: message.as_bytes(),
        };
        Ok(git.write(self.site, "commit", commit.bytes()).await?)
    }

    async fn replay(&self, git: &Plumbing) -> Result<Sha, ForgeError> {
        let commits = git.commits(self.site, self.base, self.head).await?;
        if commits.len() > MAX_REPLAY {
            return Err(ForgeError::TooManyCommits { count: commits.len(), limit: MAX_REPLAY });
        }
        let names: Vec<String> = std::iter::once(self.base).chain(&commits).map(Sha::to_string).collect();
        let mut originals = Vec::with_capacity(names.len());
        for object in git.read(self.site, &names).await? {
            let object = object.ok_or_else(|| GitError::answer("cat-file", "a commit is missing"))?;
            originals.push(OldCommit::parse(&object.bytes)?);
        }
        let committer = identity_line(&self.merge.identity, self.merge.at);
        let mut originals = originals.into_iter();
        let mut tip_tree = originals.next().map(|base| base.tree);
        let mut tip = self.base.clone();
        for (sha, original) in commits.iter().zip(originals) {
            let parent = original.parent.ok_or_else(|| ForgeError::Unrelated { base: self.base_branch.clone() })?;
            let tree = self.blend(git, Some(&parent), &tip, sha).await?;
            // What the base has already is not committed a second time.
            if tip_tree.as_ref() == Some(&tree) {
                continue;
            }
            let commit = NewCommit {
                tree: &tree,
                parents: &[&tip],
                author: &original.author,
                committer: &committer,
                encoding: original.encoding.as_deref(),
                message: &original.message,
            };
            tip = git.write(self.site, "commit", commit.bytes()).await?;
            tip_tree = Some(tree);
        }
        Ok(tip)
    }

    async fn blend(&self, git: &Plumbing, base: Option<&Sha>, ours: &Sha, theirs: &Sha) -> Result<Sha, ForgeError> {
        match git.blend(self.site, base, ours, theirs).await? {
            Blend::Clean(tree) => Ok(tree),
            Blend::Conflict(files) => Err(ForgeError::Conflict { number: self.number, files }),
        }
    }
}

/// Returns the line of a commit after `author` or `committer`.
pub(super) fn identity_line(who: &Identity, at: Timestamp) -> String {
    format!("{} <{}> {} +0000", who.name, who.email, at.as_micros().max(0) / 1_000_000)
}

/// A commit to be written byte for byte, so that an author keeps the name, date and encoding that stood there.
pub(super) struct NewCommit<'a> {
    pub tree: &'a Sha,
    pub parents: &'a [&'a Sha],
    pub author: &'a [u8],
    pub committer: &'a str,
    pub encoding: Option<&'a [u8]>,
    pub message: &'a [u8],
}

impl NewCommit<'_> {
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("tree {}\n", self.tree).into_bytes();
        for parent in self.parents {
            bytes.extend_from_slice(format!("parent {parent}\n").as_bytes());
        }
        let headers: [(&[u8], Option<&[u8]>); 3] = [
            (b"author ", Some(self.author)),
            (b"committer ", Some(self.committer.as_bytes())),
            (b"encoding ", self.encoding),
        ];
        for (name, value) in headers {
            if let Some(value) = value {
                bytes.extend_from_slice(name);
                bytes.extend_from_slice(value);
                bytes.push(b'\n');
            }
        }
        bytes.push(b'\n');
        bytes.extend_from_slice(self.message);
        bytes
    }
}

/// The parts of a commit that a replay keeps. Its signature is not one of them.
struct OldCommit {
    tree: Sha,
    parent: Option<Sha>,
    author: Vec<u8>,
    encoding: Option<Vec<u8>>,
    message: Vec<u8>,
}

impl OldCommit {
    fn parse(bytes: &[u8]) -> Result<Self, GitError> {
        let unclear = || GitError::answer("cat-file", &String::from_utf8_lossy(&bytes[..bytes.len().min(200)]));
        let end = bytes.windows(2).position(|pair| pair == b"\n\n").ok_or_else(unclear)?;
        let header = |name: &[u8]| bytes[..end].split(|b| *b == b'\n').find_map(|line| line.strip_prefix(name));
        let named = |name: &[u8]| {
            let text = header(name).and_then(|value| std::str::from_utf8(value).ok());
            text.map(|text| text.parse::<Sha>().map_err(|_| unclear())).transpose()
        };
        Ok(Self {
            tree: named(b"tree ")?.ok_or_else(unclear)?,
            parent: named(b"parent ")?,
            author: header(b"author ").ok_or_else(unclear)?.to_vec(),
            encoding: header(b"encoding ").map(<[u8]>::to_vec),
            message: bytes[end + 2..].to_vec(),
        })
    }
}
