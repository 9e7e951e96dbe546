//! The container engine of this machine, by its command `docker`, and the image under test.

use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use serde_json::Value;
use tidegate_tests::engine::skip;
use tidegate_tests::image::make;
use tidegate_tests::wait::await_some;

/// Runs `docker` with these words.
pub(crate) fn docker<S: AsRef<std::ffi::OsStr>>(words: impl IntoIterator<Item = S>) -> Output {
    Command::new("docker").args(words).stdin(Stdio::null()).output().expect("docker can be started")
}

/// What it says on stdout.
///
/// # Panics
/// When it fails.
pub(crate) fn said(words: &[&str]) -> String {
    let output = docker(words);
    assert!(output.status.success(), "docker {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Why there is no engine; `None` when there is one.
fn missing() -> Option<String> {
    let tried = Command::new("docker").args(["version", "--format", "{{.Server.Os}}"]).stdin(Stdio::null()).output();
    match tried {
        Ok(output) if output.status.success() => None,
        Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Some(format!("docker: {error}")),
    }
}

/// The image under test: the one that `TIDEGATE_IMAGE` names, or one that `make image` makes of a binary of the quick profile.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) name: String,
    /// Whether it was made here, of the quick profile.
    pub(crate) quick: bool,
}

/// Makes it once for all cases. `None`, with a word to whoever runs the tests, where there is no engine.
pub(crate) fn image() -> Option<&'static Image> {
    static IMAGE: OnceLock<Result<Image, String>> = OnceLock::new();
    let image = IMAGE.get_or_init(|| match (std::env::var("TIDEGATE_IMAGE"), missing()) {
        (_, Some(why)) => Err(why),
        (Ok(name), None) => Ok(Image { name, quick: false }),
        (Err(_), None) => Ok(Image::make("test")),
    });
    image.as_ref().map_err(|why| skip::<()>(why)).ok()
}

impl Image {
    /// By the words that a user says.
    ///
    /// # Panics
    /// When it cannot be made.
    pub(crate) fn make(tag: &str) -> Image {
        let name = format!("tg-image-{tag}:{}", std::process::id());
        remove_at_the_end(&name);
        make(&name, None);
        Image { name, quick: true }
    }
}

/// However this process ends: nothing of it runs after the last case, so that somebody else waits for the end of a pipe from here.
fn remove_at_the_end(name: &str) {
    let script = format!("cat >/dev/null; exec docker image rm {name} >/dev/null 2>&1");
    let waits = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).process_group(0).spawn();
    std::mem::forget(waits.expect("sh can be started").stdin);
}

impl Image {
    /// What `docker image inspect` says.
    pub(crate) fn inspected(&self) -> Value {
        serde_json::from_str(&said(&["image", "inspect", "--format", "{{json .}}", &self.name])).expect("JSON")
    }
}

/// A container. Dropped, it is removed.
#[derive(Debug)]
pub(crate) struct Container {
    id: String,
}

impl Container {
    /// Starts one: these flags of `docker run`, and these words for `/tidegate`.
    pub(crate) fn run(image: &Image, flags: &[&str], words: &[&str]) -> Container {
        let id = said(&[&["run", "--detach"], flags, &[&image.name], words].concat());
        Container { id }
    }

    /// Makes one that is never started.
    pub(crate) fn made(image: &Image) -> Container {
        Container { id: said(&["create", &image.name]) }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// One field of `docker inspect`.
    pub(crate) fn field(&self, path: &str) -> String {
        said(&["inspect", "--format", &format!("{{{{{path}}}}}"), &self.id])
    }

    /// What it logged so far.
    pub(crate) fn log(&self) -> String {
        let output = docker(["logs", &self.id]);
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }

    /// The first word behind `key` in its log that is not there yet, perhaps: waits for it.
    pub(crate) fn logged(&self, line: &str, key: &str) -> String {
        await_some(&format!("{line} in the log"), || {
            let running = self.field(".State.Running");
            let log = self.log();
            assert_eq!(running, "true", "it ended:\n{log}");
            let line = log.lines().find(|known| known.contains(line))?.to_owned();
            Some(line.split_once(key)?.1.split_whitespace().next()?.to_owned())
        })
    }

    /// A line of its first process's `/proc/PID/status`.
    pub(crate) fn status(&self, key: &str) -> String {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.field(".State.Pid"))).expect("its process runs");
        let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).expect("a line of that name");
        line.trim().to_owned()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = docker(["rm", "--force", "--volumes", &self.id]);
    }
}

/// A named volume. Dropped, it is removed; containers that have it must be dropped before.
#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) name: String,
}

impl Volume {
    pub(crate) fn make() -> Volume {
        Volume { name: said(&["volume", "create", &format!("tg-image-state-{}", std::process::id())]) }
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        let _ = docker(["volume", "rm", &self.name]);
    }
}
