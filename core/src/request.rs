//! Which Services are ours, and what they ask for.

use std::net::IpAddr;

use crate::{
    EipName, Service,
    keys::{self, Spelling},
};

/// What a Service of ours asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Request {
    /// The spelling in which the Service addresses us, and is answered.
    pub(crate) spelling: Spelling,
    /// Whether the Service says itself that it wants layer2; if not, the Eip it names must.
    pub(crate) layer2: bool,
    /// The Eip it names.
    pub(crate) eip: Option<EipName>,
    /// The address it names, or the text that is none.
    pub(crate) address: Option<Result<IpAddr, String>>,
}

impl Request {
    /// What `service` asks of us; `None` if it is not ours.
    ///
    /// Ours is a Service of type LoadBalancer that is not being deleted, with the class
    /// [`keys::CLASS`], or with no class and the annotation [`keys::LOAD_BALANCER`]. A Service that
    /// names a protocol other than layer2 is somebody else's. One that names none is ours if it
    /// names an Eip that is layer2; the original's default protocol, bgp, is not spoken here.
    pub(crate) fn of(service: &Service) -> Option<Self> {
        let annotations = &service.metadata.annotations;
        let by_class = service.class.as_deref() == Some(keys::CLASS);
        let by_annotation = match annotations.get(keys::LOAD_BALANCER).map(String::as_str) {
            Some("porter") if service.class.is_none() => Some(Spelling::Porter),
            Some("openelb") if service.class.is_none() => Some(Spelling::OpenElb),
            Some(_) | None => None,
        };
        if !service.load_balancer || service.metadata.deleting {
            return None;
        }
        let spelling = by_annotation.or_else(|| by_class.then_some(Spelling::Porter))?;
        let protocol = keys::PROTOCOL.find(annotations).map(|(_, protocol)| protocol);
        let eip = keys::EIP.find(annotations).map(|(_, eip)| EipName::from(eip));
        let layer2 = match protocol {
            Some(keys::LAYER2_PROTOCOL) => true,
            Some(_) => return None,
            None if by_class => true,
            None if eip.is_some() => false,
            None => return None,
        };
        let address = service.requested_ip.as_deref();
        let address =
            address.or_else(|| keys::REQUESTED_IP.find(annotations).map(|(_, text)| text));
        let address = address.map(|text| text.parse().map_err(|_| text.to_owned()));
        Some(Self { spelling, layer2, eip, address })
    }

    /// Whether an address that the Service holds is what it asks for.
    pub(crate) fn is_met_by(&self, eip: &EipName, address: IpAddr) -> bool {
        let named = self.eip.as_ref().is_none_or(|named| named == eip);
        // Text that is no address asks for nothing that could be given instead.
        let asked = match &self.address {
            Some(Ok(asked)) => *asked == address,
            Some(Err(_)) | None => true,
        };
        named && asked
    }
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
    fn the_address_in_the_spec_wins_over_the_annotation() {
        let asked = ("eip.porter.kubesphere.io/v1alpha1", "172.22.0.190");
        let annotated = service(&[OURS, LAYER2, asked]);
        let address = |service: &Service| Request::of(service).unwrap().address;
        assert_eq!(address(&annotated), Some(Ok([172, 22, 0, 190].into())));
        let spec = Some("172.22.0.191".to_owned());
        let both = Service { requested_ip: spec, ..annotated };
        assert_eq!(address(&both), Some(Ok([172, 22, 0, 191].into())));
    }
}
