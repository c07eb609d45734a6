//! A headless Chromium that opens a page from disk, and tells what is in it then.

use std::{env, ffi::OsString, fs, io::Write, path::PathBuf, process::Command, time::Duration};

use serde_json::Value;
use tempfile::TempDir;

/// The names under which distributions have it.
const NAMES: [&str; 4] =
    ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];

/// A browser, which knows nothing of the one before.
pub(crate) struct Browser {
    program: PathBuf,
    home: TempDir,
}

impl Browser {
    /// The browser on the path, or `None`, said on stderr, if there is none. With `CI=true` it must
    /// be there.
    pub(crate) fn find(test: &str) -> Option<Self> {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders: Vec<_> = env::split_paths(&path).collect();
        let files =
            NAMES.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
        let Some(program) = files.into_iter().find(|file| file.is_file()) else {
            assert!(
                env::var_os("CI").is_none_or(|ci| ci != "true"),
                "CI needs Chromium on the path"
            );
            writeln!(std::io::stderr(), "{test} is left out: there is no Chromium on the path")
                .expect("stderr takes a line");
            return None;
        };
        let home = TempDir::new().expect("there is room for a folder");
        Some(Self { program, home })
    }

    /// Opens a page, runs `script` in it after a time, and returns the value that this returns. The page's
    /// timers run ahead of the clock, so that no time passes.
    pub(crate) fn ask(&self, page: &str, script: &str, light: bool, after: Duration) -> Value {
        let file = self.home.path().join("page.html");
        let after = after.as_millis();
        let asking = format!(
            "<script>setTimeout(() => {{ const seen = document.createElement('pre'); seen.id = 'seen'; \
             let value; try {{ value = (() => {{ {script} }})(); }} \
             catch (error) {{ value = 'failed: ' + error; }} \
             seen.textContent = encodeURIComponent(JSON.stringify(value)); \
             document.body.append(seen); }}, {after})</script></body>"
        );
        assert!(page.contains("</body>"), "a page has a body");
        fs::write(&file, page.replace("</body>", &asking)).expect("there is room for a page");
        let ran = Command::new(&self.program)
            .args(self.arguments(light, after + 1_000))
            .arg(format!("file://{}", file.display()))
            .output()
            .expect("Chromium starts");
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{said}");
        let dom = String::from_utf8(ran.stdout).expect("HTML is text");
        let (_, rest) = dom.split_once(r#"<pre id="seen">"#).expect(&dom);
        let (seen, _) = rest.split_once("</pre>").expect("what is open is closed");
        let seen = percent(seen);
        serde_json::from_str(&seen).unwrap_or_else(|error| panic!("{error}: {seen}"))
    }

    #[allow(dead_code, reason = "reports are opened from disk")]
    /// What to run to have what is in a page after some seconds of its own time.
    pub(crate) fn command(&self, url: &str) -> Vec<OsString> {
        let mut command = vec![self.program.clone().into()];
        command.extend(self.arguments(true, 5_000));
        command.push(url.into());
        command
    }

    fn arguments(&self, light: bool, budget_ms: u128) -> Vec<OsString> {
        let mut profile = OsString::from("--user-data-dir=");
        profile.push(self.home.path().join("profile"));
        let scheme = if light { 1 } else { 0 };
        let fixed = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-quic",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,900",
            "--dump-dom",
        ];
        let mut arguments: Vec<OsString> = fixed.map(OsString::from).into();
        arguments.push(format!("--blink-settings=preferredColorScheme={scheme}").into());
        arguments.push(format!("--virtual-time-budget={budget_ms}").into());
        arguments.push(profile);
        arguments
    }
}

/// Undoes `encodeURIComponent`.
fn percent(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(code, 16).expect("two hexadecimal digits"));
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).expect("what was text is text")
}
