//! Clients and servers that are not ours, in the Python that `make test` prepares.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

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

/// Runs a script of Python with these arguments for a minute at most, and returns what it printed.
///
/// # Panics
/// When there is no Python with the packages that `make test` installs, or the script fails.
pub fn python(script: &str, arguments: &[String]) -> String {
    let python = std::env::var_os("TIDEGATE_PYTHON")
        .expect("TIDEGATE_PYTHON names a Python with `websockets` and `grpcio` (`make test` sees to it)");
    let mut child = Command::new("timeout")
        .args(["60".as_ref(), python.as_os_str(), "-".as_ref()])
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
