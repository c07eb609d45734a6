//! What the API server refuses of an Eip, and what it tells whoever wrote it.
//!
//! Refused is what one object shows to be a mistake, with a message that names the field and the
//! remedy. What takes a look around (Eips that overlap, a link that no node has) is no rule but a
//! condition, and so is what a rule could find only at length: whether an IPv6 range runs backwards,
//! or whether an address outside of any range was meant.
//!
//! Every address that the core can read passes, whatever the protocol, and so does every Eip that
//! worked with the original: before Kubernetes 1.30 an object that breaks a rule can no longer be
//! written at all, not even to free its addresses. For the same reason an `interface` is looked at
//! only where it is used.
//!
//! The rules are written for Kubernetes 1.25, the first that evaluates any; 1.21 to 1.24 take the
//! definition and let everything in. `isIP()` and `ip()` would be shorter, but an API server older
//! than 1.30 refuses the whole definition for them, and they cannot compare two addresses. The same
//! goes for `fieldPath` and `messageExpression`, which came later than the rest. Each `matches` costs
//! at most its length in characters times 10, of 10,000,000 units that a rule may cost. No string
//! that was split off is looked at as a string: the API server takes it for endless.

use kube::core::Rule;

/// A group of four of an IPv4 address; Go and Rust refuse leading zeros alike.
const OCTET: &str = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
/// A group of eight of an IPv6 address.
const GROUP: &str = "[0-9A-Fa-f]{1,4}";

fn v4() -> String {
    format!(r"({OCTET}\.){{3}}{OCTET}")
}

/// All forms of RFC 4291, section 2.2, with a few too many groups beside `::`.
fn v6() -> String {
    let few = format!("({GROUP}(:{GROUP}){{0,6}})?");
    let dotted = v4();
    format!(
        "(({GROUP}:){{7}}{GROUP}|{few}::{few}|(({GROUP}:){{6}}|{few}::({GROUP}:){{0,5}}){dotted})"
    )
}

fn address() -> String {
    format!("({}|{})", v4(), v6())
}

/// That a CEL string is as a regular expression (RE2) says.
fn matches(subject: &str, pattern: &str) -> String {
    // In a raw string of CEL a backslash is one.
    format!("{subject}.matches(r'{pattern}')")
}

/// An address stands at the beginning, and behind it nothing but what makes it a CIDR or a range.
pub(super) fn address_form() -> Rule {
    Rule::new(matches("self", &format!("^{}([-/]|$)", address()))).message(
        "spec.address must be one address (192.0.2.7), one CIDR (192.0.2.0/28) or one range \
         (192.0.2.10-192.0.2.20), IPv4 or IPv6, without spaces; for more, make an Eip of each",
    )
}

pub(super) fn prefix_length() -> Rule {
    let cidr = matches("self", "^[0-9A-Fa-f.:]+/");
    let v4 = matches("self", r"^[0-9.]+/(3[0-2]|[12]?[0-9])$");
    let v6 = matches("self", r"^[^/]*:[^/]*/(12[0-8]|1[01][0-9]|[1-9]?[0-9])$");
    Rule::new(format!("!{cidr} || {v4} || {v6}")).message(
        "spec.address must end with the length of the prefix behind '/': 0 to 32 for IPv4, as in \
         192.0.2.0/28, or 0 to 128 for IPv6, as in 2001:db8::/120",
    )
}

pub(super) fn range_end() -> Rule {
    let range = matches("self", "^[0-9A-Fa-f.:]+-");
    let two = matches("self", &format!("^[^-]+-{}$", address()));
    Rule::new(format!("!{range} || {two}")).message(
        "spec.address must end with an address behind '-', without spaces, as in \
         192.0.2.10-192.0.2.20",
    )
}

pub(super) fn one_family() -> Rule {
    let from_v4 = matches("self", "^[0-9.]+-[^-]*:");
    let from_v6 = matches("self", "^[^-]*:[^-]*-[0-9.]+$");
    Rule::new(format!("!{from_v4} && !{from_v6}")).message(
        "spec.address must not lead from one family into the other: make one Eip for IPv4 and one \
         for IPv6",
    )
}

pub(super) fn not_backwards() -> Rule {
    let range = matches("self", &format!("^{0}-{0}$", v4()));
    let number = |at: usize| {
        let [a, b, c, d] = [at, at + 1, at + 2, at + 3];
        format!("((o[{a}] * 256 + o[{b}]) * 256 + o[{c}]) * 256 + o[{d}]")
    };
    let octets = "self.replace('-', '.').split('.').map(o, int(o))";
    let (first, last) = (number(0), number(4));
    Rule::new(format!("!{range} || [{octets}].all(o, {first} <= {last})"))
        .message("spec.address ends before it begins: write the lower address first")
}

pub(super) fn interface_given() -> Rule {
    Rule::new(format!("{} || has(self.interface) && self.interface != ''", not_layer2())).message(
        "spec.interface is needed by spec.protocol layer2: name a network interface of the nodes, \
         such as eth0, or an address that it leads to, such as can_reach:192.0.2.1",
    )
}

/// What Linux takes for the name of an interface, or an address behind `can_reach:`.
pub(super) fn interface_name() -> Rule {
    let name = matches("self.interface", r"^[^/:\s]{1,15}$");
    let dots = "self.interface in ['.', '..']";
    let reach = matches("self.interface", &format!("^can_reach:{}$", address()));
    let none = "!has(self.interface) || self.interface == ''";
    Rule::new(format!("{} || {none} || {name} && !({dots}) || {reach}", not_layer2())).message(
        "spec.interface must be the name of a network interface, at most 15 bytes without '/', ':' \
         or spaces, such as eth0, or can_reach: and an address, such as can_reach:192.0.2.1",
    )
}

fn not_layer2() -> &'static str {
    "!has(self.protocol) || self.protocol != 'layer2'"
}

#[cfg(test)]
mod tests {
    use kube::CustomResourceExt;
    use kube_cel::{Validator, compile_schema};
    use serde_json::{Value, json};

    use crate::kube::Eip;

    /// What the API server says of an Eip, but for what the plain schema says already.
    fn refusals(spec: &Value) -> Vec<String> {
        let crd = serde_json::to_value(Eip::crd()).unwrap();
        let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        match Validator::new().validate(schema, &json!({ "spec": spec }), None) {
            Ok(()) => Vec::new(),
            Err(errors) => errors.into_vec().iter().map(ToString::to_string).collect(),
        }
    }

    fn layer2(address: &str) -> Value {
        json!({ "address": address, "protocol": "layer2", "interface": "eth0" })
    }

    fn only_refusal(spec: &Value) -> String {
        let mut refusals = refusals(spec);
        let refusal = refusals.pop();
        assert!(refusals.is_empty(), "{spec} is refused twice: {refusals:?}, {refusal:?}");
        refusal.unwrap_or_else(|| panic!("{spec} is accepted"))
    }

    #[test]
    fn every_form_of_an_address_is_accepted() {
        let addresses = [
            "192.0.2.7",
            "0.0.0.0",
            "255.255.255.255",
            "192.168.0.1/24",
            "10.0.0.0/0",
            "10.0.0.1/32",
            "172.22.0.188-172.22.0.200",
            "192.0.2.7-192.0.2.7",
            "9.255.255.255-10.0.0.0",
            "::",
            "::1",
            "1::",
            "fd00::7",
            "FD00:0:0:0:0:0:0:7",
            "2001:db8::/64",
            "::/0",
            "fd00::1/128",
            "fd00::1-fd00::ffff",
            "::ffff:192.0.2.7",
            "1:2:3:4:5:6:192.0.2.7",
            "::ffff:192.0.2.7-::ffff:192.0.2.9",
            "2001:0db8:0000:0000:0000:ffff:1111:1111-2001:0db8:0000:0000:0000:ffff:255.255.255.255",
        ];
        for address in addresses {
            porter_core::AddressRange::parse(address).unwrap();
            assert_eq!(refusals(&layer2(address)), Vec::<String>::new(), "{address}");
        }
    }

    #[test]
    fn an_address_that_is_none_is_refused_once_with_the_remedy() {
        let form = "spec.address must be one address";
        let prefix = "spec.address must end with the length of the prefix";
        let end = "spec.address must end with an address behind '-'";
        let family = "spec.address must not lead from one family into the other";
        let backwards = "spec.address ends before it begins";
        let addresses = [
            ("", form),
            ("eth0", form),
            ("192.0.2", form),
            ("192.0.2.256", form),
            ("192.0.2.07", form),
            (" 192.0.2.7", form),
            ("192.0.2.7 ", form),
            ("192.0.2.7 - 192.0.2.9", form),
            ("192.0.2.7,192.0.2.9", form),
            ("192.0.2.7\n", form),
            ("fd00:7", form),
            ("fd00::7::8", form),
            ("fd00:::7", form),
            ("1:2:3:4:5:6:7:8:9", form),
            ("fd00::7%eth0", form),
            ("192.0.2.0/33", prefix),
            ("192.0.2.0/032", prefix),
            ("192.0.2.0/255.255.255.0", prefix),
            ("192.0.2.0/-1", prefix),
            ("fd00::/129", prefix),
            ("fd00::/", prefix),
            ("192.0.2.7-", end),
            ("192.0.2.7-9", end),
            ("192.0.2.7- 192.0.2.9", end),
            ("192.0.2.7-192.0.2.8-192.0.2.9", end),
            ("192.0.2.7-fd00::7", family),
            ("fd00::7-192.0.2.7", family),
            ("192.0.2.9-192.0.2.7", backwards),
            ("10.0.0.0-9.255.255.255", backwards),
            ("192.0.3.0-192.0.2.255", backwards),
        ];
        for (address, reason) in addresses {
            assert!(porter_core::AddressRange::parse(address).is_err(), "{address}");
            let refusal = only_refusal(&layer2(address));
            assert!(
                refusal.starts_with(&format!("spec.address: {reason}")),
                "{address}: {refusal}"
            );
        }
    }

    #[test]
    fn layer2_needs_an_interface_that_can_be_one() {
        let missing = [
            json!({ "address": "192.0.2.7", "protocol": "layer2" }),
            json!({ "address": "192.0.2.7", "protocol": "layer2", "interface": "" }),
        ];
        for spec in missing {
            assert!(only_refusal(&spec).starts_with("spec: spec.interface is needed"), "{spec}");
        }
        let odd = [
            "eth/0",
            "eth 0",
            "eth0:1",
            "enp0s31f6.1234ab",
            ".",
            "..",
            "can_reach:",
            "can_reach:eth0",
        ];
        for interface in odd {
            let spec =
                json!({ "address": "192.0.2.7", "protocol": "layer2", "interface": interface });
            let refusal = only_refusal(&spec);
            assert!(
                refusal.starts_with("spec: spec.interface must be the name"),
                "{spec}: {refusal}"
            );
        }
        let good = [
            "eth0",
            "enp0s31f6.1234a",
            "br-lan",
            "...",
            "can_reach:192.0.2.1",
            "can_reach:fd00::1",
        ];
        for interface in good {
            let spec =
                json!({ "address": "192.0.2.7", "protocol": "layer2", "interface": interface });
            assert_eq!(refusals(&spec), Vec::<String>::new(), "{spec}");
        }
    }

    #[test]
    fn an_interface_is_not_looked_at_where_it_is_not_used() {
        let specs = [
            json!({ "address": "192.0.2.7" }),
            json!({ "address": "192.0.2.7", "protocol": "bgp" }),
            json!({ "address": "192.0.2.7", "protocol": "bgp", "interface": "" }),
            json!({ "address": "192.0.2.7", "protocol": "vip", "interface": "eth/0" }),
            json!({ "address": "192.0.2.7", "interface": "eth/0" }),
        ];
        for spec in specs {
            assert_eq!(refusals(&spec), Vec::<String>::new(), "{spec}");
        }
    }

    #[test]
    fn every_rule_is_in_the_definition_and_can_be_read() {
        let crd = serde_json::to_value(Eip::crd()).unwrap();
        let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
        let count = |node: &Value| node["x-kubernetes-validations"].as_array().map_or(0, Vec::len);
        assert_eq!((count(spec), count(&spec["properties"]["address"])), (2, 5));
        for node in [spec, &spec["properties"]["address"]] {
            assert!(!compile_schema(node).has_errors());
            for rule in node["x-kubernetes-validations"].as_array().unwrap() {
                // Of a later field an API server of 1.25 knows nothing, and `kubectl` refuses it.
                let fields: Vec<_> = rule.as_object().unwrap().keys().collect();
                assert_eq!(fields, ["message", "rule"]);
            }
        }
    }
}
