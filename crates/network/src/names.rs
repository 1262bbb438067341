//! Names that programs would look up in the cluster's DNS or in a private zone.
//!
//! In the sandbox a name server answers from here ([`crate::dns`]). Without isolation there is no resolver to point a program
//! at, so the image catalogue asks here (`${resolve:NAME}`).

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use parking_lot::RwLock;

const CLUSTER_DOMAIN: &str = "cluster.local";

/// A shared, changing table. Names compare without case and without a final dot, as in DNS.
#[derive(Clone, Debug, Default)]
pub struct Names {
    inner: Arc<RwLock<Tables>>,
}

#[derive(Debug, Default)]
struct Tables {
    /// Fully qualified names of private zones and of single records.
    records: BTreeMap<String, Ipv4Addr>,
    /// `service.namespace`
    services: BTreeMap<String, Ipv4Addr>,
}

impl Names {
    pub fn insert(&self, name: &str, address: Ipv4Addr) {
        self.inner.write().records.insert(normal(name), address);
    }

    pub fn remove(&self, name: &str) {
        self.inner.write().records.remove(&normal(name));
    }

    /// Replaces the names of all Services; keys are `service.namespace`.
    pub fn set_services(&self, services: BTreeMap<String, Ipv4Addr>) {
        self.inner.write().services = services;
    }

    /// Looks `name` up as a pod in `namespace` would: `backend`, `backend.platform`, `backend.platform.svc`,
    /// `backend.platform.svc.cluster.local`, or a name of a private zone. An address resolves to itself.
    pub fn resolve(&self, name: &str, namespace: &str) -> Option<Ipv4Addr> {
        if let Ok(address) = name.parse() {
            return Some(address);
        }
        let name = normal(name);
        let tables = self.inner.read();
        if let Some(address) = tables.records.get(&name) {
            return Some(*address);
        }
        let short = name.strip_suffix(CLUSTER_DOMAIN).map_or(name.as_str(), |rest| rest.trim_end_matches('.'));
        let short = short.strip_suffix(".svc").unwrap_or(short);
        match short.contains('.') {
            true => tables.services.get(short).copied(),
            false => tables.services.get(&format!("{short}.{namespace}")).copied(),
        }
    }

    /// Looks up a fully qualified name, as a name server does.
    pub(crate) fn lookup(&self, name: &str) -> Option<Ipv4Addr> {
        let name = normal(name);
        let tables = self.inner.read();
        let service = || tables.services.get(name.strip_suffix(CLUSTER_DOMAIN)?.strip_suffix(".svc.")?);
        tables.records.get(&name).or_else(service).copied()
    }
}

fn normal(name: &str) -> String {
    name.trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolves_what_a_pod_could_resolve() {
        let names = Names::default();
        let (service, database) = (Ipv4Addr::new(127, 16, 0, 7), Ipv4Addr::new(127, 19, 0, 4));
        names.set_services(BTreeMap::from([("backend.platform".to_owned(), service)]));
        names.insert("marea-db.marea.private.postgres.database.azure.com", database);

        let check = |name: &str, expected| assert_eq!(names.resolve(name, "platform"), expected, "{name}");
        check("backend", Some(service));
        check("backend.platform", Some(service));
        check("backend.platform.svc", Some(service));
        check("Backend.platform.svc.cluster.local.", Some(service));
        check("MAREA-DB.marea.private.postgres.database.azure.com", Some(database));
        check("127.19.0.4", Some(database));
        check("example.org", None);
        assert_eq!(names.resolve("backend", "default"), None);
    }
}
