//! Notices that a configuration, or a file that it names, has changed: by what is in it, so that a symbolic link that
//! points elsewhere (Kubernetes' mounts) counts, and a file that was only touched does not.

use std::{
    hash::{BuildHasher, Hasher},
    path::PathBuf,
};

/// Looks at files and folders.
#[derive(Debug)]
pub struct Watch {
    hasher: ahash::RandomState,
    paths: Vec<PathBuf>,
    seen: u64,
}

impl Watch {
    /// Looks at these from now on.
    pub fn new(paths: Vec<PathBuf>) -> Self {
        let mut watch = Self { hasher: ahash::RandomState::new(), paths, seen: 0 };
        watch.seen = watch.look();
        watch
    }

    /// Returns `true` if anything has changed since the last call.
    pub fn has_changed(&mut self) -> bool {
        let now = self.look();
        std::mem::replace(&mut self.seen, now) != now
    }

    fn look(&self) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        for path in &self.paths {
            if path.is_dir() {
                let names = std::fs::read_dir(path).into_iter().flatten().flatten();
                let mut names: Vec<_> = names.map(|entry| entry.file_name()).collect();
                names.sort();
                for name in &names {
                    hasher.write(name.as_encoded_bytes());
                }
            } else if let Ok(bytes) = std::fs::read(path) {
                hasher.write_usize(bytes.len());
                hasher.write(&bytes);
            } else {
                hasher.write_u8(0);
            }
        }
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_link_that_points_elsewhere_is_a_change_and_a_touched_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second, link) =
            (folder.path().join("1"), folder.path().join("2"), folder.path().join("link"));
        fs::write(&first, "a").unwrap();
        fs::write(&second, "b").unwrap();
        std::os::unix::fs::symlink(&first, &link).unwrap();
        let mut watch = Watch::new(vec![link.clone()]);
        fs::write(&first, "a").unwrap();
        assert!(!watch.has_changed());
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(&second, &link).unwrap();
        assert!(watch.has_changed());
        assert!(!watch.has_changed());
    }

    #[test]
    fn a_file_that_appears_in_a_folder_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(vec![folder.path().to_owned()]);
        fs::write(folder.path().join("routes.yaml"), "").unwrap();
        assert!(watch.has_changed());
    }
}
