//! The guard: a small `sh` that cleans up after a cluster whose owner is gone, however it went.
//!
//! It reads what to clean up from a pipe that only the owner holds open. When the pipe ends, the owner is
//! dead: even SIGKILL closes it. An owner that cleans up itself kills the guard afterwards. The guard has its
//! own process group, so that Ctrl-C does not reach it, and keeps none of the owner's streams open.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};

use super::error::DevClusterError;

/// Kills a server only if it still runs in its folder, since its number may have gone to another process; then
/// removes what was made. The loops have limits: 100 times 50 ms for a tree that a dying server still writes to.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
ours() {
  if [ -d /proc/self ]; then
    case "$(readlink "/proc/$1/cwd")" in "$2" | "$2 (deleted)") return 0 ;; esac
    return 1
  fi
  case "$(ps -o command= -p "$1")" in *redis* | *valkey*) return 0 ;; esac
  return 1
}
while IFS= read -r line; do set -- "$@" "$line"; done
for line do
  case $line in
    server\ *)
      rest=${line#server }
      if ours "${rest%% *}" "${rest#* }"; then kill -KILL "${rest%% *}"; fi ;;
  esac
done
for line do
  case $line in
    tree\ *)
      tries=0
      while rm -rf -- "${line#tree }"; [ -e "${line#tree }" ] && [ "$tries" -lt 100 ]; do
        tries=$((tries + 1))
        sleep 0.05
      done ;;
  esac
done
for line do
  case $line in folder\ *) rmdir -- "${line#folder }" ;; esac
done
"#;

/// A running guard.
#[derive(Debug)]
pub(super) struct Guard {
    child: Child,
    pipe: Option<ChildStdin>,
}

impl Guard {
    pub(super) fn start(dir: &Path) -> Result<Self, DevClusterError> {
        let failed = |reason| DevClusterError::Guard { dir: dir.to_owned(), reason };
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "slotwise-guard"])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let pipe = child.stdin.take();
        Ok(Self { child, pipe })
    }

    /// Process number of the guard.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A server to kill, and the folder it runs in.
    pub(super) fn watch_server(&mut self, pid: u32, folder: &Path) -> Result<(), DevClusterError> {
        self.tell(format!("server {pid} ").as_bytes(), folder)
    }

    /// A file, or a folder with all that is in it, to remove.
    pub(super) fn watch_tree(&mut self, path: &Path) -> Result<(), DevClusterError> {
        self.tell(b"tree ", path)
    }

    /// A folder to remove if it is empty by then; deepest first.
    pub(super) fn watch_folder(&mut self, path: &Path) -> Result<(), DevClusterError> {
        self.tell(b"folder ", path)
    }

    /// Ends the guard: there is nothing left to clean up, or it shall stay.
    pub(super) fn dismiss(&mut self) {
        // Killed before the pipe is closed, or it would act on what it was told.
        let _ = self.child.kill();
        self.pipe = None;
        let _ = self.child.wait();
    }

    fn tell(&mut self, what: &[u8], path: &Path) -> Result<(), DevClusterError> {
        let mut line = what.to_vec();
        line.extend_from_slice(path.as_os_str().as_bytes());
        line.push(b'\n');
        let told = match &mut self.pipe {
            Some(pipe) => pipe.write_all(&line),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        };
        told.map_err(|reason| DevClusterError::Guard { dir: path.to_owned(), reason })
    }
}
