//! How many Services one Eip can have on record.
//!
//! `Eip.status.used` lists every holder in the Eip itself, and etcd takes no request of more than
//! 1.5 MiB (`--max-request-bytes`). An object that outgrows it can be neither written nor repaired,
//! so an assignment that would bring it there is refused. Sizes are counted, not Services: names
//! may have 1 to 63 bytes. With an IPv4 address, a namespace of 15 bytes and a name of 25, the
//! limit is reached at about 15,000 Services.

use std::net::IpAddr;

use crate::ServiceName;

/// What the record of the holders of one Eip weighs.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Record {
    /// The number of entries: Services, each once per address.
    pub(crate) services: usize,
    /// An upper bound of their size in the stored object, in bytes.
    pub(crate) bytes: usize,
}

impl Record {
    /// The most that is put on record, in bytes: etcd's 1.5 MiB less 256 KiB, which is the most that
    /// Kubernetes allows for the annotations of an object, and far more than all the rest takes.
    pub(crate) const BYTES_MAX: usize = (1536 - 256) * 1024;

    /// Whether another entry of this size fits.
    pub(super) fn fits(&self, entry: usize) -> bool {
        self.bytes + entry <= Self::BYTES_MAX
    }

    /// Whether more than four fifths of the room is taken: time to say so.
    pub(crate) fn is_high(&self) -> bool {
        self.bytes > Self::BYTES_MAX / 5 * 4
    }

    pub(super) fn add(&mut self, entry: usize) {
        self.services += 1;
        self.bytes += entry;
    }

    pub(super) fn remove(&mut self, entry: usize) {
        self.services -= 1;
        self.bytes -= entry;
    }
}

/// An upper bound of what one holder adds to the stored object, in bytes.
///
/// `"ADDRESS":"NAMESPACE/NAME",` in the status, and `"f:ADDRESS":{},` in `metadata.managedFields`.
pub(super) fn entry(address: IpAddr, service: &ServiceName) -> usize {
    const PUNCTUATION: usize = r#""":"/","#.len() + r#""f:":{},"#.len();
    let address = match address {
        IpAddr::V4(_) => "255.255.255.255".len(),
        IpAddr::V6(_) => "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".len(),
    };
    2 * address + service.namespace().len() + service.name().len() + PUNCTUATION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_never_lighter_than_what_is_stored() {
        let service = ServiceName::new("default", "web");
        let address: IpAddr = "255.255.255.255".parse().unwrap();
        let stored = r#""255.255.255.255":"default/web","f:255.255.255.255":{},"#;
        assert_eq!(entry(address, &service), stored.len());
    }

    #[test]
    fn some_fifteen_thousand_services_of_common_names_fit_one_eip() {
        let service = ServiceName::new(&"n".repeat(15), &"s".repeat(25));
        let fit = Record::BYTES_MAX / entry([10, 0, 0, 1].into(), &service);
        assert!((14_000..16_000).contains(&fit), "{fit}");
    }
}
