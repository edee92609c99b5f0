"""Listens to ``http.client``: to those who use it themselves, and as the lower layer of urllib3."""

from __future__ import annotations

import re
import sys
import weakref
from typing import Any

from beamlens.domains.http_client.body import broken
from beamlens.domains.http_client.call import CURRENT, Call, answered, begin, count_lost, finish
from beamlens.domains.http_client.failure import CANCELLED
from beamlens.domains.http_client.patching import Alive, Method, Patch

_KEY = "_beamlens_call"
_NAME_END = re.compile(r"[/?#]")


def _putrequest(original: Method, alive: Alive) -> Method:
    def putrequest(self: Any, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        if alive() and _upper() is None:
            try:
                _begin(self, method, url)
            except Exception:  # noqa: BLE001 - the host's call must not fail
                count_lost()
        try:
            return original(self, method, url, *args, **kwargs)
        except BaseException as error:
            _failed(vars(self).pop(_KEY, None), error)
            raise

    return putrequest


def _begin(connection: Any, method: str, url: str) -> None:
    before = vars(connection).pop(_KEY, None)
    if before is not None:
        _give_up(before)
    host, port, path = target(connection._tunnel_host or connection.host, connection.port, url)  # noqa: SLF001
    call = begin("http.client", method, host, port, path, depth=3)
    if call is not None:
        # Until there is a socket, whose timeout is the truth; the default of the socket module is seen there too.
        call.limit = "none" if connection.timeout is None else "unknown"
        call.response = weakref.ref(connection)  # by which a call is ended whose connection is dropped
        connection.__dict__[_KEY] = call


def target(host: str, port: int | None, url: str) -> tuple[str, int | None, str]:
    """Host, port and path of a request; to a proxy the whole address is sent."""
    if "://" not in url[:8]:
        return host, port, url
    begin = url.index("://") + 3
    found = _NAME_END.search(url, begin)
    end = len(url) if found is None else found.start()
    name = url[begin:end].rpartition("@")[2]
    name, bracket, number = name.rpartition("]") if name.startswith("[") else ("", "", name)
    head, _, digits = number.partition(":")
    return name + bracket + head, int(digits) if digits.isdigit() else None, url[end:]


def _endheaders(original: Method, alive: Alive) -> Method:  # noqa: ARG001 - only ends what was begun
    def endheaders(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = vars(self).pop(_KEY, None)  # what closes the connection meanwhile is the library
        try:
            returned = original(self, *args, **kwargs)
        except BaseException as error:
            _failed(call, error)
            raise
        if call is not None:
            self.__dict__[_KEY] = call
        return returned

    return endheaders


def _getresponse(original: Method, alive: Alive) -> Method:
    def getresponse(self: Any, *args: Any, **kwargs: Any) -> Any:
        own = vars(self).pop(_KEY, None)
        call: Call | None = own or (_upper() if alive() else None)
        if call is None or call.over:
            return original(self, *args, **kwargs)
        try:
            call.limit = "none" if self.sock is not None and self.sock.gettimeout() is None else "set"
        except Exception:  # noqa: BLE001 - somebody's own kind of socket
            call.limit = "unknown"
        try:
            response = original(self, *args, **kwargs)
        except BaseException as error:
            _failed(own, error)
            raise
        try:
            call.drained = False
            answered(call, response.status, response, response.length)
            if own is not None:
                call.returned = True
            if response.isclosed():
                _drained(call)
            else:
                response.__dict__[_KEY] = call
        except Exception:  # noqa: BLE001 - the host's call must not fail
            count_lost()
        return response

    return getresponse


def _close(original: Method, alive: Alive) -> Method:  # noqa: ARG001 - only ends what was begun
    def close(self: Any) -> Any:
        call = vars(self).pop(_KEY, None)
        if call is not None:
            _give_up(call)
        return original(self)

    return close


def _give_up(call: Call) -> None:
    """Its answer was never asked for."""
    call.error = CANCELLED
    finish(call)


def _close_conn(original: Method, alive: Alive) -> Method:  # noqa: ARG001 - only ends what was begun
    def _close_conn(self: Any) -> Any:
        try:
            call = vars(self).pop(_KEY, None)
            if call is not None:
                error = broken(self, sys._getframe(1).f_code.co_name, sys.exception())  # noqa: SLF001
                if call.received is not None and self.length:
                    call.received -= self.length  # closed before its end
                _drained(call, error)
        except Exception:  # noqa: BLE001 - the host's call must not fail
            count_lost()
        return original(self)

    return _close_conn


def _drained(call: Call, error: BaseException | None = None) -> None:
    call.drained = True
    if call.returned:  # else urllib3 reads on its own, and may try again
        finish(call, error)


def _failed(call: Call | None, error: BaseException) -> None:
    if call is not None:
        finish(call, error)


def _upper() -> Call | None:
    """The call of urllib3 that this one belongs to."""
    call = CURRENT.get()
    return None if call is None or call.over or call.library != "urllib3" else call


PATCHES = (
    Patch("http.client", "HTTPConnection.putrequest", _putrequest),
    Patch("http.client", "HTTPConnection.endheaders", _endheaders),
    Patch("http.client", "HTTPConnection.getresponse", _getresponse),
    Patch("http.client", "HTTPConnection.close", _close),
    Patch("http.client", "HTTPResponse._close_conn", _close_conn),
)
