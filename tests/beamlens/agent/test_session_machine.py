"""Whatever is done to a session, in whatever order, its journal and its conversation stay one and the same."""

from __future__ import annotations

import tempfile
import threading
from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from beamlens.agent import AgentCore, AgentEnd, AgentStart, AlreadyRunning, CannotContinue, SessionEvent, Tool
from beamlens.agent import session_life as lives
from beamlens.agent.journal import read_journal
from beamlens.agent.transcript import Transcript
from beamlens.llm.client import Completion, ToolCall
from beamlens_actors import Crash
from tests.support.loops import Nothing

SECONDS = 10.0
ANSWERS = st.lists(st.sampled_from(["tool", "two tools", "hang", "hang in tool"]), max_size=3)


class Client:
    """Does what the machine says, then answers."""

    model = "machine"

    def __init__(self):
        self.plan = []
        self.hangs = threading.Event()

    def complete(self, _request, *, abort):
        what = self.plan.pop(0) if self.plan else "answer"
        if what == "answer":
            return Completion("Done.")
        if what == "hang":
            self.hangs.set()
            abort.wait()
            abort.raise_if_aborted()
        names = {"tool": ["look"], "two tools": ["look", "look"], "hang in tool": ["hang"]}[what]
        return Completion(tool_calls=tuple(ToolCall("", name, {}) for name in names), stop_reason="tool_use")


class SessionMachine(RuleBasedStateMachine):
    @initialize(memory=st.booleans())
    def begin(self, memory):
        self.folder = tempfile.TemporaryDirectory()
        self.memory = memory
        self.core = AgentCore.start(state_dir=None if memory else self.folder.name)
        self.ran = 0
        self.told = []
        self.runs = []
        self.crashes = 0
        self.start("start_session", "You help.")

    def start(self, how, *args):
        self.client = Client()

        def hang(_arguments, abort):
            self.client.hangs.set()
            abort.wait()

        def look(_arguments):
            self.ran += 1
            return "seen"

        tools = [Tool("look", look, Nothing), Tool("hang", hang, Nothing)]
        self.ref = getattr(self.core.sessions, how)(*args, tools=tools, client=self.client, session_id="s")
        self.stream = self.ref.subscribe(capacity=10_000).stream
        self.crashes = 0

    def teardown(self):
        if hasattr(self, "core"):
            self.core.stop()
            self.hear()
            starts = Counter(event.run_id for event in self.told if isinstance(event, AgentStart))
            ends = Counter(event.run_id for event in self.told if isinstance(event, AgentEnd))
            assert set(starts) == set(ends)
            assert set(self.runs) <= set(ends)
            assert not [run for run, count in ends.items() if count != 1]
            self.folder.cleanup()

    def hear(self):
        """What the subscription that ended has told."""
        self.told += [each.event for each in self.stream if isinstance(each, SessionEvent)]

    def settle(self):
        """Until the run has ended, or hangs."""
        if self.ref.state().running and not self.hanging:
            self.ref.wait_for_idle(SECONDS)

    @property
    def hanging(self):
        return self.client.hangs.is_set()

    @rule(plan=ANSWERS)
    def prompt(self, plan):
        if self.ref.state().running:
            try:
                self.ref.prompt("Too early.")
            except AlreadyRunning:
                return
        self.go(plan, lambda: self.ref.prompt("Go."))

    @rule(plan=ANSWERS)
    def continue_(self, plan):
        if self.ref.state().running:
            return
        try:
            self.go(plan, self.ref.continue_)
        except CannotContinue:
            self.client.plan = []

    def go(self, plan, begin):
        self.client.plan = list(plan)
        self.client.hangs.clear()
        self.runs.append(begin())
        if any(what.startswith("hang") for what in plan):
            assert self.client.hangs.wait(SECONDS)
        self.settle()

    @rule()
    def steer(self):
        self.ref.steer("Careful.")

    @rule()
    def follow_up(self):
        self.ref.follow_up("And then?")
        self.ref.state()

    @rule()
    def abort(self):
        self.ref.abort()
        self.client.plan = []
        self.client.hangs.clear()
        self.ref.wait_for_idle(SECONDS)

    @precondition(lambda self: self.crashes < lives.MAX_RESTARTS)
    @rule(kill=st.booleans())
    def crash(self, kill):
        back = threading.Event()
        forget = self.core.sessions.registry.subscribe(lambda event: back.set() if event.kind == "register" else None)
        self.ref.state()  # what was told before is there
        if kill:
            self.ref.kill()
        else:
            self.ref.exit(Crash(RuntimeError("oops")))
        assert back.wait(SECONDS)
        forget()
        self.crashes += 1
        self.client.plan = []
        self.client.hangs.clear()
        ran = self.ran
        self.ref = self.core.sessions.lookup("s")
        state = self.ref.state()
        assert (state.running, state.restarts, self.ran) == (False, self.crashes, ran)

    @precondition(lambda self: not self.memory)
    @rule(new_core=st.booleans())
    def restore(self, new_core):
        queued = self.ref.state()
        if new_core:
            self.core.stop()
        else:
            assert self.core.sessions.stop_session("s")
        self.hear()
        if new_core:
            self.core = AgentCore.start(state_dir=self.folder.name)
        ran = self.ran
        self.start("restore")
        state = self.ref.state()
        assert state.messages[: len(queued.messages)] == queued.messages
        assert (state.running, self.ran) == (False, ran)

    @invariant()
    def the_conversation_is_whole_and_in_the_journal(self):
        if not hasattr(self, "core"):
            return
        state = self.ref.state()
        assert self.core.registry.main("s") is self.ref
        if state.running:
            return
        Transcript(state.messages).check()
        assert state.pending_tool_calls == frozenset()
        if self.memory:
            assert state.journal.status == "memory"
        else:
            assert (state.journal.status, state.journal.unwritten) == ("kept", 0)
            assert read_journal(state.journal.path).messages == state.messages


SessionMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=12, deadline=None)
TestSession = SessionMachine.TestCase
