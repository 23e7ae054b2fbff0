//! `DM_HOME`: the folder that holds everything of a local DM, locked for the life of a `dms`.
//!
//! Owns its layout and who may hold it. What the parts keep in their own folders is theirs.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, Utc};
use dm_domain::ids::Owner;
use nix::unistd::{Uid, User, geteuid};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

/// The layout of the folder that this build makes and knows.
const LAYOUT: u32 = 1;

/// How often, and after which pause, a lock that is taken is tried again.
const LOOKS: u32 = 5;
const LOOK_PAUSE: Duration = Duration::from_millis(20);

/// The longest path of a unix socket, in bytes: what `sockaddr_un` holds beside its final zero.
const MAX_SOCKET: usize = 107;

/// Why the home cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// Neither `DM_HOME` nor a home to derive it from.
    #[error("there is no home folder to keep things in; set DM_HOME")]
    Nowhere,
    /// A relative path would be another folder for each caller.
    #[error("DM_HOME {0} is not an absolute path")]
    Relative(PathBuf),
    /// It is somebody else's.
    #[error("DM_HOME {path} belongs to {owner}, and this is {user}; set DM_HOME to a folder of your own")]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Whose it is.
        owner: String,
        /// Who asks.
        user: String,
    },
    /// A newer `dms` made it.
    #[error("DM_HOME {path} was made by a newer dms (layout {found}; this one knows {LAYOUT}); use that one")]
    Newer {
        /// The folder.
        path: PathBuf,
        /// Its layout.
        found: u32,
    },
    /// It is not there, or something else is.
    #[error("{0} is no home of a dms")]
    NoHome(PathBuf),
    /// Another `dms` runs on it.
    #[error("DM_HOME {path} is held by another dms: {holder}; stop it, or set DM_HOME to another folder")]
    Held {
        /// The folder.
        path: PathBuf,
        /// Which process, since when.
        holder: String,
    },
    /// A file of it does not hold what it should.
    #[error("{path} is damaged: {found:?} is no {what}")]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// What it holds.
        found: String,
    },
    /// A file or folder could not be made, read or written.
    #[error("{path}")]
    File {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Where the home is when nobody says: `/var/lib/dm` for root, else below the user's state folder.
pub fn default_path() -> Result<PathBuf, HomeError> {
    if geteuid().is_root() {
        return Ok(PathBuf::from("/var/lib/dm"));
    }
    let folder = |name| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    match (folder("XDG_STATE_HOME"), folder("HOME")) {
        (Some(state), _) => Ok(state.join("dm")),
        (None, Some(home)) => Ok(home.join(".local/state/dm")),
        (None, None) => Err(HomeError::Nowhere),
    }
}

/// The folder for a part's unix sockets: in `HOME/run`, or a short one below `/tmp` when the path of the socket `longest`
/// would be too long there. Depends on the home's path alone, so that every process finds the same one. It need not be
/// there.
pub fn socket_folder(home: &Path, part: &str, longest: &str) -> PathBuf {
    let folder = home.join("run").join(part);
    if folder.as_os_str().len() + 1 + longest.len() <= MAX_SOCKET {
        return folder;
    }
    let digest = Sha256::digest(home.as_os_str().as_encoded_bytes());
    let short = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    PathBuf::from(format!("/tmp/dm-{short:016x}-{part}"))
}

/// Makes a folder that only `owner` may enter, or checks that it is one: below `/tmp` somebody else may have made it.
pub fn private_folder(path: &Path, owner: Uid) -> Result<(), HomeError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => std::os::unix::fs::chown(path, Some(owner.as_raw()), None).map_err(at(path))?,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(at(path)(error)),
    }
    let found = fs::symlink_metadata(path).map_err(at(path))?;
    if !found.is_dir() || found.uid() != owner.as_raw() {
        return Err(foreign(path, found.uid()));
    }
    fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(at(path))
}

/// The home, held by this process until this value is dropped.
#[derive(Debug)]
pub struct Home {
    path: PathBuf,
    /// This start of a `dms` on it, as the owner of runs.
    pub owner: Owner,
    _lock: File,
}

impl Home {
    /// Makes the folder if need be, takes its lock, and counts this start. `now` is for people who ask who holds it.
    pub fn open(path: &Path, now: DateTime<Utc>) -> Result<Self, HomeError> {
        if !path.is_absolute() {
            return Err(HomeError::Relative(path.to_owned()));
        }
        make(path)?;
        let lock = lock(path, now)?;
        let layout = path.join("layout");
        let found: u32 = read(&layout, "layout number")?.unwrap_or(LAYOUT);
        if found > LAYOUT {
            return Err(HomeError::Newer { path: path.to_owned(), found });
        }
        write(&layout, &LAYOUT.to_string())?;
        let minted = read(&path.join("owner"), "owner")?;
        let id = minted.unwrap_or_else(Uuid::new_v4);
        if minted.is_none() {
            write(&path.join("owner"), &id.to_string())?;
        }
        let start = read::<u32>(&path.join("starts"), "number of starts")?.unwrap_or(0).saturating_add(1);
        write(&path.join("starts"), &start.to_string())?;
        Ok(Self { path: path.to_owned(), owner: Owner { id, start }, _lock: lock })
    }

    /// Takes the lock of a home that is there, to remove it: counts no start and makes nothing. Refuses what is no home,
    /// and a link to one: what it leads to may be needed elsewhere.
    pub fn open_to_remove(path: &Path, now: DateTime<Utc>) -> Result<Self, HomeError> {
        if !path.is_absolute() {
            return Err(HomeError::Relative(path.to_owned()));
        }
        let found = fs::symlink_metadata(path).map_err(at(path))?;
        let is_ours = |name: &str| fs::symlink_metadata(path.join(name)).is_ok_and(|found| found.is_file());
        if !found.is_dir() || !["layout", "owner", "starts", "lock"].into_iter().all(is_ours) {
            return Err(HomeError::NoHome(path.to_owned()));
        }
        if found.uid() != geteuid().as_raw() {
            return Err(foreign(path, found.uid()));
        }
        let lock = lock(path, now)?;
        let id = read(&path.join("owner"), "owner")?.unwrap_or_default();
        Ok(Self { path: path.to_owned(), owner: Owner { id, start: 0 }, _lock: lock })
    }

    /// Removes everything that is in it, and itself. Follows no link.
    pub fn remove(self) -> Result<(), HomeError> {
        fs::remove_dir_all(&self.path).map_err(at(&self.path))
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A part's folder in it, made if need be; only this user may enter it.
    pub fn folder(&self, part: &str) -> Result<PathBuf, HomeError> {
        let path = self.path.join(part);
        private_folder(&path, geteuid())?;
        Ok(path)
    }

    /// The folder for a part's unix sockets, made if need be; only `owner` may enter it. See [`socket_folder`].
    pub fn sockets(&self, part: &str, longest: &str, owner: Uid) -> Result<PathBuf, HomeError> {
        make(&self.path.join("run"))?;
        let folder = socket_folder(&self.path, part, longest);
        private_folder(&folder, owner)?;
        Ok(folder)
    }

    /// The file from which `dmc` learns where `dms` is.
    pub fn client_settings(&self) -> PathBuf {
        self.path.join("dmc.toml")
    }

    /// Says where `dms` is, to `dmc`.
    pub fn write_client_settings(&self, text: &str) -> Result<(), HomeError> {
        write(&self.client_settings(), text)
    }
}

/// Root's home can be searched by all, because the private PostgreSQL and stagings of other users live in it.
fn make(path: &Path) -> Result<(), HomeError> {
    let mode = if geteuid().is_root() { 0o711 } else { 0o700 };
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(at(path))?;
    let found = fs::metadata(path).map_err(at(path))?;
    if found.uid() != geteuid().as_raw() {
        return Err(foreign(path, found.uid()));
    }
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(at(path))
}

fn lock(home: &Path, now: DateTime<Utc>) -> Result<File, HomeError> {
    let path = home.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(at(&path))?;
    let mut locked = file.try_lock();
    // A demo host that looks whether a `dms` is there takes the lock for a moment, and so looks like one.
    for _ in 0..LOOKS {
        if !matches!(locked, Err(TryLockError::WouldBlock)) {
            break;
        }
        std::thread::sleep(LOOK_PAUSE);
        locked = file.try_lock();
    }
    match locked {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.take(200).read_to_string(&mut holder).map_err(at(&path))?;
            return Err(HomeError::Held { path: home.to_owned(), holder: holder.trim_end().to_owned() });
        }
        Err(TryLockError::Error(error)) => return Err(at(&path)(error)),
    }
    let holder = format!("pid {}, since {}\n", std::process::id(), now.format("%Y-%m-%d %H:%M:%S UTC"));
    file.set_len(0).and_then(|()| file.write_all(holder.as_bytes())).map_err(at(&path))?;
    Ok(file)
}

fn foreign(path: &Path, owner: u32) -> HomeError {
    HomeError::Foreign { path: path.to_owned(), owner: user(Uid::from_raw(owner)), user: user(geteuid()) }
}

/// A user's name, or number where there is no name.
pub fn user(uid: Uid) -> String {
    match User::from_uid(uid) {
        Ok(Some(user)) => user.name,
        Ok(None) | Err(_) => format!("uid {uid}"),
    }
}

fn read<T: FromStr>(path: &Path, what: &'static str) -> Result<Option<T>, HomeError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
    };
    match text.trim().parse() {
        Ok(value) => Ok(Some(value)),
        Err(_) => Err(HomeError::Damaged { path: path.to_owned(), what, found: text.chars().take(80).collect() }),
    }
}

/// Writes beside the file and renames, so that a crash leaves the old content or the new.
fn write(path: &Path, text: &str) -> Result<(), HomeError> {
    let fresh = path.with_extension("new");
    let write = || {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        writeln!(file, "{}", text.trim_end())?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> HomeError + use<> {
    let path = path.to_owned();
    move |source| HomeError::File { path, source }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn now() -> DateTime<Utc> {
        DateTime::UNIX_EPOCH
    }

    #[test]
    fn the_owner_stays_and_starts_are_counted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("home");
        let first = Home::open(&path, now()).expect("a new home");
        let Owner { id, start } = first.owner;
        drop(first);
        let second = Home::open(&path, now()).expect("the same home");
        assert_eq!(second.owner, Owner { id, start: start + 1 });
    }

    #[test]
    fn a_held_home_says_who_holds_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("home");
        let _held = Home::open(&path, now()).expect("a new home");
        let asked = Instant::now();
        let refused = Home::open(&path, now()).expect_err("it is held").to_string();
        assert!(asked.elapsed() >= LOOK_PAUSE * LOOKS, "who only looks at the lock is not taken for its holder");
        let holder = format!("pid {}, since 1970-01-01 00:00:00 UTC", std::process::id());
        assert!(refused.contains(&holder), "{refused}");
    }

    #[test]
    fn a_newer_layout_and_a_damaged_file_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("home");
        drop(Home::open(&path, now()).expect("a new home"));
        fs::write(path.join("starts"), "many").expect("written");
        assert!(matches!(Home::open(&path, now()), Err(HomeError::Damaged { what: "number of starts", .. })));
        fs::write(path.join("layout"), "2").expect("written");
        assert!(matches!(Home::open(&path, now()), Err(HomeError::Newer { found: 2, .. })));
    }

    #[test]
    fn a_socket_of_a_long_home_moves_to_a_short_folder() {
        let short = socket_folder(Path::new("/var/lib/dm"), "postgres", ".s.PGSQL.5432");
        assert_eq!(short, Path::new("/var/lib/dm/run/postgres"));
        let long = PathBuf::from(format!("/{}", "h".repeat(90)));
        let moved = socket_folder(&long, "postgres", ".s.PGSQL.5432");
        assert!(moved.starts_with("/tmp") && moved.join(".s.PGSQL.5432").as_os_str().len() <= MAX_SOCKET);
        assert_ne!(moved, socket_folder(Path::new(&format!("/{}", "i".repeat(90))), "postgres", ".s.PGSQL.5432"));
    }
}
