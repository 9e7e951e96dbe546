"""The healthcheck of the demo's apps."""

import sys
import urllib.request

try:
    urllib.request.urlopen("http://127.0.0.1:8080/healthy", timeout=2).close()
except OSError as error:
    sys.exit(str(error))
