//! The page that `porter sim --report` writes, as a real browser shows it.
//!
//! Without Chromium these tests say so and pass; with `CI=true` they fail.

mod browser;

use std::{fs, path::Path, process::Command, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;

use browser::Browser;

/// What `porter sim` writes for the manifests of the guide.
fn page(seed: u64) -> String {
    let folder = TempDir::new().expect("there is room for a folder");
    let file = folder.path().join("run.html");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let ran = Command::new(env!("CARGO_BIN_EXE_porter"))
        .current_dir(examples)
        .args(["sim", "eip-sample-layer2.yaml", "mylbapp.yaml"])
        .args(["--seed", &seed.to_string(), "--report"])
        .arg(&file)
        .output()
        .expect("the binary was built with this test");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    fs::read_to_string(&file).expect("the page was written")
}

/// Asks a browser, if there is one.
fn ask(test: &str, script: &str, light: bool) -> Option<Value> {
    Some(Browser::find(test)?.ask(&page(1), script, light, Duration::ZERO))
}

fn strings(value: &Value) -> Vec<&str> {
    let all = value.as_array().into_iter().flatten();
    all.map(|one| one.as_str().expect("a string")).collect()
}

#[test]
fn the_same_seed_writes_the_same_page_and_another_seed_another() {
    assert!(page(7) == page(7));
    assert!(page(7) != page(8));
}

#[test]
fn the_readme_shows_what_is_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(root.join("README.md")).expect("there is one");
    let command = "$ cargo run --release -- sim deploy/examples/*.yaml --report run.html\n";
    let (_, shown) = readme.split_once(command).expect("it shows the simulator");
    let (shown, _) = shown.split_once("```").expect("a block ends");
    let examples =
        ["eip-sample-layer2.yaml", "mylbapp.yaml"].map(|name| format!("examples/{name}"));
    let ran = Command::new(env!("CARGO_BIN_EXE_porter"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("sim")
        .args(examples)
        .output()
        .expect("the binary was built with this test");
    let printed = String::from_utf8_lossy(&ran.stdout).into_owned();
    let mut rest = printed.as_str();
    // What is left out stands as dots.
    for part in shown.split("...\n").filter(|part| !part.is_empty()) {
        let found = rest.split_once(part);
        rest = found.unwrap_or_else(|| panic!("not printed, or not there:\n{part}\n{printed}")).1;
    }
}

#[test]
fn a_leader_crash_is_told_in_the_headline_and_drawn_in_its_lanes() {
    let script = "
        const texts = (which) => [...document.querySelectorAll(which)].map((one) => one.textContent);
        return {
            headline: texts('h1'), lead: texts('.lead'), lanes: texts('.lane > .name'),
            answers: texts('[data-lane=\"asking for 172.22.0.188\"] .span text'),
            faults: texts('.mark.fault .what'), marks: texts('.mark .number'),
            told: document.querySelectorAll('.sign.announced').length,
            rows: document.querySelectorAll('tbody tr').length,
        };";
    let test = "a_leader_crash_is_told_in_the_headline_and_drawn_in_its_lanes";
    let Some(seen) = ask(test, script, true) else { return };

    let headline = strings(&seen["headline"])[0];
    assert!(headline.contains(" s the leader, on node"), "{seen}");
    assert!(headline.ends_with(" is killed."), "{seen}");
    assert!(strings(&seen["lead"])[0].starts_with("Nobody answers for "), "{seen}");
    let lanes = [
        "asking for 172.22.0.188",
        "sending to 172.22.0.188",
        "the Lease",
        "replica on node1",
        "replica on node3",
        "replica on node4",
        "node1",
        "node3",
        "node4",
        "the API server",
    ];
    assert_eq!(strings(&seen["lanes"]), lanes);
    let answers = strings(&seen["answers"]);
    assert!(answers.iter().any(|text| text.starts_with("nobody answers for ")), "{seen}");
    assert!(strings(&seen["faults"])[0].starts_with("the leader, on node"), "{seen}");
    assert_eq!(strings(&seen["marks"]), ["1", "2", "3", "4"]);
    assert!(seen["told"].as_u64() >= Some(3), "{seen}");
    assert!(seen["rows"].as_u64() >= Some(20), "{seen}");
}

#[test]
fn keys_zoom_move_and_walk_and_tell_what_is_there() {
    let script = "
        const chart = document.getElementById('chart');
        chart.focus();
        const view = () => [Number(chart.dataset.from), Number(chart.dataset.to)];
        const press = (key, shiftKey) => {
            const event = new KeyboardEvent('keydown', { key, shiftKey, bubbles: true });
            document.activeElement.dispatchEvent(event);
            return view();
        };
        const seen = {
            focused: document.activeElement === chart, whole: view(), in: press('+'),
            later: press('ArrowRight', true), out: press('-'), back: press('0'), fault: press('f'),
            faults: document.querySelectorAll('.mark.fault').length, again: press('0'),
        };
        press('ArrowDown');
        seen.first = document.getElementById('detail').textContent;
        press('ArrowRight');
        seen.next = document.getElementById('detail').textContent;
        press('ArrowDown');
        seen.below = document.getElementById('detail').textContent;
        seen.chosen = document.querySelectorAll('.chosen').length;
        return seen;";
    let Some(seen) = ask("keys_zoom_move_and_walk_and_tell_what_is_there", script, true) else {
        return;
    };

    let view = |name: &str| {
        let ends = seen[name].as_array().expect("two ends");
        (ends[0].as_f64().expect("a number"), ends[1].as_f64().expect("a number"))
    };
    let (whole, zoomed, later) = (view("whole"), view("in"), view("later"));
    let long = |(from, to): (f64, f64)| to - from;
    assert_eq!(seen["focused"], json!(true));
    assert!((long(zoomed) / long(whole) - 0.6).abs() < 1e-4, "{seen}");
    assert!(zoomed.0 < later.0 && (long(later) - long(zoomed)).abs() < 1e-4, "{seen}");
    assert!(long(view("out")) > long(later), "{seen}");
    assert_eq!(view("back"), whole, "{seen}");
    assert!(long(view("fault")) < long(whole), "{seen}");
    assert_eq!(seen["faults"], json!(1), "{seen}");
    let text = |name: &str| seen[name].as_str().expect("text").to_owned();
    assert!(text("first").contains("asking for 172.22.0.188: "), "{seen}");
    assert!(text("next").contains("asking for 172.22.0.188: "), "{seen}");
    assert_ne!(text("first"), text("next"));
    assert!(text("below").contains("sending to 172.22.0.188: "), "{seen}");
    assert_eq!(seen["chosen"], json!(1), "{seen}");
}

#[test]
fn wheel_buttons_and_pointing_do_the_same() {
    let script = "
        const chart = document.getElementById('chart');
        const view = () => Number(chart.dataset.to) - Number(chart.dataset.from);
        const whole = view();
        const box = chart.getBoundingClientRect();
        const turn = (deltaY) => {
            const clientX = box.left + box.width / 2;
            const event = new WheelEvent('wheel', { deltaY, clientX, bubbles: true, cancelable: true });
            chart.dispatchEvent(event);
            return event.defaultPrevented;
        };
        const scrolls = !turn(100);
        const zooms = turn(-100);
        const wheel = view();
        document.querySelector('[data-do=all]').click();
        const all = view();
        document.querySelector('ol.story .fault button').click();
        const story = view();
        const bad = document.querySelector('.span.bad');
        bad.dispatchEvent(new PointerEvent('pointerenter'));
        return { whole, scrolls, zooms, wheel, all, story, detail: document.getElementById('detail').textContent };";
    let Some(seen) = ask("wheel_buttons_and_pointing_do_the_same", script, true) else { return };

    let number = |name: &str| seen[name].as_f64().expect("a number");
    assert_eq!(seen["scrolls"], json!(true), "{seen}");
    assert_eq!(seen["zooms"], json!(true), "{seen}");
    assert!(number("wheel") < number("whole"), "{seen}");
    assert_eq!(number("all"), number("whole"), "{seen}");
    assert!(number("story") < number("whole"), "{seen}");
    assert!(seen["detail"].as_str().is_some_and(|text| text.contains("nobody answers")), "{seen}");
}

#[test]
fn in_light_and_dark_every_word_has_room_and_stands_out() {
    let script = "
        const lightness = (color) => {
            const of = (v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            const [r, g, b] = color.match(/[\\d.]+/g).slice(0, 3).map((n) => of(Number(n) / 255));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const contrast = (a, b) => {
            const [low, high] = [lightness(a), lightness(b)].sort((x, y) => x - y);
            return (high + 0.05) / (low + 0.05);
        };
        const paper = getComputedStyle(document.body).backgroundColor;
        const words = [...document.querySelectorAll('.span text')];
        const faint = words.filter((text) => {
            const behind = getComputedStyle(text.previousSibling).fill;
            const under = behind.startsWith('rgb(') ? behind : paper;
            return contrast(getComputedStyle(text).fill, under) < 4.5;
        });
        const cut = words.filter((text) => text.getBBox().width + 7 > text.previousSibling.getBBox().width);
        const names = [...document.querySelectorAll('.lane > .name')];
        const wide = names.filter((text) => text.getBBox().x + text.getBBox().width > 190);
        const read = (all) => all.map((text) => text.textContent);
        return {
            dark: lightness(paper) < 0.5, n: words.length, faint: read(faint), cut: read(cut), wide: read(wide),
            ink: contrast(getComputedStyle(document.body).color, paper) > 7,
            fetched: performance.getEntriesByType('resource').length,
        };";
    for light in [true, false] {
        let Some(seen) = ask("in_light_and_dark_every_word_has_room_and_stands_out", script, light)
        else {
            return;
        };
        assert_eq!(seen["dark"], json!(!light), "{seen}");
        assert!(seen["n"].as_u64() >= Some(12), "{seen}");
        for none in ["faint", "cut", "wide"] {
            assert_eq!(seen[none], json!([]), "{none}: {seen}");
        }
        assert_eq!(seen["ink"], json!(true), "{seen}");
        assert_eq!(seen["fetched"], json!(0), "{seen}");
    }
}
