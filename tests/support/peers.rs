//! Clients and servers that are not ours, in the Python that `make test` prepares.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use crate::Net;
use crate::net::Lease;

const WEBSOCKETS: &str = r#"
import asyncio, os, ssl, sys
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

async def echo(connection):
    async for message in connection:
        await connection.send(message)

async def main():
    replica, url, gate, trust = sys.argv[1].rsplit(":", 1), sys.argv[2], sys.argv[3].rsplit(":", 1), sys.argv[4]
    tls, own = ssl.create_default_context(cafile=trust) if trust else None, None
    if sys.argv[5]:
        own = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        own.load_cert_chain(sys.argv[5])
    async with serve(echo, replica[0], int(replica[1]), ssl=own, max_size=None):
        async with connect(url, host=gate[0], port=int(gate[1]), ssl=tls, max_size=None, proxy=None) as client:
            for size in (0, 1, 125, 126, 65535, 65536, 1 << 20):
                sent = os.urandom(size)
                await client.send(sent)
                assert await client.recv() == sent, size
            await asyncio.gather(*(client.send(str(i)) for i in range(1000)))
            assert [await client.recv() for _ in range(1000)] == [str(i) for i in range(1000)]
            await (await client.ping())
        assert (client.close_code, client.response.status_code) == (1000, 101), client.close_code
    print("all came back")

asyncio.run(main())
"#;

/// A WebSocket server at `replica`, and a client that asks for `url` at `gate` and sends messages of all sizes. `trust` is the file of
/// the authority that a `wss` client believes. Returns what they said: `all came back` when all did.
///
/// # Panics
/// When there is no such Python, or something went wrong between the two.
pub fn websockets(replica: SocketAddr, url: &str, gate: SocketAddr, trust: Option<&Path>) -> String {
    talk(replica, url, gate, trust, None)
}

/// The same with a server that speaks TLS, by the chain and key in the file `shown`.
///
/// # Panics
/// As [`websockets`].
pub fn websockets_in_tls(replica: SocketAddr, url: &str, gate: SocketAddr, shown: &Path) -> String {
    talk(replica, url, gate, None, Some(shown))
}

fn talk(replica: SocketAddr, url: &str, gate: SocketAddr, trust: Option<&Path>, shown: Option<&Path>) -> String {
    let [trust, shown] = [trust, shown].map(|path| path.map_or(String::new(), |path| path.display().to_string()));
    python(WEBSOCKETS, &[replica.to_string(), url.to_owned(), gate.to_string(), trust, shown])
}

fn interpreter() -> OsString {
    std::env::var_os("TIDEGATE_PYTHON").expect("TIDEGATE_PYTHON names a Python with `websockets` and `grpcio` (`make test` sees to it)")
}

/// Runs a script of Python with these arguments for a minute at most, and returns what it printed.
///
/// # Panics
/// When there is no Python with the packages that `make test` installs, or the script fails.
pub fn python(script: &str, arguments: &[String]) -> String {
    let mut child = Command::new("timeout")
        .args(["60".as_ref(), interpreter().as_os_str(), "-".as_ref()])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Python can be started");
    child.stdin.take().expect("it is piped").write_all(script.as_bytes()).expect("Python reads its script");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const ECHO: &str = r#"
import asyncio, json, sys
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

async def echo(connection):
    print(json.dumps({name.lower(): value for name, value in connection.request.headers.raw_items()}), flush=True)
    try:
        await connection.send(sys.argv[3])
        async for message in connection:
            await connection.send(message)
    except ConnectionClosed:
        pass

async def main():
    async with serve(echo, sys.argv[1], int(sys.argv[2]), max_size=None):
        print("listening", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)

asyncio.run(main())
"#;

/// A replica that takes WebSockets: it says its name, then each message again. It ends when it is dropped, or its test is gone.
#[derive(Debug)]
pub struct WebSockets {
    name: String,
    address: SocketAddr,
    asked: Arc<Mutex<Vec<serde_json::Value>>>,
    child: Child,
    _lease: Lease,
}

impl WebSockets {
    /// Starts one on the net's next address and its port, and waits until it listens.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(net: &Net, name: &str) -> WebSockets {
        let address = SocketAddr::new(net.replica_ip(), net.port());
        let arguments = [address.ip().to_string(), address.port().to_string(), name.to_owned()];
        let mut command = Command::new(interpreter());
        command.args(["-c", ECHO]).args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("Python can be started");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        assert!(lines.next().is_some_and(|line| line.is_ok_and(|line| line == "listening")), "{name} does not listen on {address}");
        let asked = Arc::<Mutex<Vec<_>>>::default();
        let into = asked.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let fields = serde_json::from_str(&line).expect("it prints JSON");
                into.lock().expect("no holder of this lock panics").push(fields);
            }
        });
        WebSockets { name: name.to_owned(), address, asked, child, _lease: net.lease() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The fields of each handshake so far, names in lower case.
    ///
    /// # Panics
    /// When it printed something else.
    pub fn asked(&self) -> Vec<serde_json::Value> {
        self.asked.lock().expect("it prints JSON").clone()
    }
}

impl Drop for WebSockets {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const HEALTH: &str = r#"
import sys
from concurrent import futures
import grpc

status = {"": 1, "shop": 1}

def check(request, context):
    service = request[2:].decode()
    if service not in status:
        context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
    return bytes([8, status[service]])

server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
handlers = {"Check": grpc.unary_unary_rpc_method_handler(check)}
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", handlers),))
assert server.add_insecure_port(sys.argv[1]) > 0
server.start()
print("listening", flush=True)
for line in sys.stdin:
    service, number = line.split("=")
    status[service] = int(number)
    print("set", flush=True)
server.stop(0)
"#;

/// A server of gRPC, by its own library, with the health service: `shop` and the server as a whole are SERVING (1) until told otherwise.
/// It ends when it is dropped, or its test is gone.
#[derive(Debug)]
pub struct HealthService {
    address: SocketAddr,
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl HealthService {
    /// Starts one there, and waits until it listens.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(address: SocketAddr) -> HealthService {
        let mut command = Command::new(interpreter());
        command.args(["-c", HEALTH, &address.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("Python can be started");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let mut service = HealthService { address, child, lines };
        service.hears("listening");
        service
    }

    fn hears(&mut self, word: &str) {
        assert!(
            self.lines.next().is_some_and(|line| line.is_ok_and(|line| line == word)),
            "the health service at {} says {word}",
            self.address
        );
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Says this number (`ServingStatus`) of a service from now on.
    ///
    /// # Panics
    /// When it is gone.
    pub fn set(&mut self, service: &str, number: u8) {
        let stdin = self.child.stdin.as_mut().expect("it is piped");
        writeln!(stdin, "{service}={number}").expect("it reads");
        self.hears("set");
    }
}

impl Drop for HealthService {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
