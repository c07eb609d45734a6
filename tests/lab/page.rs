//! The page that every agent has for people, in a headless Chromium.
//!
//! Without Chromium these tests say so and pass; with `CI=true` they fail.

use std::{ffi::OsString, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    browser::Browser,
    lab::{self, Lab},
};

const RECORD: &str = "layer2.porter.kubesphere.io/v1alpha1";
const SERVICE: &str = "svc/mylbapp-svc-layer2";
const PAGE: &str = include_str!("../../backends/src/http/page.html");

/// What an agent answers to `/status`.
fn status(lab: &Lab, node: &str) -> Value {
    let script = "exec 3<>/dev/tcp/127.0.0.1/7475; \
                  printf 'GET /status HTTP/1.1\\r\\nHost: here\\r\\n\\r\\n' >&3; cat <&3";
    let ran = lab.run(lab::PORTER, &["lab", "exec", node, "--", "bash", "-c", script]);
    let answer = String::from_utf8_lossy(&ran.stdout).into_owned();
    let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{ran:?}"));
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// What a browser on a node has of the page of its agent.
fn page_on(lab: &Lab, node: &str, browser: &Browser) -> String {
    let mut command: Vec<OsString> = ["lab", "exec", node, "--"].map(Into::into).into();
    command.extend(browser.command("http://127.0.0.1:7475/"));
    let ran = lab.run(lab::PORTER, &command);
    String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned()
}

#[test]
fn the_page_of_an_agent_shows_who_leads_where_addresses_are_and_what_moved() {
    let test = "the_page_of_an_agent_shows_who_leads_where_addresses_are_and_what_moved";
    let Some(browser) = Browser::find(test).filter(|_| lab::has_kubectl()) else { return };
    let directory = TempDir::new().expect("there is room for a directory");
    let lab = Lab::start(directory.path());
    lab.wait_for("The lab stays up");
    let nodes = ["node1", "node3", "node4"];
    let leads = |node: &&str| status(&lab, node)["leads"] == true;
    lab::until("one leads", || nodes.iter().any(leads));
    let leader = nodes.into_iter().find(|node| leads(node)).expect("one leads");
    let standby = if leader == "node1" { "node3" } else { "node1" };
    let at = || status(&lab, leader)["addresses"][0]["node"].as_str().map(str::to_owned);
    lab::until("the Service is announced", || at().is_some());
    let from = at().expect("it is announced");
    let to = if from == "node1" { "node3" } else { "node1" };
    let pin = format!(r#"{{"metadata":{{"annotations":{{"{RECORD}":"{to}"}}}}}}"#);
    assert!(lab.run("kubectl", &["patch", SERVICE, "-p", &pin]).status.success());
    lab::until("the Service moved", || at().as_deref() == Some(to));

    for node in [leader, standby] {
        let seen = page_on(&lab, node, &browser);
        assert!(seen.contains(&format!("porter-agent-{leader} leads (Lease")), "{seen}");
        let cells = ["<code>172.22.0.188</code>", "default/mylbapp-svc-layer2", to];
        assert!(seen.contains(&cells.map(|cell| format!("<td>{cell}</td>")).concat()), "{seen}");
    }
    let seen = page_on(&lab, leader, &browser);
    let cells = ["default/mylbapp-svc-layer2", &from, to, "somebody changed the record"];
    assert!(seen.contains(&cells.map(|cell| format!("<td>{cell}</td>")).concat()), "{seen}");
    let seen = page_on(&lab, standby, &browser);
    assert!(seen.contains("standing by"), "{seen}");
    assert!(lab.stop().success());
}

/// The page, told this by its replica, one after the other and then the last again and again; `null` is a
/// replica that does not answer.
fn told(answers: &Value) -> String {
    let stub = format!(
        "<script>const told = {answers}; window.fetch = async () => {{ \
         const it = told.length > 1 ? told.shift() : told[0]; \
         if (!it) throw new Error('no answer'); \
         return {{ ok: true, json: async () => it }}; }};</script><script>\n\"use strict\""
    );
    assert!(PAGE.contains("<script>\n\"use strict\""));
    PAGE.replacen("<script>\n\"use strict\"", &stub, 1)
}

/// What a replica tells that sees all kinds of things.
fn sighting() -> Value {
    let address = |number: u8, announced: bool, reason: &str| {
        json!({
            "address": format!("172.22.0.{number}"), "service": format!("default/web-{number}"),
            "eip": "pool", "node": announced.then_some("node1"), "mac": announced.then_some("52:54:ac:16:00:03"),
            "interface": announced.then_some("eth0"), "announced": announced, "reason": reason,
            "message": "check the <b>selector</b>", "since": "2026-11-28T10:00:00Z", "conflict": null,
        })
    };
    let sight = |mac: Option<&str>, obstacle: Option<&str>| json!([{"interface": "eth0", "address": "172.22.0.3", "mac": mac, "obstacle": obstacle, "heldDown": true}]);
    json!({
        "version": "0.1.0", "replica": "porter-agent-node1_7", "ready": true, "readiness": "ok", "leads": true,
        "leader": {"lease": "porter-system/porter-speaker", "holder": "porter-agent-node1_7", "leads": true},
        "eips": [
            {"name": "pool", "address": "172.22.0.188-172.22.0.200", "interface": "eth0", "used": 2,
             "total": 13, "ready": true, "reason": "Served", "message": "served on eth0"},
            {"name": "other", "address": "172.22.1.0/24", "interface": "eth7", "used": 0, "total": 256,
             "ready": false, "reason": "InterfaceMissing", "message": "correct spec.interface"},
        ],
        "addresses": [address(188, true, "Announced"), address(189, false, "NoReadyEndpoint")], "more": 7,
        "nodes": [
            {"name": "node1", "bar": null, "cordoned": true, "announced": 1,
             "sights": sight(Some("52:54:ac:16:00:03"), None)},
            {"name": "node3", "bar": null, "cordoned": false, "announced": 0,
             "sights": sight(None, Some("does not answer on the LAN"))},
            {"name": "node4", "bar": "is not Ready", "cordoned": false, "announced": 0, "sights": []},
        ],
        "moreNodes": 0,
        "moves": [{"at": "2026-11-28T10:00:00Z", "service": "default/web-188", "from": "node3",
                   "to": "node1", "cause": "NodeSilent", "tookSeconds": 0.65}],
    })
}

/// What a script finds in the page after some time, if there is a browser.
fn ask(test: &str, answers: &Value, script: &str, light: bool, after: Duration) -> Option<Value> {
    Some(Browser::find(test)?.ask(&told(answers), script, light, after))
}

#[test]
fn the_page_follows_what_is_told_and_says_so_if_it_is_told_nothing() {
    let test = "the_page_follows_what_is_told_and_says_so_if_it_is_told_nothing";
    let mut later = sighting();
    later["leader"]["holder"] = json!("porter-agent-node4_9");
    later["addresses"][0]["node"] = json!("node4");
    let script = "
        const text = (id) => document.getElementById(id).textContent;
        return { leader: text('leader'), node: document.getElementById('addresses').rows[0].cells[2].textContent,
                 trouble: document.getElementById('trouble').hidden ? '' : text('trouble') };";
    for (answers, after, leader, node, trouble) in [
        (json!([sighting(), later]), 1, "porter-agent-node1 leads", "node1", ""),
        (json!([sighting(), later]), 3, "porter-agent-node4 leads", "node4", ""),
        (
            json!([sighting(), null]),
            3,
            "porter-agent-node1 leads",
            "node1",
            "What is shown is old.",
        ),
        (json!([sighting(), null, later]), 5, "porter-agent-node4 leads", "node4", ""),
    ] {
        let Some(seen) = ask(test, &answers, script, true, Duration::from_secs(after)) else {
            return;
        };
        assert!(
            seen["leader"].as_str().is_some_and(|it| it.starts_with(leader)),
            "{after} s: {seen}"
        );
        assert_eq!(seen["node"], node, "{after} s: {seen}");
        let said = seen["trouble"].as_str().unwrap_or_default();
        assert!(
            said.ends_with(trouble) && said.is_empty() == trouble.is_empty(),
            "{after} s: {seen}"
        );
    }
}

#[test]
fn what_objects_say_is_text_and_can_be_searched() {
    let script = "
        const rows = () => [...document.getElementById('addresses').rows].map((row) => row.cells[0].textContent);
        const all = rows(), filter = document.getElementById('filter');
        filter.value = 'NoReady'; filter.dispatchEvent(new Event('input'));
        return { all, some: rows(), shown: document.getElementById('shown').textContent,
                 bold: document.querySelectorAll('b').length };";
    let answers = json!([sighting()]);
    let test = "what_objects_say_is_text_and_can_be_searched";
    let Some(seen) = ask(test, &answers, script, true, Duration::from_secs(1)) else { return };
    assert_eq!(seen["all"], json!(["172.22.0.188", "172.22.0.189"]));
    assert_eq!(seen["some"], json!(["172.22.0.189"]));
    assert!(seen["shown"].as_str().is_some_and(|it| it.starts_with("1 of 2; 7 more")), "{seen}");
    assert_eq!(seen["bold"], 0, "markup in a message is shown as it is");
}

#[test]
fn in_light_and_dark_it_stands_out_and_can_be_read_out_and_walked_by_the_keyboard() {
    let test = "in_light_and_dark_it_stands_out_and_can_be_read_out_and_walked_by_the_keyboard";
    // Contrast and its threshold are those of WCAG 2.2, 1.4.3.
    let script = "
        const lightness = (color) => {
            const [r, g, b] = color.match(/[0-9.]+/g).slice(0, 3).map((part) => {
                const c = part / 255;
                return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
            });
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const paper = getComputedStyle(document.body).backgroundColor;
        const faint = [];
        const walk = document.createTreeWalker(document.querySelector('main'), NodeFilter.SHOW_TEXT);
        let words = 0;
        while (walk.nextNode()) {
            const text = walk.currentNode;
            if (!text.data.trim() || !text.parentElement.checkVisibility()) continue;
            words += 1;
            const [low, high] = [lightness(getComputedStyle(text.parentElement).color), lightness(paper)].sort((a, b) => a - b);
            if ((high + 0.05) / (low + 0.05) < 4.5) faint.push(text.data);
        }
        const named = (element) => document.getElementById(element.getAttribute('aria-labelledby'))?.textContent;
        return {
            dark: lightness(paper) < 0.5, words, faint,
            tables: [...document.querySelectorAll('table')].map(named),
            unscoped: document.querySelectorAll('th:not([scope])').length,
            filter: document.querySelector('label[for=filter]').textContent,
            stops: [...document.querySelectorAll('input, [tabindex=\"0\"]')].length,
            live: document.getElementById('leader').getAttribute('role'),
            wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
        };";
    for light in [true, false] {
        let answers = json!([sighting()]);
        let Some(seen) = ask(test, &answers, script, light, Duration::from_secs(1)) else { return };
        assert_eq!(seen["dark"], json!(!light), "{seen}");
        assert!(seen["words"].as_u64() > Some(60), "{seen}");
        assert_eq!(seen["faint"], json!([]), "{seen}");
        let tables =
            ["Eips", "External addresses", "Nodes, as this replica sees them", "Recent moves"];
        assert_eq!(seen["tables"], json!(tables), "{seen}");
        assert_eq!(seen["unscoped"], 0, "{seen}");
        assert_eq!(seen["filter"], "Only what contains", "{seen}");
        assert_eq!(seen["stops"], 5, "the filter, and four tables that may be too wide: {seen}");
        assert_eq!(seen["live"], "status", "{seen}");
        assert_eq!(seen["wide"], false, "{seen}");
    }
}
