//! An item of `policy_from`: finds and reads the document, and mounts it as the item says.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use scopegate_oidc::HttpSettings;
use scopegate_provider::ByteSize;

use super::{
    document::{self, Names},
    fetch,
    operation::Imported,
    references::Documents,
    service::Operations,
};
use crate::{
    config::diagnostics::{Cause, ConfigError, Conflict, DocumentError},
    policy::settings::{DocumentLong, DocumentSettings},
    upstream::UpstreamSettings,
    yaml::{Document, Location, Node, Origin, Step, parse},
};

/// Reads every document that `policy_from` names, and the services; files go to `watched`.
pub(in crate::config) fn import(
    items: Vec<DocumentSettings>,
    upstreams: &[(String, UpstreamSettings)],
    tree: &Node,
    services: &[Operations],
    watched: &mut Vec<PathBuf>,
    errors: &mut Vec<ConfigError>,
) -> Vec<Imported> {
    let mut imported = Vec::with_capacity(items.len() + services.len());
    for (index, settings) in items.into_iter().enumerate() {
        let item = Item { tree, upstreams, index, settings: settings.into_long() };
        match item.import(watched) {
            Ok(document) => imported.push(document),
            Err(wrong) => errors.extend(wrong),
        }
    }
    for service in services {
        match service.import() {
            Ok(operations) => imported.push(operations),
            Err(wrong) => errors.extend(wrong),
        }
    }
    imported
}

/// The longest document that is fetched, unless `max_size` says otherwise.
const MAX_SIZE: ByteSize = ByteSize::new(8 << 20);

struct Item<'a> {
    tree: &'a Node,
    upstreams: &'a [(String, UpstreamSettings)],
    index: usize,
    settings: DocumentLong,
}

impl Item<'_> {
    fn import(&self, watched: &mut Vec<PathBuf>) -> Result<Imported, Vec<ConfigError>> {
        let settings = &self.settings;
        if let Some(base) = &settings.base_path
            && let Err(error) = super::paths::base(base)
        {
            return Err(vec![self.error(&["base_path"], Conflict::Document(error))]);
        }
        let bytes = self.bytes(watched);
        let (origin, bytes) = bytes.map_err(|conflict| vec![self.error(&["document"], conflict)])?;
        let name = origin.to_string();
        let text = String::from_utf8(bytes)
            .map_err(|_| vec![self.error(&["document"], Conflict::Document(DocumentError::NotUtf8))])?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text).into();
        let root = parse(&Arc::new(Document { origin, text }));
        let root =
            root.map_err(|diagnostics| diagnostics.into_iter().map(ConfigError::from).collect::<Vec<_>>())?;
        let documents = Documents::open(root);
        watched.extend(documents.files().map(Path::to_owned));
        let mut names = Names::default();
        let read = document::read(&name, &documents, settings, &mut names);
        let mut errors = self.name_errors(names, &documents);
        match read {
            Ok(mut imported) if errors.is_empty() => {
                for route in imported.operations.iter_mut().flat_map(|operation| &mut operation.routes) {
                    route.upstream.clone_from(&settings.upstream);
                    route.strip_prefix.clone_from(&settings.strip_prefix);
                }
                Ok(imported)
            }
            Ok(_) => Err(errors),
            Err(more) => {
                errors.extend(more);
                Err(errors)
            }
        }
    }

    /// Reads or fetches the document.
    fn bytes(&self, watched: &mut Vec<PathBuf>) -> Result<(Origin, Vec<u8>), Conflict> {
        let limit = self.settings.max_size.unwrap_or(MAX_SIZE);
        if let Some(url) = fetch::url(&self.settings.document).map_err(Conflict::Document)? {
            let bytes = fetch::fetch(&url, self.http(), limit).map_err(Conflict::Document)?;
            return Ok((Origin::Text(url.to_string()), bytes));
        }
        let path = self.location(&["document"]).beside(&self.settings.document);
        let bytes = std::fs::read(&path).map_err(|error| Conflict::File {
            path: path.display().to_string(),
            detail: error.to_string(),
        })?;
        watched.push(path.clone());
        Ok((Origin::File(path), bytes))
    }

    /// The settings to fetch with: plain HTTP to the hosts of upstreams that are reached by it.
    fn http(&self) -> HttpSettings {
        let plain = self.upstreams.iter().filter(|(_, upstream)| !upstream.url.is_https());
        let named = self.settings.upstream.as_ref();
        let ours = self.upstreams.iter().find(|(name, _)| Some(name) == named);
        HttpSettings {
            ca: ours.and_then(|(_, upstream)| upstream.ca.as_deref().map(Into::into)),
            insecure_hosts: plain.map(|(_, upstream)| upstream.url.host().to_owned()).collect(),
            ..HttpSettings::default()
        }
    }

    /// Returns the errors of entries that name something that the document does not have.
    fn name_errors(&self, names: Names, documents: &Documents) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        for (key, index, error) in names.errors {
            let mut path = self.path(&[key]);
            path.push(Step::Index(index));
            let location = self.tree.location_of(&path, false).clone();
            errors.push(ConfigError::new(Cause::Conflict(Conflict::Document(error)), location, &path));
        }
        let schemes = documents.main().get("components").map(|components| documents.container(components));
        let schemes = schemes.and_then(Result::ok).and_then(|components| components.get("securitySchemes"));
        let schemes = schemes.map(|schemes| documents.container(schemes)).and_then(Result::ok);
        for (name, providers) in &self.settings.schemes {
            let error = if schemes.and_then(|schemes| schemes.get(name)).is_none() {
                DocumentError::UnknownScheme { found: name.clone() }
            } else if providers.0.is_empty() {
                DocumentError::EmptyScheme
            } else {
                continue;
            };
            errors.push(self.error(&["schemes", name], Conflict::Document(error)));
        }
        errors
    }

    fn error(&self, keys: &[&str], conflict: Conflict) -> ConfigError {
        ConfigError::new(Cause::Conflict(conflict), self.location(keys).clone(), &self.path(keys))
    }

    fn location(&self, keys: &[&str]) -> &Location {
        self.tree.location_of(&self.path(keys), false)
    }

    fn path(&self, keys: &[&str]) -> Vec<Step> {
        let item = [Step::Key("policy_from".to_owned()), Step::Index(self.index)];
        // The short form has no keys.
        let long = self.tree.get("policy_from").and_then(|node| node.items().get(self.index));
        let keys = keys.iter().filter(|_| long.is_some_and(|node| !node.entries().is_empty()));
        item.into_iter().chain(keys.map(|key| Step::Key((*key).to_owned()))).collect()
    }
}
