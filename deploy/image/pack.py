#!/usr/bin/env python3
# What is in the image, as an archive: pack.py BINARY CERTIFICATES ARCHIVE
#
# All of the image's files are named here and nowhere else, each with its owner, its mode and its time (SOURCE_DATE_EPOCH, else 0), so that the
# same binary and certificates give the same bytes. It needs no rights: owners and capabilities are written down, not set.
import io
import os
import sys
import tarfile

OWNER = 65532
# CAP_NET_ADMIN (12), permitted and not effective (capabilities(7), VFS_CAP_REVISION_2): who is given it may raise it, and who is not starts all
# the same. With the effective bit the kernel would refuse to execute the file there.
CAPABILITY = b"\x00\x00\x00\x02" + (1 << 12).to_bytes(4, "little") + bytes(12)
PASSWD = f"tidegate:x:{OWNER}:{OWNER}:tidegate:/var/lib/tidegate:/sbin/nologin\n"
GROUP = f"tidegate:x:{OWNER}:\n"


def main(binary, certificates, archive):
    time = int(os.environ.get("SOURCE_DATE_EPOCH") or 0)
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:

        def add(name, mode, content=None, owner=0, **headers):
            entry = tarfile.TarInfo(name)
            entry.mode, entry.mtime, entry.uid, entry.gid, entry.pax_headers = mode, time, owner, owner, headers
            if content is None:
                entry.type = tarfile.DIRTYPE
                tar.addfile(entry)
            else:
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))

        def read(path):
            with open(path, "rb") as file:
                return file.read()

        add("tidegate", 0o755, read(binary), **{"SCHILY.xattr.security.capability": CAPABILITY.decode("ascii")})
        for folder in ["etc", "etc/ssl", "etc/ssl/certs", "run", "var", "var/lib"]:
            add(folder, 0o755)
        add("etc/passwd", 0o644, PASSWD.encode())
        add("etc/group", 0o644, GROUP.encode())
        add("etc/ssl/certs/ca-certificates.crt", 0o644, read(certificates))
        # `docker-proxy` has the group alone: it makes its socket here, for the process that may only read.
        for folder, mode in [("run/tidegate", 0o770), ("var/lib/tidegate", 0o750)]:
            add(folder, mode, owner=OWNER)


main(*sys.argv[1:])
