//! The folder of a SQLite database has to exist.

use std::path::Path;

use super::{Conflict, Findings, Sections, at};
use crate::store::StoreUrl;

pub(super) fn check(sections: &Sections, findings: &mut Findings<'_>) {
    let Some(StoreUrl::Sqlite(file)) = sections.settings.store.as_ref().map(|store| &store.url) else {
        return;
    };
    let folder = file.parent().filter(|folder| *folder != Path::new(""));
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        let path = file.display().to_string();
        let detail = format!("the folder `{}` does not exist; create it", folder.display());
        findings.error(&at(&["store", "url"]), Conflict::File { path, detail });
    }
}
