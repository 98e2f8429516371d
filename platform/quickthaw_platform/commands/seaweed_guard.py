"""What keeps everybody out of the parts of the embedded S3 server that have no S3 key of their own.

SeaweedFS is a master, a volume server, a filer and an S3 gateway that talk to each other over TCP, and each of them
takes orders from whoever connects unless it is told otherwise. So their gRPC ports ask for a certificate of an
authority that lives as long as the server, blocks of data are read and written with signed tokens only, and the HTTP
APIs of the master and the filer are off. Another user of this machine, a function and a webhook meet closed doors.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path

NO_HTTP = ("-disableHttp", "-filer.disableHttp")
"""Options of the command that leave the master and the filer to their gRPC ports."""

_TOKEN_KEYS = ("JWT_SIGNING", "JWT_SIGNING_READ", "JWT_FILER_SIGNING", "JWT_FILER_SIGNING_READ")
_PARTS = ("MASTER", "VOLUME", "FILER", "S3", "CLIENT")


def environment(folder: Path) -> Mapping[str, str]:
    """Make the server's certificate and keys anew, below `folder` (mode 0700), and return the variables that name them.

    Whatever was made for a server before is overwritten, and is good for nothing any more.
    """
    import trustme

    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certificate, key, root = folder / "certificate.pem", folder / "key.pem", folder / "authority.pem"
    key.touch(mode=0o600)
    issued.private_key_pem.write_to_path(key)
    issued.cert_chain_pems[0].write_to_path(certificate)
    authority.cert_pem.write_to_path(root)
    variables = {f"WEED_{name}_KEY": secrets.token_urlsafe(32) for name in _TOKEN_KEYS}
    for part in _PARTS:
        variables |= {f"WEED_GRPC_{part}_CERT": str(certificate), f"WEED_GRPC_{part}_KEY": str(key)}
    return {**variables, "WEED_GRPC_CA": str(root)}
