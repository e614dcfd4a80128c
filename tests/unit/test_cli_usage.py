"""What the command line says to arguments it cannot use; no cluster is needed for that."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from lockmanager.cli.app import app

COMMANDS = ["up", "run", "status", "locks", "bench", "demo"]


def invoke(*arguments: str, **variables: str) -> Result:
    env: dict[str, str | None] = {"LOCKMANAGER_CLUSTER": None, "LOCKMANAGER_NETWORK": None, "LOCKMANAGER_API_KEY": None}
    return CliRunner().invoke(app, list(arguments), env={**env, **variables})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nonsense"], "nonsense"),
        (["run", "name", "--nonsense", "--", "true"], "--nonsense"),
        (["run"], "NAME"),
        (["run", "name"], "COMMAND"),
        (["run", "name", "--ttl", "soon", "--", "true"], "soon"),
        (["run", "name", "--wait", "soon", "--", "true"], "soon"),
        (["run", "name", "--network", "other", "--", "true"], "other"),
        (["run", "name", "--shared", "--efficiency", "--config", "c", "--", "true"], "--efficiency"),
        (["run", "name", "--config", "c", "--url", "http://localhost", "--", "true"], "--config and --url"),
        (["up", "--nodes", "0"], "--nodes"),
        (["status", "surplus"], "surplus"),
        (["demo", "--break", "everything"], "everything"),
    ],
)
def test_a_usage_error_is_64_and_names_what_is_wrong(arguments: list[str], words: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 64
    assert words in result.stderr
    assert all(line.startswith("lockmanager: ") for line in result.stderr.splitlines())
    assert result.stdout == ""


def test_no_command_at_all_is_a_usage_error_that_shows_the_commands() -> None:
    result = invoke()
    assert result.exit_code == 64
    assert all(command in result.stderr for command in [*COMMANDS, "node"])


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_no_error(command: str) -> None:
    assert invoke(command, "--help").exit_code == 0


def test_what_breaks_the_demonstration_is_not_in_its_help() -> None:
    assert "--break" not in invoke("demo", "--help").output


@pytest.mark.parametrize("command", [["status"], ["locks"], ["run", "name", "--", "true"]])
def test_no_cluster_is_bad_configuration_and_says_how_to_give_one(command: list[str]) -> None:
    result = invoke(*command)
    assert result.exit_code == 78
    assert "--config" in result.stderr
    assert "--url" in result.stderr


@pytest.mark.parametrize("command", [["status"], ["locks"], ["run", "name", "--", "true"]])
def test_a_cluster_file_that_cannot_be_read_is_named(command: list[str], tmp_path: Path) -> None:
    missing = str(tmp_path / "missing.yaml")
    result = invoke(*command, LOCKMANAGER_CLUSTER=missing)
    assert result.exit_code == 78
    assert missing in result.stderr


def test_a_url_on_the_command_line_outweighs_a_file_in_the_environment() -> None:
    result = invoke("status", "--url", "nonsense", LOCKMANAGER_CLUSTER="/nowhere")
    assert result.exit_code == 78
    assert "nonsense" in result.stderr


def test_an_unknown_network_in_the_environment_is_bad_configuration(tmp_path: Path) -> None:
    config = tmp_path / "cluster.yaml"
    config.write_text("name: c\nnodes:\n- {id: node1, url: 'http://127.0.0.1:1'}\n")
    result = invoke("status", "--config", str(config), LOCKMANAGER_NETWORK="other")
    assert result.exit_code == 78
    assert "LOCKMANAGER_NETWORK" in result.stderr


def test_up_does_not_overwrite_another_cluster_s_file(tmp_path: Path) -> None:
    config = tmp_path / "cluster.yaml"
    config.write_text("name: production\nnodes:\n- {id: node1, url: 'http://127.0.0.1:1'}\n")
    before = config.read_text()
    result = invoke("up", "--config", str(config))
    assert result.exit_code == 78
    assert str(config) in result.stderr
    assert config.read_text() == before


@pytest.mark.parametrize(("extra", "command"), [("click", "run"), ("rich", "demo")])
def test_without_the_extra_one_line_says_what_to_install(extra: str, command: str) -> None:
    code = f"import sys; sys.modules[{extra!r}] = None; from lockmanager.cli import main; sys.exit(main())"
    result = subprocess.run(
        [sys.executable, "-c", code, command], capture_output=True, text=True, timeout=20, check=False
    )
    assert result.returncode == 78
    assert result.stderr == f"lockmanager: the command line needs {extra}: install lockmanager[cli]\n"
