"""gRPC's own library on both sides of a gate: servers at the replicas' addresses, and a client that makes one case's calls.

Called with the name of the case, the gate's address, the authority to ask for, the file of the authority to believe (empty: no TLS), the file
of the chain and key that replicas show (empty: no TLS) and the replicas' addresses. What the case found is printed as JSON; whatever is
wrong is an exception.
"""

import json
import sys
import threading
import time
from concurrent import futures

import grpc

SERVICE = "/tidegate.test.Echo/"


class Echo(grpc.GenericRpcHandler):
    """One replica."""

    def __init__(self, name):
        self.name, self.calls, self.cancelled, self.remaining = name, 0, threading.Event(), None

    def service(self, details):
        kinds = {
            "Unary": grpc.unary_unary_rpc_method_handler,
            "Metadata": grpc.unary_unary_rpc_method_handler,
            "Refuse": grpc.unary_unary_rpc_method_handler,
            "Slow": grpc.unary_unary_rpc_method_handler,
            "Busy": grpc.unary_unary_rpc_method_handler,
            "Server": grpc.unary_stream_rpc_method_handler,
            "Broken": grpc.unary_stream_rpc_method_handler,
            "Endless": grpc.unary_stream_rpc_method_handler,
            "Client": grpc.stream_unary_rpc_method_handler,
            "Both": grpc.stream_stream_rpc_method_handler,
        }
        self.calls += 1
        word = details.method.removeprefix(SERVICE)
        return kinds[word](getattr(self, word.lower())) if word in kinds else None

    def unary(self, request, context):
        return request

    def metadata(self, request, context):
        context.send_initial_metadata((("x-first", "initial"), ("x-first-bin", b"\x00\xff")))
        context.set_trailing_metadata((("x-last", "trailing"), ("x-last-bin", b"\xfe\x01")))
        said = [[key, value.hex() if isinstance(value, bytes) else value] for key, value in context.invocation_metadata()]
        return json.dumps(said).encode()

    def refuse(self, request, context):
        context.set_trailing_metadata((("x-why", "because"),))
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "50 % too much: \u00fc")

    def wait(self, context):
        self.remaining = context.time_remaining()
        if not context.add_callback(self.cancelled.set):
            self.cancelled.set()  # it was cancelled before anybody asked
        self.cancelled.wait(20)

    def slow(self, request, context):
        self.wait(context)
        return b""

    def busy(self, request, context):
        context.abort(grpc.StatusCode.UNAVAILABLE, "not now")

    def server(self, request, context):
        for number in range(int(request)):
            yield b"%d" % number

    def broken(self, request, context):
        yield b"one"
        yield b"two"
        context.set_trailing_metadata((("x-why", "because"),))
        context.abort(grpc.StatusCode.DATA_LOSS, "lost")

    def endless(self, request, context):
        context.add_callback(self.cancelled.set)  # a client that leaves after the first word ends this before the second
        yield b"first"
        self.wait(context)

    def client(self, requests, context):
        return b",".join(requests)

    def both(self, requests, context):
        for request in requests:
            yield request


class Calls:
    """The client."""

    def __init__(self, gate, authority, trust):
        options = [("grpc.default_authority", authority), ("grpc.enable_http_proxy", 0), ("grpc.enable_retries", 0)]
        if trust:
            options.append(("grpc.ssl_target_name_override", authority))
            believed = grpc.ssl_channel_credentials(open(trust, "rb").read())
            self.channel = grpc.secure_channel(gate, believed, options)
        else:
            self.channel = grpc.insecure_channel(gate, options)
        # Bytes as they are: no serializer.
        self.unary = lambda word: self.channel.unary_unary(SERVICE + word)
        self.server = lambda word: self.channel.unary_stream(SERVICE + word)
        self.client = lambda word: self.channel.stream_unary(SERVICE + word)
        self.both = lambda word: self.channel.stream_stream(SERVICE + word)


def failure(call):
    """How a call fails: its code, its details and its trailers."""
    try:
        answer = call()
    except grpc.RpcError as error:
        return error.code().name, error.details(), dict(error.trailing_metadata() or ())
    raise AssertionError(f"it was answered: {answer!r}")


def kinds(calls, replicas):
    for size in (0, 1, 1000, 3_000_000):
        sent = bytes(size)
        assert calls.unary("Unary")(sent, timeout=20) == sent, size
    assert list(calls.server("Server")(b"1000", timeout=20)) == [b"%d" % number for number in range(1000)]
    assert list(calls.server("Server")(b"0", timeout=20)) == []
    assert calls.client("Client")(iter([b"a", b"b", b"c"]), timeout=20) == b"a,b,c"
    assert calls.client("Client")(iter([]), timeout=20) == b""
    # Each message is sent only when the one before has come back: nothing on the way may wait for the end of anything.
    turn, count = threading.Semaphore(1), 20

    def requests():
        for number in range(count):
            assert turn.acquire(timeout=20)
            yield b"%d" % number

    got = []
    for message in calls.both("Both")(requests(), timeout=20):
        got.append(message)
        turn.release()
    assert got == [b"%d" % number for number in range(count)], got


def metadata(calls, replicas):
    sent = (("x-text", "plain"), ("x-twice", "1"), ("x-twice", "2"), ("x-blob-bin", b"\x00\x01\xff"))
    answer, call = calls.unary("Metadata").with_call(b"", metadata=sent, timeout=20)
    got = json.loads(answer)
    for key, value in sent:
        assert [key, value.hex() if isinstance(value, bytes) else value] in got, (key, got)
    assert all(not key.startswith("grpc-") for key, _ in got), got
    assert dict(call.initial_metadata())["x-first"] == "initial" and dict(call.initial_metadata())["x-first-bin"] == b"\x00\xff"
    assert dict(call.trailing_metadata())["x-last"] == "trailing" and dict(call.trailing_metadata())["x-last-bin"] == b"\xfe\x01"
    return {key: value for key, value in got}


def status(calls, replicas):
    code, details, trailers = failure(lambda: calls.unary("Refuse")(b"", timeout=20))
    assert (code, details, trailers["x-why"]) == ("INVALID_ARGUMENT", "50 % too much: \u00fc", "because"), (code, details, trailers)
    stream = calls.server("Broken")(b"", timeout=20)
    assert [next(stream), next(stream)] == [b"one", b"two"]
    code, details, trailers = failure(lambda: next(stream))
    assert (code, details, trailers["x-why"]) == ("DATA_LOSS", "lost", "because"), (code, details, trailers)
    code, _, _ = failure(lambda: calls.unary("Nothing")(b"", timeout=20))
    assert code == "UNIMPLEMENTED", code
    code, details, _ = failure(lambda: calls.unary("Busy")(b"", timeout=20))
    assert (code, details) == ("UNAVAILABLE", "not now"), (code, details)


def deadline(calls, replicas):
    begun = time.monotonic()
    code, _, _ = failure(lambda: calls.unary("Slow")(b"", timeout=1))
    assert code == "DEADLINE_EXCEEDED" and time.monotonic() - begun < 5, code
    assert replicas[0].remaining is not None and 0 < replicas[0].remaining <= 1, replicas[0].remaining
    assert replicas[0].cancelled.wait(10), "the replica was not told that nobody waits"


def cancel(calls, replicas):
    stream = calls.server("Endless")(b"", timeout=60)
    assert next(stream) == b"first"
    assert not replicas[0].cancelled.is_set()
    stream.cancel()
    assert replicas[0].cancelled.wait(10), "the replica was not told that the client left"


def refused(calls, replicas):
    code, details, _ = failure(lambda: calls.unary("Unary")(b"", timeout=10))
    return [code, details]


def shares(calls, replicas):
    unary = calls.unary("Unary")
    for pending in [unary.future(b"to get to know them", timeout=20) for _ in range(150)]:
        pending.result()
    for replica in replicas:
        replica.calls = 0
    for _ in range(150):
        unary(b"one after the other", timeout=20)
    for pending in [unary.future(b"at once", timeout=20) for _ in range(150)]:
        pending.result()
    return [replica.calls for replica in replicas]


def leaving(calls, replicas):
    """One of two says GOAWAY, finishes what it has and is gone: no call fails."""
    unary, done, failed = calls.unary("Unary"), threading.Event(), []

    def ask():
        while not done.is_set():
            try:
                unary(b"x", timeout=20)
            except grpc.RpcError as error:
                # What the server has taken while it stops it may cancel itself: whoever asked it directly would hear the same.
                if error.code() != grpc.StatusCode.CANCELLED:
                    failed.append(f"{error.code().name}: {error.details()}")

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    replicas[0].running.stop(5).wait()
    gone, others = replicas[0].calls, replicas[1].calls
    time.sleep(0.5)
    done.set()
    for thread in threads:
        thread.join()
    assert gone > 0 and replicas[1].calls > others, (gone, others)
    assert not failed, failed[:5]


def killed(calls, replicas):
    """The replica dies in the middle of a stream."""
    stream = calls.server("Endless")(b"", timeout=20)
    assert next(stream) == b"first"
    threading.Thread(target=lambda: replicas[0].running.stop(None)).start()
    code, _, _ = failure(lambda: next(stream))
    return code


def main():
    case, gate, authority, trust, shown, *addresses = sys.argv[1:]
    pair = open(shown, "rb").read() if shown else None
    replicas = []
    for address in addresses:
        replica = Echo(address)
        replica.running = grpc.server(futures.ThreadPoolExecutor(max_workers=16), handlers=[replica])
        if pair:
            assert replica.running.add_secure_port(address, grpc.ssl_server_credentials([(pair, pair)])), address
        else:
            assert replica.running.add_insecure_port(address), address
        replica.running.start()
        replicas.append(replica)
    calls = Calls(gate, authority, trust)
    print(json.dumps(globals()[case](calls, replicas)))
    calls.channel.close()
    for replica in replicas:
        replica.running.stop(None)


main()
