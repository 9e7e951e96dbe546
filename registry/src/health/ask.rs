//! One check: a connection to the pod's own IP, what is asked on it, and whether the answer will do.
//!
//! Invariant: no check takes longer than its `timeoutSeconds` or more memory than its protocol's bound, whatever the pod does; a
//! connection serves one check and is closed with it.

use std::net::SocketAddr;
use std::pin::pin;

use config::object::Check;
use tokio::net::TcpStream;

use super::{Failure, Job, grpc, http};

/// What probes call themselves, unless `httpHeaders` say otherwise.
pub(super) const USER_AGENT: &str = concat!("tidegate-probe/", env!("CARGO_PKG_VERSION"));

/// Makes a check.
pub(super) async fn ask(job: &Job) -> Result<(), Failure> {
    let probe = job.probe();
    let address = SocketAddr::new(job.subject.ip, probe.check.port());
    let check = async {
        match &probe.check {
            Check::Tcp { .. } => TcpStream::connect(address).await.map(drop).map_err(Failure::from),
            Check::Http(get) => http::ask(get, address).await,
            Check::Grpc { service, .. } => grpc::ask(service, address).await,
        }
    };
    tokio::time::timeout(probe.timeout(), check).await.unwrap_or(Err(Failure::Timeout(probe.timeout_s)))
}

/// What comes of an exchange while its connection is driven. The answer may be there although the connection has ended.
pub(super) async fn drive<T>(exchange: impl Future<Output = T>, connection: impl Future) -> T {
    let (mut exchange, mut connection) = (pin!(exchange), pin!(connection));
    let mut open = true;
    loop {
        tokio::select! {
            biased;
            done = &mut exchange => return done,
            _ = &mut connection, if open => open = false,
        }
    }
}

#[cfg(test)]
mod tests;
