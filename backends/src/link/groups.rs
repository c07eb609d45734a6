//! The groups that a link is in, so that solicitations arrive there.
//!
//! Joined with sockets of their own, which hear nothing: a member is enough for the kernel to open the
//! network card's filter, and to tell switches (MLD, RFC 3810).

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    net::Ipv6Addr,
};

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};

/// The groups of one link.
#[derive(Debug)]
pub(crate) struct Groups {
    index: u32,
    wanted: BTreeSet<Ipv6Addr>,
    /// By which socket each is joined.
    joined: BTreeMap<Ipv6Addr, usize>,
    sockets: Vec<Socket>,
    /// Why some are not joined, and whether that was told.
    failure: Option<(String, bool)>,
}

impl Groups {
    /// The link with this index joins these groups at the next [`Self::join_missing`].
    pub(crate) fn new(index: u32, wanted: BTreeSet<Ipv6Addr>) -> Self {
        let (joined, sockets) = (BTreeMap::new(), Vec::new());
        Self { index, wanted, joined, sockets, failure: None }
    }

    /// Joins a group. If that fails, it is tried again by [`Self::join_missing`].
    pub(crate) fn join(&mut self, group: Ipv6Addr) {
        self.wanted.insert(group);
        if let Err(error) = self.enter(group) {
            self.fail(&error);
        }
    }

    /// Leaves a group.
    pub(crate) fn quit(&mut self, group: Ipv6Addr) {
        self.wanted.remove(&group);
        self.leave(group);
    }

    /// Joins the groups that could not be joined before.
    pub(crate) fn join_missing(&mut self) {
        if self.joined.len() == self.wanted.len() {
            self.failure = None;
            return;
        }
        let missing = self.wanted.iter().filter(|group| !self.joined.contains_key(group));
        let missing: Vec<_> = missing.copied().collect();
        match missing.into_iter().try_for_each(|group| self.enter(group)) {
            Ok(()) => self.failure = None,
            Err(error) => self.fail(&error),
        }
    }

    /// Joins all groups anew: a switch may have forgotten them while the link was down.
    pub(crate) fn join_again(&mut self) {
        let joined: Vec<_> = self.joined.keys().copied().collect();
        joined.into_iter().for_each(|group| self.leave(group));
        self.join_missing();
    }

    /// Why groups are not joined, if that has not been told.
    pub(crate) fn take_failure(&mut self) -> Option<String> {
        let (reason, told) = self.failure.as_mut()?;
        (!std::mem::replace(told, true)).then(|| reason.clone())
    }

    fn fail(&mut self, error: &io::Error) {
        let reason = error.to_string();
        if self.failure.as_ref().is_none_or(|(known, _)| *known != reason) {
            self.failure = Some((reason, false));
        }
    }

    fn enter(&mut self, group: Ipv6Addr) -> io::Result<()> {
        if self.joined.contains_key(&group) {
            return Ok(());
        }
        // How many groups a socket has room for depends on net.core.optmem_max.
        for (socket, at) in self.sockets.iter().zip(0..) {
            match socket.join_multicast_v6(&group, self.index) {
                Err(error) if is_full(&error) => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    self.joined.insert(group, at);
                    return Ok(());
                }
            }
        }
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
        socket.join_multicast_v6(&group, self.index)?;
        self.joined.insert(group, self.sockets.len());
        self.sockets.push(socket);
        Ok(())
    }

    fn leave(&mut self, group: Ipv6Addr) {
        if let Some(at) = self.joined.remove(&group) {
            // It fails if the link is gone, and the membership with it.
            let _ = self.sockets[at].leave_multicast_v6(&group, self.index);
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    [Errno::NOMEM, Errno::NOBUFS]
        .map(|errno| Some(errno.raw_os_error()))
        .contains(&error.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_once_until_it_is_another() {
        let nowhere = u32::MAX;
        let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 1);
        let mut groups = Groups::new(nowhere, BTreeSet::from([group]));
        assert_eq!(groups.take_failure(), None);
        groups.join_missing();
        assert!(groups.take_failure().is_some());
        groups.join_missing();
        assert_eq!(groups.take_failure(), None);
        groups.quit(group);
        groups.join_missing();
        groups.join(group);
        assert!(groups.take_failure().is_some());
    }
}
