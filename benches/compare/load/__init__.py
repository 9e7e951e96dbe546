"""Who makes load. Each is a file here: how it asks once, for the check before, and how it asks as much as it can."""

from load import echo, h2load, wrk
from load.contract import Load

LOADS: dict[str, Load] = {one.name: one for one in (wrk.LOAD, h2load.LOAD, echo.LOAD)}

__all__ = ["LOADS", "Load"]
