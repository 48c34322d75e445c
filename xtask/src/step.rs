//! One command of a chore: announced, run, timed.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Why a chore stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// A command said no; what it printed is above.
    #[error("Failed: {title} (exit code {code}).\nTo run it alone: {command}")]
    Command { title: String, command: String, code: u8 },
    /// A command could not be started.
    #[error("Failed: {title}. `{program}` could not be started: {error}")]
    NotStarted { title: String, program: String, error: io::Error },
    /// Something is missing that only the person can provide.
    #[error("{0}")]
    Missing(String),
    /// A file could not be read or written.
    #[error("{path}: {error}", path = path.display())]
    File { path: PathBuf, error: io::Error },
}

impl Failure {
    /// What this process exits with.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Failure::Command { code, .. } => *code,
            _ => 1,
        }
    }
}

/// What a step that succeeded left behind.
pub(crate) struct Done {
    pub(crate) took: Duration,
    /// What it printed, where that was kept.
    pub(crate) output: String,
}

/// A command of a chore.
pub(crate) struct Step {
    title: String,
    command: Command,
}

impl Step {
    /// A command in the workspace's root.
    pub(crate) fn new(title: &str, program: impl AsRef<OsStr>, args: &[&str]) -> Step {
        let mut command = Command::new(program);
        command.args(args).current_dir(root());
        // What `cargo run` tells this process about itself would make cargo build some crates anew.
        for (name, _) in env::vars_os() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|own| name.to_string_lossy().starts_with(own)) {
                command.env_remove(name);
            }
        }
        // A relative one is meant from where the person stands.
        if let Some(target) = env::var_os("CARGO_TARGET_DIR") {
            command.env("CARGO_TARGET_DIR", env::current_dir().unwrap_or_default().join(target));
        }
        Step { title: title.to_owned(), command }
    }

    /// A cargo command: of the same cargo, into the same target directory.
    pub(crate) fn cargo(title: &str, args: &[&str]) -> Step {
        Step::new(title, env::var_os("CARGO").unwrap_or_else(|| "cargo".into()), args)
    }

    pub(crate) fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Step {
        self.command.args(args);
        self
    }

    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Step {
        self.command.env(name, value);
        self
    }

    pub(crate) fn within(mut self, folder: &Path) -> Step {
        self.command.current_dir(folder);
        self
    }

    pub(crate) fn without_input(mut self) -> Step {
        self.command.stdin(Stdio::null());
        self
    }

    /// Runs the command with this process's input and output.
    pub(crate) fn run(mut self) -> Result<Done, Failure> {
        let started = self.announce();
        let status = self.command.status();
        self.finish(started, status, String::new())
    }

    /// Runs the command and keeps what it prints, which passes on as it comes.
    pub(crate) fn run_kept(mut self) -> Result<Done, Failure> {
        use io::IsTerminal;
        if io::stderr().is_terminal() {
            self.command.env("CARGO_TERM_COLOR", "always");
            self.command.envs([("CARGO_TERM_PROGRESS_WHEN", "always"), ("CARGO_TERM_PROGRESS_WIDTH", "80")]);
        }
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = self.announce();
        let mut child = match self.command.spawn() {
            Ok(child) => child,
            Err(error) => return self.finish(started, Err(error), String::new()),
        };
        let errors = child.stderr.take().map(|errors| thread::spawn(move || pass_on(errors, io::stderr())));
        let printed = child.stdout.take().map(|printed| pass_on(printed, io::stdout())).unwrap_or_default();
        let said = errors.map(|thread| thread.join().unwrap_or_default()).unwrap_or_default();
        self.finish(started, child.wait(), without_colours(&[printed, said].concat()))
    }

    fn announce(&self) -> Instant {
        // Both streams, in order, wherever they go.
        let _ = io::stdout().flush();
        eprintln!("\n==> {}", self.title);
        Instant::now()
    }

    fn finish(
        self,
        started: Instant,
        status: io::Result<std::process::ExitStatus>,
        output: String,
    ) -> Result<Done, Failure> {
        match status {
            Ok(status) if status.success() => Ok(Done { took: started.elapsed(), output }),
            Ok(status) => {
                let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
                Err(Failure::Command { command: self.command_line(), title: self.title, code })
            }
            Err(error) => {
                let program = self.command.get_program().to_string_lossy().into_owned();
                Err(Failure::NotStarted { title: self.title, program, error })
            }
        }
    }

    /// The command as a person would type it.
    fn command_line(&self) -> String {
        let folder = self.command.get_current_dir().and_then(|folder| folder.strip_prefix(root()).ok());
        let program = Path::new(self.command.get_program());
        let shown = program.strip_prefix(self.command.get_current_dir().unwrap_or(program)).unwrap_or(program);
        let shown = match shown.file_name() {
            Some(name) if shown.is_absolute() => Path::new(name),
            _ => shown,
        };
        let words = [shown.as_os_str()].into_iter().chain(self.command.get_args());
        let line = words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ");
        match folder {
            Some(folder) if folder != Path::new("") => format!("(cd {} && {line})", folder.display()),
            _ => line,
        }
    }
}

/// Copies bytes as they come, so that progress shows, and returns them.
fn pass_on(mut from: impl Read, mut to: impl Write) -> Vec<u8> {
    let (mut kept, mut buffer) = (Vec::new(), [0u8; 8192]);
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        kept.extend_from_slice(&buffer[..length]);
        let _ = to.write_all(&buffer[..length]).and_then(|()| to.flush());
    }
    kept
}

/// The text without a terminal's escape sequences.
fn without_colours(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut parts = text.split('\u{1b}');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).map_or(part.len(), |letter| letter + 1);
        plain.push_str(&part[end..]);
    }
    plain
}

/// The workspace's root, wherever the command was given.
pub(crate) fn root() -> PathBuf {
    // At run time, because a checkout may have moved since this was compiled; else where it was compiled.
    let manifest: OsString = env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&manifest).parent().map(Path::to_owned).unwrap_or_default()
}
