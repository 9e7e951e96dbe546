use std::net::TcpListener;

use super::*;

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_replica_that_falls_silent_is_given_up_after_the_time_of_the_settings() {
    let replica = TcpListener::bind("127.0.0.1:0").unwrap();
    let limit = Duration::from_secs(30);
    assert_eq!(Patience::of(&Limits::default()).vanished, limit);
    let stream = connect(replica.local_addr().unwrap(), Patience { connect: SOON, vanished: limit }).await.unwrap();
    let socket = SockRef::from(&stream);
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(limit), "what was sent and is not acknowledged");
    assert!(socket.keepalive().unwrap(), "what is idle is asked");
    assert_eq!(socket.tcp_keepalive_time().unwrap(), limit);
    assert_eq!((socket.tcp_keepalive_interval().unwrap(), socket.tcp_keepalive_retries().unwrap()), (limit / 3, 3));
    assert!(stream.nodelay().unwrap());
    watch(&stream, Duration::from_secs(1)).unwrap();
    assert_eq!(socket.tcp_keepalive_interval().unwrap(), Duration::from_secs(1), "the least that the system takes");
}
