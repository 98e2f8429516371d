"""One POST to a URL that a caller chose: resolved once, and sent within a deadline to the address that was checked."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import httpx

from quickthaw import proxies
from quickthaw_platform.outbound.addresses import check_host, require_allowed
from quickthaw_platform.outbound.lookups import in_a_thread
from quickthaw_platform.setting_values.networks import Network


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, allowed: Sequence[Network], deadline_seconds: float
) -> int:
    """Return the status of the answer, whose body is not read.

    Redirects are not followed. The deadline is for all of it: names, connection, request and head of the answer. Raises
    AddressRefused, other errors of httpx, httpx.InvalidURL and TimeoutError.
    """
    return asyncio.run(_post(url, body, headers, allowed, deadline_seconds))


async def _post(
    url: str, body: bytes, headers: Mapping[str, str], allowed: Sequence[Network], deadline_seconds: float
) -> int:
    async with asyncio.timeout(deadline_seconds):
        request = httpx.Request("POST", url, content=body, headers=dict(headers))
        transport: httpx.AsyncBaseTransport = proxies.AsyncTransport()
        if proxies.proxy_for(url) is None:
            await _lead_to_checked_address(request, allowed)
            transport = httpx.AsyncHTTPTransport()
        else:
            check_host(request.url.host, allowed)  # names are resolved by the proxy, which is the fence here
        async with httpx.AsyncClient(timeout=deadline_seconds, transport=transport) as client:
            response = await client.send(request, stream=True)
            await response.aclose()
            return response.status_code


async def _lead_to_checked_address(request: httpx.Request, allowed: Sequence[Network]) -> None:
    """Put an address that was checked in the place of the URL's host, whose name goes on in `Host` and in TLS."""
    url = request.url
    port = url.port or {"http": 80, "https": 443}[url.scheme]
    try:
        addresses = await in_a_thread(url.host, port)
    except (OSError, ValueError) as error:
        raise httpx.ConnectError(f"{url.host} has no address: {error}") from error
    require_allowed(url.host, addresses, allowed)
    request.extensions = {**request.extensions, "sni_hostname": url.host}
    request.url = url.copy_with(host=str(addresses[0]))
