//! What Services get of which Eips, told as stories over a small cluster.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::{Ingress, Metadata, Port, Timestamp, TrafficPolicy, Version, keys, request::Request};

const EIP: &str = "eip.porter.kubesphere.io/v1alpha2";

/// What an [`Ipam`] is told of.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) ipam: Ipam,
    pub(super) eips: BTreeMap<EipName, Eip>,
    pub(super) services: Store<ServiceName, Service>,
    labels: BTreeMap<String, String>,
    version: u64,
}

impl World {
    pub(super) fn new(eips: &[(&str, Eip)]) -> Self {
        let mut world = Self {
            ipam: Ipam::default(),
            eips: BTreeMap::new(),
            services: Store::new(),
            labels: BTreeMap::new(),
            version: 0,
        };
        for (name, eip) in eips {
            world.eip(name, Some(eip.clone()));
        }
        world
    }

    pub(super) fn eip(&mut self, name: &str, eip: Option<Eip>) {
        let name = EipName::from(name);
        self.ipam.handle_eip(&name, eip.as_ref());
        match eip {
            Some(eip) => self.eips.insert(name, eip),
            None => self.eips.remove(&name),
        };
    }

    fn edit(&mut self, name: &str, edit: impl FnOnce(&mut Eip)) {
        let mut eip = self.eips[&EipName::from(name)].clone();
        edit(&mut eip);
        self.eip(name, Some(eip));
    }

    pub(super) fn service(&mut self, name: &ServiceName, service: Service) {
        self.version += 1;
        self.services.apply(name.clone(), Version(self.version), Some(service));
    }

    pub(super) fn with<T>(
        &mut self,
        name: &ServiceName,
        act: impl FnOnce(&mut Ipam, &Asker<'_>) -> T,
    ) -> T {
        let service = self.services.get(name).unwrap();
        let request = Request::of(service).unwrap();
        let labels = Some(&self.labels);
        let services = &self.services;
        act(&mut self.ipam, &Asker { name, service, request: &request, labels, services })
    }

    pub(super) fn allocate(
        &mut self,
        name: &ServiceName,
        family: Family,
    ) -> Result<Holding, Refusal> {
        self.with(name, |ipam, asker| ipam.allocate(asker, family))
    }

    /// What a new Service in `default` gets: "EIP ADDRESS", or "REASON: MESSAGE".
    fn ask(&mut self, name: &str, service: Service) -> String {
        self.ask_of(&named(name), service, Family::V4)
    }

    fn ask_of(&mut self, name: &ServiceName, service: Service, family: Family) -> String {
        self.service(name, service);
        match self.allocate(name, family) {
            Ok(holding) => format!("{} {}", holding.eip, holding.address),
            Err(refusal) => refusal.to_string(),
        }
    }

    fn release(&mut self, name: &str) {
        for family in [Family::V4, Family::V6] {
            self.ipam.release(&named(name), family);
        }
    }

    fn conflict(&mut self, name: &str) -> Option<String> {
        let holding = self.ipam.holdings_of(&named(name)).next().unwrap().clone();
        let refusal =
            self.with(&named(name), |ipam, asker| ipam.sharing_conflict(asker, &holding))?;
        Some(refusal.to_string())
    }

    fn meets(&mut self, name: &str) -> bool {
        let holding = self.ipam.holdings_of(&named(name)).next().unwrap().clone();
        self.with(&named(name), |ipam, asker| ipam.meets(asker, &holding))
    }
}

pub(super) fn eip(address: &str) -> Eip {
    Eip {
        address: address.to_owned(),
        interface: Some("eth0".to_owned()),
        protocol: Some("layer2".to_owned()),
        ..Eip::default()
    }
}

fn aged(seconds: i64, eip: Eip) -> Eip {
    Eip { metadata: Metadata { created: Timestamp(seconds), ..eip.metadata }, ..eip }
}

fn default_eip(address: &str) -> Eip {
    let mut eip = eip(address);
    let key = keys::DEFAULT_EIP.spelled(keys::Spelling::Porter).to_owned();
    eip.metadata.annotations.insert(key, "true".to_owned());
    eip
}

fn bound(namespace: &str, priority: i64, address: &str) -> Eip {
    Eip { namespaces: BTreeSet::from([namespace.to_owned()]), priority, ..eip(address) }
}

pub(super) fn named(name: &str) -> ServiceName {
    ServiceName::new("default", name)
}

/// A Service with port 80 that asks for any address.
pub(super) fn web() -> Service {
    let mut service = Service { load_balancer: true, ..Service::default() };
    service.class = Some(keys::CLASS.to_owned());
    service.ports.insert(Port { protocol: "TCP".to_owned(), number: 80 });
    service
}

fn on(port: u16, service: Service) -> Service {
    Service {
        ports: BTreeSet::from([Port { protocol: "TCP".to_owned(), number: port }]),
        ..service
    }
}

pub(super) fn at(address: &str, service: Service) -> Service {
    Service { requested_ip: Some(address.to_owned()), ..service }
}

fn of(eip: &str, mut service: Service) -> Service {
    service.metadata.annotations.insert(EIP.to_owned(), eip.to_owned());
    service
}

fn showing(address: &str, service: Service) -> Service {
    Service { ingress: vec![Ingress::Address(address.parse().unwrap())], ..service }
}

fn families(families: &[Family], service: Service) -> Service {
    Service { families: families.to_vec(), ..service }
}

fn selecting(app: &str, policy: TrafficPolicy, service: Service) -> Service {
    let selector = BTreeMap::from([("app".to_owned(), app.to_owned())]);
    Service { selector, policy, ..service }
}

fn reason(refused: &str) -> &str {
    refused.split(':').next().unwrap()
}

mod addresses {
    use super::*;

    #[test]
    fn the_lowest_free_address_is_given_and_a_freed_one_at_once_again() {
        let mut world = World::new(&[("pool", eip("172.22.0.188-172.22.0.190"))]);
        for (name, last) in [("a", 188), ("b", 189), ("c", 190)] {
            assert_eq!(world.ask(name, web()), format!("pool 172.22.0.{last}"));
        }
        assert_eq!(
            world.ask("d", web()),
            "Exhausted: no address is free in Eip pool (172.22.0.188-172.22.0.190, 3 addresses); \
             enlarge spec.address, create another layer2 Eip, or delete a Service that needs none"
        );
        world.release("b");
        assert_eq!(world.ask("d", web()), "pool 172.22.0.189");
    }

    #[test]
    fn the_first_and_the_last_address_of_a_network_are_given_like_any_other() {
        let mut world = World::new(&[("pool", eip("10.0.0.0/24"))]);
        assert_eq!(world.ask("a", web()), "pool 10.0.0.0");
        assert_eq!(world.ask("b", at("10.0.0.255", web())), "pool 10.0.0.255");
    }

    #[test]
    fn a_pool_may_be_as_large_as_its_family() {
        let mut world = World::new(&[("four", eip("0.0.0.0/0")), ("six", eip("::/0"))]);
        assert_eq!(world.ask("a", web()), "four 0.0.0.0");
        assert_eq!(world.ask("b", at("255.255.255.255", web())), "four 255.255.255.255");
        assert_eq!(world.ask_of(&named("c"), web(), Family::V6), "six ::");
        let last = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let asks = at(last, web());
        assert_eq!(world.ask_of(&named("d"), asks, Family::V6), format!("six {last}"));
        world.release("c");
        assert_eq!(world.ask_of(&named("e"), web(), Family::V6), "six ::");
    }

    #[test]
    fn the_address_of_a_node_is_skipped_refused_by_name_and_kept_by_who_holds_it() {
        let mut world = World::new(&[("pool", eip("10.0.0.1-10.0.0.4"))]);
        assert_eq!(world.ask("a", web()), "pool 10.0.0.1");
        let node = |last| [10, 0, 0, last].into();
        world.ipam.handle_node_addresses(&BTreeSet::from([node(1), node(2)]));
        assert_eq!(world.ask("b", web()), "pool 10.0.0.3");
        assert_eq!(
            world.ask("c", at("10.0.0.2", web())),
            "AddressIsNodes: 10.0.0.2 is the address of a node of this cluster; name another address"
        );
        assert_eq!(world.ipam.used(&"pool".into()).len(), 2);
        world.release("a");
        assert_eq!(world.ask("d", web()), "pool 10.0.0.4");
        world.ipam.handle_node_addresses(&BTreeSet::new());
        assert_eq!(world.ask("e", web()), "pool 10.0.0.1");
        assert_eq!(world.ask("f", web()), "pool 10.0.0.2");
    }

    #[test]
    fn what_a_smaller_range_leaves_outside_is_held_on_and_not_given_again() {
        let mut world = World::new(&[("pool", eip("10.0.0.1-10.0.0.4"))]);
        for name in ["a", "b", "c"] {
            world.ask(name, web());
        }
        world.edit("pool", |eip| eip.address = "10.0.0.3-10.0.0.4".to_owned());
        assert_eq!(world.ipam.used(&"pool".into()).len(), 3);
        assert!(world.meets("a"));
        assert_eq!(world.ask("d", web()), "pool 10.0.0.4");
        world.release("a");
        assert_eq!(reason(&world.ask("e", web())), "Exhausted");
        world.edit("pool", |eip| eip.address = "10.0.0.1-10.0.0.4".to_owned());
        assert_eq!(world.ask("e", web()), "pool 10.0.0.1");
    }

    #[test]
    fn what_one_eip_holds_no_other_gives_whatever_the_ranges_have_become() {
        let mut world = World::new(&[("first", eip("10.0.0.1")), ("second", eip("10.0.9.9"))]);
        assert_eq!(world.ask("a", of("first", web())), "first 10.0.0.1");
        world.edit("first", |eip| eip.address = "10.0.8.8".to_owned());
        world.edit("second", |eip| eip.address = "10.0.0.1-10.0.0.2".to_owned());
        assert_eq!(world.ask("b", of("second", web())), "second 10.0.0.2");
        assert_eq!(
            world.ask("c", on(81, at("10.0.0.1", web()))),
            "NotShareable: 10.0.0.1 is held by Service default/a of Eip first, whose range no \
             longer has it; name another address until that one is given back"
        );
        world.release("a");
        assert_eq!(world.ask("c", web()), "first 10.0.8.8");
        assert_eq!(world.ask("d", web()), "second 10.0.0.1");
    }

    #[test]
    fn an_eip_that_is_gone_is_held_on_until_the_last_address_is_released() {
        let mut world = World::new(&[("pool", eip("10.0.0.1"))]);
        world.ask("a", web());
        world.eip("pool", None);
        assert_eq!(world.ipam.standing(&"pool".into()), None);
        assert!(world.ipam.in_use(&"pool".into()) && !world.meets("a"));
        world.eip("other", Some(eip("10.0.0.1-10.0.0.2")));
        assert_eq!(world.ask("b", web()), "other 10.0.0.2");
        world.release("a");
        assert!(!world.ipam.in_use(&"pool".into()));
        assert_eq!(world.ask("c", web()), "other 10.0.0.1");
    }
}

mod standings {
    use super::*;

    fn standing(world: &World, name: &str) -> String {
        world.ipam.standing(&name.into()).unwrap().to_string()
    }

    #[test]
    fn the_younger_of_two_eips_that_overlap_is_not_served_until_the_older_makes_room() {
        let young = aged(2, eip("10.0.0.9-10.0.0.20"));
        let old = aged(1, eip("10.0.0.1-10.0.0.9"));
        let mut world = World::new(&[("a-young", young), ("z-old", old)]);
        assert_eq!(
            standing(&world, "a-young"),
            "spec.address 10.0.0.9-10.0.0.20 overlaps the older Eip z-old (10.0.0.1-10.0.0.9); \
             change the range of one of them"
        );
        assert_eq!(world.ask("a", web()), "z-old 10.0.0.1");
        let refused = world.ask("b", of("a-young", web()));
        assert_eq!(reason(&refused), "EipNotServed");
        world.edit("z-old", |eip| eip.address = "10.0.0.1-10.0.0.8".to_owned());
        assert_eq!(world.ask("b", of("a-young", web())), "a-young 10.0.0.9");
    }

    #[test]
    fn an_older_eip_of_any_protocol_counts_and_a_younger_one_does_not() {
        let bgp = |age| aged(age, Eip { protocol: Some("bgp".to_owned()), ..eip("10.0.0.0/24") });
        let pool = ("pool", aged(5, eip("10.0.0.1")));
        let world = World::new(&[("bgp", bgp(1)), pool.clone()]);
        assert!(matches!(world.ipam.standing(&"pool".into()), Some(Standing::Overlaps { .. })));
        let world = World::new(&[("bgp", bgp(9)), pool]);
        assert_eq!(world.ipam.standing(&"pool".into()), Some(&Standing::Served));
    }

    #[test]
    fn what_the_elder_took_over_by_a_change_of_range_stays_with_its_holder() {
        let old = ("old", aged(1, eip("10.0.0.1")));
        let young = ("young", aged(2, eip("10.0.0.2-10.0.0.3")));
        let mut world = World::new(&[old, young]);
        assert_eq!(world.ask("a", of("young", web())), "young 10.0.0.2");
        world.edit("old", |eip| eip.address = "10.0.0.1-10.0.0.3".to_owned());
        assert!(world.meets("a"));
        assert_eq!(world.ask("b", web()), "old 10.0.0.1");
        assert_eq!(world.ask("c", web()), "old 10.0.0.3");
        assert_eq!(reason(&world.ask("d", web())), "Exhausted");
        world.release("a");
        assert_eq!(world.ask("d", web()), "old 10.0.0.2");
    }

    #[test]
    fn two_eips_may_swap_their_ranges() {
        let mut world = World::new(&[("a", eip("10.0.0.1")), ("b", eip("10.0.0.2"))]);
        world.edit("a", |eip| eip.address = "10.0.0.2".to_owned());
        assert!(matches!(world.ipam.standing(&"b".into()), Some(Standing::Overlaps { .. })));
        world.edit("b", |eip| eip.address = "10.0.0.1".to_owned());
        assert_eq!(world.ask("x", of("a", web())), "a 10.0.0.2");
        assert_eq!(world.ask("y", of("b", web())), "b 10.0.0.1");
    }

    #[test]
    fn an_eip_says_what_keeps_it_from_being_served() {
        let on_link = |interface: Option<&str>| Eip {
            interface: interface.map(str::to_owned),
            ..eip("10.0.0.1")
        };
        for (eip, said) in [
            (on_link(None), "spec.interface is empty"),
            (on_link(Some(" ")), "spec.interface is empty"),
            (on_link(Some("eth0:1")), "is no name of a network interface"),
            (on_link(Some("can_reach:10.0.0.9")), "is not resolved"),
            (Eip { address: "ten".to_owned(), ..on_link(Some("eth0")) }, "is no address, CIDR"),
        ] {
            let mut world = World::new(&[("pool", eip)]);
            assert!(standing(&world, "pool").contains(said), "{said}");
            assert_eq!(reason(&world.ask("a", web())), "NoEip");
            let by_name = world.ask("a", of("pool", web()));
            assert!(by_name.starts_with("EipNotServed: Eip pool is not served"), "{by_name}");
            assert!(by_name.contains(said), "{by_name}");
        }
    }
}

mod choices {
    use super::*;

    #[test]
    fn bound_eips_come_first_then_the_default_then_the_unbound_each_by_priority_and_name() {
        let unbound = |priority, address| Eip { priority, ..eip(address) };
        let mut world = World::new(&[
            ("unbound-b", unbound(1, "10.0.0.5")),
            ("unbound-a", unbound(1, "10.0.0.4")),
            ("unbound-z", unbound(0, "10.0.0.3")),
            ("default", default_eip("10.0.0.2")),
            ("elsewhere", bound("shop", 0, "10.0.0.6")),
            ("bound-a", bound("default", 7, "10.0.0.1")),
            ("bound-z", bound("default", 3, "10.0.0.0")),
        ]);
        for last in 0..6 {
            let given = world.ask(&format!("s{last}"), web());
            assert!(given.ends_with(&format!(" 10.0.0.{last}")), "{last}: {given}");
        }
        let refused = world.ask("s6", web());
        assert!(refused.starts_with("Exhausted: no address is free in Eip bound-z"), "{refused}");
        assert!(!refused.contains("elsewhere"), "{refused}");
    }

    #[test]
    fn a_selector_binds_to_namespaces_with_all_of_its_labels() {
        let team = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
        };
        let selector = team(&[("team", "web"), ("stage", "live")]);
        let mut world =
            World::new(&[("pool", Eip { namespace_selector: selector, ..eip("10.0.0.1") })]);
        assert_eq!(
            world.ask("a", web()),
            "NoEip: no Eip gives IPv4 addresses to namespace default: Eip pool is bound to other \
             namespaces; create a layer2 Eip for it, or change one of these"
        );
        world.labels = team(&[("team", "web")]);
        assert_eq!(reason(&world.ask("a", web())), "NoEip");
        world.labels = team(&[("team", "web"), ("stage", "live"), ("more", "yes")]);
        assert_eq!(world.ask("a", web()), "pool 10.0.0.1");
    }

    #[test]
    fn a_name_ignores_to_which_namespaces_an_eip_is_bound() {
        let mut world = World::new(&[("shop", bound("shop", 0, "10.0.0.1-10.0.0.2"))]);
        assert_eq!(reason(&world.ask("a", web())), "NoEip");
        assert_eq!(world.ask("a", of("shop", web())), "shop 10.0.0.1");
        assert_eq!(world.ask("b", at("10.0.0.2", web())), "shop 10.0.0.2");
    }

    #[test]
    fn an_address_that_is_shown_is_kept_if_it_may_be_had() {
        let mut world = World::new(&[
            ("default", default_eip("10.0.0.0/30")),
            ("other", eip("10.0.1.0/30")),
            ("shop", bound("shop", 0, "10.0.2.0/30")),
        ]);
        assert_eq!(world.ask("a", showing("10.0.1.2", web())), "other 10.0.1.2");
        assert_eq!(world.ask("b", showing("10.0.1.2", web())), "default 10.0.0.0");
        assert_eq!(world.ask("c", showing("10.0.2.1", web())), "default 10.0.0.1");
        let named = of("other", showing("10.0.0.3", web()));
        assert_eq!(world.ask("d", named), "other 10.0.1.0");
        let asked = at("10.0.1.3", showing("10.0.0.3", web()));
        assert_eq!(world.ask("e", asked), "other 10.0.1.3");
    }

    #[test]
    fn a_disabled_eip_gives_nothing_but_what_is_shown_already() {
        let mut world = World::new(&[("pool", Eip { disable: true, ..eip("10.0.0.0/30") })]);
        assert_eq!(reason(&world.ask("a", web())), "NoEip");
        assert_eq!(
            world.ask("a", of("pool", web())),
            "EipDisabled: Eip pool is disabled; enable it: kubectl patch eip pool --type merge -p \
             '{\"spec\":{\"disable\":false}}'"
        );
        assert_eq!(reason(&world.ask("a", at("10.0.0.1", web()))), "EipDisabled");
        assert_eq!(world.ask("b", showing("10.0.0.2", web())), "pool 10.0.0.2");
        assert_eq!(world.ask("c", at("10.0.0.3", showing("10.0.0.3", web()))), "pool 10.0.0.3");
        world.edit("pool", |eip| eip.metadata.deleting = true);
        assert_eq!(reason(&world.ask("d", showing("10.0.0.0", web()))), "NoEip");
        assert_eq!(reason(&world.ask("d", of("pool", web()))), "EipDeleting");
    }

    #[test]
    fn what_is_shown_is_taken_back_unless_it_is_held_or_something_else_is_asked_for() {
        let mut world = World::new(&[("pool", eip("10.0.0.0/30"))]);
        let two = [10, 0, 0, 2].into();
        let mut take_back = |name: &str, service: Service| {
            world.service(&named(name), service);
            world.with(&named(name), |ipam, asker| ipam.take_back(asker, two))
        };
        assert!(!take_back("a", at("10.0.0.1", showing("10.0.0.2", web()))));
        assert!(!take_back("a", of("other", showing("10.0.0.2", web()))));
        assert!(take_back("b", showing("10.0.0.2", web())));
        assert!(!take_back("b", showing("10.0.0.2", web())));
        assert!(!take_back("c", showing("10.0.0.2", web())));
    }

    #[test]
    fn what_a_service_names_wrongly_is_refused_with_a_remedy() {
        let bgp = Eip { protocol: None, ..eip("10.0.9.0/24") };
        let mut world = World::new(&[("pool", eip("10.0.0.0/30")), ("bgp", bgp)]);
        for (service, expected) in [
            (
                at("10.0.0.300", web()),
                "MalformedAddress: spec.loadBalancerIP is \"10.0.0.300\", which is no IP address; \
                 set it to one address, such as 192.0.2.1, or remove it",
            ),
            (
                at("10.0.1.1", web()),
                "AddressInNoEip: 10.0.1.1 is in no Eip; name an address of one (kubectl get eip), \
                 or create a layer2 Eip with it",
            ),
            (
                at("10.0.1.1", of("pool", web())),
                "AddressOutsideEip: 10.0.1.1 is not in Eip pool (10.0.0.0-10.0.0.3); name an \
                 address of it, or drop the name of the address or of the Eip",
            ),
            (
                of("pol", web()),
                "NoSuchEip: there is no Eip pol; create it, or correct the annotation \
                 eip.porter.kubesphere.io/v1alpha2 (kubectl get eip lists all)",
            ),
            (
                of("bgp", web()),
                "EipNotLayer2: Eip bgp is of protocol bgp (the default); name a layer2 Eip, or set \
                 spec.protocol: layer2 on it",
            ),
        ] {
            assert_eq!(world.ask("a", service), expected);
        }
        assert_eq!(reason(&world.ask("a", at("10.0.9.1", web()))), "EipNotLayer2");
    }

    #[test]
    fn without_any_layer2_eip_it_is_said_what_to_create() {
        let bgp = Eip { protocol: Some("bgp".to_owned()), ..eip("10.0.9.0/24") };
        assert_eq!(
            World::new(&[("bgp", bgp)]).ask("a", web()),
            "NoEip: there is no layer2 Eip; create one with spec.protocol: layer2, spec.address \
             and spec.interface"
        );
    }

    #[test]
    fn a_list_of_eips_stays_readable_however_many_there_are() {
        let eips: Vec<_> = (0..9).map(|i| (format!("e{i}"), eip(&format!("fd00::{i}")))).collect();
        let eips: Vec<_> = eips.iter().map(|(name, eip)| (name.as_str(), eip.clone())).collect();
        let refused = World::new(&eips).ask("a", web());
        assert!(refused.contains("Eip e3 has IPv6 addresses and 5 more; create"), "{refused}");
    }

    #[test]
    fn a_record_that_would_outgrow_the_object_is_refused_before_it_does() {
        let mut world = World::new(&[("pool", eip("10.0.0.0/16"))]);
        let name = |i: usize| ServiceName::new(&"n".repeat(63), &format!("{i:063}"));
        let mut count = 0;
        let refused = loop {
            let given = world.ask_of(&name(count), web(), Family::V4);
            if !given.starts_with("pool ") {
                break given;
            }
            count += 1;
        };
        assert!(
            refused
                .starts_with(&format!("TooManyRecorded: Eip pool has {count} Services on record"))
        );
        let record = world.ipam.record(&"pool".into());
        assert!(record.bytes <= Record::BYTES_MAX && record.is_high());
        world.ipam.release(&name(0), Family::V4);
        assert_eq!(world.ask_of(&name(count), web(), Family::V4), "pool 10.0.0.0");
    }
}

mod families {
    use super::*;

    const DUAL: [Family; 2] = [Family::V4, Family::V6];

    fn both() -> World {
        World::new(&[
            ("four", eip("10.0.0.0/30")),
            ("six", eip("fd00::/126")),
            ("six-too", eip("fd01::/126")),
        ])
    }

    fn pair(world: &mut World, name: &str, service: Service) -> [String; 2] {
        DUAL.map(|family| world.ask_of(&named(name), families(&DUAL, service.clone()), family))
    }

    #[test]
    fn a_dual_stack_service_gets_an_address_of_each_family() {
        let mut world = both();
        assert_eq!(pair(&mut world, "a", web()), ["four 10.0.0.0", "six fd00::"]);
        let held: Vec<_> = world.ipam.holdings_of(&named("a")).collect();
        assert_eq!(held[0].address.to_string(), "10.0.0.0");
        assert_eq!(held.len(), 2);
        world.ipam.release(&named("a"), Family::V4);
        assert_eq!(world.ipam.holdings_of(&named("a")).count(), 1);
        assert_eq!(world.ipam.holders().count(), 1);
    }

    #[test]
    fn what_is_named_concerns_its_own_family_only() {
        let mut world = both();
        let by_eip = of("six-too", web());
        assert_eq!(pair(&mut world, "a", by_eip), ["four 10.0.0.0", "six-too fd01::"]);
        let by_address = at("10.0.0.3", web());
        assert_eq!(pair(&mut world, "b", by_address), ["four 10.0.0.3", "six fd00::"]);
        let by_both = at("10.0.0.2", of("six-too", web()));
        assert_eq!(pair(&mut world, "c", by_both), ["four 10.0.0.2", "six-too fd01::1"]);
        assert!(["a", "b", "c"].iter().all(|name| world.meets(name)));
    }

    #[test]
    fn a_service_of_one_family_that_names_the_other_is_refused() {
        let mut world = both();
        let v4 = |service| families(&[Family::V4], service);
        assert_eq!(
            world.ask("a", v4(of("six", web()))),
            "FamilyMismatch: eip.porter.kubesphere.io/v1alpha2 names Eip six, which is IPv6, but \
             the Service asks for IPv4; name an IPv4 one, or add IPv6 to spec.ipFamilies"
        );
        let refused = world.ask("a", v4(at("fd00::1", web())));
        assert!(
            refused.starts_with("FamilyMismatch: spec.loadBalancerIP names address fd00::1"),
            "{refused}"
        );
    }

    #[test]
    fn a_service_that_names_no_family_has_the_one_of_what_it_can_have() {
        let mut world = both();
        let mut family = |service: Service| {
            world.service(&named("a"), service);
            world.with(&named("a"), |ipam, asker| ipam.families(asker))
        };
        assert_eq!(family(web()), [Family::V4]);
        assert_eq!(family(of("six", web())), [Family::V6]);
        assert_eq!(family(at("fd00::1", web())), [Family::V6]);
        assert_eq!(family(showing("fd00::1", web())), [Family::V6]);
        assert_eq!(family(families(&[Family::V6, Family::V4], web())), [Family::V6, Family::V4]);
        world.edit("four", |eip| eip.disable = true);
        world.service(&named("a"), web());
        let chosen = world.with(&named("a"), |ipam, asker| ipam.families(asker));
        assert_eq!(chosen, [Family::V6]);
    }

    #[test]
    fn what_a_service_does_not_ask_for_any_more_does_not_meet_it() {
        let mut world = both();
        world.ask("a", web());
        for (service, meets) in [
            (web(), true),
            (at("10.0.0.0", web()), true),
            (at("10.0.0.1", web()), false),
            (at("nonsense", web()), true),
            (of("four", web()), true),
            (of("six", web()), false),
            (families(&[Family::V6], web()), false),
            (families(&DUAL, of("six", web())), true),
        ] {
            world.service(&named("a"), service.clone());
            assert_eq!(world.meets("a"), meets, "{service:?}");
        }
        world.service(&named("a"), web());
        world.edit("four", |eip| eip.protocol = None);
        assert!(!world.meets("a"));
    }
}

mod shared {
    use super::*;

    const ONE: &str = "10.0.0.1";

    fn pool() -> World {
        World::new(&[("pool", eip("10.0.0.0/30"))])
    }

    #[test]
    fn services_that_name_one_address_share_it_until_the_last_one_leaves() {
        let mut world = pool();
        assert_eq!(world.ask("a", at(ONE, web())), "pool 10.0.0.1");
        assert_eq!(world.ask("b", on(443, at(ONE, web()))), "pool 10.0.0.1");
        assert_eq!(world.ipam.used(&"pool".into()).len(), 1);
        assert_eq!(world.ipam.record(&"pool".into()).services, 2);
        assert_eq!(world.ipam.holders_of(ONE.parse().unwrap()).count(), 2);
        world.release("a");
        assert_eq!(reason(&world.ask("c", on(443, at(ONE, web())))), "NotShareable");
        world.release("b");
        assert_eq!(world.ask("c", at(ONE, web())), "pool 10.0.0.1");
    }

    #[test]
    fn who_does_not_name_its_address_shares_it_with_nobody() {
        let mut world = pool();
        world.ask("a", web());
        assert_eq!(
            world.ask("b", on(443, at("10.0.0.0", web()))),
            "AddressTaken: 10.0.0.0 is held by Service default/a; name a free address, or set \
             spec.loadBalancerIP: 10.0.0.0 on default/a too if both are to share it"
        );
    }

    #[test]
    fn a_rule_that_sharers_would_break_is_named_with_the_other_service() {
        let local = TrafficPolicy::Local;
        let cluster = TrafficPolicy::Cluster;
        let mut world = pool();
        world.ask("a", selecting("web", local, at(ONE, web())));
        assert_eq!(
            world.ask("b", at(ONE, web())),
            "NotShareable: 10.0.0.1 cannot be shared with Service default/a: both have port \
             80/TCP; change spec.ports of one of them, or name another address"
        );
        for (app, policy) in [("other", cluster), ("other", local)] {
            assert_eq!(
                world.ask("c", selecting(app, policy, on(81, at(ONE, web())))),
                "NotShareable: 10.0.0.1 cannot be shared with Service default/a: all sharers must \
                 have spec.externalTrafficPolicy: Cluster, or all the same spec.selector; change \
                 that, or name another address"
            );
        }
        let elsewhere = ServiceName::new("shop", "d");
        let refused = world.ask_of(&elsewhere, on(82, at(ONE, web())), Family::V4);
        assert!(refused.contains("only Services of one namespace share an address"), "{refused}");
        assert_eq!(
            world.ask("e", selecting("web", cluster, on(83, at(ONE, web())))),
            "pool 10.0.0.1"
        );
    }

    #[test]
    fn services_without_a_selector_share_no_pods() {
        let mut world = pool();
        let local = |service| Service { policy: TrafficPolicy::Local, ..service };
        world.ask("a", local(at(ONE, web())));
        assert_eq!(reason(&world.ask("b", local(on(81, at(ONE, web()))))), "NotShareable");
    }

    #[test]
    fn nobody_joins_one_who_leaves() {
        let mut world = pool();
        world.ask("a", at(ONE, web()));
        let mut leaving = at(ONE, web());
        leaving.metadata.deleting = true;
        world.service(&named("a"), leaving);
        assert_eq!(
            world.ask("b", on(81, at(ONE, web()))),
            "NotShareable: 10.0.0.1 is being given back by Service default/a; it is free in a \
             moment"
        );
    }

    #[test]
    fn the_youngest_that_do_not_go_with_their_elders_give_way_and_nobody_else() {
        let mut world = pool();
        let aged = |age, service: Service| Service {
            metadata: Metadata { created: Timestamp(age), ..service.metadata.clone() },
            ..service
        };
        let sharer = |age, port| aged(age, on(port, at(ONE, web())));
        for (name, age) in [("z", 1), ("m", 2), ("a", 3)] {
            world.ask(name, sharer(age, 80 + u16::try_from(age).unwrap()));
        }
        assert_eq!(["z", "m", "a"].map(|name| world.conflict(name)), [None, None, None]);
        // The second takes a port of the first, and so of the third's only rival.
        let ports = [81, 83].map(|number| Port { protocol: "TCP".to_owned(), number });
        let greedy = Service { ports: ports.into(), ..sharer(2, 82) };
        world.service(&named("m"), greedy);
        assert!(world.conflict("m").unwrap().contains("default/z: both have port 81/TCP"));
        assert_eq!(["z", "a"].map(|name| world.conflict(name)), [None, None]);
        // One who ceases to name it gives way to an elder, and is given way to.
        world.service(&named("m"), sharer(2, 82));
        world.service(&named("a"), aged(3, on(83, web())));
        assert!(world.conflict("a").unwrap().contains("set spec.loadBalancerIP: 10.0.0.1"));
        world.service(&named("z"), aged(1, on(81, web())));
        assert_eq!(world.conflict("z"), None);
        assert_eq!(reason(&world.conflict("m").unwrap()), "AddressTaken");
    }
}

mod restored {
    use super::*;

    fn recording(eip: Eip, used: &[(&str, &[&str])]) -> Eip {
        let used = used.iter().map(|(address, holders)| {
            let holders = holders.iter().map(|name| named(name)).collect();
            (address.parse().unwrap(), holders)
        });
        let mut eip = eip;
        eip.status.used = used.collect();
        eip
    }

    fn restored(eips: &[(&str, Eip)], services: &[(&str, Service)]) -> World {
        let mut world = World::new(eips);
        for (name, service) in services {
            world.service(&named(name), service.clone());
        }
        world.ipam = Ipam::restore(world.eips.iter(), &world.services, &BTreeSet::new());
        world
    }

    fn held(world: &World, name: &str) -> Vec<String> {
        let held = world.ipam.holdings_of(&named(name));
        held.map(|holding| format!("{} {}", holding.eip, holding.address)).collect()
    }

    #[test]
    fn what_is_recorded_is_taken_over_and_not_given_again() {
        let used: &[(&str, &[&str])] = &[("10.0.0.0", &["a", "b"]), ("10.0.9.9", &["c"])];
        let mut world = restored(&[("pool", recording(eip("10.0.0.0/30"), used))], &[]);
        let recorded = &world.eips[&EipName::from("pool")].status.used;
        assert_eq!(world.ipam.used(&"pool".into()), recorded);
        assert_eq!(world.ask("new", web()), "pool 10.0.0.1");
    }

    #[test]
    fn of_two_records_of_one_service_the_one_that_it_shows_counts_else_the_first() {
        let used: &[(&str, &[&str])] =
            &[("10.0.0.1", &["a", "b"]), ("10.0.0.2", &["a", "b"]), ("fd00::1", &["a"])];
        let eips = [("pool", recording(eip("10.0.0.0/30"), used))];
        let world = restored(&eips, &[("a", showing("10.0.0.2", web()))]);
        assert_eq!(held(&world, "a"), ["pool 10.0.0.2", "pool fd00::1"]);
        assert_eq!(held(&world, "b"), ["pool 10.0.0.1"]);
        let kept: Vec<_> = world.ipam.holders_of([10, 0, 0, 2].into()).collect();
        assert_eq!(kept, [&named("a")]);
    }

    #[test]
    fn of_two_eips_that_record_one_address_the_one_that_is_shown_counts_else_the_older() {
        let young = recording(
            aged(2, eip("10.0.0.1-10.0.0.2")),
            &[("10.0.0.1", &["a"]), ("10.0.0.2", &["b"])],
        );
        let old = recording(
            aged(1, eip("10.0.0.1-10.0.0.2")),
            &[("10.0.0.1", &["c"]), ("10.0.0.2", &["d"])],
        );
        let eips = [("a-young", young), ("z-old", old)];
        let world = restored(&eips, &[("a", showing("10.0.0.1", web()))]);
        let all = ["a", "b", "c", "d"].map(|name| held(&world, name).join(""));
        assert_eq!(all, ["a-young 10.0.0.1", "", "", "z-old 10.0.0.2"]);
    }

    #[test]
    fn what_another_protocols_eip_records_is_left_alone() {
        let bgp = Eip { protocol: Some("bgp".to_owned()), ..eip("10.0.0.0/30") };
        let world = restored(&[("bgp", recording(bgp, &[("10.0.0.1", &["a"])]))], &[]);
        assert_eq!(world.ipam.holders().count(), 0);
    }
}
