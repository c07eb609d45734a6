//! How the kernel of one namespace is told to treat ARP.

use std::{fs, path::Path};

use super::{
    error::{Doing, Error},
    namespace::Namespace,
};

/// Makes the kernel behave as kube-proxy with `strictARP` wants it: an address on another link than
/// the one asked on is not answered for (`arp_ignore`), nor named as the sender of a request
/// (`arp_announce`).
///
/// Without this every node would answer for every EIP, and Porter's word would be one among many.
pub(crate) fn be_strict_about_arp(namespace: &Namespace) -> Result<(), Error> {
    namespace.visit(|| {
        set("net/ipv4/conf/all/arp_ignore", "1")?;
        set("net/ipv4/conf/all/arp_announce", "2")
    })?
}

/// `/proc/sys/net` shows each reader the settings of its own namespace.
fn set(key: &str, value: &str) -> Result<(), Error> {
    let path = Path::new("/proc/sys").join(key);
    fs::write(&path, value).doing(|| format!("writing {value} to {}", path.display()))
}
