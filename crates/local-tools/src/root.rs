//! Files below one folder, and nothing else.
//!
//! Every path goes to the kernel with `openat2` and `RESOLVE_BENEATH`: `..`, absolute links and links that lead
//! out are refused there, at the instant of opening, so that nothing can be swapped between a check and a use.
//! A kernel without that call gives no access at all.

use crate::error::Fault;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// The folder that everything lies below.
#[derive(Debug)]
pub(crate) struct Root {
    dir: OwnedFd,
    path: PathBuf,
}

/// A regular file that is open, with its size.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) file: File,
    pub(crate) bytes: u64,
}

impl Root {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let dir = rustix::fs::open(&path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { dir, path })
    }

    /// Where the folder is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads what a model calls a path: relative, or absolute below the root.
    pub(crate) fn relative(&self, text: &str) -> Result<PathBuf, Fault> {
        if text.contains('\0') || text.len() > 4000 {
            return Err(Fault::argument("path", "it is no path"));
        }
        let given = Path::new(text.trim());
        let below = if given.is_absolute() {
            given.strip_prefix(&self.path).map_err(|_| Fault::Outside { path: text.to_owned() })?
        } else {
            given
        };
        let mut path = PathBuf::new();
        for part in below.components() {
            match part {
                Component::Normal(name) => path.push(name),
                Component::CurDir => {}
                // Only as far as it stays below; through links the kernel decides.
                Component::ParentDir if path.pop() => {}
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                    return Err(Fault::Outside { path: text.to_owned() });
                }
            }
        }
        Ok(path)
    }

    /// Opens a regular file for reading.
    pub(crate) fn file(&self, path: &Path) -> Result<Opened, Fault> {
        // Without NONBLOCK a FIFO would hold us until somebody writes.
        let fd = self.beneath(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
        let stat = rustix::fs::fstat(&fd).map_err(|errno| fault(path, errno))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            other => return Err(Fault::NotAFile { path: shown(path), found: name_of(other) }),
        }
        Ok(Opened { file: File::from(fd), bytes: u64::try_from(stat.st_size).unwrap_or(0) })
    }

    /// Reads a whole file of bounded size.
    pub(crate) fn read(&self, path: &Path, most: u64) -> Result<Vec<u8>, Fault> {
        let opened = self.file(path)?;
        let too_large = |bytes| Fault::TooLarge { path: shown(path), bytes, most };
        if opened.bytes > most {
            return Err(too_large(opened.bytes));
        }
        let mut bytes = Vec::new();
        let broken = |source| Fault::Io { path: shown(path), source };
        opened.file.take(most + 1).read_to_end(&mut bytes).map_err(broken)?;
        if bytes.len() as u64 > most {
            return Err(too_large(bytes.len() as u64));
        }
        Ok(bytes)
    }

    /// Opens a folder to list it; its last part must not be a link.
    pub(crate) fn folder(&self, path: &Path) -> Result<OwnedFd, Fault> {
        self.beneath(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Says where a folder really is, for a program that starts in it.
    pub(crate) fn real_folder(&self, path: &Path) -> Result<PathBuf, Fault> {
        let fd = self.beneath(path, OFlags::PATH | OFlags::DIRECTORY)?;
        real(&fd).map_err(|source| Fault::Io { path: shown(path), source })
    }

    /// Writes a file whole: a reader sees the old content or the new one. Tells whether it is new.
    pub(crate) fn write(&self, path: &Path, bytes: &[u8]) -> Result<bool, Fault> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let (parent, name) = self.parent(path, true)?;
        let old = self.standing(&parent, path, &name)?;
        let broken = |source| Fault::Io { path: shown(path), source };
        let made = |errno: Errno| broken(errno.into());
        let temporary = format!(".orcha-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&parent, &temporary, flags, Mode::from_raw_mode(0o666)).map_err(made)?;
        let mut file = File::from(fd);
        let written = file.write_all(bytes).and_then(|()| {
            if let Some(mode) = old {
                rustix::fs::fchmod(&file, mode)?;
            }
            rustix::fs::renameat(&parent, &temporary, &parent, &name)?;
            Ok(())
        });
        if let Err(error) = written {
            // The first error is the one to tell; what is left behind has a name that says whose it is.
            return match rustix::fs::unlinkat(&parent, &temporary, AtFlags::empty()) {
                Ok(()) | Err(_) => Err(broken(error)),
            };
        }
        Ok(old.is_none())
    }

    /// Deletes a regular file.
    pub(crate) fn delete(&self, path: &Path) -> Result<(), Fault> {
        let (parent, name) = self.parent(path, false)?;
        if self.standing(&parent, path, &name)?.is_none() {
            return Err(Fault::Missing { path: shown(path) });
        }
        rustix::fs::unlinkat(&parent, &name, AtFlags::empty()).map_err(|errno| fault(path, errno))
    }

    /// Refuses what could not be written later, before anything is.
    pub(crate) fn may_write(&self, path: &Path) -> Result<(), Fault> {
        match self.parent(path, false) {
            Ok((parent, name)) => self.standing(&parent, path, &name).map(|_| ()),
            Err(Fault::Missing { .. }) => in_git(path).map_or(Ok(()), Err),
            Err(fault) => Err(fault),
        }
    }

    /// Says with which mode a regular file stands at a place; nothing if the place is free.
    fn standing(&self, parent: &OwnedFd, path: &Path, name: &OsString) -> Result<Option<Mode>, Fault> {
        match rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Ok(Some(Mode::from_raw_mode(stat.st_mode & 0o7777))),
                other => Err(Fault::NotAFile { path: shown(path), found: name_of(other) }),
            },
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(fault(path, errno)),
        }
    }

    /// Opens the folder that a file lies in, making it if it is to be made, and names the file.
    fn parent(&self, path: &Path, make: bool) -> Result<(OwnedFd, OsString), Fault> {
        let Some(name) = path.file_name() else { return Err(Fault::argument("path", "it names no file")) };
        let above = path.parent().unwrap_or(Path::new(""));
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        let dir = match self.beneath(above, flags) {
            Err(Fault::Missing { .. }) if make => {
                if let Some(refused) = in_git(path) {
                    return Err(refused);
                }
                let mut so_far = PathBuf::new();
                let mut dir = self.beneath(&so_far, flags)?;
                for part in above.components() {
                    so_far.push(part);
                    dir = match self.beneath(&so_far, flags) {
                        Err(Fault::Missing { .. }) => {
                            match rustix::fs::mkdirat(&dir, part.as_os_str(), Mode::from_raw_mode(0o777)) {
                                Ok(()) | Err(Errno::EXIST) => {}
                                Err(errno) => return Err(fault(&so_far, errno)),
                            }
                            self.beneath(&so_far, flags)?
                        }
                        found => found?,
                    };
                }
                dir
            }
            found => found?,
        };
        // Links were followed: what counts is where that led.
        let real = real(&dir).map_err(|source| Fault::Io { path: shown(path), source })?;
        let below = real.strip_prefix(&self.path).map_err(|_| Fault::Outside { path: shown(path) })?;
        if in_git(&below.join(name)).is_some() {
            return Err(Fault::Git { path: shown(path) });
        }
        Ok((dir, name.to_owned()))
    }

    fn beneath(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Fault> {
        let place = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        // AGAIN: something above was renamed meanwhile, so that the kernel could not be sure.
        for _ in 0..100 {
            match rustix::fs::openat2(&self.dir, place, flags | OFlags::CLOEXEC, Mode::empty(), how) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                opened => return opened.map_err(|errno| fault(path, errno)),
            }
        }
        Err(fault(path, Errno::AGAIN))
    }
}

/// Refuses paths with a part that git keeps its own things in.
fn in_git(path: &Path) -> Option<Fault> {
    let git = path.components().any(|part| part.as_os_str().eq_ignore_ascii_case(".git"));
    git.then(|| Fault::Git { path: shown(path) })
}

fn real(fd: &OwnedFd) -> io::Result<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

pub(crate) fn shown(path: &Path) -> String {
    if path.as_os_str().is_empty() { ".".to_owned() } else { path.display().to_string() }
}

fn fault(path: &Path, errno: Errno) -> Fault {
    match errno {
        Errno::NOENT => Fault::Missing { path: shown(path) },
        Errno::XDEV | Errno::LOOP => Fault::Outside { path: shown(path) },
        Errno::NOTDIR => Fault::NotAFolder { path: shown(path) },
        Errno::ISDIR => Fault::NotAFile { path: shown(path), found: "a folder" },
        // A FIFO without a reader, a socket, a device.
        Errno::NXIO => Fault::NotAFile { path: shown(path), found: "a device or a socket" },
        errno => Fault::Io { path: shown(path), source: errno.into() },
    }
}

fn name_of(kind: FileType) -> &'static str {
    match kind {
        FileType::Directory => "a folder",
        FileType::Symlink => "a link (name the file that it leads to)",
        FileType::Fifo => "a pipe",
        FileType::Socket => "a socket",
        FileType::CharacterDevice | FileType::BlockDevice => "a device",
        FileType::RegularFile | FileType::Unknown => "something unknown",
    }
}
