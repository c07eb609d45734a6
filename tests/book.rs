//! The pages in `docs/` make a book in which nothing is missing, and no link in the repository is dead.
//!
//! A page is read in two places: in the repository, and in the book that mdBook makes of `docs/` alone. So
//! it links only to what is in that folder.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use quick_xml::{Reader, events::Event as Xml};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// What of a Markdown file others link to, and what it links to.
#[derive(Debug, Default)]
struct Page {
    anchors: BTreeSet<String>,
    links: Vec<String>,
}

impl Page {
    fn read(path: &Path) -> Self {
        let text = text_of(path);
        let mut page = Self::default();
        let mut heading: Option<String> = None;
        for event in Parser::new_ext(&text, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH)
        {
            if let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = &event {
                page.links.push(dest_url.to_string());
            } else if let Event::Start(Tag::Heading { .. }) = event {
                heading = Some(String::new());
            } else if let Event::End(TagEnd::Heading(_)) = event {
                page.add_anchor(&heading.take().expect("a heading begins before it ends"));
            } else if let (Event::Text(part) | Event::Code(part), Some(heading)) =
                (event, &mut heading)
            {
                heading.push_str(&part);
            }
        }
        page
    }

    /// Takes in a heading as mdBook and GitHub both do. The second of two that are alike ends with `-1`.
    fn add_anchor(&mut self, heading: &str) {
        let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let anchor: String = heading.to_lowercase().chars().filter(kept).collect();
        let anchor = anchor.replace(' ', "-");
        let again = (1..).map(|n| format!("{anchor}-{n}"));
        let mut names = std::iter::once(anchor.clone()).chain(again);
        let name = names.find(|name| !self.anchors.contains(name));
        self.anchors.insert(name.expect("numbers do not end"));
    }
}

/// The text of a Markdown file, with what it includes.
fn text_of(path: &Path) -> String {
    let text = fs::read_to_string(path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let included = text.trim().strip_prefix("{{#include ").and_then(|it| it.strip_suffix("}}"));
    match included {
        Some(other) => text_of(&normal(&path.with_file_name(other))),
        None => text,
    }
}

/// A path without `..`, by its text.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::Prefix(_)
            | Component::RootDir
            | Component::CurDir
            | Component::Normal(_) => normal.push(component),
        }
    }
    normal
}

/// All files below a folder whose names end so, without what was built.
fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    for entry in entries {
        let entry = entry.expect("the folder can be read");
        let (path, name) = (entry.path(), entry.file_name());
        let passed_over = name == "target" || name.as_encoded_bytes().starts_with(b".");
        let kind = entry.file_type().expect("a file has a type");
        if kind.is_dir() && !passed_over {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|it| it == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn root() -> PathBuf {
    normal(Path::new(ROOT))
}

#[test]
fn every_page_is_in_the_book_once() {
    let docs = root().join("docs");
    let listed = Page::read(&docs.join("SUMMARY.md")).links;
    let listed: Vec<_> = listed.into_iter().map(|link| docs.join(link)).collect();
    for page in &listed {
        let times = listed.iter().filter(|other| *other == page).count();
        assert_eq!(times, 1, "{} is in docs/SUMMARY.md {times} times", page.display());
        assert!(page.is_file(), "docs/SUMMARY.md lists {}, which is not there", page.display());
    }
    let pages = files(&docs, "md").into_iter().filter(|page| !page.ends_with("SUMMARY.md"));
    for page in pages {
        assert!(listed.contains(&page), "docs/SUMMARY.md lacks {}", page.display());
    }
    assert!(!listed.is_empty(), "the book is empty");
}

#[test]
fn every_link_leads_somewhere_in_the_repository_and_in_the_book() {
    let root = root();
    let docs = root.join("docs");
    let paths = files(&root, "md");
    let pages: BTreeMap<_, _> =
        paths.into_iter().map(|path| (path.clone(), Page::read(&path))).collect();
    let mut dead = Vec::new();
    let mut n_links = 0;
    for (path, page) in &pages {
        let from = path.strip_prefix(&root).expect("it is below").display();
        for link in page.links.iter().filter(|link| !link.contains("://")) {
            n_links += 1;
            let (to, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = match to {
                "" => path.clone(),
                to => normal(&path.with_file_name(to)),
            };
            if !target.exists() {
                dead.push(format!("{from} links to {to}, which is not there"));
            } else if path.starts_with(&docs) && !target.starts_with(&docs) {
                dead.push(format!("{from} links to {to}, which is not in the book: name it only"));
            } else if !anchor.is_empty()
                && !pages.get(&target).is_some_and(|page| page.anchors.contains(anchor))
            {
                dead.push(format!("{from} links to {link}, where there is no such heading"));
            }
        }
    }
    assert!(dead.is_empty(), "{dead:#?}");
    assert!(n_links > 0, "nothing links to anything");
}

#[test]
fn every_picture_is_well_formed_says_what_it_shows_and_asks_for_nothing_else() {
    let pictures = files(&root().join("docs"), "svg");
    assert!(!pictures.is_empty(), "there are no pictures");
    for path in pictures {
        let text = fs::read_to_string(&path).expect("a picture is text");
        let picture = path.display();
        let mut said = BTreeMap::new();
        let mut open = Vec::new();
        let mut reader = Reader::from_str(&text);
        loop {
            let event = reader.read_event().unwrap_or_else(|error| panic!("{picture}: {error}"));
            if let Xml::Start(tag) = &event {
                open.push(String::from_utf8_lossy(tag.name().as_ref()).into_owned());
            } else if let Xml::End(_) = event {
                open.pop();
            } else if let Xml::Text(part) = &event
                && let [svg, element] = &open[..]
                && svg == "svg"
            {
                let part = String::from_utf8_lossy(part).trim().to_owned();
                said.entry(element.clone()).or_insert(part);
            } else if let Xml::Eof = event {
                break;
            }
        }
        assert!(open.is_empty(), "{picture} ends within {open:?}");
        for element in ["title", "desc"] {
            assert!(said.get(element).is_some_and(|it| !it.is_empty()), "{picture}: no {element}");
        }
        assert!(text.contains("prefers-color-scheme: dark"), "{picture} is made for light only");
        for foreign in ["<script", "<image", "href=", "@import", "url(http"] {
            assert!(!text.contains(foreign), "{picture} has {foreign}");
        }
    }
}

#[test]
fn the_guide_shows_the_examples_as_they_are() {
    let guide = text_of(&root().join("docs/guide.md"));
    let examples = files(&root().join("deploy/examples"), "yaml");
    let applied: Vec<_> = examples
        .iter()
        .filter(|path| guide.contains(&format!("apply -f {}", named(path))))
        .collect();
    assert!(!applied.is_empty(), "the guide applies nothing");
    for path in applied {
        let manifest = fs::read_to_string(path).expect("an example is text");
        let shown = format!("```yaml\n{}\n```", manifest.trim());
        assert!(guide.contains(&shown), "docs/guide.md does not show {} as it is", named(path));
    }
}

fn named(path: &Path) -> String {
    let below = path.strip_prefix(root()).expect("it is in the repository");
    below.display().to_string()
}
