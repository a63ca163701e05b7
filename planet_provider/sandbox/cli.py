"""``planet-sandbox``: a local Planet in a process of its own."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import re
import signal
import sys
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from planet_provider.sandbox.config import SandboxConfig
from planet_provider.sandbox.faults import Fault


def main(argv: Sequence[str] | None = None) -> int:
    """Run a sandbox until SIGTERM or SIGINT.

    Prints one line of JSON when it is ready: ``url``, ``storage_url`` and ``api_key``.

    :param argv: Arguments; by default those of the process.
    :return: Exit status.
    """
    parser = _parser()
    options = vars(parser.parse_args(argv))
    faults: list[Fault] = options.pop("fault")
    try:
        config = SandboxConfig(**{name: value for name, value in options.items() if value is not None})
    except ValueError as error:
        parser.error(str(error))
    try:
        asyncio.run(_serve(config, faults))
    except (ImportError, OSError, ValueError) as error:
        print(f"planet-sandbox: {error}", file=sys.stderr)
        return 1
    return 0


async def _serve(config: SandboxConfig, faults: Sequence[Fault]) -> None:
    from planet_provider.sandbox import serve

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with serve(config) as sandbox:
        sandbox.faults.add(*faults)
        ready = {"url": sandbox.url, "storage_url": sandbox.storage_url, "api_key": sandbox.api_key}
        print(json.dumps(ready), flush=True)
        await stop.wait()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="planet-sandbox",
        description="A local Planet: Data API, Orders API and the store that downloads come from.",
        epilog="Prints one line of JSON when it is ready. Stops on SIGTERM and SIGINT.",
    )
    hints = typing.get_type_hints(SandboxConfig)
    described = _descriptions()
    for field in dataclasses.fields(SandboxConfig):
        parser.add_argument(
            f"--{field.name.replace('_', '-')}",
            default=None,
            help=described[field.name].replace("%", "%%"),
            **_argument(hints[field.name]),
        )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        type=_fault,
        metavar="JSON",
        help='A fault from the start, such as {"kind": "status", "path": "/orders"}; repeatable.',
    )
    return parser


def _argument(hint: Any) -> dict[str, Any]:
    """Return what argparse needs to read a value of a type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint is bool:
        return {"action": argparse.BooleanOptionalAction}
    if origin is tuple:
        return {"nargs": "+", "type": str, "metavar": "TEXT", "action": _AsTuple}
    if origin is not None and issubclass(origin if isinstance(origin, type) else object, Mapping):
        return {"nargs": "+", "type": _pair(arguments[1]), "metavar": "NAME=VALUE", "action": _AsMapping}
    if origin is typing.Literal:
        return {"choices": arguments}
    kind = next(kind for kind in (arguments or (hint,)) if kind is not type(None))
    return {"type": kind, "metavar": {int: "N", float: "X"}.get(kind, "TEXT")}


class _AsTuple(argparse.Action):
    def __call__(
        self, parser: object, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        setattr(namespace, self.dest, tuple(values))


class _AsMapping(argparse.Action):
    def __call__(
        self, parser: object, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        setattr(namespace, self.dest, {**(getattr(namespace, self.dest) or {}), **dict(values)})


def _pair(kind: Any) -> Any:
    def pair(text: str) -> tuple[str, Any]:
        name, separator, value = text.rpartition("=")
        if not separator:
            raise argparse.ArgumentTypeError(f"{text!r} must have the form NAME=VALUE")
        return name, kind(value)

    return pair


def _fault(text: str) -> Fault:
    try:
        return Fault.from_json(json.loads(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _descriptions() -> dict[str, str]:
    """Return the settings' descriptions: the docstring is their one home."""
    found = re.findall(r":param (\w+): (.*?)(?=\n\s*:param |\Z)", SandboxConfig.__doc__ or "", re.DOTALL)
    return {name: " ".join(text.replace("``", "").split()) for name, text in found}


if __name__ == "__main__":
    sys.exit(main())
