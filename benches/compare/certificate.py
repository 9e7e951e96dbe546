"""The certificate that every contender shows: one key on P-256, signed by itself, for the names that the scenarios ask for."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from scenarios import HOST, LOCAL

SECONDS = 20


@dataclass(frozen=True)
class Certificate:
    """Files in PEM: the chain, its key, and both in one."""

    chain: Path
    key: Path
    both: Path


def make(folder: Path) -> Certificate:
    """Good for two days; nobody here verifies it."""
    made = Certificate(folder / "chain.pem", folder / "key.pem", folder / "both.pem")
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    argv += ["-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST},DNS:{LOCAL}", "-keyout", str(made.key), "-out", str(made.chain)]
    try:
        subprocess.run(argv, check=True, capture_output=True, timeout=SECONDS)
    except FileNotFoundError:
        raise SystemExit("no program openssl on the path, which makes the certificate of what is measured in TLS; install it") from None
    made.both.write_text(made.chain.read_text() + made.key.read_text())
    return made
