//! `matchlock judge`, `show` and `diff` for the demo games. For games of your own: the same line with your rules.

fn main() -> std::process::ExitCode {
    matchlock_server::cli::run(matchlock_demo::refereed::known)
}
