use std::net::TcpListener;

use super::*;

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_replica_that_falls_silent_is_given_up_after_30_seconds() {
    let replica = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = connect(replica.local_addr().unwrap(), SOON).await.unwrap();
    let socket = SockRef::from(&stream);
    let limit = Duration::from_secs(30);
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(limit), "what was sent and is not acknowledged");
    assert!(socket.keepalive().unwrap(), "what is idle is asked");
    assert_eq!(socket.tcp_keepalive_time().unwrap(), limit);
    assert_eq!((socket.tcp_keepalive_interval().unwrap(), socket.tcp_keepalive_retries().unwrap()), (limit / 3, 3));
    assert!(stream.nodelay().unwrap());
}
