//! Who-has and is-at, and the snapshot that answers.
//!
//! A question from the LAN is answered synchronously from an immutable [`Answers`], because an
//! answer is a function of state and no event. Whether anything may be said at all is the caller's
//! `until`: the deadline of the Lease, compared with `now` for every single question.

use std::{
    error, fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use imbl::OrdMap;
use pnet::util::MacAddr;

use crate::{Instant, LinkName};

/// A question from the LAN: who has `target`? An ARP request, or a neighbor solicitation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WhoHas {
    /// The link it was heard on.
    pub link: LinkName,
    /// The address asked for.
    pub target: IpAddr,
    /// Who asks: the sender's protocol and hardware address. The protocol address is unspecified
    /// in an address probe (RFC 5227 section 2.1.1) and in duplicate address detection. The hardware
    /// address is zero if a neighbor solicitation does not tell it.
    pub asker: (IpAddr, MacAddr),
    /// Whom to answer: the Ethernet source of an ARP request, the source link-layer address of a
    /// neighbor solicitation, all nodes for duplicate address detection. Zero if it is not told.
    pub via: MacAddr,
}

/// An assertion to the LAN: `target` is at `mac`. An ARP reply or announcement, or a neighbor
/// advertisement.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct IsAt {
    /// The link it belongs to.
    pub link: LinkName,
    /// The address spoken for.
    pub target: IpAddr,
    /// Where it is.
    pub mac: MacAddr,
    /// Whom it is addressed to: protocol and hardware address. `None`: everyone. An advertisement
    /// that was not asked for is for everyone, whomever it is sent to.
    pub to: Option<(IpAddr, MacAddr)>,
    /// The Ethernet address at the other end: the destination of a frame to send, the source of an
    /// ARP frame heard. Broadcast for an announcement. Of a neighbor advertisement heard, `mac` if it
    /// comes from the address that it speaks for, as those of kernels do, and zero otherwise.
    pub via: MacAddr,
}

/// Why a question gets no answer. The common case on a LAN, not a failure.
///
/// Each reason is a metric label, a trace field and a test assertion.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Silence {
    /// The asker is the node that the answer would name: kube-proxy there does not know the EIP.
    AskerIsTarget,
    /// Somebody else claims the address, and is left with it.
    Conflict,
    /// Nothing is heard on the link any more: it may be this host that is cut off.
    LinkSuspect,
    /// The node is recorded, but its MAC on this link is not known.
    MacUnknown,
    /// No Service has an endpoint that could serve the EIP.
    NoEndpoint,
    /// There are endpoints, but no node that may be answered.
    NoNode,
    /// A node has the address for its own.
    NodeAddress,
    /// The node on record does not answer on the LAN, and there is no other.
    NodeDead,
    /// The address is no EIP of this link.
    NotAnEip,
    /// This replica does not hold the Lease, or its deadline has passed.
    NotLeader,
    /// The same host asks for the same EIP again and again ([`Limits`](crate::Limits)).
    TooOften,
    /// A node is picked, but the API server has not confirmed the record of it.
    Uncommitted,
}

impl Silence {
    /// All reasons, in their order: `ALL[reason as usize]` is `reason`.
    pub const ALL: [Self; 12] = [
        Self::AskerIsTarget,
        Self::Conflict,
        Self::LinkSuspect,
        Self::MacUnknown,
        Self::NoEndpoint,
        Self::NoNode,
        Self::NodeAddress,
        Self::NodeDead,
        Self::NotAnEip,
        Self::NotLeader,
        Self::TooOften,
        Self::Uncommitted,
    ];

    /// The name, as in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AskerIsTarget => "AskerIsTarget",
            Self::Conflict => "Conflict",
            Self::LinkSuspect => "LinkSuspect",
            Self::MacUnknown => "MacUnknown",
            Self::NoEndpoint => "NoEndpoint",
            Self::NoNode => "NoNode",
            Self::NodeAddress => "NodeAddress",
            Self::NodeDead => "NodeDead",
            Self::NotAnEip => "NotAnEip",
            Self::NotLeader => "NotLeader",
            Self::TooOften => "TooOften",
            Self::Uncommitted => "Uncommitted",
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl error::Error for Silence {}

/// What is answered for one EIP.
type Answer = Result<MacAddr, Silence>;

/// For every EIP of every link: the MAC to answer with, or why not. Immutable once published.
///
/// A clone shares all of its tables with the original, and each change copies what leads to one entry,
/// so that publishing one change costs the same whatever else is answered.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Answers {
    links: OrdMap<LinkName, Eips>,
}

/// The EIPs of one link; at least one. Both tables are by the addresses as numbers, which are compared
/// faster than addresses, and in the same order.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
struct Eips {
    v4: OrdMap<u32, Answer>,
    v6: OrdMap<u128, Answer>,
}

impl Eips {
    fn get(&self, eip: IpAddr) -> Option<Answer> {
        match eip {
            IpAddr::V4(eip) => self.v4.get(&eip.to_bits()).copied(),
            IpAddr::V6(eip) => self.v6.get(&eip.to_bits()).copied(),
        }
    }

    fn iter(&self) -> impl Iterator<Item = (IpAddr, Answer)> + '_ {
        let v4 = self.v4.iter().map(|(&eip, &answer)| (Ipv4Addr::from_bits(eip).into(), answer));
        let v6 = self.v6.iter().map(|(&eip, &answer)| (Ipv6Addr::from_bits(eip).into(), answer));
        v4.chain(v6)
    }

    fn set(&mut self, eip: IpAddr, answer: Option<Answer>) -> Option<Answer> {
        match (eip, answer) {
            (IpAddr::V4(eip), Some(answer)) => self.v4.insert(eip.to_bits(), answer),
            (IpAddr::V4(eip), None) => self.v4.remove(&eip.to_bits()),
            (IpAddr::V6(eip), Some(answer)) => self.v6.insert(eip.to_bits(), answer),
            (IpAddr::V6(eip), None) => self.v6.remove(&eip.to_bits()),
        }
    }

    fn len(&self) -> usize {
        self.v4.len() + self.v6.len()
    }
}

impl Answers {
    /// Answers a question, or says why not. Allocates nothing and takes no lock.
    ///
    /// `until` is the deadline of the last [`Output::Permit`](crate::Output::Permit), read at the
    /// time of asking.
    pub fn answer(&self, question: &WhoHas, now: Instant, until: Instant) -> Result<IsAt, Silence> {
        if now >= until {
            return Err(Silence::NotLeader);
        }
        let WhoHas { link, target, asker, via } = *question;
        let mac = self.entry(link, target).unwrap_or(Err(Silence::NotAnEip))?;
        if asker.1 == mac {
            return Err(Silence::AskerIsTarget);
        }
        Ok(IsAt { link, target, mac, to: Some(asker), via })
    }

    /// Every EIP with its answer, by link and address.
    pub fn iter(&self) -> impl Iterator<Item = (LinkName, IpAddr, Result<MacAddr, Silence>)> + '_ {
        self.links
            .iter()
            .flat_map(|(&link, eips)| eips.iter().map(move |(eip, answer)| (link, eip, answer)))
    }

    /// What is answered for one EIP. Unlike [`Self::answer`], whoever asks and whenever.
    pub fn entry(&self, link: LinkName, eip: IpAddr) -> Option<Result<MacAddr, Silence>> {
        self.links.get(&link)?.get(eip)
    }

    /// Of how many EIPs something is said, counted once for every link.
    pub(crate) fn len(&self) -> usize {
        self.links.values().map(Eips::len).sum()
    }

    /// The links on which something is said of an EIP.
    pub(crate) fn links_of(&self, eip: IpAddr) -> impl Iterator<Item = LinkName> + '_ {
        self.links.iter().filter(move |(_, eips)| eips.get(eip).is_some()).map(|(&link, _)| link)
    }

    /// Sets or removes what is answered for one EIP. Returns what was answered before.
    pub(crate) fn set(
        &mut self,
        link: LinkName,
        eip: IpAddr,
        answer: Option<Result<MacAddr, Silence>>,
    ) -> Option<Result<MacAddr, Silence>> {
        let eips = match answer {
            Some(_) => self.links.entry(link).or_default(),
            None => self.links.get_mut(&link)?,
        };
        let before = eips.set(eip, answer);
        if eips.len() == 0 {
            self.links.remove(&link);
        }
        before
    }
}

impl FromIterator<(LinkName, IpAddr, Result<MacAddr, Silence>)> for Answers {
    /// What [`Answers::iter`] gives, put together again.
    fn from_iter<I>(entries: I) -> Self
    where
        I: IntoIterator<Item = (LinkName, IpAddr, Result<MacAddr, Silence>)>,
    {
        let mut answers = Self::default();
        for (link, eip, answer) in entries {
            answers.set(link, eip, Some(answer));
        }
        answers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EIP: IpAddr = IpAddr::V4(Ipv4Addr::new(172, 22, 0, 188));
    const NODE: MacAddr = MacAddr(2, 0, 0, 0, 0, 3);
    const CLIENT: MacAddr = MacAddr(2, 0, 0, 0, 0, 100);
    const UNTIL: Instant = Instant::from_millis(5_000);

    fn question(target: IpAddr, asker: MacAddr) -> WhoHas {
        let address = IpAddr::V4(Ipv4Addr::new(172, 22, 0, 100));
        WhoHas { link: LinkName::new("eth0").unwrap(), target, asker: (address, asker), via: asker }
    }

    fn answers() -> Answers {
        let mut answers = Answers::default();
        answers.set(LinkName::new("eth0").unwrap(), EIP, Some(Ok(NODE)));
        answers
    }

    #[test]
    fn an_eip_is_answered_until_the_deadline_and_not_at_it() {
        let ask = |now| answers().answer(&question(EIP, CLIENT), now, UNTIL);
        assert_eq!(ask(Instant::from_millis(4_999)).map(|is_at| is_at.mac), Ok(NODE));
        assert_eq!(ask(UNTIL), Err(Silence::NotLeader));
    }

    #[test]
    fn an_address_that_is_no_eip_of_the_link_is_left_alone() {
        let other = IpAddr::V4(Ipv4Addr::new(172, 22, 0, 189));
        let ask = |question| answers().answer(&question, Instant::ZERO, UNTIL);
        assert_eq!(ask(question(other, CLIENT)), Err(Silence::NotAnEip));
        let elsewhere = WhoHas { link: LinkName::new("eth1").unwrap(), ..question(EIP, CLIENT) };
        assert_eq!(ask(elsewhere), Err(Silence::NotAnEip));
    }

    #[test]
    fn what_was_put_in_is_given_by_link_and_address_and_what_was_taken_out_is_gone() {
        let [eth0, eth1] = ["eth0", "eth1"].map(|name| LinkName::new(name).unwrap());
        let [v4, v6] = [EIP, IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let entries =
            [(eth0, v4, Ok(NODE)), (eth0, v6, Err(Silence::NoNode)), (eth1, v4, Ok(NODE))];
        let mut answers: Answers = entries.into_iter().rev().collect();
        assert_eq!((answers.iter().collect::<Vec<_>>(), answers.len()), (entries.to_vec(), 3));
        assert_eq!(answers.links_of(v4).collect::<Vec<_>>(), [eth0, eth1]);
        assert_eq!(answers.links_of(v6).collect::<Vec<_>>(), [eth0]);
        for (link, eip, answer) in entries {
            assert_eq!(answers.set(link, eip, None), Some(answer));
        }
        assert_eq!(answers, Answers::default());
        assert_eq!(answers.set(eth0, v4, None), None);
    }

    #[test]
    fn all_reasons_are_listed_at_their_own_place() {
        for (place, reason) in Silence::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place, "{reason}");
        }
    }

    #[test]
    fn the_node_itself_is_not_told_that_it_has_the_eip() {
        let answer = answers().answer(&question(EIP, NODE), Instant::ZERO, UNTIL);
        assert_eq!(answer, Err(Silence::AskerIsTarget));
    }
}
