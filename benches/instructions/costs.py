"""Reads a dump of callgrind, and says which functions the instructions are of, functions that were inlined included.

Callgrind knows the functions of the symbol table alone, and an optimised program has few of those. `addr2line` tells the stack of inlined
functions of each instruction. It gives no paths, and no name to an async function, so both are from the source: the module from the
file, the name from the nearest `fn` above the line. They are as true as the source is the one that was built.
"""

import re
import subprocess
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
OURS = ("config::", "registry::", "proxy::")
FN = re.compile(r"\s*(?:pub(?:\([^)]*\))? )?(?:const )?(?:async )?(?:unsafe )?fn (\w+)")
HASH = re.compile(r"::h[0-9a-f]{16}$")
Key = tuple[str, int]


@dataclass
class Site:
    """One instruction: how often it ran, and by the name of who was called from it, what that came to."""

    own: int = 0
    called: Counter[str] = field(default_factory=Counter)


@dataclass
class Dump:
    """One thread's doings between two dumps, by function of the symbol table and address."""

    sites: defaultdict[Key, Site] = field(default_factory=lambda: defaultdict(Site))
    calls: Counter[str] = field(default_factory=Counter)
    program: set[int] = field(default_factory=set)

    @property
    def own(self) -> Counter[str]:
        found: Counter[str] = Counter()
        for (function, _), site in self.sites.items():
            found[function] += site.own
        return found


def read(path: Path, program: str) -> Dump:
    """The format is in valgrind's manual, "Callgrind Format Specification"; positions are `instr line`, the one event is `Ir`."""
    dump, names, address = Dump(), {}, 0
    now: dict[str, str] = {}
    call: int | None = None
    for line in path.read_text().splitlines():
        if line[:1].isdigit() or line[:1] in ("+", "-", "*"):
            position, _, cost = line.split()
            relative = address if position[0] in "+-*" else 0
            address = relative + (0 if position == "*" else int(position, 0))
            site = dump.sites[now["fn"], address]
            if Path(now["ob"]).name == Path(program).name:
                dump.program.add(address)
            if call is not None:
                site.called[now["cfn"]] += int(cost)
                dump.calls[now["cfn"]] += call
                call = None
            else:
                site.own += int(cost)
        elif line.startswith("calls="):
            call = int(line[len("calls=") :].split()[0])
        elif named := re.match(r"(c?(?:fn|ob))=(\(\d+\))(?: (.*))?$", line):
            kind, number, name = named.groups()
            space = kind.removeprefix("c"), number
            if name is not None:
                names[space] = HASH.sub("", name)
            now[kind] = names[space]
    return dump


def stacks(program: str, addresses: set[int]) -> dict[int, list[str]]:
    """For each address the function it is of, and outwards those that it was inlined into."""
    asked = "\n".join(map(hex, sorted(addresses)))
    argv = ["addr2line", "-a", "-f", "-i", "-C", "-e", program]
    lines = subprocess.run(argv, input=asked, capture_output=True, text=True, check=True).stdout.splitlines()
    found: dict[int, list[str]] = {}
    stack: list[str] = []
    rest = iter(lines)
    for line in rest:
        if re.fullmatch("0x[0-9a-f]+", line):
            stack = found[int(line, 16)] = []
        else:
            stack.append(_name(line, next(rest, "??:0")))
    return found


@cache
def _name(function: str, place: str) -> str:
    file, _, line = place.split(" ")[0].rpartition(":")
    bare = _bare(HASH.sub("", function))
    theirs = re.search(r"/([A-Za-z0-9_-]+?)-\d[^/]*/src/(.+)\.rs$", file) or re.search(r"(?:^|/)(core|alloc|std)/src/(.+)\.rs$", file)
    if theirs:
        return "::".join((theirs[1], *(part for part in theirs[2].split("/") if part != "mod"), bare))
    if ours := re.search(r"(?:^|/)(config|registry|proxy)/src/(.+)\.rs$", file):
        source = ROOT / ours[1] / "src" / f"{ours[2]}.rs"
        if bare.startswith("{") and line.isdigit() and source.is_file():
            bare = next((name for start, name in reversed(_functions(source)) if start <= int(line)), bare)
        return "::".join((ours[1], *ours[2].split("/"), bare))
    return HASH.sub("", function)


@cache
def _functions(source: Path) -> list[tuple[int, str]]:
    return [(i, found[1]) for i, line in enumerate(source.read_text().splitlines(), 1) if (found := FN.match(line))]


def _bare(function: str) -> str:
    """The last part of a path, without type parameters."""
    depth, kept = 0, ""
    for letter in function:
        depth -= letter == ">"
        kept += letter if depth == 0 and letter not in "<>" else ""
        depth += letter == "<"
    return kept.strip(": ").rpartition("::")[2] or function


class Costs:
    """A dump in which inlined functions are known."""

    def __init__(self, dump: Dump, program: str):
        known = stacks(program, dump.program)
        self._sites = dump.sites
        self._stacks = {key: known.get(key[1]) or [key[0]] for key in dump.sites}
        self._callees: defaultdict[str, set[str]] = defaultdict(set)
        for (function, _), site in dump.sites.items():
            self._callees[function] |= site.called.keys()

    def own(self) -> Counter[str]:
        """By the innermost function: what it did itself."""
        found: Counter[str] = Counter()
        for key, site in self._sites.items():
            found[self._stacks[key][0]] += site.own
        return found

    def whole(self) -> Counter[str]:
        """By function: what it and all that it called did."""
        by: defaultdict[str, list[Key]] = defaultdict(list)
        for key, stack in self._stacks.items():
            for name in set(stack):
                by[name].append(key)
        return Counter({name: self._whole(keys) for name, keys in by.items()})

    def _whole(self, keys: list[Key]) -> int:
        """An async function may call, through others, another part of itself; that part is in the cost of the call already."""
        below = self._reached({callee for key in keys for callee in self._sites[key].called})
        outer = [key for key in keys if key[0] not in below] or keys
        return sum(self._sites[key].own + sum(self._sites[key].called.values()) for key in outer)

    def _reached(self, functions: set[str]) -> set[str]:
        seen: set[str] = set()
        todo = list(functions)
        while todo:
            if (one := todo.pop()) not in seen:
                seen.add(one)
                todo += self._callees[one]
        return seen
