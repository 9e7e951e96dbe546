//! nginx: the configuration is written anew and the master process gets SIGHUP (`nginx -s reload`), as controllers without Lua do it.
//!
//! - A member that is terminating is left out at once; a Service without members keeps a server that is marked down, since nginx refuses an
//!   upstream without any.
//! - Connections to replicas are kept alive, requests that could not be sent go to another server (`proxy_next_upstream error timeout`,
//!   which never repeats a POST that was sent), passive checks are nginx's own.
//! - It has let go when two workers of the newest configuration run, and all others are shutting down. Those accept nothing more; but on a
//!   connection of HTTP/2 that is never idle they serve new requests by their old configuration until it has had `keepalive_requests`. A
//!   `worker_shutdown_timeout` would end that, and every conversation with it; it is left unset, as it comes.

use std::fmt::{Display, Write};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use tidegate_tests::Client;

use super::{Contender, Member, Program, Start, WORKERS, free, swap};
use crate::ledger::{SHOP, TAKER};
use crate::load::{Doors, host};

#[derive(Debug)]
pub(super) struct Running {
    program: Program,
    folder: PathBuf,
    doors: Doors,
    /// Where a worker says which configuration it runs.
    generation_at: SocketAddr,
    generation: u64,
    port: u16,
    module: String,
    shop: Vec<Member>,
    taker: Vec<Member>,
}

impl Running {
    pub(super) fn start(start: &Start<'_>) -> io::Result<Running> {
        let [http1, http2, tcp, generation_at] = free()?;
        let folder = start.folder.to_owned();
        let file = folder.join("nginx.conf");
        let module = stream_module()?;
        let (shop, taker) = (start.shop.clone(), start.taker.clone());
        let doors = Doors { http1, http2, tcp };
        let text = configuration(&folder, &module, &doors, (generation_at, 0), start.port(), [(SHOP, &shop), (TAKER, &taker)]);
        fs::write(&file, text)?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&folder).args(["-e", "stderr", "-c"]).arg(&file);
        let program = Program::start(&mut command, &folder)?;
        Ok(Running { program, folder, doors, generation_at, generation: 0, port: start.port(), module, shop, taker })
    }

    /// How many workers are at work: not shutting down, by what they call themselves.
    fn at_work(&self) -> io::Result<usize> {
        let pid = self.program.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let title = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        Ok(children.split_whitespace().map(title).filter(|title| title.contains("worker process") && !title.contains("shutting")).count())
    }

    fn runs_the_newest(&self) -> bool {
        let Ok(mut client) = Client::try_connect(self.generation_at) else { return false };
        client.send("GET / HTTP/1.1\r\nHost: generation\r\nConnection: close\r\n\r\n");
        client.try_response(false).is_ok_and(|answer| answer.text() == self.generation.to_string())
    }
}

impl Contender for Running {
    fn doors(&self) -> Doors {
        self.doors
    }

    fn publish(&mut self, service: &str, members: &[Member]) -> io::Result<()> {
        let of = if service == SHOP { &mut self.shop } else { &mut self.taker };
        *of = members.to_vec();
        self.generation += 1;
        let members = [(SHOP, self.shop.as_slice()), (TAKER, self.taker.as_slice())];
        let generation = (self.generation_at, self.generation);
        swap(&self.folder, "nginx.conf", &configuration(&self.folder, &self.module, &self.doors, generation, self.port, members))?;
        let pid = i32::try_from(self.program.pid()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("nginx has no process id"))?;
        Ok(kill_process(pid, Signal::HUP)?)
    }

    fn has_let_go(&mut self, _service: &str, _member: &Member) -> io::Result<bool> {
        // Whichever worker takes the connection answers: asked some times, so that one of an older configuration would be met.
        Ok(self.at_work()? == WORKERS && (0..4).all(|_| self.runs_the_newest()))
    }
}

const HEAD: &str = "worker_processes {workers};
pid {folder}/pid;
daemon off;
events { worker_connections 4096; }
";

const HTTP: &str = "http {
  access_log off;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3; uwsgi_temp_path {folder}/t4;
  scgi_temp_path {folder}/t5;
  proxy_http_version 1.1;
  proxy_read_timeout 600s;
  proxy_next_upstream error timeout;
  grpc_next_upstream error timeout;
  map $http_upgrade $connection_upgrade { default upgrade; '' ''; }
  server { listen {generation_at}; location / { return 200 '{generation}'; } }
";

const SITE: &str = "  upstream {name} { {http} keepalive 64; }
  upstream {name}-grpc { {http} keepalive 16; }
  server {
    listen {http1}; listen {http2} http2; server_name {host};
    location / {
      proxy_pass http://{name};
      proxy_set_header Host $host; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
    }
    location /tidegate.Rollout/ { grpc_pass grpc://{name}-grpc; }
  }
";

const STREAM: &str = "stream {
  upstream tcp { {servers} }
  server { listen {tcp}; proxy_pass tcp; proxy_timeout 600s; }
}
";

fn configuration(
    folder: &std::path::Path,
    module: &str,
    doors: &Doors,
    (generation_at, generation): (SocketAddr, u64),
    port: u16,
    members: [(&str, &[Member]); 2],
) -> String {
    let folder = folder.display().to_string();
    let mut text = module.to_owned();
    if geteuid().is_root() {
        text.push_str("user root;\n");
    }
    text.push_str(&filled(HEAD, &[("workers", &WORKERS), ("folder", &folder)]));
    text.push_str(&filled(HTTP, &[("folder", &folder), ("generation_at", &generation_at), ("generation", &generation)]));
    for (name, members) in members {
        let servers = servers(members, port);
        let (http1, http2, host) = (doors.http1, doors.http2, host(name));
        let site: [(&str, &dyn Display); 5] = [("name", &name), ("http", &servers), ("http1", &http1), ("http2", &http2), ("host", &host)];
        text.push_str(&filled(SITE, &site));
    }
    text.push_str("}\n");
    text + &filled(STREAM, &[("servers", &servers(members[0].1, port + 1)), ("tcp", &doors.tcp)])
}

/// A text with each `{key}` as its value; what else stands in braces is nginx's own.
fn filled(text: &str, values: &[(&str, &dyn Display)]) -> String {
    values.iter().fold(text.to_owned(), |text, (key, value)| text.replace(&format!("{{{key}}}"), &value.to_string()))
}

fn servers(members: &[Member], port: u16) -> String {
    let mut servers = String::new();
    for member in members.iter().filter(|member| !member.terminating) {
        let _ = write!(servers, "server {}:{port}; ", member.ip); // a String takes everything
    }
    if servers.is_empty() { "server 127.0.0.1:1 down;".to_owned() } else { servers }
}

/// Distributions build the stream module as a file to be loaded; an nginx that has it inside needs no line.
fn stream_module() -> io::Result<String> {
    let built = Command::new("nginx").arg("-V").output()?;
    let built = String::from_utf8_lossy(&built.stderr).into_owned();
    let folder = built.split("--modules-path=").nth(1).and_then(|rest| rest.split_whitespace().next());
    let dynamic = built.contains("--with-stream=dynamic");
    Ok(folder.filter(|_| dynamic).map_or(String::new(), |folder| format!("load_module {folder}/ngx_stream_module.so;\n")))
}
