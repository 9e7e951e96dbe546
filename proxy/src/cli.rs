//! The command line: what can be asked for, and how flags, environment and file make the settings.
//!
//! Flags win over environment (`TIDEGATE_*`) over `tidegate.yaml` over defaults. Invariant: a wrong value is an error that names it and
//! ends the command before anything is touched. Exit codes: 0 good, 1 the answer is bad, 2 it could not be asked.

mod ask;
mod bindable;
pub mod check;
pub mod explain;
pub mod get;
mod offline;
pub mod ready;
mod settings;
mod table;
pub mod top;

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use config::exposure::Exposure;
use config::problem::Problem;
use config::settings::value::{self, Unfit};
use config::settings::{AccessLog, ExitWith, LogFormat};
use ipnet::IpNet;
use registry::assertion::Assertion;

use crate::docker_proxy::DockerProxy;

/// Carries traffic to pods that come and go: an ingress for the outside, virtual IPs for the inside.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version = env!("TIDEGATE_VERSION"), max_term_width = 110)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve until SIGTERM or SIGINT, or until the app of --exit-with has gone; drain, then exit 0
    Run(RunArgs),
    /// Read manifests as a start would and say what is wrong and who can be reached from outside
    Check(CheckArgs),
    /// Say what would happen to a request, and why
    Explain(ExplainArgs),
    /// Show what a running process knows
    Get(GetArgs),
    /// Ask a running process whether traffic may be sent to it: exit 0 when it may, 1 when not
    Ready(ReadyArgs),
    /// Watch what a running process does, drawn again each second
    Top(TopArgs),
    /// Watch the main job at work: replicas die and return under load, strangers try every trick
    Demo(DemoArgs),
    /// Hold the Docker engine's socket, and answer five questions about containers that only read
    DockerProxy(DockerProxyArgs),
    /// Print what makes a shell complete commands and flags
    Completion {
        /// Which shell
        shell: ShellName,
    },
}

/// A shell that can be taught.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum ShellName {
    Bash,
    Zsh,
    Fish,
}

/// Flags of `run`.
#[derive(Debug, Clone, Default, Args)]
pub struct RunArgs {
    #[command(flatten)]
    picture: PictureArgs,
    #[command(flatten)]
    listen: ListenArgs,
    /// Admin listener [default: 127.0.0.1:9901]
    #[arg(long, value_name = "ADDR", env = "TIDEGATE_ADMIN")]
    admin: Option<Address>,
    /// End once the app beside this process has: its process id, or its command name [default: none]
    #[arg(long, value_name = "PID|COMMAND", env = "TIDEGATE_EXIT_WITH", value_parser = ExitWith::parse)]
    exit_with: Option<ExitWith>,
}

/// What the picture is made from: `run`, `check` and `explain` share it.
#[derive(Debug, Clone, Default, Args)]
pub struct PictureArgs {
    /// Settings file
    #[arg(long, value_name = "FILE", env = "TIDEGATE_CONFIG")]
    config: Option<PathBuf>,
    /// Folder (or file) of Kubernetes manifests; may be repeated
    #[arg(long, value_name = "DIR", env = "TIDEGATE_MANIFESTS")]
    manifests: Vec<PathBuf>,
    /// Containers are pods, by the Docker API
    #[arg(long, env = "TIDEGATE_DOCKER", value_parser = clap::builder::BoolishValueParser::new())]
    docker: bool,
    /// Unix socket of the Docker API, or of `tidegate docker-proxy` [default: /var/run/docker.sock]
    #[arg(long, value_name = "PATH", env = "TIDEGATE_DOCKER_SOCKET")]
    docker_socket: Option<PathBuf>,
    /// Compose project whose containers are followed, and no others; may be repeated [default: all]
    #[arg(long, value_name = "NAME", env = "TIDEGATE_DOCKER_PROJECT", value_delimiter = ',')]
    docker_project: Vec<String>,
    /// Where virtual IPs and last good objects are kept
    #[arg(long, value_name = "DIR", env = "TIDEGATE_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// Virtual IPs are allocated from here [default: 127.96.0.0/16]
    #[arg(long, value_name = "CIDR", env = "TIDEGATE_SERVICE_CIDR", value_parser = value::cidr)]
    service_cidr: Option<IpNet>,
    /// Make that range this machine's own by a route; needs CAP_NET_ADMIN
    #[arg(long, env = "TIDEGATE_CLAIM_SERVICE_CIDR", value_parser = clap::builder::BoolishValueParser::new())]
    claim_service_cidr: bool,
    /// What Pods and slices call this machine; empty is nothing [default: none]
    #[arg(long, value_name = "NAME", env = "TIDEGATE_NODE_NAME")]
    node_name: Option<String>,
    /// The zone of this machine; empty is none [default: none]
    #[arg(long, value_name = "NAME", env = "TIDEGATE_ZONE")]
    zone: Option<String>,
}

/// Listeners and the process, but for the admin listener, whose flag means whom to ask where something is asked.
#[derive(Debug, Clone, Default, Args)]
pub struct ListenArgs {
    /// External HTTP listener: an address, or `none` [default: 0.0.0.0:8080]
    #[arg(long, value_name = "ADDR", env = "TIDEGATE_HTTP")]
    http: Option<Address>,
    /// External HTTPS listener: an address, or `none` [default: 0.0.0.0:8443]
    #[arg(long, value_name = "ADDR", env = "TIDEGATE_HTTPS")]
    https: Option<Address>,
    /// Internal HTTP listener [default: none]
    #[arg(long, value_name = "ADDR", env = "TIDEGATE_INTERNAL_HTTP")]
    internal_http: Option<Address>,
    /// Listener for health and metrics only [default: none]
    #[arg(long, value_name = "ADDR", env = "TIDEGATE_METRICS")]
    metrics: Option<Address>,
    /// Listener for DNS, over UDP and TCP; may be repeated [default: none]
    #[arg(long, value_name = "ADDR", env = "TIDEGATE_DNS", value_delimiter = ',')]
    dns: Vec<Address>,
    /// Peers that internal listeners accept; may be repeated [default: loopback]
    #[arg(long, value_name = "CIDR", env = "TIDEGATE_INTERNAL_CIDR", value_delimiter = ',', value_parser = value::cidr)]
    internal_cidr: Vec<IpNet>,
    /// Worker threads; 0 is one for each core [default: 0]
    #[arg(long, value_name = "N", env = "TIDEGATE_WORKERS", value_parser = value::workers, allow_negative_numbers = true)]
    workers: Option<usize>,
    /// Form of the log [default: text]
    #[arg(long, value_name = "FORM", env = "TIDEGATE_LOG")]
    log: Option<Form>,
    /// Access log: a file, `-` for standard output, or `none` [default: -]
    #[arg(long, value_name = "PATH", env = "TIDEGATE_ACCESS_LOG", value_parser = access_log)]
    access_log: Option<AccessLog>,
}

/// Flags of `check`.
#[derive(Debug, Clone, Default, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    picture: PictureArgs,
    #[command(flatten)]
    listen: ListenArgs,
    /// Admin listener [default: 127.0.0.1:9901]
    #[arg(long, value_name = "ADDR", env = "TIDEGATE_ADMIN")]
    admin: Option<Address>,
    /// Fail unless it holds, and unless something matches: `internal: NAMESPACE/NAME-GLOB`; may be repeated
    #[arg(long = "assert", value_name = "ASSERTION")]
    assertions: Vec<Assertion>,
    /// Form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
}

/// Flags of `explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// http[s]://HOST[:PORT]/PATH; without a port the default listener is meant
    url: String,
    /// Where the client is
    #[arg(long, value_name = "SIDE", default_value = "external")]
    from: Exposure,
    /// Method
    #[arg(long, value_name = "M", default_value = "GET")]
    method: String,
    /// A header field of the request; may be repeated
    #[arg(short = 'H', long = "header", value_name = "K: V")]
    headers: Vec<String>,
    #[command(flatten)]
    picture: PictureArgs,
    #[command(flatten)]
    listen: ListenArgs,
    /// Ask the running process there, whatever manifests are named
    #[arg(long, value_name = "ADDR", value_parser = asked)]
    admin: Option<SocketAddr>,
    /// Form of the answer
    #[arg(short, long, value_name = "FORM", default_value = "text")]
    output: Form,
}

/// Flags of `get`.
#[derive(Debug, Clone, Args)]
pub struct GetArgs {
    /// What to show
    topic: GetTopic,
    /// Admin listener of the running process
    #[arg(long, value_name = "ADDR", env = "TIDEGATE_ADMIN", default_value = "127.0.0.1:9901")]
    admin: Address,
    /// Form of the answer; `hosts` (services only) is lines for a hosts file
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: GetForm,
}

/// Flags of `ready`.
#[derive(Debug, Clone, Args)]
pub struct ReadyArgs {
    /// Admin or metrics listener of the running process
    #[arg(long, value_name = "ADDR", env = "TIDEGATE_ADMIN", default_value = "127.0.0.1:9901")]
    admin: Address,
    /// Seconds to wait until it is
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=86400))]
    wait: u64,
}

/// Flags of `top`.
#[derive(Debug, Clone, Args)]
pub struct TopArgs {
    /// Admin listener of the running process
    #[arg(long, value_name = "ADDR", env = "TIDEGATE_ADMIN", default_value = "127.0.0.1:9901")]
    admin: Address,
    /// Seconds between two pictures
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// One picture, after one interval
    #[arg(long)]
    once: bool,
}

/// Flags of `demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// How long
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub seconds: u64,
    /// Until Ctrl-C
    #[arg(long)]
    pub forever: bool,
}

/// Flags of `docker-proxy`.
#[derive(Debug, Clone, Args)]
pub struct DockerProxyArgs {
    /// The Docker engine's socket
    #[arg(long, value_name = "PATH", env = "TIDEGATE_DOCKER_SOCKET", default_value = "/var/run/docker.sock")]
    socket: PathBuf,
    /// Where questions are taken: a socket, made with mode 0660
    #[arg(long, value_name = "PATH", env = "TIDEGATE_DOCKER_PROXY_LISTEN", default_value = "/run/tidegate/docker.sock")]
    listen: PathBuf,
    /// Form of the log
    #[arg(long, value_name = "FORM", env = "TIDEGATE_LOG", default_value = "text")]
    log: Form,
}

/// What `get` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GetTopic {
    Services,
    Endpoints,
    Routes,
    Listeners,
    Workloads,
    Sources,
    Problems,
}

/// Form of what `get` shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GetForm {
    Table,
    Json,
    Hosts,
}

/// Text or JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    #[default]
    Text,
    Json,
}

impl From<Form> for LogFormat {
    fn from(form: Form) -> LogFormat {
        match form {
            Form::Text => LogFormat::Text,
            Form::Json => LogFormat::Json,
        }
    }
}

/// A listener's address; `none` switches it off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Address(Option<SocketAddr>);

impl FromStr for Address {
    type Err = Unfit;

    fn from_str(text: &str) -> Result<Address, Unfit> {
        value::address(text).map(Address)
    }
}

/// Tells an operator whose admin listener is switched off what to do, and the exit code of a question that could not be asked.
fn nobody_to_ask() -> ExitCode {
    eprintln!("the admin listener is `none`; fix: give the address of one with --admin ADDR");
    ExitCode::from(2)
}

/// The admin listener of a process that runs.
fn asked(text: &str) -> Result<SocketAddr, Unfit> {
    let nobody = || Unfit::new("IP:PORT, such as 127.0.0.1:9901", "give the address of the running process's admin listener");
    value::address(text).ok().flatten().ok_or_else(nobody)
}

fn access_log(text: &str) -> Result<AccessLog, Unfit> {
    match text {
        "" => Err(Unfit::new("a path, `-` or `none`", "give a file's path, `-` for standard output, or `none`")),
        text => Ok(AccessLog::from(text)),
    }
}

/// Does what the command line asks for.
pub fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(args) => match args.settings() {
            Ok(settings) => crate::run::run(settings, args.file()),
            Err(problems) => could_not_run(&problems),
        },
        Command::Check(args) => check::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Get(args) => get::run(&args),
        Command::Ready(args) => ready::run(&args),
        Command::Top(args) => top::run(&args),
        Command::Demo(args) => crate::demo::run(args),
        Command::DockerProxy(DockerProxyArgs { socket, listen, log }) => {
            crate::docker_proxy::run(&DockerProxy { socket, listen, log: log.into() })
        }
        Command::Completion { shell } => {
            print(&completion(shell));
            ExitCode::SUCCESS
        }
    }
}

/// The script that the shell reads.
fn completion(shell: ShellName) -> String {
    let shell = match shell {
        ShellName::Bash => Shell::Bash,
        ShellName::Zsh => Shell::Zsh,
        ShellName::Fish => Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tidegate", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Everything that kept a command from running, and its exit code.
fn could_not_run(problems: &[Problem]) -> ExitCode {
    for problem in problems {
        eprintln!("{problem}");
    }
    ExitCode::from(2)
}

/// Prints the answer. A reader that closed its end early (`| head`) has had enough: no error.
fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// `1 object`, `2 objects`.
fn count(number: usize, word: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {word}{plural}")
}

#[cfg(test)]
mod tests;
