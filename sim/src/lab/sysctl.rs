//! How the kernel of one namespace is told to treat ARP and NDP.

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

/// Whether the kernels of the lab know IPv6. All do, or none.
pub(crate) fn has_ipv6() -> bool {
    Path::new("/proc/sys/net/ipv6").exists()
}

/// Lets a namespace have IPv6 addresses, where the host's own setting against them is inherited
/// (`net.core.devconf_inherit_init_net`).
pub(crate) fn allow_ipv6(namespace: &Namespace) -> Result<(), Error> {
    namespace.visit(|| set("net/ipv6/conf/all/disable_ipv6", "0"))?
}

/// Makes links that are made after this behave as if they had been up for long: their link-local
/// addresses are usable at once. A kernel otherwise asks for a second or two whether somebody has
/// them (`accept_dad`, RFC 4862 section 5.4).
///
/// For NDP there is nothing to be strict about: a kernel answers on a link for the addresses of that
/// link only.
pub(crate) fn skip_duplicate_detection(namespace: &Namespace) -> Result<(), Error> {
    namespace.visit(|| set("net/ipv6/conf/default/accept_dad", "0"))?
}

/// `/proc/sys/net` shows each reader the settings of its own namespace.
fn set(key: &str, value: &str) -> Result<(), Error> {
    let path = Path::new("/proc/sys").join(key);
    fs::write(&path, value).doing(|| format!("writing {value} to {}", path.display()))
}
