//! Which Services are ours, what each asks for, and what it gets or is told instead.

#![expect(clippy::unwrap_used, reason = "a test that finds nothing there has failed")]

mod bench;

use bench::*;
use porter_core::{Eip, EipName, Service, ServiceName, Timestamp, keys};

const OPENELB_EIP: &str = "eip.openelb.kubesphere.io/v1alpha2";

/// What a Service is told that asks for this, beside the guide's Eip.
fn told(service: Service) -> String {
    let mut bench = Bench::leading();
    bench.apply(&web(), service);
    bench.calm();
    assert_eq!((bench.shows(&web()), bench.used().len()), (vec![], 0));
    bench.word(&web())
}

/// What is written because this Service is applied, beside the guide's Eip.
fn written(service: Service) -> usize {
    let mut bench = Bench::leading();
    let written = bench.writes_in(|bench| {
        bench.apply(&web(), service);
        bench.calm();
    });
    written.len()
}

fn with(mut service: Service, annotations: &[(&str, &str)]) -> Service {
    for &(key, value) in annotations {
        service.metadata.annotations.insert(key.to_owned(), value.to_owned());
    }
    service
}

fn without(mut service: Service, key: &str) -> Service {
    service.metadata.annotations.remove(key);
    service
}

// Ours or not.

#[test]
fn a_service_that_does_not_ask_for_us_is_not_touched() {
    assert_eq!(written(without(asking(), keys::LOAD_BALANCER)), 0);
    assert_eq!(written(annotated(keys::LOAD_BALANCER, "metallb")), 0, "the value counts");
    assert_eq!(written(Service { load_balancer: false, ..asking() }), 0);
    assert_eq!(written(Service::default()), 0);
}

#[test]
fn a_service_of_another_protocol_or_of_none_is_not_touched() {
    assert_eq!(written(annotated(PROTOCOL, "bgp")), 0);
    assert_eq!(written(without(asking(), PROTOCOL)), 0, "the original's default is bgp");
}

#[test]
fn a_service_of_another_class_is_never_ours_and_one_of_our_class_needs_no_annotation() {
    let of_class = |class: &str, service| Service { class: Some(class.to_owned()), ..service };
    assert_eq!(written(of_class("example.com/lb", asking())), 0);
    let plain = Service { load_balancer: true, ..Service::default() };
    let mut bench = Bench::leading();
    bench.apply(&web(), of_class(keys::CLASS, plain));
    assert_eq!(bench.shows(&web()), ["172.22.0.188"]);
    assert_eq!(bench.shown(&web()).metadata.labels.get(EIP).unwrap(), "pool");
}

#[test]
fn a_service_without_a_protocol_that_names_an_eip_is_ours_if_that_is_layer2() {
    let mut bench = Bench::leading();
    let bgp = Eip { protocol: Some("bgp".to_owned()), ..layer2("10.0.0.0/24") };
    bench.apply_eip("routed", bgp);
    bench.apply(&web(), without(annotated(EIP, "pool"), PROTOCOL));
    bench.apply(&named("bgp"), without(annotated(EIP, "routed"), PROTOCOL));
    bench.calm();
    assert_eq!(bench.shows(&web()), ["172.22.0.188"]);
    assert_eq!(bench.traces(&named("bgp")), [""; 0]);
}

// Keys.

#[test]
fn a_service_that_is_spelled_openelb_is_answered_in_that_spelling() {
    let mut bench = Bench::leading();
    let spelled = without(annotated(keys::LOAD_BALANCER, "openelb"), PROTOCOL);
    let protocol = keys::PROTOCOL.spelled(keys::Spelling::OpenElb);
    bench.endpoints(&web(), &["node3"]);
    bench.service(&web(), Some(with(spelled, &[(protocol, "layer2")])));
    let expected = [
        keys::SERVICE_FINALIZER,
        "eip.openelb.kubesphere.io/v1alpha2=pool",
        "layer2.openelb.kubesphere.io/v1alpha1=node3",
        "172.22.0.188",
        "Announced",
    ];
    assert_eq!(bench.traces(&web()), expected);
}

#[test]
fn every_key_is_read_in_both_spellings_whatever_the_other_keys_are_spelled_in() {
    let mut bench = Bench::leading();
    bench.apply_eip("other", layer2("172.22.0.210-172.22.0.219"));
    bench.apply(&web(), annotated(OPENELB_EIP, "other"));
    assert_eq!(bench.shows(&web()), ["172.22.0.210"]);
    let address = keys::REQUESTED_IP.spelled(keys::Spelling::OpenElb);
    bench.apply(&named("pinned"), annotated(address, "172.22.0.215"));
    assert_eq!(bench.shows(&named("pinned")), ["172.22.0.215"]);
}

#[test]
fn a_record_in_both_spellings_is_kept_in_both() {
    let mut bench = Bench::leading();
    let record = keys::LAYER2.spelled(keys::Spelling::OpenElb);
    bench.apply(&web(), with(asking(), &[(RECORD, "node4"), (record, "node4")]));
    bench.endpoints(&web(), &["node3"]);
    let annotations = &bench.shown(&web()).metadata.annotations;
    assert_eq!([RECORD, record].map(|key| annotations.get(key).unwrap()), ["node3", "node3"]);
}

#[test]
fn spellings_that_contradict_each_other_are_decided_for_porter_and_told() {
    let mut bench = Bench::leading();
    bench.apply_eip("other", layer2("172.22.0.210"));
    bench.endpoints(&web(), &["node3"]);
    bench.service(&web(), Some(with(asking(), &[(EIP, "pool"), (OPENELB_EIP, "other")])));
    bench.calm();
    assert_eq!(
        bench.word(&web()),
        "True Announced: 172.22.0.188 is at node3 (02:00:00:00:00:09) on eth0; the annotation \
         eip.porter.kubesphere.io/v1alpha2 \"pool\" counts, and eip.openelb.kubesphere.io/v1alpha2 \
         \"other\" does not; remove one of them"
    );
}

// Which Eip, which address.

#[test]
fn an_address_in_the_spec_counts_before_one_in_an_annotation_and_that_is_told() {
    let mut bench = Bench::leading();
    let requested_ip = Some("172.22.0.195".to_owned());
    bench.apply(&web(), Service { requested_ip, ..annotated(ADDRESS, "172.22.0.196") });
    bench.calm();
    let remark = "spec.loadBalancerIP \"172.22.0.195\" counts, and the annotation \
                  eip.porter.kubesphere.io/v1alpha1 \"172.22.0.196\" does not; remove one of them";
    assert_eq!(bench.shows(&web()), ["172.22.0.195"]);
    assert!(bench.word(&web()).ends_with(remark));
    bench.endpoints(&web(), &["node1"]);
    assert_eq!(bench.told("ConstructRequest"), [remark], "it is told once, whatever else changes");
}

#[test]
fn a_service_that_contradicts_itself_and_waits_is_told_so_too() {
    let requested_ip = Some("10.0.0.1".to_owned());
    let word = told(Service { requested_ip, ..annotated(ADDRESS, "172.22.0.196") });
    assert!(word.starts_with("False AddressInNoEip: 10.0.0.1 is in no Eip"), "{word}");
    assert!(word.ends_with("\"172.22.0.196\" does not; remove one of them"), "{word}");
}

#[test]
fn a_malformed_address_is_quoted_with_the_place_where_it_is_written() {
    let requested_ip = Some("172.22.0.1888".to_owned());
    assert_eq!(
        told(Service { requested_ip, ..asking() }),
        "False MalformedAddress: spec.loadBalancerIP is \"172.22.0.1888\", which is no IP address; \
         set it to one address, such as 192.0.2.1, or remove it"
    );
    assert!(told(annotated(ADDRESS, "web")).starts_with(
        "False MalformedAddress: eip.porter.kubesphere.io/v1alpha1 is \"web\", which is no IP"
    ));
}

#[test]
fn a_service_that_names_what_cannot_be_given_is_told_what_to_name() {
    assert_eq!(
        told(annotated(EIP, "nowhere")),
        "False NoSuchEip: there is no Eip nowhere; create it, or correct the annotation \
         eip.porter.kubesphere.io/v1alpha2 (kubectl get eip lists all)"
    );
    assert_eq!(
        told(annotated(ADDRESS, "10.0.0.1")),
        "False AddressInNoEip: 10.0.0.1 is in no Eip; name an address of one (kubectl get eip), or \
         create a layer2 Eip with it"
    );
    assert_eq!(
        told(with(asking(), &[(EIP, "pool"), (ADDRESS, "10.0.0.1")])),
        "False AddressOutsideEip: 10.0.0.1 is not in Eip pool (172.22.0.188-172.22.0.200); name an \
         address of it, or drop the name of the address or of the Eip"
    );
}

#[test]
fn a_service_that_names_an_eip_which_gives_nothing_is_told_why() {
    let mut bench = Bench::leading();
    bench.apply_eip("off", Eip { disable: true, ..layer2("172.22.0.210") });
    let bgp = Eip { protocol: Some("bgp".to_owned()), ..layer2("10.0.0.0/24") };
    bench.apply_eip("routed", bgp);
    bench.apply(&named("off"), annotated(EIP, "off"));
    bench.apply(&named("routed"), annotated(EIP, "routed"));
    bench.calm();
    assert_eq!(
        bench.word(&named("off")),
        "False EipDisabled: Eip off is disabled; enable it: kubectl patch eip off --type merge -p \
         '{\"spec\":{\"disable\":false}}'"
    );
    assert_eq!(
        bench.word(&named("routed")),
        "False EipNotLayer2: Eip routed is of protocol bgp; name a layer2 Eip, or set \
         spec.protocol: layer2 on it"
    );
}

#[test]
fn an_address_that_another_holds_is_refused_until_that_one_goes() {
    let mut bench = Bench::serving();
    bench.apply(&named("rival"), annotated(ADDRESS, "172.22.0.188"));
    bench.calm();
    assert_eq!(
        bench.word(&named("rival")),
        "False AddressTaken: 172.22.0.188 is held by Service default/web; name a free address, or \
         set spec.loadBalancerIP: 172.22.0.188 on default/web too if both are to share it"
    );
    bench.delete(&web());
    assert_eq!(bench.shows(&named("rival")), ["172.22.0.188"]);
    assert!(bench.word(&named("rival")).starts_with("True Announced"));
}

#[test]
fn without_any_layer2_eip_a_service_is_told_what_to_create() {
    let mut bench = Bench::leading();
    bench.delete_eip(&pool());
    bench.apply(&web(), asking());
    bench.calm();
    assert_eq!(
        bench.word(&web()),
        "False NoEip: there is no layer2 Eip; create one with spec.protocol: layer2, spec.address \
         and spec.interface"
    );
}

#[test]
fn bound_eips_come_first_by_priority_then_the_default_and_then_the_others() {
    let mut bench = Bench::leading();
    let bound = |priority, address| Eip {
        namespaces: ["default".to_owned()].into(),
        priority,
        ..layer2(address)
    };
    bench.apply_eip("bound-second", bound(7, "172.22.0.210"));
    bench.apply_eip("bound-first", bound(3, "172.22.0.211"));
    let mut default = layer2("172.22.0.212");
    let key = keys::DEFAULT_EIP.spelled(keys::Spelling::Porter);
    default.metadata.annotations.insert(key.to_owned(), "true".to_owned());
    bench.apply_eip("some", default);
    bench.apply_all(&["a", "b", "c", "d"]);
    let shown = ["a", "b", "c", "d"].map(|name| bench.shows(&named(name)).concat());
    assert_eq!(shown, ["172.22.0.211", "172.22.0.210", "172.22.0.212", "172.22.0.188"]);
}

#[test]
fn an_eip_that_is_bound_to_other_namespaces_gives_only_what_is_named() {
    let mut bench = Bench::leading();
    bench.edit_eip(&pool(), |eip| eip.namespaces = ["prod".to_owned()].into());
    bench.apply(&web(), asking());
    bench.apply(&named("named"), annotated(EIP, "pool"));
    bench.apply(&ServiceName::new("prod", "web"), asking());
    bench.calm();
    assert_eq!(
        bench.word(&web()),
        "False NoEip: no Eip gives IPv4 addresses to namespace default: Eip pool is bound to other \
         namespaces; create a layer2 Eip for it, or change one of these"
    );
    assert_eq!(bench.shows(&named("named")), ["172.22.0.188"]);
    assert_eq!(bench.shows(&ServiceName::new("prod", "web")), ["172.22.0.189"]);
}

#[test]
fn a_namespace_that_gets_the_labels_of_an_eip_is_served_and_keeps_what_it_has_without_them() {
    let mut bench = Bench::leading();
    bench.edit_eip(&pool(), |eip| {
        let selector = [("tier", "web"), ("zone", "b")];
        eip.namespace_selector =
            selector.map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter().collect();
    });
    bench.label_namespace("default", &[("tier", "web")]);
    bench.apply(&web(), asking());
    bench.calm();
    assert!(bench.word(&web()).contains("Eip pool is bound to other namespaces"));

    bench.label_namespace("default", &[("tier", "web"), ("zone", "b"), ("team", "x")]);
    assert_eq!(bench.shows(&web()), ["172.22.0.188"]);

    bench.label_namespace("default", &[]);
    bench.apply(&named("late"), asking());
    bench.calm();
    assert_eq!(bench.shows(&web()), ["172.22.0.188"], "running Services are not moved");
    assert!(bench.word(&named("late")).starts_with("False NoEip"));
}

#[test]
fn the_lowest_free_address_is_given_and_a_freed_one_at_once_again() {
    let mut bench = Bench::leading();
    bench.apply_all(&["a", "b", "c"]);
    bench.delete(&named("b"));
    bench.apply_all(&["d", "e"]);
    let shown = ["a", "c", "d", "e"].map(|name| bench.shows(&named(name)).concat());
    assert_eq!(shown, ["172.22.0.188", "172.22.0.190", "172.22.0.189", "172.22.0.191"]);
}

#[test]
fn a_full_eip_passes_on_to_the_next_and_only_when_all_are_full_a_service_waits() {
    let mut bench = Bench::leading();
    bench.apply_eip("pool", layer2("172.22.0.188"));
    bench.apply_eip("second", layer2("172.22.0.189"));
    bench.apply_all(&["a", "b", "c"]);
    bench.calm();
    assert_eq!(bench.shows(&named("b")), ["172.22.0.189"]);
    assert_eq!(
        bench.word(&named("c")),
        "False Exhausted: no address is free in Eip pool (172.22.0.188, 1 address), Eip second \
         (172.22.0.189, 1 address); enlarge spec.address, create another layer2 Eip, or delete a \
         Service that needs none"
    );
    let n_told =
        bench.take_told().into_iter().filter(|told| told.contains("AssignIPFailed")).count();
    assert_eq!(n_told, 1, "what lasts is told once");
}

// Who waits.

/// A leader with one address, which is taken, and three Services that wait for one: they arrived
/// in another order than that of their age.
fn waiting() -> Bench {
    let mut bench = Bench::leading();
    bench.apply_eip("pool", layer2("172.22.0.188"));
    bench.apply(&named("first"), asking());
    bench.apply(&named("young"), created(30));
    bench.apply(&named("old"), created(10));
    bench.apply(&named("middle"), created(20));
    bench.calm();
    bench
}

/// Which of those who waited has an address now.
fn served(bench: &mut Bench) -> Vec<&'static str> {
    bench.calm();
    let names = ["old", "middle", "young"].into_iter();
    names.filter(|name| !bench.shows(&named(name)).is_empty()).collect()
}

#[test]
fn a_freed_address_goes_to_the_oldest_who_waits() {
    let mut bench = waiting();
    assert_eq!(served(&mut bench), [""; 0]);
    bench.delete(&named("first"));
    assert_eq!(served(&mut bench), ["old"]);
    bench.edit_service(&named("old"), |service| service.load_balancer = false);
    assert_eq!(served(&mut bench), ["middle"]);
}

#[test]
fn an_eip_that_is_enlarged_serves_the_oldest_who_wait() {
    let mut bench = waiting();
    bench.edit_eip(&pool(), |eip| eip.address = "172.22.0.188-172.22.0.190".to_owned());
    assert_eq!(served(&mut bench), ["old", "middle"]);
    assert_eq!(bench.shows(&named("old")), ["172.22.0.189"]);
}

#[test]
fn an_eip_that_is_new_or_enabled_serves_the_oldest_who_waits() {
    let mut bench = waiting();
    bench.apply_eip("new", layer2("172.22.0.210"));
    assert_eq!(served(&mut bench), ["old"]);
    bench.apply_eip("off", Eip { disable: true, ..layer2("172.22.0.211") });
    assert_eq!(served(&mut bench), ["old"]);
    bench.edit_eip(&EipName::from("off"), |eip| eip.disable = false);
    assert_eq!(served(&mut bench), ["old", "middle"]);
}

#[test]
fn an_eip_that_a_service_names_before_it_exists_serves_it_when_it_does() {
    let mut bench = Bench::leading();
    bench.apply(&web(), annotated(EIP, "later"));
    bench.calm();
    assert!(bench.word(&web()).starts_with("False NoSuchEip"));
    bench.apply_eip("later", layer2("172.22.0.210"));
    assert_eq!(bench.shows(&web()), ["172.22.0.210"]);
    assert!(bench.word(&web()).starts_with("True Announced"));
}

#[test]
fn of_two_of_one_age_the_one_with_the_smaller_uid_is_served_first() {
    let mut bench = Bench::leading();
    bench.edit_eip(&pool(), |eip| eip.disable = true);
    for (name, uid) in [("a", "9"), ("b", "1")] {
        let mut service = asking();
        service.metadata.uid = Some(uid.into());
        service.metadata.created = Timestamp(5);
        bench.apply(&named(name), service);
    }
    bench.edit_eip(&pool(), |eip| eip.disable = false);
    bench.calm();
    assert_eq!(bench.shows(&named("b")), ["172.22.0.188"]);
    assert_eq!(bench.shows(&named("a")), ["172.22.0.189"]);
}
