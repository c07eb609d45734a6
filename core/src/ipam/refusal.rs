//! Why a Service has no address, and what to do about it.
//!
//! Each refusal has a reason of one word, for the condition, and a message that names what stands in
//! the way and a remedy. All reasons, by who can help:
//!
//! | reason | what stands in the way |
//! |---|---|
//! | `MalformedAddress` | the Service names an address that is none |
//! | `AddressTaken` | another Service holds the address it names, and does not name it itself |
//! | `NotShareable` | another Service holds the address it names, and both do not go together |
//! | `AddressIsNodes` | the address it names is a node's |
//! | `AddressOutsideEip` | the address it names is not in the Eip it names |
//! | `AddressInNoEip` | the address it names is in no Eip |
//! | `NoSuchEip` | the Eip it names does not exist |
//! | `EipNotLayer2` | the Eip is of another protocol |
//! | `EipDisabled` | the Eip hands out nothing new |
//! | `EipDeleting` | the Eip is being deleted |
//! | `EipNotServed` | the Eip is not `Ready` |
//! | `FamilyMismatch` | what it names is of a family that it does not ask for |
//! | `Exhausted` | every Eip that may serve it is full |
//! | `NoEip` | no Eip may serve its namespace, or there is none at all |
//! | `AddressInUse` | somebody else has the address that it names, or all that would be free |
//! | `TooManyRecorded` | the Eip has no room to record another Service |

use std::{fmt, net::IpAddr, sync::Arc};

use super::{Standing, Unshareable};
use crate::{AddressRange, EipName, Family, ServiceName};

/// Why a Service does not get an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// Text that is no address, and where it is written.
    MalformedAddress { text: String, field: &'static str },
    /// The address is held by a Service that does not share it.
    AddressTaken { address: IpAddr, by: ServiceName },
    /// The address is held by a Service that it cannot be shared with.
    NotShareable { address: IpAddr, with: ServiceName, why: Unshareable },
    /// The address is a node's.
    AddressIsNodes(IpAddr),
    /// Somebody else was found to have the address, and who.
    AddressInUse { address: IpAddr, who: Arc<str> },
    /// The address is not in the Eip that is named beside it.
    AddressOutsideEip { address: IpAddr, eip: EipName, range: AddressRange },
    /// The address is in no Eip.
    AddressInNoEip(IpAddr),
    /// There is no such Eip, and where it is named.
    NoSuchEip { eip: EipName, field: &'static str },
    /// The Eip is of another protocol, or of none.
    EipNotLayer2 { eip: EipName, protocol: Option<String> },
    /// The Eip hands out nothing new.
    EipDisabled(EipName),
    /// The Eip is being deleted.
    EipDeleting(EipName),
    /// The Eip is not served.
    EipNotServed { eip: EipName, standing: Standing },
    /// What is named is not of the family that is asked for.
    FamilyMismatch { named: Named, field: &'static str, family: Family },
    /// All of these Eips are full; the one that would be preferred comes first.
    Exhausted(Vec<(EipName, AddressRange)>),
    /// All of these Eips are full but for addresses that somebody else has: this one and others.
    RestInUse { eips: Vec<(EipName, AddressRange)>, address: IpAddr, who: Arc<str>, others: usize },
    /// No Eip serves the namespace; these are the layer2 ones, each with the reason.
    NoEip { namespace: Arc<str>, family: Family, passed_over: Vec<(EipName, PassedOver)> },
    /// The Eip object cannot take another record.
    TooManyRecorded { eip: EipName, services: usize },
}

/// What a Service names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Named {
    /// An address.
    Address(IpAddr),
    /// An Eip, which has addresses of this family.
    Eip(EipName, Family),
}

/// Why an Eip does not serve a namespace.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum PassedOver {
    /// It is bound to others.
    BoundElsewhere,
    /// Its addresses are of this family.
    OtherFamily(Family),
    /// It hands out nothing new.
    Disabled,
    /// It is being deleted.
    Deleting,
    /// It is not served.
    NotServed(Standing),
}

impl Refusal {
    /// The reason of the condition, one word.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::MalformedAddress { .. } => "MalformedAddress",
            Self::AddressTaken { .. } => "AddressTaken",
            Self::NotShareable { .. } => "NotShareable",
            Self::AddressIsNodes(_) => "AddressIsNodes",
            Self::AddressInUse { .. } | Self::RestInUse { .. } => "AddressInUse",
            Self::AddressOutsideEip { .. } => "AddressOutsideEip",
            Self::AddressInNoEip(_) => "AddressInNoEip",
            Self::NoSuchEip { .. } => "NoSuchEip",
            Self::EipNotLayer2 { .. } => "EipNotLayer2",
            Self::EipDisabled(_) => "EipDisabled",
            Self::EipDeleting(_) => "EipDeleting",
            Self::EipNotServed { .. } => "EipNotServed",
            Self::FamilyMismatch { .. } => "FamilyMismatch",
            Self::Exhausted(_) => "Exhausted",
            Self::NoEip { .. } => "NoEip",
            Self::TooManyRecorded { .. } => "TooManyRecorded",
        }
    }

    /// The Service that stands in the way, if it is one: what it asks for, and on which ports, decides.
    pub(crate) fn rival(&self) -> Option<&ServiceName> {
        match self {
            Self::AddressTaken { by: rival, .. } | Self::NotShareable { with: rival, .. } => {
                Some(rival)
            }
            Self::MalformedAddress { .. }
            | Self::AddressIsNodes(_)
            | Self::AddressInUse { .. }
            | Self::AddressOutsideEip { .. }
            | Self::AddressInNoEip(_)
            | Self::NoSuchEip { .. }
            | Self::EipNotLayer2 { .. }
            | Self::EipDisabled(_)
            | Self::EipDeleting(_)
            | Self::EipNotServed { .. }
            | Self::FamilyMismatch { .. }
            | Self::Exhausted(_)
            | Self::RestInUse { .. }
            | Self::NoEip { .. }
            | Self::TooManyRecorded { .. } => None,
        }
    }

    /// What stands in the way, and what to do.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::MalformedAddress { text, field } => format!(
                "{field} is {text:?}, which is no IP address; set it to one address, such as \
                 192.0.2.1, or remove it"
            ),
            Self::AddressTaken { address, by } => format!(
                "{address} is held by Service {by}; name a free address, or set \
                 spec.loadBalancerIP: {address} on {by} too if both are to share it"
            ),
            Self::NotShareable { address, with, why } => not_shareable(*address, with, why),
            Self::AddressIsNodes(address) => {
                format!("{address} is the address of a node of this cluster; name another address")
            }
            Self::AddressInUse { address, who } => format!(
                "{address} is not given: {who}; name another, or take it off there, and it is tried \
                 again within ten minutes"
            ),
            Self::AddressOutsideEip { address, eip, range } => format!(
                "{address} is not in Eip {eip} ({range}); name an address of it, or drop the name \
                 of the address or of the Eip"
            ),
            Self::AddressInNoEip(address) => format!(
                "{address} is in no Eip; name an address of one (kubectl get eip), or create a \
                 layer2 Eip with it"
            ),
            Self::NoSuchEip { eip, field } => format!(
                "there is no Eip {eip}; create it, or correct the annotation {field} (kubectl get \
                 eip lists all)"
            ),
            Self::EipNotLayer2 { eip, protocol } => format!(
                "Eip {eip} is of protocol {}; name a layer2 Eip, or set spec.protocol: layer2 on it",
                protocol.as_deref().unwrap_or("bgp (the default)"),
            ),
            Self::EipDisabled(eip) => format!(
                "Eip {eip} is disabled; enable it: kubectl patch eip {eip} --type merge -p \
                 '{{\"spec\":{{\"disable\":false}}}}'"
            ),
            Self::EipDeleting(eip) => {
                format!("Eip {eip} is being deleted; name another Eip or none")
            }
            Self::EipNotServed { eip, standing } => format!("Eip {eip} is not served: {standing}"),
            Self::FamilyMismatch { named, field, family } => family_mismatch(named, field, *family),
            Self::Exhausted(eips) => exhausted(eips),
            Self::RestInUse { eips, address, who, others } => {
                let others = match others {
                    0 => String::new(),
                    others => format!(", and {others} more likewise"),
                };
                format!("{}; {address} is set aside: {who}{others}", exhausted(eips))
            }
            Self::NoEip { namespace, family, passed_over } => {
                no_eip(namespace, *family, passed_over)
            }
            Self::TooManyRecorded { eip, services } => format!(
                "Eip {eip} has {services} Services on record, and its object can hold no more; \
                 split its range: create another layer2 Eip, and let this one keep what is used"
            ),
        }
    }
}

fn not_shareable(address: IpAddr, with: &ServiceName, why: &Unshareable) -> String {
    let cannot = format!("{address} cannot be shared with Service {with}");
    match why {
        Unshareable::OtherEip(eip) => format!(
            "{address} is held by Service {with} of Eip {eip}, whose range no longer has it; name \
             another address until that one is given back"
        ),
        Unshareable::Leaving => {
            format!("{address} is being given back by Service {with}; it is free in a moment")
        }
        Unshareable::Namespace => format!(
            "{cannot}: only Services of one namespace share an address; name another address, or \
             move one of them"
        ),
        Unshareable::NotNamed => format!(
            "{cannot}, which names it: every sharer has to; set spec.loadBalancerIP: {address}"
        ),
        Unshareable::Port(port) => format!(
            "{cannot}: both have port {port}; change spec.ports of one of them, or name another \
             address"
        ),
        Unshareable::Selector => format!(
            "{cannot}: all sharers must have spec.externalTrafficPolicy: Cluster, or all the same \
             spec.selector; change that, or name another address"
        ),
    }
}

fn family_mismatch(named: &Named, field: &str, family: Family) -> String {
    let (what, own) = match named {
        Named::Address(address) => (format!("address {address}"), Family::of(*address)),
        Named::Eip(eip, own) => (format!("Eip {eip}"), *own),
    };
    format!(
        "{field} names {what}, which is {own}, but the Service asks for {family}; name an {family} \
         one, or add {own} to spec.ipFamilies"
    )
}

fn exhausted(eips: &[(EipName, AddressRange)]) -> String {
    let named = listed(eips, |(eip, range)| match range.size() {
        1 => format!("Eip {eip} ({range}, 1 address)"),
        i64::MAX => format!("Eip {eip} ({range})"),
        size => format!("Eip {eip} ({range}, {size} addresses)"),
    });
    format!(
        "no address is free in {named}; enlarge spec.address, create another layer2 Eip, or delete \
         a Service that needs none"
    )
}

fn no_eip(namespace: &str, family: Family, passed_over: &[(EipName, PassedOver)]) -> String {
    if passed_over.is_empty() {
        return "there is no layer2 Eip; create one with spec.protocol: layer2, spec.address and \
                spec.interface"
            .to_owned();
    }
    let why = listed(passed_over, |(eip, why)| match why {
        PassedOver::BoundElsewhere => format!("Eip {eip} is bound to other namespaces"),
        PassedOver::OtherFamily(own) => format!("Eip {eip} has {own} addresses"),
        PassedOver::Disabled => format!("Eip {eip} is disabled"),
        PassedOver::Deleting => format!("Eip {eip} is being deleted"),
        PassedOver::NotServed(standing) => {
            format!("Eip {eip} is not served ({})", standing.reason())
        }
    });
    format!(
        "no Eip gives {family} addresses to namespace {namespace}: {why}; create a layer2 Eip for \
         it, or change one of these"
    )
}

/// A list that stays readable however many there are.
fn listed<T>(all: &[T], text: impl Fn(&T) -> String) -> String {
    const SHOWN_MAX: usize = 4;
    let mut list = all.iter().take(SHOWN_MAX).map(text).collect::<Vec<_>>().join(", ");
    if let Some(more) = all.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        list.push_str(&format!(" and {more} more"));
    }
    list
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason(), self.message())
    }
}
