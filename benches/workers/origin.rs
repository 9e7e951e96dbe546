//! The origin: one thread that gives every request the same answer of 1 KiB.

use std::io;
use std::net::Ipv4Addr;
use std::sync::LazyLock;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};

use crate::process::until_let_go;
use crate::relay::{BUFFER, read_head};

const BODY: usize = 1024;

/// The one answer, head and body.
pub(crate) static ANSWER: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {BODY}\r\n\r\n");
    [head.into_bytes(), vec![b'x'; BODY]].concat()
});

/// Says its address and answers until it is let go.
pub(crate) fn run() -> io::Result<()> {
    std::thread::spawn(|| {
        if let Err(error) = answer() {
            eprintln!("workers: origin: {error}");
            std::process::exit(1);
        }
    });
    until_let_go()
}

fn answer() -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", socket.local_addr()?);
        loop {
            let (stream, _) = socket.accept().await?;
            stream.set_nodelay(true)?;
            tokio::task::spawn_local(serve(stream));
        }
    })
}

async fn serve(mut stream: TcpStream) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(Some(_)) = read_head(&mut stream, &mut buffer).await {
        if stream.write_all(&ANSWER).await.is_err() {
            break;
        }
    }
}
