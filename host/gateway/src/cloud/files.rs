//! The files that a link needs, read afresh for every connection.

use std::path::PathBuf;

use edgewit_domain::config::Cloud;
use edgewit_domain::limits::LINK_FILE_BYTES;
use edgewit_net::link::{Files, Material};

use crate::error::chain;
use crate::files::ConfigFile;

pub(crate) struct LinkFiles {
    file: ConfigFile,
    authorities: Option<PathBuf>,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    password: Option<PathBuf>,
}

impl LinkFiles {
    pub fn new(file: ConfigFile, cloud: &Cloud) -> LinkFiles {
        let tls = cloud.tls.clone().unwrap_or_default();
        let (certificate, key) = tls.identity.map(|identity| (identity.certificate, identity.key)).unzip();
        let password = cloud.login.as_ref().and_then(|login| login.password.clone());
        LinkFiles { file, authorities: tls.ca, certificate, key, password }
    }

    /// Those that cannot be read by now, by their keys below the cloud's.
    pub fn unread(&self) -> Vec<(&'static str, String)> {
        let files = [
            ("ca", &self.authorities),
            ("certificate", &self.certificate),
            ("key", &self.key),
            ("password", &self.password),
        ];
        files.into_iter().filter_map(|(key, path)| Some((key, self.text(path.as_ref()).err()?))).collect()
    }

    fn text(&self, path: Option<&PathBuf>) -> Result<Option<String>, String> {
        let read = |path: &PathBuf| {
            let text = self.file.read_beside(path).map_err(|error| chain(&error))?;
            if text.len() as u64 > LINK_FILE_BYTES {
                let path = path.display();
                return Err(format!("{path} has more than {LINK_FILE_BYTES} bytes; keep in it only what is needed"));
            }
            Ok(text)
        };
        path.map(read).transpose()
    }
}

impl Files for LinkFiles {
    fn read(&self) -> Result<Material, String> {
        let bytes = |path: &Option<PathBuf>| Ok::<_, String>(self.text(path.as_ref())?.map(String::into_bytes));
        Ok(Material {
            authorities: bytes(&self.authorities)?,
            certificate: bytes(&self.certificate)?,
            key: bytes(&self.key)?,
            password: self.text(self.password.as_ref())?.map(|text| text.trim_end_matches(['\r', '\n']).to_owned()),
        })
    }
}
