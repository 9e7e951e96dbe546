use config::settings::Settings;

use super::*;

fn settings(flags: &[&str]) -> Result<Settings, Vec<Problem>> {
    let words = ["tidegate", "run"].iter().chain(flags);
    match Cli::try_parse_from(words).unwrap().command {
        Command::Run(args) => args.settings(),
        other => panic!("{other:?}"),
    }
}

fn refused(words: &[&str]) -> String {
    Cli::try_parse_from(["tidegate"].iter().chain(words)).unwrap_err().to_string()
}

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_version_names_the_commit_where_there_is_one() {
    let said = refused(&["--version"]);
    let rest = said.trim_end().strip_prefix(concat!("tidegate ", env!("CARGO_PKG_VERSION"))).expect("the package's version");
    let Some(commit) = rest.strip_prefix(" (").and_then(|rest| rest.strip_suffix(')')) else {
        return assert_eq!(rest, "", "no commit is known");
    };
    let digits = commit.strip_suffix("-dirty").unwrap_or(commit);
    assert!(digits.len() == 12 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{said}");
}

#[test]
fn every_shell_learns_every_command() {
    for shell in [ShellName::Bash, ShellName::Zsh, ShellName::Fish] {
        let script = completion(shell);
        for command in Cli::command().get_subcommands() {
            assert!(script.contains(command.get_name()), "{shell:?}: {}", command.get_name());
        }
        assert!(script.contains("internal-cidr"), "{shell:?}");
    }
    assert!(refused(&["completion", "tcsh"]).contains("bash"));
}

#[test]
fn flags_win_over_defaults() {
    let flags = [
        "--manifests",
        "a",
        "--manifests",
        "b",
        "--http",
        "127.0.0.1:0",
        "--https",
        "127.0.0.1:8443",
        "--internal-http",
        "127.0.0.1:81",
        "--admin",
        "none",
        "--dns",
        "127.0.0.1:53",
        "--dns",
        "[::1]:0",
        "--metrics",
        "[::1]:9902",
        "--service-cidr",
        "127.97.0.0/24",
        "--internal-cidr",
        "10.0.0.0/8,127.0.0.0/8",
        "--state-dir",
        "s",
        "--node-name",
        "one",
        "--zone",
        "a",
        "--workers",
        "3",
        "--log",
        "json",
        "--access-log",
        "none",
    ];
    let settings = settings(&flags).unwrap();
    assert_eq!(settings.manifests, [PathBuf::from("a"), PathBuf::from("b")]);
    assert_eq!(settings.http, Some(([127, 0, 0, 1], 0).into()));
    assert_eq!(settings.https, Some(([127, 0, 0, 1], 8443).into()));
    assert_eq!(settings.internal_http, Some(([127, 0, 0, 1], 81).into()));
    assert_eq!(settings.admin, None);
    assert_eq!(settings.dns.listen, ["127.0.0.1:53", "[::1]:0"].map(|address| address.parse().unwrap()));
    assert_eq!(settings.metrics, Some("[::1]:9902".parse().unwrap()));
    assert_eq!(settings.service_cidr.to_string(), "127.97.0.0/24");
    assert_eq!(settings.internal_cidrs.len(), 2);
    assert_eq!(settings.state_dir, Some(PathBuf::from("s")));
    assert_eq!((settings.node_name.as_deref(), settings.zone.as_deref()), (Some("one"), Some("a")));
    assert_eq!((settings.workers, settings.log, settings.access_log), (3, LogFormat::Json, AccessLog::None));
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidegate.yaml");
    std::fs::write(&file, "manifests: [from-file]\nhttp: 127.0.0.1:1\nadmin: 127.0.0.1:2\nexitWith: 7\n").unwrap();
    let settings = settings(&["--config", file.to_str().unwrap(), "--http", "none", "--exit-with", "app"]).unwrap();
    assert_eq!(settings.http, None);
    assert_eq!(settings.admin, Some(([127, 0, 0, 1], 2).into()));
    assert_eq!(settings.manifests, [PathBuf::from("from-file")]);
    assert_eq!(settings.exit_with, Some(ExitWith::Command("app".to_owned())));
}

#[test]
fn everything_wrong_is_said_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tidegate.yaml");
    std::fs::write(&file, "htttp: none\nworkers: many\n").unwrap();
    let problems = settings(&["--config", file.to_str().unwrap(), "--https", "none"]).unwrap_err();
    let text: Vec<String> = problems.iter().map(Problem::to_string).collect();
    for word in ["htttp", "workers"] {
        assert!(text.iter().any(|problem| problem.contains(word)), "{word}: {text:?}");
    }
    assert!(text.iter().any(|problem| problem.contains("tidegate.yaml")), "{text:?}");
    let missing = settings(&["--config", "/nonexistent/tidegate.yaml"]).unwrap_err();
    assert!(missing[0].to_string().contains("/nonexistent/tidegate.yaml"));
    assert!(settings(&[]).unwrap_err()[0].to_string().contains("--manifests"));
}

#[test]
fn wrong_values_name_their_flag() {
    for words in [
        ["run", "--http", "8080"],
        ["run", "--service-cidr", "127.0.0.1/99"],
        ["run", "--access-log", ""],
        ["run", "--workers", "many"],
        ["run", "--workers", "-1"],
        ["run", "--workers", "1025"],
        ["run", "--internal-cidr", "10.0.0.1/8"],
        ["run", "--metrics", "localhost:9902"],
        ["run", "--exit-with", "/bin/app"],
        ["explain", "--admin", "none"],
        ["check", "--assert", "public: a/b"],
    ] {
        let error = refused(&words);
        assert!(error.contains(words[1]) && error.contains("expected ") && error.contains("fix: "), "{error}");
    }
    assert!(refused(&["explain", "http://a/", "--from", "outside"]).contains("`external` or `internal`"));
    assert!(refused(&["get", "services", "-o", "yaml"]).contains("yaml"));
}

#[test]
fn a_start_is_refused_when_no_virtual_ip_could_be_bound() {
    let problems = settings(&["--manifests", "m", "--service-cidr", "8.8.8.0/24"]).unwrap_err();
    assert!(problems.iter().any(|problem| problem.place.field.as_deref() == Some("serviceCidr") && problem.fix.is_some()), "{problems:?}");
    assert_eq!(settings(&["--manifests", "m", "--workers", "0"]).unwrap().workers, 0, "one for each core");
}

/// Rows of docs/settings.md: key, flag, environment.
#[test]
fn the_page_of_settings_names_every_flag_and_its_variable() {
    let command = Cli::command();
    let run = command.find_subcommand("run").unwrap();
    let mut flags: Vec<(String, String)> = run
        .get_arguments()
        .filter_map(|argument| Some((format!("--{}", argument.get_long()?), argument.get_env()?.to_str()?.to_owned())))
        .filter(|(flag, _)| flag != "--config")
        .collect();
    let rows = include_str!("../../../docs/settings.md").lines().filter(|line| line.starts_with("| `"));
    let cell = |row: &str, at: usize| row.split(" | ").nth(at).unwrap_or_default().trim_matches(['`', '|', ' ']).to_owned();
    let mut named: Vec<(String, String)> = rows
        .map(|row| (cell(row, 1).split(' ').next().unwrap_or_default().to_owned(), cell(row, 2)))
        .filter(|(flag, _)| flag.starts_with("--"))
        .collect();
    flags.sort();
    named.sort();
    assert_eq!(named, flags);
    for (flag, variable) in flags {
        let expected = format!("TIDEGATE_{}", flag.trim_start_matches('-').replace('-', "_").to_uppercase());
        assert_eq!(variable, expected, "{flag}");
    }
}
