"""The hello of a session: who may speak with this node, and what it is answered. Knows frames, and no sockets."""

from __future__ import annotations

from collections.abc import Callable

from lockmanager.wire import PROTOCOL, DownFrame, Hello, Refusal, UpFrame, Welcome, encode

from ..limits import check_label, check_token
from ..sessions import Peer, Session, SessionTaken
from .context import NodeContext


class Refused(Exception):
    """The hello is not accepted; `code` is that of the refusal, the text its detail."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def admit(
    context: NodeContext,
    frame: UpFrame,
    *,
    key_id: str | None,
    send: Callable[[bytes], None],
    close: Callable[[str], None],
) -> Session:
    """Open the session that a first frame asks for, welcome it, and apply what else is in the frame; raises Refused."""
    hello = _checked_hello(context, frame)
    try:
        session = context.service.connect(Peer(hello.session_id, hello.label, key_id, send, close), frame.sent)
    except SessionTaken:
        raise Refused("access", "this session id belongs to another key") from None
    state = context.service.readiness.state
    send(answer(context, frame.sent, Welcome(context.node_id, context.incarnation, state)))
    if len(frame.messages) > 1:
        session.receive(UpFrame(frame.sent, frame.messages[1:]))
    return session


def answer(context: NodeContext, echo: int, message: Welcome | Refusal) -> bytes:
    """Return the frame that answers a hello."""
    return encode(DownFrame(echo, context.service.table.largest_ticket, [message]))


def _checked_hello(context: NodeContext, frame: UpFrame) -> Hello:
    if not frame.messages or not isinstance(frame.messages[0], Hello):
        raise Refused("protocol", "the first message of a session must be hello")
    hello, mine = frame.messages[0], context.cluster.fingerprint
    if hello.protocol != PROTOCOL:
        raise Refused("protocol", f"this node speaks protocol {PROTOCOL}, the client {hello.protocol}")
    if hello.fingerprint != mine:
        raise Refused(
            "cluster",
            f"this node's cluster has fingerprint {mine[:12]}, the client's {hello.fingerprint[:12]!r}: "
            "give both the same node ids, replicas and epoch",
        )
    excess = check_token(hello.session_id) or check_label(hello.label, context.service.table.limits)
    if excess is not None:
        raise Refused("protocol", f"hello: {excess.detail}")
    return hello
