"""What people see: its own name, and what `orders` says, which it reaches by name at a virtual IP."""

import json
import urllib.request

import serve


def answer(path):
    if path != "/orders":
        return 200, {"web": serve.NAME}
    try:
        with urllib.request.urlopen("http://orders/count", timeout=5) as said:
            return 200, {"web": serve.NAME} | json.load(said)
    except OSError as error:
        return 502, {"web": serve.NAME, "error": f"orders: {error}"}


serve.serve(answer)
