"""How a node learns what it is: options before variables before defaults, and clear words for mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lockmanager_node.config import ConfigError, NodeConfig, load

THREE = "name: shop\nnodes: [{id: a, url: 'http://a:1'}, {id: b, url: 'http://b:1'}, {id: c, url: 'http://c:1'}]\n"
ONE = "name: solo\nnodes: [{id: only, url: 'http://a:1'}]\n"


@pytest.fixture
def three(tmp_path: Path) -> str:
    path = tmp_path / "cluster.yaml"
    path.write_text(THREE)
    return str(path)


@pytest.fixture
def one(tmp_path: Path) -> str:
    path = tmp_path / "one.yaml"
    path.write_text(ONE)
    return str(path)


def mistake(argv: list[str], environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(argv, environ or {})
    return str(caught.value)


def test_a_node_told_nothing_is_a_cluster_of_one_on_loopback() -> None:
    config = load([], {})
    assert (config.cluster.name, config.node_id, config.host, config.port) == ("standalone", "node1", "127.0.0.1", 8000)
    assert config.cluster.url("node1", "public") == "http://127.0.0.1:8000"
    assert (config.data_dir, config.log_level) == (None, "warning")


def test_every_option_is_read(three: str) -> None:
    argv = ["--cluster", three, "--node-id=b", "--listen", "10.0.0.1:81", "--data-dir", "d", "--log-level", "INFO"]
    config = load(argv, {})
    assert config == NodeConfig(config.cluster, "b", "10.0.0.1", 81, Path("d"), "info")
    assert config.cluster.node_ids == ("a", "b", "c")


def test_every_variable_is_read(three: str) -> None:
    environ = {
        "LOCKMANAGER_CLUSTER": three,
        "LOCKMANAGER_NODE_ID": "c",
        "LOCKMANAGER_LISTEN": "0.0.0.0:82",
        "LOCKMANAGER_DATA_DIR": "d",
        "LOCKMANAGER_LOG_LEVEL": "debug",
    }
    config = load([], environ)
    assert config == NodeConfig(config.cluster, "c", "0.0.0.0", 82, Path("d"), "debug")  # noqa: S104 - what was asked for
    assert config.cluster.name == "shop"


def test_an_option_wins_over_its_variable() -> None:
    assert load(["--listen", "h:1"], {"LOCKMANAGER_LISTEN": "h:2"}).port == 1


def test_an_empty_variable_counts_as_not_set() -> None:
    assert load([], {"LOCKMANAGER_CLUSTER": "", "LOCKMANAGER_LISTEN": ""}).port == 8000


def test_this_process_is_asked_when_nothing_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["node", "--listen", "h:1"])
    monkeypatch.setenv("LOCKMANAGER_LOG_LEVEL", "error")
    config = load()
    assert (config.port, config.log_level) == (1, "error")


def test_the_node_of_a_cluster_of_one_needs_no_name(one: str) -> None:
    assert load(["--cluster", one], {}).node_id == "only"


def test_a_node_alone_may_be_given_a_name() -> None:
    config = load(["--node-id", "east"], {})
    assert (config.node_id, config.cluster.node_ids) == ("east", ("east",))


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("[::1]:81", "http://[::1]:81"),
        ("0.0.0.0:81", "http://127.0.0.1:81"),
        ("[::]:81", "http://[::1]:81"),
        ("node-7.local:81", "http://node-7.local:81"),
    ],
)
def test_a_node_alone_is_reached_where_it_listens(listen: str, url: str) -> None:
    assert load(["--listen", listen], {}).cluster.url("node1", "internal") == url


def test_an_ipv6_host_is_kept_without_brackets() -> None:
    assert load(["--listen", "[::1]:81"], {}).host == "::1"


@pytest.mark.parametrize(
    "listen", ["", "8000", ":8000", "h:", "h:0", "h:65536", "h:x", "h:-1", "h:٣", "::1:80", "[]:80", "h:" + "1" * 5000]
)
def test_a_bad_listen_address_is_refused_with_its_value(listen: str) -> None:
    assert f"--listen is {listen!r}; write HOST:PORT" in mistake(["--listen", listen])


def test_a_mistake_names_the_variable_it_came_from() -> None:
    assert mistake([], {"LOCKMANAGER_LISTEN": "x"}).startswith("LOCKMANAGER_LISTEN is 'x'; write HOST:PORT")


def test_a_host_no_url_can_carry_is_refused_for_a_node_alone() -> None:
    assert "--node-id or --listen: url of node 'node1' is 'http://a b:80'" in mistake(["--listen", "a b:80"])


def test_a_bad_name_for_a_node_alone_is_refused() -> None:
    assert "node id 'a b' must be" in mistake(["--node-id", "a b"])


def test_a_node_of_several_must_be_named_and_the_choices_are_told(three: str) -> None:
    expected = "--node-id (or LOCKMANAGER_NODE_ID) is missing; say which node this is: a, b, c"
    assert mistake(["--cluster", three]) == expected


def test_an_unknown_node_is_refused_and_the_choices_are_told(three: str) -> None:
    expected = "LOCKMANAGER_NODE_ID 'z' is not in cluster 'shop'; choose one of: a, b, c"
    assert mistake(["--cluster", three], {"LOCKMANAGER_NODE_ID": "z"}) == expected


def test_a_missing_cluster_file_is_named() -> None:
    assert "--cluster 'none.yaml' cannot be read: No such file" in mistake(["--cluster", "none.yaml"])


def test_a_cluster_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xff")
    assert "is not UTF-8 (byte 0); save it as UTF-8" in mistake(["--cluster", str(path)])


def test_a_bad_cluster_file_is_named_with_the_field(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(ONE + "colour: red")
    assert f"--cluster '{path}': top level: Object contains unknown field `colour`" in mistake(["--cluster", str(path)])


def test_an_unknown_log_level_is_refused_and_the_choices_are_told() -> None:
    expected = "--log-level is 'loud'; choose one of: debug, info, warning, error, critical"
    assert mistake(["--log-level", "loud"]) == expected


@pytest.mark.parametrize("argv", [["--colour"], ["--clus", "x"], ["stray"], ["--listen"]])
def test_an_unknown_or_incomplete_option_is_refused_and_named(argv: list[str]) -> None:
    text = mistake(argv)
    assert argv[0] in text
    assert text.endswith("; see --help")


def test_help_names_every_option_and_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        load(["--help"], {})
    shown = capsys.readouterr().out
    assert caught.value.code == 0
    for name in ("cluster", "node-id", "listen", "data-dir", "log-level"):
        assert f"--{name}" in shown
        assert "LOCKMANAGER_" + name.upper().replace("-", "_") in shown
