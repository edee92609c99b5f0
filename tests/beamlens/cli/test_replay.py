"""`beamlens replay`."""

import json

import pytest
from click.testing import CliRunner

from beamlens.cli import main
from beamlens.llm.client import Message, Text, ToolCall, ToolOutput
from tests.support.chat_api import ChatServer, answer
from tests.support.journals import ended, said, write


def run(*arguments):
    return CliRunner().invoke(main, ["replay", *(str(argument) for argument in arguments)])


def test_a_recorded_run_is_shown_and_is_the_same(tmp_path):
    result = run(write(tmp_path))
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == [
        "run r1, answered by scripted",
        "  1 I add.",
        '  1 -> add {"value": 1}',
        '    <- as recorded, 10 bytes: {"sum": 2}',
        "  2 Two.",
        "ended: answered",
        "the same as recorded, to the byte",
    ]


def test_as_json_it_is_one_object(tmp_path):
    found = json.loads(run(write(tmp_path), "--json").output)
    assert (found["same"], found["stopped_by"], found["differences"]) == (True, "answered", [])
    assert found["turns"][0]["calls"] == [
        {"name": "add", "arguments": {"value": 1}, "recorded": True, "is_error": False, "content": '{"sum": 2}'}
    ]


def test_a_replay_that_differs_says_where_and_exits_with_1(tmp_path):
    talk = said(Message.user("Hi"), Message("assistant", (Text("Yes."),)))
    result = run(write(tmp_path, events=[*talk, ended(stopped_by="max_iterations")]))
    assert result.exit_code == 1
    assert result.output.splitlines()[-1] == "  the replay ended: answered; recorded: max_iterations"


def test_the_runs_are_listed(tmp_path):
    path = write(tmp_path, events=[*said(Message.user("Hi"), Message("assistant", (Text("Yes."),)))])
    assert run(path, "--list").output == "r1  1 answers    no end: the process ended first\n"
    assert json.loads(run(path, "--list", "--json").output) == {
        "runs": [{"run_id": "r1", "answers": 1, "stopped_by": None, "model": None}]
    }


def test_control_characters_of_a_recording_do_not_reach_the_terminal(tmp_path):
    talk = (
        Message.user("Hi"),
        Message("assistant", (ToolCall("c", "add", {"x": "\x1b[2J"}),)),
        Message("user", (ToolOutput("c", "\x1b]0;gone\x07"),)),
        Message("assistant", (Text("\x1b[31mred"),)),
    )
    output = run(write(tmp_path, events=[*said(*talk), ended()])).output
    assert "\x1b" not in output
    assert "\x07" not in output


def test_another_model_is_asked_with_the_recorded_results(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    with ChatServer(answer("Two, I think.")) as api:
        result = run(write(tmp_path), "--client", "openai-generic", "--model", "m", "--base-url", api.base_url)
    assert result.exit_code == 0, result.output
    assert "  1 Two, I think." in result.output
    assert "it differs from the recording:" in result.output


@pytest.mark.parametrize(
    ("arguments", "said_"),
    [
        (["--run", "zz"], "no run has an id that begins with 'zz'; the runs are: r1"),
        (["--client", "nobody"], "nobody"),
        (["--client", "offline"], "the offline analyst judges live facts"),
        (["--model", "m"], "--model and --base-url need --client PROVIDER"),
    ],
)
def test_bad_options_say_what_the_choices_are(tmp_path, arguments, said_):
    result = run(write(tmp_path), *arguments)
    assert result.exit_code == 2
    assert said_ in result.output


def test_what_is_no_journal_is_refused_by_line(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("hello\n")
    result = run(path)
    assert result.exit_code == 1
    assert f"{path}" in result.output
    assert "line 1" in result.output
    assert run(tmp_path / "none").exit_code == 2
