//! The folder of a cluster: one folder a node, and the state file once it is detached.
//!
//! Remembers what it made, and removes that and nothing else.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::error::DevClusterError;
use super::guard::Guard;
use super::limits::FOLDER_ATTEMPTS_MAX;

/// A folder and what was made in it.
#[derive(Debug)]
pub(super) struct ClusterFolder {
    dir: PathBuf,
    /// Removed with all that is in them.
    trees: Vec<PathBuf>,
    /// Removed if empty, in this order.
    folders: Vec<PathBuf>,
}

impl ClusterFolder {
    /// A new folder among the temporary ones, for this user only.
    pub(super) fn temporary(guard: &mut Guard) -> Result<Self, DevClusterError> {
        let base = std::env::temp_dir();
        let base = base.canonicalize().map_err(failed(&base, "use the folder for temporary files"))?;
        let mut attempt = 0;
        loop {
            let dir = base.join(format!("slotwise-{:016x}", rand::random::<u64>()));
            match DirBuilder::new().mode(0o700).create(&dir) {
                Ok(()) => {
                    let folder = Self { trees: vec![dir.clone()], dir, folders: Vec::new() };
                    folder.told(guard)?;
                    return Ok(folder);
                }
                Err(error) if error.kind() == ErrorKind::AlreadyExists && attempt < FOLDER_ATTEMPTS_MAX => {
                    attempt += 1;
                }
                Err(error) => return Err(failed(&dir, "make the folder")(error)),
            }
        }
    }

    /// The folder at `dir`, made with its parents where it is missing.
    pub(super) fn given(dir: &Path, guard: &mut Guard) -> Result<Self, DevClusterError> {
        let dir = std::path::absolute(dir).map_err(failed(dir, "use the folder"))?;
        let missing: Vec<PathBuf> =
            dir.ancestors().take_while(|folder| !folder.exists()).map(Path::to_owned).collect();
        let mut made = Self { dir: dir.clone(), trees: Vec::new(), folders: Vec::new() };
        for folder in missing.iter().rev() {
            if let Err(error) = DirBuilder::new().create(folder) {
                let _ = made.remove();
                return Err(failed(folder, "make the folder")(error));
            }
            made.folders.insert(0, folder.clone());
        }
        // The real path: a process's own idea of where it runs is compared with it.
        made.dir = dir.canonicalize().map_err(failed(&dir, "use the folder"))?;
        if let Err(error) = made.told(guard) {
            let _ = made.remove();
            return Err(error);
        }
        Ok(made)
    }

    /// The folder itself.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Was the folder itself made by us?
    pub(super) fn is_made(&self) -> bool {
        self.trees.iter().chain(&self.folders).any(|made| *made == self.dir)
    }

    /// Makes the folder of the node on `port`.
    pub(super) fn make_node(&mut self, port: u16, guard: &mut Guard) -> Result<PathBuf, DevClusterError> {
        let path = node_folder(&self.dir, port);
        match DirBuilder::new().create(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                return Err(DevClusterError::FolderInUse { path });
            }
            Err(error) => return Err(failed(&path, "make the folder")(error)),
        }
        self.trees.push(path.clone());
        guard.watch_tree(&path)?;
        Ok(path)
    }

    /// Also remove this file, which is about to be written.
    pub(super) fn own_file(&mut self, path: &Path, guard: &mut Guard) -> Result<(), DevClusterError> {
        guard.watch_tree(path)?;
        self.trees.push(path.to_owned());
        Ok(())
    }

    /// Removes what was made.
    pub(super) fn remove(&mut self) -> Result<(), DevClusterError> {
        let mut first_error = Ok(());
        for tree in self.trees.drain(..) {
            if let Err(error) = remove_tree(&tree)
                && first_error.is_ok()
            {
                first_error = Err(error);
            }
        }
        for folder in self.folders.drain(..) {
            // Somebody else may have put something into it meanwhile; then it stays.
            let _ = std::fs::remove_dir(folder);
        }
        first_error
    }

    fn told(&self, guard: &mut Guard) -> Result<(), DevClusterError> {
        self.trees.iter().try_for_each(|tree| guard.watch_tree(tree))?;
        self.folders.iter().try_for_each(|folder| guard.watch_folder(folder))
    }
}

/// The folder of the node on `port`.
pub(super) fn node_folder(dir: &Path, port: u16) -> PathBuf {
    dir.join(format!("node-{port}"))
}

/// Removes a file or a folder with all that is in it; one that is gone already is fine.
pub(super) fn remove_tree(path: &Path) -> Result<(), DevClusterError> {
    let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(path, "remove it")(error)),
        _ => Ok(()),
    }
}

/// Names the path in an error of the operating system.
pub(super) fn failed<'a>(
    path: &'a Path,
    action: &'static str,
) -> impl FnOnce(std::io::Error) -> DevClusterError + 'a {
    move |reason| DevClusterError::Folder { path: path.to_owned(), action, reason }
}
