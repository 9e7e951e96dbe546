//! A client that sends exact bytes and reads exact answers; it repairs and retries nothing.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use crate::wait::DEADLINE;

/// One connection.
#[derive(Debug)]
pub struct Client {
    /// The socket, for tests that need more of it.
    pub stream: TcpStream,
    read: Vec<u8>,
}

/// Names in lower case and values, in order.
pub type Fields = Vec<(String, String)>;

/// One answer as it was on the wire.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// Status code.
    pub status: u16,
    /// The head with its empty line.
    pub head: Vec<u8>,
    /// Fields in order, names in lower case.
    pub fields: Fields,
    /// Body without its chunks.
    pub body: Vec<u8>,
    /// Body as it was framed, chunks and trailers included.
    pub framed: Vec<u8>,
    /// Trailer fields.
    pub trailers: Fields,
}

impl Response {
    /// The first field of that name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// All values of that name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(have, _)| have == name).map(|(_, value)| value.as_str()).collect()
    }

    /// Which replica answered; empty when Tidegate did.
    pub fn replica(&self) -> &str {
        self.field("x-replica").unwrap_or_default()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Fields of a head or of trailers.
pub fn fields(lines: &str) -> Fields {
    let split = lines.split("\r\n").filter_map(|line| line.split_once(':'));
    split.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect()
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// When it cannot.
    pub fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"))
    }

    /// Connects.
    ///
    /// # Errors
    /// As the system says.
    pub fn try_connect(address: SocketAddr) -> io::Result<Client> {
        Client::over(TcpStream::connect_timeout(&address, Duration::from_secs(5))?)
    }

    /// Connects from an address of this machine.
    ///
    /// # Panics
    /// When it cannot.
    pub fn connect_from(from: IpAddr, address: SocketAddr) -> Client {
        Client::try_connect_from(from, address).unwrap_or_else(|error| panic!("cannot connect from {from} to {address}: {error}"))
    }

    /// As [`Client::connect_from`], where the other end may refuse.
    ///
    /// # Errors
    /// It could not connect, or was reset at once.
    pub fn try_connect_from(from: IpAddr, address: SocketAddr) -> io::Result<Client> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(from, 0).into())?;
        socket.connect_timeout(&address.into(), Duration::from_secs(5))?;
        Client::over(socket.into())
    }

    fn over(stream: TcpStream) -> io::Result<Client> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Client { stream, read: Vec::new() })
    }

    /// Sends bytes; an error shows later, when the answer is read.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Sends a GET.
    pub fn get(&mut self, host: &str, path: &str) -> Response {
        self.send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        self.response()
    }

    /// Says that nothing more will come.
    pub fn finish(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Resets the connection.
    pub fn reset(self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }

    /// The next answer to a request that is not a HEAD.
    ///
    /// # Panics
    /// When there is none.
    pub fn response(&mut self) -> Response {
        self.try_response(false).expect("an answer")
    }

    /// The next answer; a HEAD's has no body.
    ///
    /// # Errors
    /// The connection broke or ended before the answer was whole, or it is not HTTP/1.
    pub fn try_response(&mut self, to_head: bool) -> io::Result<Response> {
        let head = self.through(b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(&head).into_owned();
        let status = text.get(9..12).and_then(|digits| digits.parse().ok());
        let status = status.filter(|_| text.starts_with("HTTP/1.1 ")).ok_or_else(|| broken(format!("no HTTP/1.1 status: {text:?}")))?;
        let mut response = Response { status, fields: fields(&text), head, ..Response::default() };
        if to_head || status < 200 || status == 204 || status == 304 {
            return Ok(response);
        }
        if response.field("transfer-encoding").is_some_and(|codings| codings.eq_ignore_ascii_case("chunked")) {
            self.chunks(&mut response)?;
            return Ok(response);
        } else if let Some(length) = response.field("content-length") {
            let length = length.parse().map_err(|_| broken(format!("content-length {length:?}")))?;
            response.body = self.exactly(length)?;
        } else {
            response.body = self.rest()?;
        }
        response.framed.clone_from(&response.body);
        Ok(response)
    }

    fn chunks(&mut self, into: &mut Response) -> io::Result<()> {
        loop {
            let line = self.through(b"\r\n")?;
            into.framed.extend_from_slice(&line);
            let size = String::from_utf8_lossy(&line);
            let size = size.trim().split(';').next().unwrap_or_default();
            let size = usize::from_str_radix(size, 16).map_err(|_| broken(format!("chunk size {size:?}")))?;
            if size == 0 {
                break;
            }
            let chunk = self.exactly(size + 2)?;
            into.framed.extend_from_slice(&chunk);
            let content = chunk.strip_suffix(b"\r\n").ok_or_else(|| broken("no line end after a chunk".to_owned()))?;
            into.body.extend_from_slice(content);
        }
        loop {
            let line = self.through(b"\r\n")?;
            into.framed.extend_from_slice(&line);
            if line == b"\r\n" {
                return Ok(());
            }
            into.trailers.extend(fields(&String::from_utf8_lossy(&line)));
        }
    }

    /// Bytes up to and with `end`.
    ///
    /// # Errors
    /// The connection broke or ended before.
    pub fn through(&mut self, end: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|window| window == end) {
                return Ok(self.read.drain(..at + end.len()).collect());
            }
            if self.more()? == 0 {
                return Err(broken(format!("the connection ended within {:?}", String::from_utf8_lossy(&self.read))));
            }
        }
    }

    /// So many bytes.
    ///
    /// # Errors
    /// The connection broke or ended before.
    pub fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.read.len() < length {
            if self.more()? == 0 {
                return Err(broken(format!("the connection ended after {} of {length} bytes", self.read.len())));
            }
        }
        Ok(self.read.drain(..length).collect())
    }

    /// Everything until the other side ends.
    ///
    /// # Errors
    /// The connection broke.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        while self.more()? > 0 {}
        Ok(std::mem::take(&mut self.read))
    }

    /// Everything until the other side ends, breaks, or is quiet for `quiet`.
    pub fn until_quiet(&mut self, quiet: Duration) -> Vec<u8> {
        let _ = self.stream.set_read_timeout(Some(quiet));
        while self.more().is_ok_and(|read| read > 0) {}
        let _ = self.stream.set_read_timeout(Some(DEADLINE));
        std::mem::take(&mut self.read)
    }

    /// Whether the other side has ended or reset the connection, once it has.
    ///
    /// # Panics
    /// When it neither did within the deadline.
    pub fn closed(&mut self) -> bool {
        match self.more() {
            Ok(read) => read == 0,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => panic!("the connection is still open"),
            Err(_) => true,
        }
    }

    fn more(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 65_536];
        let read = read_once(&mut self.stream, &mut bytes)?;
        self.read.extend_from_slice(&bytes[..read]);
        Ok(read)
    }
}

/// Reads what is there, once something is. A read with a time-out is broken off when its process was stopped and goes on (signal(7)), which
/// says nothing of the connection.
pub(crate) fn read_once(stream: &mut TcpStream, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

fn broken(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
