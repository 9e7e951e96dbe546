"""Who is compared. A contender is a file here; its comments say how it was tuned and why."""

from contenders import caddy, envoy, haproxy, nginx, tidegate
from contenders.contract import Contender, Route, Setup, first_line

CONTENDERS: dict[str, Contender] = {
    one.name: one for one in (tidegate.CONTENDER, nginx.CONTENDER, haproxy.CONTENDER, envoy.CONTENDER, caddy.CONTENDER)
}

__all__ = ["CONTENDERS", "Contender", "Route", "Setup", "first_line"]
