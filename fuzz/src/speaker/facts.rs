//! Facts from small alphabets: few names and addresses, so that they meet, and texts that mean
//! something beside some that mean nothing.

use std::{collections::BTreeSet, net::IpAddr, time::Duration};

use porter_core::{
    Condition, Eip, EipName, EipStatus, Endpoint, Family, Fitness, Identity, Ingress, LeaseRecord,
    Link, LinkName, MacAddr, Metadata, Namespace, NamespaceName, Node, NodeName, Port, Service,
    ServiceName, Slice, SliceName, Timestamp, TrafficPolicy, Unroutable, Unusable, keys,
};

use super::script::Script;

/// Who the replica is.
pub(super) const ME: &str = "node1";

const SPELLINGS: [keys::Spelling; 2] = [keys::Spelling::Porter, keys::Spelling::OpenElb];
const NODES: [&str; 4] = ["node1", "node3", "node4", "node9"];

pub(super) fn mac(last: u8) -> MacAddr {
    MacAddr(2, 0, 0, 0, 0, last)
}

pub(super) fn link_name(script: &mut Script<'_>) -> LinkName {
    let name = script.pick(&["eth0", "eth1", "veth0"]);
    LinkName::new(name).expect("the names in this file are good")
}

pub(super) fn eip_name(script: &mut Script<'_>) -> EipName {
    EipName::from(script.pick(&["pool", "spare", "six"]))
}

pub(super) fn service_name(script: &mut Script<'_>) -> ServiceName {
    let name = script.pick(&["web", "api", "db", "mail"]);
    ServiceName::new(if name == "mail" { "shop" } else { "default" }, name)
}

pub(super) fn namespace_name(script: &mut Script<'_>) -> NamespaceName {
    NamespaceName::from(script.pick(&["default", "shop"]))
}

pub(super) fn node_name(script: &mut Script<'_>) -> NodeName {
    NodeName::from(script.pick(&NODES))
}

pub(super) fn slice_name(service: &ServiceName, family: Family) -> SliceName {
    SliceName::new(service.namespace(), &format!("{}-{family}", service.name()))
}

/// An address of a host, of an EIP, or of neither.
pub(super) fn address(script: &mut Script<'_>) -> IpAddr {
    let text = script.pick(&[
        "172.22.0.188",
        "172.22.0.189",
        "172.22.0.9",
        "172.22.0.10",
        "172.22.0.3",
        "fd00::188",
        "fd00::9",
        "0.0.0.0",
        "224.0.0.1",
        "::",
    ]);
    text.parse().expect("the addresses in this file are good")
}

/// The link of the guide, the same without carrier or addresses, and others.
pub(super) fn link(script: &mut Script<'_>) -> Result<Link, Unusable> {
    let nets: &[&str] = match script.below(6) {
        0 => &["172.22.0.3/24"],
        1 => &["172.22.0.3/24", "fd00::3/64", "fe80::3/64"],
        2 => &[],
        3 => &["172.22.0.188/32"],
        4 => &["0.0.0.0/0", "::/0"],
        _ => {
            let of = link_name(script);
            return Err(script.pick(&[Unusable::Missing, Unusable::NoArp, Unusable::Port { of }]));
        }
    };
    let gateways = match script.below(3) {
        0 => BTreeSet::new(),
        1 => BTreeSet::from([IpAddr::from([172, 22, 0, 1])]),
        _ => BTreeSet::from([IpAddr::from([172, 22, 0, 9]), IpAddr::from([10, 0, 0, 1])]),
    };
    let carrier = script.below(3) != 2;
    let addresses = nets.iter().map(|net| net.parse().expect("the nets in this file are good"));
    let mac = script.pick(&[mac(3), mac(4), MacAddr::zero(), MacAddr::broadcast()]);
    Ok(Link { mac, addresses: addresses.collect(), gateways, carrier })
}

/// By which link an address is reached.
pub(super) fn route(script: &mut Script<'_>) -> Result<LinkName, Unroutable> {
    match script.below(3) {
        0 => Ok(link_name(script)),
        1 => Err(Unroutable::NoRoute),
        _ => Err(Unroutable::Own),
    }
}

pub(super) fn eip(script: &mut Script<'_>) -> Eip {
    let address = script.pick(&[
        "172.22.0.188-172.22.0.200",
        "172.22.0.188",
        "172.22.0.188-172.22.0.189",
        "172.22.0.0/24",
        "fd00::180/121",
        "0.0.0.0/0",
        "::/0",
        "172.22.0.200-172.22.0.188",
        "",
        "nowhere",
    ]);
    let interface = script.pick(&[
        Some("eth0"),
        None,
        Some("eth1"),
        Some("can_reach:172.22.0.1"),
        Some("can_reach:fd00::1"),
        Some("can_reach:"),
        Some("a name that no link can have"),
        Some(""),
    ]);
    let mut eip = Eip {
        address: address.to_owned(),
        interface: interface.map(str::to_owned),
        protocol: script.pick(&[Some("layer2"), None, Some("bgp")]).map(str::to_owned),
        metadata: metadata(script),
        ..Eip::default()
    };
    match script.below(8) {
        1 => eip.disable = true,
        2 => eip.priority = i64::MIN,
        3 => eip.priority = i64::MAX,
        4 => eip.namespaces = BTreeSet::from(["shop".to_owned()]),
        5 => {
            eip.namespace_selector = [("tier".to_owned(), "front".to_owned())].into_iter().collect()
        }
        6 => {
            let annotations = &mut eip.metadata.annotations;
            annotations.insert(keys::DEFAULT_EIP.spelled(SPELLINGS[0]).to_owned(), "true".into());
        }
        _ => {}
    }
    eip
}

/// A status that somebody may have written by hand.
pub(super) fn eip_status(script: &mut Script<'_>) -> EipStatus {
    let mut status = EipStatus {
        pool_size: script.pick(&[13, 0, -1, i64::MAX]),
        first: Some(address(script)),
        last: Some(address(script)),
        ready: condition(script),
        ..EipStatus::default()
    };
    for _ in 0..script.below(4) {
        let holders = status.used.entry(address(script)).or_default();
        holders.insert(service_name(script));
        holders.insert(service_name(script));
    }
    status
}

pub(super) fn service(script: &mut Script<'_>) -> Service {
    let mut service = Service {
        load_balancer: script.below(5) != 4,
        metadata: metadata(script),
        ..Service::default()
    };
    let spelling = script.pick(&SPELLINGS);
    let annotations = &mut service.metadata.annotations;
    match script.below(4) {
        3 => service.class = Some(keys::CLASS.to_owned()),
        asked => {
            let value = ["porter", "openelb", "metallb"][asked];
            annotations.insert(keys::LOAD_BALANCER.to_owned(), value.to_owned());
            let protocol = script.pick(&["layer2", "bgp"]);
            annotations.insert(keys::PROTOCOL.spelled(spelling).to_owned(), protocol.to_owned());
        }
    }
    let asks: [(Option<keys::Key>, &str); 9] = [
        (None, ""),
        (Some(keys::REQUESTED_IP), "172.22.0.188"),
        (Some(keys::REQUESTED_IP), "fd00::188"),
        (Some(keys::REQUESTED_IP), "10.0.0.300"),
        (Some(keys::EIP), "pool"),
        (Some(keys::EIP), "spare"),
        (Some(keys::EIP), "nobody"),
        (Some(keys::LAYER2), "node3"),
        (Some(keys::LAYER2), "172.22.0.188=node4;fd00::188=nobody;="),
    ];
    for _ in 0..script.below(3) {
        if let (Some(key), value) = script.pick(&asks) {
            annotations.insert(key.spelled(script.pick(&SPELLINGS)).to_owned(), value.to_owned());
        }
    }
    service.policy = script.pick(&[TrafficPolicy::Cluster, TrafficPolicy::Local]);
    let ports: &[u16] = script.pick(&[&[80], &[], &[80, 443], &[0, u16::MAX]]);
    let ports = ports.iter().map(|&number| Port { protocol: "TCP".to_owned(), number });
    service.ports = ports.collect();
    let families: &[Family] = script.pick(&[
        &[],
        &[Family::V4],
        &[Family::V6],
        &[Family::V4, Family::V6],
        &[Family::V6, Family::V4],
        &[Family::V4, Family::V4],
    ]);
    service.families = families.to_vec();
    service.requires_dual_stack = script.below(4) == 3;
    if script.below(3) == 2 {
        service.selector.insert("app".to_owned(), "web".to_owned());
    }
    service
}

/// What a Service shows that somebody may have written by hand.
pub(super) fn ingress(script: &mut Script<'_>) -> Vec<Ingress> {
    let mut ingress = Vec::new();
    for _ in 0..script.below(4) {
        ingress.push(match script.below(3) {
            2 => Ingress::Other("{\"hostname\":\"a.example\"}".to_owned()),
            _ => Ingress::Address(address(script)),
        });
    }
    ingress
}

pub(super) fn condition(script: &mut Script<'_>) -> Option<Condition> {
    let reason = script.pick(&[None, Some("Served"), Some("AnnouncedElsewhere"), Some("")])?;
    Some(Condition {
        met: script.below(2) == 1,
        reason: reason.to_owned(),
        message: "by hand".to_owned(),
        generation: script.pick(&[0, 1, -1, i64::MAX]),
        since: Timestamp(script.pick(&[0, 1, i64::MIN, i64::MAX])),
    })
}

pub(super) fn node(script: &mut Script<'_>) -> Node {
    let addresses: &[&str] = script.pick(&[
        &["172.22.0.9"],
        &["172.22.0.10", "fd00::10"],
        &["172.22.0.3"],
        &["172.22.0.9", "fd00::9", "10.0.0.9"],
        &["172.22.0.188"],
        &["0.0.0.0", "224.0.0.1", "::"],
        &[],
    ]);
    let addresses = addresses.iter().map(|text| text.parse().expect("an address in this file"));
    let mut node = Node { ready: true, addresses: addresses.collect(), ..Node::default() };
    match script.below(6) {
        1 => node.ready = false,
        2 => node.network_unavailable = true,
        3 => node.cordoned = true,
        4 => node.excluded = true,
        5 => node.out_of_service = true,
        _ => {}
    }
    node
}

pub(super) fn slice(service: &ServiceName, family: Family, script: &mut Script<'_>) -> Slice {
    let mut endpoints = Vec::new();
    for _ in 0..script.below(4) {
        let state = script.below(4);
        endpoints.push(Endpoint {
            node: script
                .pick(&[Some("node3"), Some("node4"), Some("node1"), Some("none"), None])
                .map(NodeName::from),
            ready: state == 0,
            serving: state < 2,
            terminating: state == 1 || state == 3,
        });
    }
    Slice { service: service.clone(), family, endpoints }
}

pub(super) fn namespace(script: &mut Script<'_>) -> Namespace {
    let tier = script.pick(&[None, Some("front"), Some("back")]);
    Namespace {
        labels: tier.map(|tier| ("tier".to_owned(), tier.to_owned())).into_iter().collect(),
    }
}

/// A Lease as another replica, or a person, may have written it.
pub(super) fn lease(script: &mut Script<'_>) -> LeaseRecord {
    let somebody = |script: &mut Script<'_>| {
        script.pick(&[Some("node2"), None, Some("node5"), Some(ME), Some("")]).map(Identity::from)
    };
    let stamp = |script: &mut Script<'_>| Timestamp(script.pick(&[0, 1, 7, i64::MIN, i64::MAX]));
    LeaseRecord {
        holder: somebody(script),
        duration: Duration::from_secs(script.pick(&[5, 0, 1, 3_600, u32::MAX.into()])),
        acquired: stamp(script),
        renewed: stamp(script),
        transitions: script.pick(&[0, 1, u32::MAX]),
        released_by: if script.below(3) == 2 { somebody(script) } else { None },
        fitness: script.pick(&[
            None,
            Some(Fitness::Deaf),
            Some(Fitness::Fit(1)),
            Some(Fitness::Fit(u32::MAX)),
        ]),
        wanted_by: if script.below(3) == 2 { somebody(script) } else { None },
    }
}

fn metadata(script: &mut Script<'_>) -> Metadata {
    let mut metadata = Metadata {
        created: Timestamp(script.pick(&[0, 1, 2, -1, i64::MAX])),
        generation: script.pick(&[0, 1, i64::MAX]),
        ..Metadata::default()
    };
    match script.below(6) {
        1 => metadata.finalizers.push("example.com/other".to_owned()),
        2 => metadata.finalizers.push(keys::SERVICE_FINALIZER.to_owned()),
        3 => metadata.finalizers.push(keys::EIP_FINALIZER.to_owned()),
        4 => {
            let label = keys::EIP.spelled(script.pick(&SPELLINGS));
            metadata.labels.insert(label.to_owned(), script.pick(&["pool", "spare"]).to_owned());
        }
        _ => {}
    }
    metadata
}
