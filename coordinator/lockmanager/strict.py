"""Read untyped input (YAML text, decoded JSON) into typed values, or say in one sentence what is wrong with it.

Pure: text and values in, typed values out. What the values mean is not known here.
"""

from __future__ import annotations

import re
from typing import Any, Final, TypeVar

import msgspec
import yaml

T = TypeVar("T")

_TEXT_TAG: Final = "tag:yaml.org,2002:str"
_AT: Final = re.compile(r" - at `\$\.?(.*)`\Z", re.DOTALL)
_ADVICE: Final = {
    "unknown field": "remove the key or correct its spelling",
    "missing required": "add it",
    "Expected `str`": "put the value in quotes",
}
_LONGEST_SHOWN: Final = 100


class Malformed(ValueError):
    """Input that cannot be read; says where, which value and what to do."""


class _Loader(yaml.SafeLoader):
    """YAML without tricks: keys are text, appear once, and merge nothing in."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        if isinstance(node, yaml.MappingNode):
            _check_keys([key for key, _ in node.value])
        return super().construct_mapping(node, deep)


def load_yaml(text: str) -> object:
    """Return the one YAML document in `text`; raises Malformed, whatever the text is."""
    try:
        return _Loader(text).get_single_data()
    except yaml.YAMLError as error:
        raise Malformed(f"not readable as YAML: {_place(error, text)}") from None
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        # PyYAML lets the failures of int(), date() and the like through: `!!int ""`, `2000-99-99`.
        raise Malformed(f"not readable as YAML: {type(error).__name__} in a value; put texts in quotes") from None


def convert(raw: object, kind: type[T], *, hidden: tuple[str, ...] = ()) -> T:
    """Return `raw` as a `kind`, without coercion; raises Malformed naming the path, the value and what to do.

    Values under the top-level keys in `hidden` are not shown: secrets may stand there by mistake.
    """
    try:
        return msgspec.convert(raw, kind)
    except msgspec.ValidationError as error:
        raise Malformed(_explained(error, raw, hidden)) from None
    except UnicodeEncodeError:
        raise Malformed("a key is not valid Unicode; remove the escape that makes half a character") from None


def redacted(text: str) -> str:
    """Return `text` with what may be the credentials of a URL replaced by `***`."""
    return re.sub(r"//.*@", "//***@", text, flags=re.DOTALL)


def _check_keys(keys: list[yaml.Node]) -> None:
    seen: set[str] = set()
    for key in keys:
        if not isinstance(key, yaml.ScalarNode) or key.tag != _TEXT_TAG:
            raise yaml.MarkedYAMLError(problem="a key must be text; put it in quotes", problem_mark=key.start_mark)
        if key.value in seen:
            problem = f"key {key.value!r} appears twice; keep one of them"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
        seen.add(key.value)


def _place(error: yaml.YAMLError, text: str) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and (mark := error.problem_mark or error.context_mark):
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem or error.context}"
    if isinstance(error, yaml.reader.ReaderError):
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        return f"line {line}, column {column}: {error.reason}; remove that character"
    return str(error)


def _explained(error: msgspec.ValidationError, raw: object, hidden: tuple[str, ...]) -> str:
    match = _AT.search(str(error))
    path, text = match[1] if match else "", _AT.sub("", str(error))
    if error.__cause__ is not None:  # a check of the type itself: its message is whole
        return f"{path}: {text}" if path else text
    value = "" if path.startswith(hidden) else _shown(_value_at(path, raw))
    advice = next((advice for sign, advice in _ADVICE.items() if sign in text), "correct the value")
    return f"{path or 'top level'}: {text}{value}; {advice}"


def _value_at(path: str, raw: Any) -> object:
    for step in re.findall(r"\w+", path):
        raw = raw[int(step) if isinstance(raw, list) else step]
    return raw


def _shown(value: object) -> str:
    if isinstance(value, str):
        return f", but it is {redacted(value)[:_LONGEST_SHOWN]!r}"
    if isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**64):
        return f", but it is {value!r}"
    return ""
