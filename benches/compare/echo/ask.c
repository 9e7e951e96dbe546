// The load of the echo scenarios: each of its connections, or flows of UDP, sends a message and waits for that very message to come back.
//
//   ask websocket|udp IP PORT HOST COUNT SECONDS
//
// It prints one line of JSON in the form of replay.lua. Every message is another one, and every echo is compared byte by byte. One that did
// not come for LATE is lost and counted: a flow goes on with another datagram, a connection waits on. It is in C since a script would be
// busier than the proxy that it measures.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define TEXT 128       // bytes of a WebSocket message
#define DATAGRAM 100   // bytes of a datagram
#define HEAD 4         // a frame's bytes before mask and text: both lengths here take two bytes of their own
#define LATE 500000000 // ns
#define TICKS 100000   // microseconds that latencies are told apart up to

struct flow {
  int fd, length;
  uint64_t since;
  size_t held;
  unsigned char expected[TEXT], got[2 * TEXT];
};

static int udp;
static uint64_t told[TICKS + 1], done, lost, wrong, broken, serial;

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

// A message that was never sent before; masked by a mask of its own where it is one of WebSocket.
static void ask(struct flow *flow) {
  unsigned char frame[HEAD + 4 + TEXT] = {0x81, 0x80 | 126, 0, TEXT}, *mask = frame + HEAD, *text = mask + 4;
  uint32_t bits = (uint32_t)(++serial * 2654435761u);
  memset(flow->expected, 'x', TEXT);
  int digits = snprintf((char *)flow->expected, 32, "message %020llu", (unsigned long long)serial);
  flow->expected[digits] = ' ';
  memcpy(mask, &bits, 4);
  for (int i = 0; i < TEXT; i++) text[i] = flow->expected[i] ^ mask[i % 4];
  flow->held = 0;
  flow->since = now();
  size_t length = udp ? DATAGRAM : sizeof frame;
  if (send(flow->fd, udp ? flow->expected : frame, length, MSG_NOSIGNAL) != (ssize_t)length && !udp) broken++, flow->since = 0;
}

// What came: 1 when it is the whole echo, 0 when more must come or it is an old one, -1 when it is no echo.
static int take(struct flow *flow) {
  static const unsigned char head[HEAD] = {0x81, 126, 0, TEXT};
  ssize_t length = recv(flow->fd, flow->got + flow->held, sizeof flow->got - flow->held, 0);
  if (udp) {
    if (length < 0) return 0; // a refusal by ICMP: the datagram is lost, and will be found to be
    if (length != DATAGRAM) return -1;
    if (!memcmp(flow->got, flow->expected, DATAGRAM)) return 1;
    return memcmp(flow->got, "message ", 8) ? -1 : 0;
  }
  if (length <= 0) return -1;
  flow->held += (size_t)length;
  if (flow->held < HEAD + TEXT) return 0;
  return flow->held == HEAD + TEXT && !memcmp(flow->got, head, HEAD) && !memcmp(flow->got + HEAD, flow->expected, TEXT) ? 1 : -1;
}

static void agree(int fd, const char *host) {
  char bytes[1024];
  int length = snprintf(bytes, sizeof bytes, "GET /echo HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " KEY "\r\n\r\n", host);
  if (send(fd, bytes, (size_t)length, MSG_NOSIGNAL) != length) die("send");
  // Byte by byte: what follows the head is not of it.
  for (length = 0; length < 4 || memcmp(bytes + length - 4, "\r\n\r\n", 4); length++)
    if (length == sizeof bytes - 1 || recv(fd, bytes + length, 1, 0) != 1) die("no answer to the handshake");
  if (!strncmp(bytes, "HTTP/1.1 101 ", 13)) return;
  fprintf(stderr, "found %.20s, expected a status of 101\n", bytes);
  exit(1);
}

static int entered(const char *ip, const char *port) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  int fd = socket(AF_INET, udp ? SOCK_DGRAM : SOCK_STREAM, 0), on = 1;
  if (fd < 0 || inet_pton(AF_INET, ip, &at.sin_addr) != 1 || connect(fd, (struct sockaddr *)&at, sizeof at)) die("connect");
  if (!udp) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

static void look_for_lost(struct flow *flows, int count, uint64_t time) {
  for (int i = 0; i < count; i++)
    if (flows[i].since && time > flows[i].since + LATE) {
      lost++;
      flows[i].since = 0;
      if (udp) ask(&flows[i]);
    }
}

static void run(struct flow *flows, int count, int all, uint64_t end) {
  struct epoll_event seen[256];
  uint64_t time = now(), looked = time;
  for (int i = 0; i < count; i++) ask(&flows[i]);
  while (time < end) {
    int ready = epoll_wait(all, seen, 256, 50);
    time = now();
    for (int i = 0; i < ready; i++) {
      struct flow *flow = seen[i].data.ptr;
      int whole = take(flow);
      if (!whole) continue;
      if (whole < 0) {
        wrong++;
        if (udp) ask(flow);
        else epoll_ctl(all, EPOLL_CTL_DEL, flow->fd, 0), flow->since = 0;
        continue;
      }
      uint64_t took = (now() - flow->since) / 1000;
      told[took < TICKS ? took : TICKS]++;
      done++;
      ask(flow);
    }
    if (time > looked + LATE / 4) look_for_lost(flows, count, looked = time);
  }
}

static double percentile(double part) {
  uint64_t sum = 0, until = (uint64_t)((double)done * part);
  for (int i = 0; i <= TICKS; i++)
    if ((sum += told[i]) > until) return i / 1e3;
  return 0;
}

int main(int words, char **word) {
  if (words != 7) return fprintf(stderr, "ask websocket|udp IP PORT HOST COUNT SECONDS\n"), 2;
  udp = !strcmp(word[1], "udp");
  int count = atoi(word[5]), all = epoll_create1(0);
  struct flow *flows = calloc((size_t)count, sizeof *flows);
  if (!flows || all < 0) die("epoll_create1");
  for (int i = 0; i < count; i++) {
    struct epoll_event of = {.events = EPOLLIN, .data.ptr = &flows[i]};
    flows[i].fd = entered(word[2], word[3]);
    if (!udp) agree(flows[i].fd, word[4]);
    if (epoll_ctl(all, EPOLL_CTL_ADD, flows[i].fd, &of)) die("epoll_ctl");
  }
  uint64_t begun = now();
  run(flows, count, all, begun + (uint64_t)atoi(word[6]) * 1000000000);
  printf("{\"requests\":%llu,\"bytes\":%llu,\"seconds\":%.6f,\"p50\":%.3f,\"p99\":%.3f,"
         "\"errors\":{\"lost\":%llu,\"wrong\":%llu,\"broken\":%llu}}\n",
         (unsigned long long)done, (unsigned long long)done * (udp ? DATAGRAM : TEXT), (double)(now() - begun) / 1e9, percentile(0.5),
         percentile(0.99), (unsigned long long)lost, (unsigned long long)wrong, (unsigned long long)broken);
}
