"""One process that serves: uvicorn, until it is asked to end."""

import contextlib
import socket
from typing import Final

import uvicorn
from fastapi import FastAPI

from live.service.limited_head import limited_head

_KEEP_ALIVE_S: Final = 75
_BACKLOG: Final = 2048


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raises OSError naming the address."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(_BACKLOG)
    except OSError as error:
        found.close()
        raise OSError(error.errno, error.strerror, f"{host}:{port}") from error
    return found


def serve(
    app: FastAPI, listens: socket.socket, *, head_timeout_s: float, shutdown_s: float
) -> None:
    """Serve until SIGTERM or SIGINT; what is being asked then is answered first.

    Parameters
    ----------
    app : FastAPI
    listens : socket
        From `listening`; closed at the end.
    head_timeout_s : float
        So long the head of a request may take to arrive.
    shutdown_s : float
        So long the last answers may take.
    """
    config = uvicorn.Config(
        app,
        http=limited_head(head_timeout_s),
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=max(1, round(shutdown_s)),
        backlog=_BACKLOG,
    )
    # uvicorn sends itself the signal again once it has ended in good order.
    with listens, contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listens])
