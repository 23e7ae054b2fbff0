//! Opens files that wrappers can put something else in the place of. A reader of a pipe or of a device could wait for
//! ever, or read for ever.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::fcntl::OFlag;

/// Opens a file for reading, if it is a regular one.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Without this flag even the opening of a pipe waits for its other end.
    let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{} is not a regular file", path.display())))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use nix::sys::stat::Mode;

    use super::*;

    #[test]
    fn a_pipe_a_folder_or_a_device_is_refused_without_waiting() {
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        let (file, pipe) = (folder.path().join("file"), folder.path().join("pipe"));
        std::fs::write(&file, "content").expect("it can be written");
        nix::unistd::mkfifo(&pipe, Mode::S_IRUSR | Mode::S_IWUSR).expect("it can be made");
        let mut content = String::new();
        open(&file).expect("it is regular").read_to_string(&mut content).expect("it is text");
        assert_eq!(content, "content");
        for other in [pipe.as_path(), folder.path(), Path::new("/dev/zero")] {
            assert!(open(other).is_err(), "{}", other.display());
        }
    }
}
