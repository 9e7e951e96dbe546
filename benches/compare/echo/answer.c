// The origin of the echo scenarios: sends back what it gets, a WebSocket message or a datagram, on one address and nowhere else.
//
//   answer websocket|udp IP PORT
//
// It is in C since it shares a CPU with the load, and must not be what is measured. It speaks what ask.c says and no more: a text message of
// one masked frame, shorter than 64 KiB, the next one only when the last was answered; whoever does otherwise is disconnected. Its answer to
// the handshake is that to the key of RFC 6455, section 1.3, so that it needs no SHA-1.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define AGREED "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
#define TEXT 0x81   // FIN, and the opcode of text
#define MASKED 0x80
#define LONG 126    // the length is in the next two bytes

struct peer {
  int fd, open;
  size_t held;
  unsigned char got[4096];
};

static void die(const char *what) {
  perror(what);
  exit(1);
}

static int bound(int kind, const char *ip, const char *port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  int fd = socket(AF_INET, kind, 0), on = 1;
  if (fd < 0 || inet_pton(AF_INET, ip, &at.sin_addr) != 1) die("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); // inherited; a socket of UDP refuses it
  if (bind(fd, (struct sockaddr *)&at, sizeof at)) die("bind");
  return fd;
}

static void datagrams(int fd) {
  char got[2048];
  for (;;) {
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    ssize_t length = recvfrom(fd, got, sizeof got, 0, (struct sockaddr *)&from, &size);
    if (length >= 0) sendto(fd, got, (size_t)length, 0, (struct sockaddr *)&from, size);
    else if (errno != EINTR && errno != ECONNREFUSED) die("recvfrom");
  }
}

static int say(int fd, const void *bytes, size_t length) {
  return send(fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length;
}

// The handshake, once it is whole; 0 when it is none.
static int agree(struct peer *peer) {
  peer->got[peer->held] = 0;
  char *head = (char *)peer->got, *end = strstr(head, "\r\n\r\n");
  if (!end) return peer->held < sizeof peer->got - 1;
  peer->open = 1;
  peer->held = 0;
  return strstr(head, KEY) && !end[4] && say(peer->fd, AGREED, sizeof AGREED - 1);
}

// One message, once it is whole, unmasked and back; 0 when it is none.
static int echo(struct peer *peer) {
  unsigned char *got = peer->got, head[] = {TEXT, 0, 0, 0};
  if (peer->held < 4) return 1;
  size_t length = got[1] & ~MASKED, begin = 2;
  if (got[0] != TEXT || !(got[1] & MASKED) || length > LONG) return 0;
  if (length == LONG) length = (size_t)got[2] << 8 | got[3], begin = 4;
  if (begin + 4 + length > sizeof peer->got - 1) return 0;
  if (peer->held < begin + 4 + length) return 1;
  if (peer->held > begin + 4 + length) return 0;
  unsigned char *mask = got + begin, *text = mask + 4;
  for (size_t i = 0; i < length; i++) text[i] ^= mask[i % 4];
  head[1] = begin == 4 ? LONG : (unsigned char)length;
  head[2] = got[2], head[3] = got[3];
  memcpy(text - begin, head, begin);
  peer->held = 0;
  return say(peer->fd, text - begin, begin + length);
}

static int take(struct peer *peer) {
  ssize_t length = recv(peer->fd, peer->got + peer->held, sizeof peer->got - 1 - peer->held, 0);
  if (length <= 0) return 0;
  peer->held += (size_t)length;
  return peer->open ? echo(peer) : agree(peer);
}

static void messages(int listener) {
  struct epoll_event seen[256], of = {.events = EPOLLIN};
  int all = epoll_create1(0);
  if (listen(listener, 4096) || epoll_ctl(all, EPOLL_CTL_ADD, listener, &of)) die("listen");
  for (;;) {
    int count = epoll_wait(all, seen, 256, -1);
    for (int i = 0; i < count; i++) {
      struct peer *peer = seen[i].data.ptr;
      if (!peer) {
        peer = calloc(1, sizeof *peer);
        if (!peer || (peer->fd = accept(listener, 0, 0)) < 0) die("accept");
        of.data.ptr = peer;
        if (epoll_ctl(all, EPOLL_CTL_ADD, peer->fd, &of)) die("epoll_ctl");
      } else if (!take(peer)) {
        close(peer->fd);
        free(peer);
      }
    }
  }
}

int main(int count, char **words) {
  if (count != 4) return fprintf(stderr, "answer websocket|udp IP PORT\n"), 2;
  if (!strcmp(words[1], "udp")) datagrams(bound(SOCK_DGRAM, words[2], words[3]));
  else messages(bound(SOCK_STREAM, words[2], words[3]));
}
