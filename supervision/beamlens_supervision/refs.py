"""The refs of supervisors: what may be asked of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from beamlens_actors import ActorRef, ExitReason, Future, Shutdown
from beamlens_supervision.parent import Request

if TYPE_CHECKING:
    from collections.abc import Hashable

    from beamlens_supervision.child_spec import ChildSpec
    from beamlens_supervision.children import ChildCounts, ChildInfo

_SHUTDOWN = Shutdown()


class ParentRef(ActorRef[Any]):
    """What the refs of all supervisors have in common.

    Every question waits without limit by default, since a supervisor may be busy starting or ending a child
    for as long as that takes; `timeout` seconds limit it (`AskTimeout`). Asking one that has ended raises
    `ActorDead`.
    """

    def _request(self, operation: str, *args: Any, timeout: float | None = None) -> Any:
        return self.ask(Request(operation, args), timeout=timeout)

    @overload
    def stop(self, reason: ExitReason = ..., *, block: Literal[True] = True, timeout: float | None = None) -> bool: ...

    @overload
    def stop(
        self, reason: ExitReason = ..., *, block: Literal[False], timeout: float | None = None
    ) -> Future[bool]: ...

    @overload
    def stop(
        self, reason: ExitReason = ..., *, block: bool = True, timeout: float | None = None
    ) -> bool | Future[bool]: ...

    def stop(
        self, reason: ExitReason = _SHUTDOWN, *, block: bool = True, timeout: float | None = None
    ) -> bool | Future[bool]:
        """End it and all its children, each in the time its spec gives it; see `ActorRef.stop`."""
        return super().stop(reason, block=block, timeout=timeout)

    def which_children(self, *, timeout: float | None = None) -> list[ChildInfo]:
        """The children in the order of their first start."""
        children: list[ChildInfo] = self._request("which_children", timeout=timeout)
        return children

    def count_children(self, *, timeout: float | None = None) -> ChildCounts:
        """How many children there are, run, and are of which type."""
        counts: ChildCounts = self._request("count_children", timeout=timeout)
        return counts

    def describe(self, *, timeout: float | None = None) -> list[tuple[ChildInfo, int]]:
        """The children with how often each was restarted."""
        described: list[tuple[ChildInfo, int]] = self._request("describe", timeout=timeout)
        return described

    def describe_later(self) -> Future[list[tuple[ChildInfo, int]]]:
        """`describe` for who does not wait: a future of it, from whose `get` every error comes."""
        return self.ask(Request("describe"), block=False)


class SupervisorRef(ParentRef):
    """What `Supervisor.start` returns."""

    def child(self, child_id: Hashable, *, timeout: float | None = None) -> ActorRef[Any] | None:
        """The ref of a child, or `None` when it is unknown or does not run."""
        ref: ActorRef[Any] | None = self._request("child", child_id, timeout=timeout)
        return ref

    def get_child_spec(self, child_id: Hashable, *, timeout: float | None = None) -> ChildSpec:
        """The spec of a child.

        Raises:
            ChildNotFound: there is none of this id.
        """
        spec: ChildSpec = self._request("get_child_spec", child_id, timeout=timeout)
        return spec

    def start_child(self, spec: ChildSpec, *, timeout: float | None = None) -> Any:
        """Start one more child, after the others, and return what its `start` returned.

        Raises:
            AlreadyStarted: a child of this id runs; the error carries its ref.
            AlreadyPresent: a child of this id is known and does not run.
            ChildStartError: its start failed; its spec is not kept.
            InvalidChildSpec: `spec` is none, or is not allowed here.
        """
        return self._request("start_child", spec, timeout=timeout)

    def terminate_child(self, child_id: Hashable, *, timeout: float | None = None) -> None:
        """End a child in the time its spec gives it, or cancel its restart; fine when it is stopped.

        Its spec is kept for `restart_child`, unless it is temporary.

        Raises:
            ChildNotFound: there is none of this id.
        """
        self._request("terminate_child", child_id, timeout=timeout)

    def restart_child(self, child_id: Hashable, *, timeout: float | None = None) -> Any:
        """Start a stopped child from its spec and return what its `start` returned.

        Raises:
            ChildNotFound: there is none of this id.
            ChildRunning: it runs.
            ChildRestarting: it is being restarted.
            ChildStartError: its start failed; it stays stopped.
        """
        return self._request("restart_child", child_id, timeout=timeout)

    def delete_child(self, child_id: Hashable, *, timeout: float | None = None) -> None:
        """Forget a stopped child.

        Raises:
            ChildNotFound: there is none of this id.
            ChildRunning: it runs.
            ChildRestarting: it is being restarted.
        """
        self._request("delete_child", child_id, timeout=timeout)


class DynamicSupervisorRef(ParentRef):
    """What `DynamicSupervisor.start` returns."""

    def start_child(self, spec: ChildSpec, *, timeout: float | None = None) -> Any:
        """Start a child and return what its `start` returned; ids need not differ.

        Raises:
            MaxChildren: there are as many as are allowed.
            ChildStartError: its start failed; nothing is kept.
            InvalidChildSpec: `spec` is none, or is not allowed here.
        """
        return self._request("start_child", spec, timeout=timeout)

    def terminate_child(self, ref: ActorRef[Any], *, timeout: float | None = None) -> None:
        """End a child in the time its spec gives it, or cancel its restart, and forget it.

        Raises:
            ChildNotFound: `ref` is no child, or no longer; it is left alone.
        """
        self._request("terminate_child", ref, timeout=timeout)
