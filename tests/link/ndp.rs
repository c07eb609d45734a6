//! What a host is told of an EIP of IPv6, and what tools and kernels make of it.

use std::{
    fs,
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use porter_backends::{
    link::{Lan, Outcome},
    port::Links as _,
};
use porter_core::{
    IsAt, MacAddr, Probe, Silence,
    wire::{self, Dropped},
};
use tokio::time;

use crate::{
    apart::apart,
    host::{Cable, Host, eventually},
    lan::{
        EIP, NODE, OTHER_NODE, OWN, comes_to, comes_to_many, eth0, heard, leading, name, probed,
    },
};

const OWN_ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 3);
const CLIENT_ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x100);
const EIP_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x188);
const OTHER_EIP: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0x189);

#[test]
fn a_host_that_asks_for_an_eip_of_ipv6_learns_the_mac_of_the_node() {
    apart(async || {
        let (_cable, client) = dual().await;
        let lan = answering().await;

        client.learns(EIP_V6.into(), NODE).await;
        client.learns(EIP, NODE).await;

        comes_to_many(&lan, Outcome::Answered, 2).await;
    });
}

/// MLD is what a switch goes by, and the kernel speaks it for whom it lists.
#[test]
fn solicitations_are_heard_in_the_group_of_each_eip_as_long_as_it_is_wanted() {
    apart(async || {
        let (_cable, _client) = dual().await;
        let mut lan = leading([]).await;
        let group = wire::solicited_node(EIP_V6);
        assert!(!is_member(group));

        lan.join(name(), group);
        assert!(is_member(group));
        lan.quit(name(), group);
        assert!(!is_member(group));
    });
}

/// One socket has room for some two thousand.
#[test]
fn there_may_be_more_groups_than_a_socket_can_join() {
    apart(async || {
        let (_cable, client) = dual().await;
        let mut lan = leading([(EIP_V6.into(), Ok(NODE))]).await;
        let group = |last: u16| wire::solicited_node(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 1, last));
        (0..6_000).for_each(|last| lan.join(name(), group(last)));
        let memberships = memberships();
        let missing = (0..6_000).find(|last| !memberships.contains(&hex(group(*last))));
        assert_eq!(missing, None);

        lan.join(name(), wire::solicited_node(EIP_V6));
        client.learns(EIP_V6.into(), NODE).await;
        (0..6_000).for_each(|last| lan.quit(name(), group(last)));
        assert!(!is_member(group(0)) && !is_member(group(5_999)));
    });
}

#[test]
fn a_link_that_comes_up_is_in_its_groups_again() {
    apart(async || {
        let (cable, client) = dual().await;
        let mut lan = answering().await;
        client.learns(EIP_V6.into(), NODE).await;

        cable.down().await;
        cable.up().await;
        cable.give(OWN_ADDRESS).await;

        lan.publish(
            std::sync::Arc::new([(name(), OTHER_EIP.into(), Ok(NODE))].into_iter().collect()),
            porter_core::Generation(2),
        );
        lan.join(name(), wire::solicited_node(OTHER_EIP));
        tokio::select! {
            () = client.learns(OTHER_EIP.into(), NODE) => {}
            () = async { loop { lan.next().await; } } => {}
        }
    });
}

#[test]
fn ndisc6_finds_the_node() {
    apart(async || {
        let (_cable, client) = dual().await;
        let _lan = answering().await;

        let asked = client.run("ndisc6", &["-1", &EIP_V6.to_string(), "eth0"]);

        let Some((said, found)) = asked else { return };
        assert!(found && said.to_uppercase().contains("02:00:00:00:00:09"), "{said}");
    });
}

#[test]
fn a_host_that_takes_the_eip_learns_that_it_is_taken() {
    apart(async || {
        let (_cable, client) = dual().await;
        let _lan = answering().await;

        client.doubt();
        let address = format!("{EIP_V6}/64");
        let given = client.run("ip", &["address", "add", &address, "dev", "eth0"]);
        let Some((said, given)) = given else { return };
        assert!(given, "{said}");

        let addresses = async || client.run("ip", &["-6", "address", "show", "dev", "eth0"]);
        let failed = async || addresses().await.is_some_and(|(it, _)| it.contains("dadfailed"));
        assert!(eventually(failed).await, "{:?}", addresses().await);
    });
}

#[test]
fn a_host_that_takes_an_address_which_is_tried_out_here_is_heard_and_learns_of_it() {
    apart(async || {
        let (_cable, client) = dual().await;
        let mut lan = answering().await;
        let nobody = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let target = IpAddr::V6(OTHER_EIP);
        lan.join(name(), wire::solicited_node(OTHER_EIP));
        let probe = Probe { link: name(), target, to: None, sender: (nobody, OWN) };
        lan.probe(&probe);
        client.learns(EIP_V6.into(), NODE).await;
        let own = [Outcome::Dropped(Dropped::Own), Outcome::Silent(Silence::NotAnEip)];
        let own = own.map(|outcome| lan.outcomes().count(outcome));
        assert_eq!(own, [0, 0], "the kernel does not loop back what a packet socket sends");

        client.doubt();
        let address = format!("{OTHER_EIP}/64");
        let given = client.run("ip", &["address", "add", &address, "dev", "eth0"]);
        let Some((said, given)) = given else { return };
        assert!(given, "{said}");
        let heard = probed(&mut lan).await;
        assert_eq!((heard.target, heard.asker), (target, (nobody, MacAddr::zero())));

        let addresses = async || client.run("ip", &["-6", "address", "show", "dev", "eth0"]);
        let failed = async || addresses().await.is_some_and(|(it, _)| it.contains("dadfailed"));
        let asking = async {
            loop {
                lan.probe(&probe);
                time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            failed = eventually(failed) => assert!(failed, "{:?}", addresses().await),
            () = asking => {}
        }
    });
}

#[test]
fn a_trial_that_the_lan_sends_back_is_known_for_our_own() {
    apart(async || {
        let (_cable, client) = dual().await;
        let mut lan = answering().await;
        let nobody = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let sender = (nobody, OWN);
        let target = IpAddr::V6(OTHER_EIP);
        lan.join(name(), wire::solicited_node(OTHER_EIP));
        let probe = Probe { link: name(), target, to: None, sender };
        lan.probe(&probe);
        let frame = wire::probe(&probe).expect("an address of IPv6 can be asked for");
        client.send(&[frame.bytes()]);
        comes_to(&lan, Outcome::Dropped(Dropped::Own)).await;
    });
}

#[test]
fn an_announcement_moves_what_a_host_believes_however_fresh_it_is() {
    apart(async || {
        let (_cable, client) = dual().await;
        let mut lan = answering().await;
        let mut now = NODE;
        // Linux lets some frames replace only what is older than a second.
        for age in [200, 1_300].map(Duration::from_millis) {
            for eip in [EIP, EIP_V6.into()] {
                client.learns(eip, now).await;
            }
            time::sleep(age).await;
            let next = if now == NODE { OTHER_NODE } else { NODE };
            for target in [EIP, EIP_V6.into()] {
                let via = MacAddr::broadcast();
                lan.announce(&IsAt { link: name(), target, mac: next, to: None, via });
                let moved = eventually(async || client.neighbour(target).await == Some(next));
                assert!(moved.await, "{target} is at {:?}", client.neighbour(target).await);
            }
            now = next;
        }
    });
}

#[test]
fn a_probed_host_proves_itself_whether_all_are_asked_or_it_alone() {
    apart(async || {
        let (_cable, client) = dual().await;
        let mut lan = answering().await;

        for to in [None, Some(client.mac)] {
            let (target, sender) = (CLIENT_ADDRESS.into(), (OWN_ADDRESS.into(), OWN));
            lan.probe(&Probe { link: name(), target, to, sender });
            let proof = IsAt {
                link: name(),
                target,
                mac: client.mac,
                to: Some((OWN_ADDRESS.into(), OWN)),
                via: client.mac,
            };
            assert_eq!(heard(&mut lan).await, proof);
        }
    });
}

/// A host that knows the answer and means to confirm it asks the MAC that it knows, and need not tell its
/// own. Where that is this host's, its kernel passes the question on only if the address is its own, as
/// kube-proxy makes it in mode IPVS.
#[test]
fn who_does_not_tell_its_mac_is_answered_by_what_the_kernel_knows_of_it() {
    apart(async || {
        let (cable, client) = dual().await;
        let lan = answering().await;
        cable.give_loopback(EIP_V6).await;

        client.send(&[&unicast_solicitation(client.mac)]);

        comes_to(&lan, Outcome::Answered).await;
    });
}

#[test]
fn what_passed_a_router_is_not_listened_to() {
    apart(async || {
        let (cable, client) = dual().await;
        let lan = answering().await;
        cable.give_loopback(EIP_V6).await;

        let mut frame = unicast_solicitation(client.mac);
        frame[21] = 254;
        client.send(&[&frame]);

        comes_to(&lan, Outcome::Dropped(Dropped::HopLimit)).await;
        assert_eq!(lan.outcomes().count(Outcome::Answered), 0);
    });
}

#[test]
fn an_eip_that_may_not_be_answered_is_not() {
    apart(async || {
        let (_cable, client) = dual().await;
        let mut lan = leading([(EIP_V6.into(), Err(Silence::NoEndpoint))]).await;
        lan.join(name(), wire::solicited_node(EIP_V6));

        client.ask(EIP_V6.into());

        comes_to(&lan, Outcome::Silent(Silence::NoEndpoint)).await;
        assert_eq!(client.neighbour(EIP_V6.into()).await, None);
    });
}

/// A link and a host with addresses of both families.
async fn dual() -> (Cable, Host) {
    let (cable, client) = eth0().await;
    cable.give(OWN_ADDRESS).await;
    client.give(CLIENT_ADDRESS).await;
    (cable, client)
}

/// A LAN on which an EIP of each family is answered with the node.
async fn answering() -> Lan {
    let mut lan = leading([(EIP, Ok(NODE)), (EIP_V6.into(), Ok(NODE))]).await;
    lan.join(name(), wire::solicited_node(EIP_V6));
    lan
}

/// The client asks this host alone for the EIP.
fn unicast_solicitation(client: MacAddr) -> Vec<u8> {
    let sender = (IpAddr::V6(CLIENT_ADDRESS), client);
    let question = Probe { link: name(), target: EIP_V6.into(), to: Some(OWN), sender };
    let group = wire::probe(&question).expect("an address of IPv6 can be asked for");
    let mut frame = group.bytes()[..78].to_vec();
    frame[19] = 24;
    frame[38..54].copy_from_slice(&EIP_V6.octets());
    // Another destination and length, and no option: the sum of their words is what changes.
    let sum = |bytes: &[u8]| -> u32 {
        bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum()
    };
    frame[56..58].fill(0);
    let mut total = sum(&frame[22..]) + 24 + 58;
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    let checksum = !u16::try_from(total).expect("the carries were added");
    frame[56..58].copy_from_slice(&checksum.to_be_bytes());
    frame
}

fn is_member(group: Ipv6Addr) -> bool {
    memberships().contains(&hex(group))
}

/// The groups that the kernel is in, as it lists them.
fn memberships() -> String {
    fs::read_to_string("/proc/thread-self/net/igmp6").expect("the kernel lists its groups")
}

fn hex(group: Ipv6Addr) -> String {
    format!("{:032x}", group.to_bits())
}
