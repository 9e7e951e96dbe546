// A load of so many requests a second, whatever becomes of them: a request that is late counts from when it should have been sent, so that
// a proxy that stands still for a moment is charged for everybody who would have come meanwhile (no coordinated omission).
//
//   pace IP PORT HOST RATE CONNECTIONS SECONDS WARM
//
// It prints one line of JSON: requests that were due, answered and failed after WARM seconds, and their latencies in microseconds.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000ull
#define LATE (10 * SECOND) // what has no answer by then has failed
#define LINES 64           // parts of each doubling that latencies are told apart by
#define DOUBLINGS 40

struct way {
  int fd;
  uint64_t due; // when its request should have been sent; 0 while it is idle
  size_t held;
  char got[8192];
};

static uint64_t told[DOUBLINGS * LINES], done, failed, lost;
static struct sockaddr_in there;
static char request[512];
static size_t length;

static uint64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

static void die(const char *what) {
  perror(what);
  exit(1);
}

static void tell(uint64_t took) {
  uint64_t us = took / 1000 + 1;
  int doubling = 63 - __builtin_clzll(us);
  uint64_t line = doubling < 6 ? (us << (6 - doubling)) & 63 : (us >> (doubling - 6)) & 63;
  told[doubling * LINES + line]++;
}

static double at(double share) {
  uint64_t all = 0, below = 0;
  for (int i = 0; i < DOUBLINGS * LINES; i++) all += told[i];
  for (int i = 0; i < DOUBLINGS * LINES; i++)
    if ((below += told[i]) >= share * all && told[i]) return (double)(1ull << (i / LINES)) * (1 + (double)(i % LINES) / LINES);
  return 0;
}

static void open_way(int epoll, struct way *way) {
  if ((way->fd = socket(AF_INET, SOCK_STREAM, 0)) < 0) die("socket");
  if (connect(way->fd, (struct sockaddr *)&there, sizeof there)) die("connect");
  int on = 1;
  setsockopt(way->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = way};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, way->fd, &event)) die("epoll_ctl");
  way->due = way->held = 0;
}

// 1 when the answer is whole and 200, 0 when more must come, -1 when it is none.
static int take(struct way *way) {
  ssize_t count = recv(way->fd, way->got + way->held, sizeof way->got - 1 - way->held, 0);
  if (count <= 0 || !way->due) return -1;
  way->held += (size_t)count;
  way->got[way->held] = 0;
  char *end = strstr(way->got, "\r\n\r\n"), *said = strcasestr(way->got, "\r\ncontent-length:");
  if (!end) return way->held < sizeof way->got - 1 ? 0 : -1;
  if (strncmp(way->got, "HTTP/1.1 200", 12) || !said || said > end) return -1;
  size_t whole = (size_t)(end + 4 - way->got) + strtoul(said + 17, NULL, 10);
  return way->held < whole ? 0 : way->held == whole ? 1 : -1;
}

int main(int count, char **words) {
  if (count != 8) return fprintf(stderr, "pace IP PORT HOST RATE CONNECTIONS SECONDS WARM\n"), 2;
  there.sin_family = AF_INET;
  there.sin_port = htons((uint16_t)atoi(words[2]));
  if (inet_pton(AF_INET, words[1], &there.sin_addr) != 1) die("address");
  double rate = atof(words[4]);
  int ways = atoi(words[5]);
  uint64_t warm = (uint64_t)(atof(words[7]) * SECOND), all = warm + (uint64_t)(atof(words[6]) * SECOND);
  length = (size_t)snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", words[3]);
  struct way *each = calloc((size_t)ways, sizeof *each), **idle = calloc((size_t)ways, sizeof *idle);
  int epoll = epoll_create1(0), free_ways = 0;
  for (int i = 0; i < ways; i++) open_way(epoll, each + i), idle[free_ways++] = each + i;
  uint64_t start = now() + SECOND / 100, sent = 0, due = 0, under_way = 0;
  for (;;) {
    uint64_t time = now();
    // Everything that is due goes out, as long as there is a way; the rest waits, and its time runs.
    for (;;) {
      uint64_t next = start + (uint64_t)((double)sent / rate * SECOND);
      if (next > time || next >= start + all || !free_ways) break;
      struct way *way = idle[--free_ways];
      way->due = next, way->held = 0, sent++, under_way++;
      due += next >= start + warm;
      if (send(way->fd, request, length, MSG_NOSIGNAL) != (ssize_t)length) { /* its end comes as an event */ }
    }
    uint64_t next = start + (uint64_t)((double)sent / rate * SECOND);
    if (next >= start + all && !under_way) break;
    if (time > start + all + LATE) { lost = under_way; break; }
    struct timespec pause = {.tv_nsec = 5000000};
    if (free_ways && next < start + all) pause.tv_nsec = next > time ? (long)(next - time < 5000000 ? next - time : 5000000) : 0;
    struct epoll_event events[128];
    int come = epoll_pwait2(epoll, events, 128, &pause, NULL);
    time = now();
    for (int i = 0; i < come; i++) {
      struct way *way = events[i].data.ptr;
      int whole = take(way);
      if (!whole) continue;
      if (way->due) {
        under_way--;
        if (way->due >= start + warm) whole > 0 ? (done++, tell(time - way->due)) : failed++;
      } else if (whole < 0) { // closed while idle: a proxy's right
        for (int k = 0; k < free_ways; k++)
          if (idle[k] == way) { idle[k] = idle[--free_ways]; break; }
      }
      if (whole < 0) close(way->fd), open_way(epoll, way);
      way->due = 0;
      idle[free_ways++] = way;
    }
  }
  printf("{\"due\": %llu, \"done\": %llu, \"failed\": %llu, \"lost\": %llu, \"p50\": %.0f, \"p99\": %.0f, \"p999\": %.0f, \"most\": %.0f}\n",
         (unsigned long long)due, (unsigned long long)done, (unsigned long long)failed, (unsigned long long)lost, at(.5), at(.99), at(.999), at(1));
  return 0;
}
