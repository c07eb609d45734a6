//! Which Services are ours, and what they ask for.
//!
//! What people wrote is read leniently and judged strictly: white space around a value and blank
//! values mean nothing, both spellings of a key are read, and whatever contradicts itself is decided
//! by a fixed rule and reported ([`Contradiction`]). Text that is no address is kept as it is, so
//! that the refusal can quote it.

use std::{fmt, net::IpAddr};

use crate::{
    EipName, Family, Service,
    keys::{self, Key, Spelling},
};

/// What a Service of ours asks for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Request {
    /// The spelling in which the Service addresses us, and is answered.
    pub(crate) spelling: Spelling,
    /// Whether the Service says itself that it wants layer2; if not, the Eip it names must.
    pub(crate) layer2: bool,
    /// The Eip it names.
    pub(crate) eip: Option<Asked<EipName>>,
    /// The address it names, or the text that is none.
    pub(crate) address: Option<Asked<Result<IpAddr, String>>>,
    /// The families it wants an address of, in its order; empty: one of any family.
    pub(crate) families: Vec<Family>,
}

/// Something asked for by name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Asked<T> {
    /// Where it is written: `spec.loadBalancerIP`, or the key of an annotation.
    pub(crate) field: &'static str,
    /// What is written there.
    pub(crate) value: T,
}

/// Two statements of one Service of which only one can hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Contradiction {
    /// `spec.loadBalancerIP` and the annotation name different addresses; the spec counts.
    Address {
        /// What the spec says.
        spec: String,
        /// The key of the annotation.
        key: &'static str,
        /// What it says.
        annotation: String,
    },
    /// The two spellings of one annotation differ; `porter` counts.
    Spellings {
        /// The annotation.
        key: Key,
        /// What its `porter` spelling says.
        porter: String,
        /// What its `openelb` spelling says.
        openelb: String,
    },
}

impl fmt::Display for Contradiction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { spec, key, annotation } => write!(
                f,
                "spec.loadBalancerIP {spec:?} counts, and the annotation {key} {annotation:?} does \
                 not; remove one of them"
            ),
            Self::Spellings { key, porter, openelb } => write!(
                f,
                "the annotation {} {porter:?} counts, and {} {openelb:?} does not; remove one of \
                 them",
                key.spelled(Spelling::Porter),
                key.spelled(Spelling::OpenElb),
            ),
        }
    }
}

/// Why a Service is none of ours.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum NotOurs {
    /// It is being deleted.
    Deleting,
    /// It names no protocol, and an Eip that there is not.
    NoEip(EipName),
    /// It names neither a protocol nor an Eip.
    NoProtocol,
    /// It names no protocol, and an Eip of another protocol.
    OtherEip(EipName),
    /// It has the class of another load balancer.
    OtherClass(String),
    /// It names another protocol.
    OtherProtocol(String),
    /// It is of another type than LoadBalancer.
    OtherType,
    /// It does not ask for us.
    Unasked,
}

impl fmt::Display for NotOurs {
    /// A clause about the Service, and what to do if it is meant to be ours.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = keys::PROTOCOL.spelled(Spelling::Porter);
        let layer2 = keys::LAYER2_PROTOCOL;
        match self {
            Self::Deleting => f.write_str("it is being deleted"),
            Self::NoEip(eip) => write!(f, "it names the Eip {eip}, and there is none of this name"),
            Self::NoProtocol => {
                write!(
                    f,
                    "it names neither a protocol nor an Eip; annotate it with {protocol}: {layer2}"
                )
            }
            Self::OtherEip(eip) => write!(
                f,
                "it names the Eip {eip}, whose spec.protocol is not {layer2}; name another, or annotate \
                 the Service with {protocol}: {layer2}"
            ),
            Self::OtherClass(class) => write!(
                f,
                "spec.loadBalancerClass {class:?} is another load balancer's; that of Porter is {}, and it \
                 is chosen when a Service is created",
                keys::CLASS
            ),
            Self::OtherProtocol(other) => {
                write!(f, "the annotation {protocol} is {other:?}; set it to {layer2}")
            }
            Self::OtherType => f.write_str("its type is not LoadBalancer; set spec.type"),
            Self::Unasked => {
                write!(
                    f,
                    "it says nothing of Porter; annotate it with {}: porter, and with {protocol}: {layer2}",
                    keys::LOAD_BALANCER
                )
            }
        }
    }
}

impl Request {
    /// What `service` asks of us; `None` if it is not ours.
    pub(crate) fn of(service: &Service) -> Option<Self> {
        Self::read(service).ok()
    }

    /// What `service` asks of us, or why it is not ours.
    ///
    /// Ours is a Service of type LoadBalancer that is not being deleted, with the class
    /// [`keys::CLASS`], or with no class and the annotation [`keys::LOAD_BALANCER`]. A Service that
    /// names a protocol other than layer2 is somebody else's. One that names none is ours if it
    /// names an Eip that is layer2; the original's default protocol, bgp, is not spoken here.
    pub(crate) fn read(service: &Service) -> Result<Self, NotOurs> {
        let annotations = &service.metadata.annotations;
        let by_class = service.class.as_deref() == Some(keys::CLASS);
        let by_annotation = match annotations.get(keys::LOAD_BALANCER).map(|text| text.trim()) {
            Some("porter") if service.class.is_none() => Some(Spelling::Porter),
            Some("openelb") if service.class.is_none() => Some(Spelling::OpenElb),
            Some(_) | None => None,
        };
        if service.metadata.deleting {
            return Err(NotOurs::Deleting);
        }
        if !service.load_balancer {
            return Err(NotOurs::OtherType);
        }
        let spelling = by_annotation.or_else(|| by_class.then_some(Spelling::Porter));
        let spelling = spelling.ok_or_else(|| match &service.class {
            Some(class) => NotOurs::OtherClass(class.clone()),
            None => NotOurs::Unasked,
        })?;
        let eip = annotated(service, keys::EIP);
        let layer2 = match keys::PROTOCOL.find(annotations) {
            Some((_, keys::LAYER2_PROTOCOL)) => true,
            Some((_, other)) => return Err(NotOurs::OtherProtocol(other.to_owned())),
            None if by_class => true,
            None if eip.is_some() => false,
            None => return Err(NotOurs::NoProtocol),
        };
        let address = requested_ip(service).or_else(|| annotated(service, keys::REQUESTED_IP));
        let parsed = |text: &str| text.parse().map_err(|_| text.to_owned());
        Ok(Self {
            spelling,
            layer2,
            eip: eip.map(|eip| Asked { field: eip.field, value: EipName::from(eip.value) }),
            address: address.map(|text| Asked { field: text.field, value: parsed(text.value) }),
            families: service.families.clone(),
        })
    }

    /// The address it names, if that is one.
    pub(crate) fn asked_address(&self) -> Option<IpAddr> {
        self.address.as_ref().and_then(|asked| asked.value.as_ref().ok()).copied()
    }

    /// What to say of a Service that has an address and names text that is none.
    pub(crate) fn no_address(&self) -> Option<String> {
        let Asked { field, value } = self.address.as_ref()?;
        let text = value.as_ref().err()?;
        Some(format!(
            "{field} is {text:?}, which is no IP address, so what is held stays; set it to one \
             address, or remove it"
        ))
    }

    /// Whether it wants an address of this family.
    pub(crate) fn wants(&self, family: Family) -> bool {
        self.families.is_empty() || self.families.contains(&family)
    }
}

fn requested_ip(service: &Service) -> Option<Asked<&str>> {
    let value = service.requested_ip.as_deref()?.trim();
    (!value.is_empty()).then_some(Asked { field: "spec.loadBalancerIP", value })
}

fn annotated(service: &Service, key: Key) -> Option<Asked<&str>> {
    let (spelling, value) = key.find(&service.metadata.annotations)?;
    Some(Asked { field: key.spelled(spelling), value })
}

/// Where a Service contradicts itself, and what counts.
pub(crate) fn contradictions(service: &Service) -> Vec<String> {
    let annotations = &service.metadata.annotations;
    let keys = [keys::PROTOCOL, keys::REQUESTED_IP, keys::EIP];
    let spellings = keys.into_iter().filter_map(|key| {
        let (porter, openelb) = key.contradiction(annotations)?;
        let (porter, openelb) = (porter.to_owned(), openelb.to_owned());
        Some(Contradiction::Spellings { key, porter, openelb })
    });
    let mut found: Vec<_> = spellings.collect();
    let spec = requested_ip(service);
    if let (Some(spec), Some(asked)) = (spec, annotated(service, keys::REQUESTED_IP))
        && !same_address(spec.value, asked.value)
    {
        found.push(Contradiction::Address {
            spec: spec.value.to_owned(),
            key: asked.field,
            annotation: asked.value.to_owned(),
        });
    }
    found.iter().map(Contradiction::to_string).collect()
}

/// Whether two texts name one address: IPv6 can be written in many ways.
fn same_address(a: &str, b: &str) -> bool {
    let parsed = |text: &str| text.parse::<IpAddr>().ok();
    a == b || parsed(a).is_some_and(|address| parsed(b) == Some(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(annotations: &[(&str, &str)]) -> Service {
        let mut service = Service { load_balancer: true, ..Service::default() };
        let annotations = annotations.iter().map(|&(key, value)| (key.into(), value.into()));
        service.metadata.annotations = annotations.collect();
        service
    }

    const OURS: (&str, &str) = ("lb.kubesphere.io/v1alpha1", "porter");
    const LAYER2: (&str, &str) = ("protocol.porter.kubesphere.io/v1alpha1", "layer2");
    const IP: &str = "eip.porter.kubesphere.io/v1alpha1";
    const IP_RENAMED: &str = "eip.openelb.kubesphere.io/v1alpha1";
    const EIP: &str = "eip.porter.kubesphere.io/v1alpha2";
    const EIP_RENAMED: &str = "eip.openelb.kubesphere.io/v1alpha2";

    fn request(annotations: &[(&str, &str)]) -> Request {
        let mut all = vec![OURS, LAYER2];
        all.extend(annotations);
        Request::of(&service(&all)).unwrap()
    }

    #[test]
    fn the_guides_service_is_ours_in_either_spelling() {
        let request = Request::of(&service(&[OURS, LAYER2])).unwrap();
        assert_eq!((request.spelling, request.layer2), (Spelling::Porter, true));
        let renamed = [
            ("lb.kubesphere.io/v1alpha1", "openelb"),
            ("protocol.openelb.kubesphere.io/v1alpha1", "layer2"),
        ];
        assert_eq!(Request::of(&service(&renamed)).unwrap().spelling, Spelling::OpenElb);
    }

    #[test]
    fn a_service_that_does_not_ask_for_layer2_is_left_alone() {
        let bgp = ("protocol.porter.kubesphere.io/v1alpha1", "bgp");
        let other = ("lb.kubesphere.io/v1alpha1", "metallb");
        for annotations in [&[][..], &[OURS], &[LAYER2], &[OURS, bgp], &[other, LAYER2]] {
            assert_eq!(Request::of(&service(annotations)), None, "{annotations:?}");
        }
        let retyped = Service { load_balancer: false, ..service(&[OURS, LAYER2]) };
        assert_eq!(Request::of(&retyped), None);
    }

    #[test]
    fn the_class_alone_is_enough_and_another_class_is_never_ours() {
        let with_class = |class: &str, annotations| Service {
            class: Some(class.to_owned()),
            ..service(annotations)
        };
        assert!(Request::of(&with_class(keys::CLASS, &[])).unwrap().layer2);
        assert_eq!(Request::of(&with_class("example.com/lb", &[OURS, LAYER2])), None);
    }

    #[test]
    fn the_address_in_the_spec_wins_over_the_annotation_and_says_so() {
        let annotated = service(&[OURS, LAYER2, (IP, "172.22.0.190")]);
        let request = Request::of(&annotated).unwrap();
        assert_eq!(request.asked_address(), Some([172, 22, 0, 190].into()));
        assert!(contradictions(&annotated).is_empty());
        let spec = Some("172.22.0.191".to_owned());
        let both = Service { requested_ip: spec, ..annotated };
        let request = Request::of(&both).unwrap();
        assert_eq!(request.asked_address(), Some([172, 22, 0, 191].into()));
        assert_eq!(
            contradictions(&both)[0],
            "spec.loadBalancerIP \"172.22.0.191\" counts, and the annotation \
             eip.porter.kubesphere.io/v1alpha1 \"172.22.0.190\" does not; remove one of them"
        );
    }

    #[test]
    fn one_address_written_in_two_ways_is_no_contradiction() {
        let annotated = service(&[OURS, LAYER2, (IP, "FD00:0::1")]);
        let both = Service { requested_ip: Some("fd00::1".to_owned()), ..annotated };
        assert!(contradictions(&both).is_empty());
    }

    #[test]
    fn the_porter_spelling_wins_over_a_different_openelb_one_and_says_so() {
        let service = service(&[OURS, LAYER2, (EIP, "ours"), (EIP_RENAMED, "theirs")]);
        let request = Request::of(&service).unwrap();
        assert_eq!(request.eip.unwrap(), Asked { field: EIP, value: EipName::from("ours") });
        assert_eq!(
            contradictions(&service)[0],
            "the annotation eip.porter.kubesphere.io/v1alpha2 \"ours\" counts, and \
             eip.openelb.kubesphere.io/v1alpha2 \"theirs\" does not; remove one of them"
        );
    }

    #[test]
    fn both_spellings_with_one_value_are_no_contradiction() {
        let service = service(&[OURS, LAYER2, (EIP, "pool"), (EIP_RENAMED, " pool ")]);
        assert!(contradictions(&service).is_empty());
    }

    #[test]
    fn blank_values_count_as_absent_and_white_space_around_a_value_means_nothing() {
        let blank = [OURS, LAYER2, (IP, " "), (IP_RENAMED, " 10.0.0.1\n"), (EIP, "")];
        let asked = Request::of(&service(&blank)).unwrap();
        let expected = Asked { field: IP_RENAMED, value: Ok([10, 0, 0, 1].into()) };
        assert_eq!((asked.address, asked.eip), (Some(expected), None));
        assert!(contradictions(&service(&blank)).is_empty());
        let blank = Service { requested_ip: Some("  ".into()), ..service(&[OURS, LAYER2]) };
        assert_eq!(Request::of(&blank).unwrap().address, None);
    }

    #[test]
    fn text_that_is_no_address_is_kept_to_be_quoted() {
        let asked = request(&[(IP, "10.0.0.300")]).address.unwrap();
        assert_eq!(asked, Asked { field: IP, value: Err("10.0.0.300".to_owned()) });
    }

    #[test]
    fn a_service_that_names_no_family_wants_any() {
        let any = request(&[]);
        assert!(any.wants(Family::V4) && any.wants(Family::V6));
        let families = vec![Family::V6];
        let v6 = Request::of(&Service { families, ..service(&[OURS, LAYER2]) }).unwrap();
        assert!(!v6.wants(Family::V4) && v6.wants(Family::V6));
    }
}
