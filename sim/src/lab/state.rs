//! Where a running lab can be found by a second terminal.
//!
//! A directory with the kubeconfig files, the agents' logs, and a file that says which process
//! holds which namespace. The lab keeps that file locked, and the kernel unlocks it however the lab
//! ends: a directory whose file can be locked is a leftover, and the next lab replaces it.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    os::{
        fd::RawFd,
        unix::fs::{DirBuilderExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::error::{Doing, Error};

/// What is known of a running lab.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Lab {
    /// The process that holds the namespaces, as `/proc` calls it.
    pub(crate) process: u32,
    /// The descriptor by which it holds the network namespace of each station.
    pub(crate) stations: BTreeMap<String, RawFd>,
}

/// The directory of this user's lab.
pub(crate) fn directory() -> PathBuf {
    match env::var_os("XDG_RUNTIME_DIR").filter(|dir| Path::new(dir).is_dir()) {
        Some(dir) => Path::new(&dir).join("porter-lab"),
        None => env::temp_dir().join(format!("porter-lab-{}", rustix::process::geteuid().as_raw())),
    }
}

/// The directory of a lab that is being set up or runs.
#[derive(Debug)]
pub(crate) struct State {
    directory: PathBuf,
    file: File,
}

impl State {
    /// Takes the directory over, unless the lab that it belongs to still runs. What a dead one left
    /// is removed.
    pub(crate) fn claim(directory: &Path) -> Result<Self, Error> {
        let doing = || format!("claiming {}", directory.display());
        match DirBuilder::new().mode(0o700).create(directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            created => created.doing(doing)?,
        }
        let found = fs::symlink_metadata(directory).doing(doing)?;
        if !found.is_dir() || found.uid() != rustix::process::geteuid().as_raw() {
            return Err(Error::new(doing(), "it is not a directory of this user"));
        }
        let path = directory.join("lab.json");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = file.doing(|| format!("opening {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::new(doing(), "a lab runs already; stop it first"));
            }
            Err(TryLockError::Error(error)) => return Err(Error::new(doing(), error)),
        }
        for entry in fs::read_dir(directory).doing(doing)? {
            let entry = entry.doing(doing)?.path();
            if entry != path {
                fs::remove_file(&entry).doing(|| format!("removing {}", entry.display()))?;
            }
        }
        Ok(Self { directory: directory.into(), file })
    }

    /// Says where the stations are.
    pub(crate) fn publish(&self, stations: BTreeMap<String, RawFd>) -> Result<(), Error> {
        // The number by which /proc knows this process counts in /proc's own PID namespace.
        let own = fs::read_link("/proc/self").doing(|| "reading /proc/self".into())?;
        let own = own.to_string_lossy().parse().doing(|| "reading /proc/self".into())?;
        let json = serde_json::to_vec(&Lab { process: own, stations }).expect("a map of numbers");
        let mut file = &self.file;
        let written = file.set_len(0).and_then(|()| file.write_all(&json));
        written.doing(|| format!("writing to {}", self.directory.display()))
    }

    /// Writes a file into the directory and says where it is.
    pub(crate) fn write(&self, name: &str, content: &str) -> Result<PathBuf, Error> {
        let path = self.directory.join(name);
        fs::write(&path, content).doing(|| format!("writing {}", path.display()))?;
        Ok(path)
    }

    /// The path of a file in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// Finds the lab that runs, if one does.
pub(crate) fn find(directory: &Path) -> Result<Option<Lab>, Error> {
    let path = directory.join("lab.json");
    let file = match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.doing(|| format!("opening {}", path.display()))?,
    };
    match file.try_lock_shared() {
        Ok(()) => return Ok(None),
        Err(TryLockError::WouldBlock) => {}
        Err(TryLockError::Error(error)) => {
            return Err(Error::new(format!("locking {}", path.display()), error));
        }
    }
    let json = io::read_to_string(&file).doing(|| format!("reading {}", path.display()))?;
    // A lab that is only just starting has published nothing yet.
    Ok(serde_json::from_str(&json).ok())
}

/// Removes what a lab that has ended left in its directory, and the directory.
pub(crate) fn remove(directory: &Path) {
    if let Ok(state) = State::claim(directory) {
        let _ = fs::remove_dir_all(&state.directory);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_is_found_while_it_runs_and_its_leftovers_are_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("porter-lab");
        let state = State::claim(&directory).unwrap();
        state.write("old.log", "x").unwrap();
        state.publish(BTreeMap::from([("client".into(), 7)])).unwrap();

        assert_eq!(find(&directory).unwrap().unwrap().stations["client"], 7);
        let refused = State::claim(&directory).unwrap_err().to_string();
        assert!(refused.contains("a lab runs already"), "{refused}");
        drop(state);

        assert!(find(&directory).unwrap().is_none());
        let state = State::claim(&directory).unwrap();
        assert!(!state.path("old.log").exists());
    }
}
