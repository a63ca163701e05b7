"""How the templates of operators and sensors are rendered: to the same values in both of Airflow's modes.

Airflow makes text of everything, or with ``render_template_as_native_obj`` evaluates all text as Python, which
turns the item id ``20261130_180142_51_2430`` into a number. Here ``"{{ params.area }}"`` is the parameter's
value, whatever the DAG's mode, and text stays text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from planet_provider.builders import checks
from planet_provider.exceptions import InvalidInputError
from planet_provider.hooks.task_errors import task_errors

if TYPE_CHECKING:
    import jinja2
    from airflow.providers.common.compat.sdk import BaseOperator
    from airflow.sdk import Context
    from jinja2.compiler import CodeGenerator

    _Task = BaseOperator
else:  # Airflow's own bases come after this one, and are made by them
    _Task = object

#: Fields that are text. A template that gives a number or a time gives its text: ``name="{{ params.year }}"``.
TEXT_FIELDS = frozenset(
    {
        "asset_type",
        "checksum",
        "delivery_conn_id",
        "expected",
        "interval",
        "item_id",
        "item_type",
        "name",
        "on_mismatch",
        "on_unexpected",
        "order_id",
        "order_type",
        "output_path",
        "planet_conn_id",
        "product_bundle",
        "reuse",
        "search_id",
        "sort",
        "source_type",
        "state",
    }
)

#: Fields that are true or false, also where text says so.
FLAG_FIELDS = frozenset(
    {
        "allow_partial",
        "cancel_on_kill",
        "deferrable",
        "enable_email",
        "overwrite",
        "require_all",
        "unpack",
        "wait_for_completion",
    }
)

#: Fields that may hold credentials.
_SECRET_FIELDS = frozenset({"delivery", "notifications"})

#: What a run lacks that has no logical date, such as one that the UI or the API started without one.
_OF_LOGICAL_DATE = ("logical_date", "data_interval", "'ds", "'ts", "prev_", "next_ds")

#: Characters that Airflow keeps of a mapped task's name.
_MAX_MAP_NAME = 250


class TemplatedTask(_Task):
    """Render templates to values, and refuse those that come to nothing."""

    @property
    def map_name(self) -> str | None:
        """What a mapped task is called in place of its index, unless ``map_index_template`` says otherwise."""
        return None

    @property
    def shown_map_name(self) -> str:
        """The name as Airflow can store it; the task's index if there is none."""
        return (self.map_name or "")[:_MAX_MAP_NAME]

    def check_flags(self) -> None:
        """Turn flags that are given as text into booleans.

        :raises InvalidInputError: One is neither true nor false.
        """
        for field in FLAG_FIELDS.intersection(self.template_fields):
            setattr(self, field, checks.flag_or_text(getattr(self, field), field))

    def render_template(
        self,
        content: Any,
        context: Context,
        jinja_env: jinja2.Environment | None = None,
        seen_oids: set[int] | None = None,
    ) -> Any:
        """Render text to the value of its only expression, or else to text; all else as Airflow does."""
        if isinstance(content, str) and not content.endswith(tuple(self.template_ext)):
            return _rendered(content, context, jinja_env or self.get_template_env())
        return super().render_template(content, context, jinja_env, seen_oids)

    @task_errors()
    def _do_render_template_fields(
        self,
        parent: Any,
        template_fields: Iterable[str],
        context: Context,
        jinja_env: jinja2.Environment,
        seen_oids: set[int],
    ) -> None:
        """Render field by field; Airflow calls this for mapped tasks too.

        :raises InvalidInputError: A parameter was given and is None or has a part that is None, or a template
            uses what isn't there.
        """
        from jinja2 import TemplateSyntaxError, UndefinedError

        mapped = _mapped_fields(self, context)
        for field in template_fields:
            given = getattr(parent, field, None)
            # The output of another task is shown as text: it is not unknown any more.
            shown = (
                checks.NOT_SHOWN
                if field in _SECRET_FIELDS
                else str(given)
                if checks.is_reference(given)
                else given
            )
            try:
                super()._do_render_template_fields(parent, [field], context, jinja_env, seen_oids)
            except UndefinedError as error:
                raise InvalidInputError(field, shown, _undefined(error)) from None
            except _NoneInTextError:
                raise InvalidInputError(field, shown, _is_none(given)) from None
            except TemplateSyntaxError as error:
                raise InvalidInputError(
                    field, shown, f"is no template that Jinja can read: {error}."
                ) from None
            except RecursionError:
                raise InvalidInputError(field, shown, "is nested too deeply.") from None
            value = getattr(parent, field)
            if value is None and (given is not None or field in mapped):
                raise InvalidInputError(field, shown, _is_none(given))
            if field in TEXT_FIELDS and isinstance(given, str):
                setattr(parent, field, str(value))
        if parent is self:
            self.check_flags()
            if context.get("map_index_template") is None and self.map_name:
                context["map_index_template"] = "{{ task.shown_map_name }}"


def text_name(*parts: object) -> str | None:
    """Join the parts that are given to the name of a mapped task; ``None`` if none is."""
    return " ".join(str(part) for part in parts if part) or None


def area_name(geometry: object) -> str | None:
    """Return the id or the name of an area that is a GeoJSON Feature."""
    area = checks.read_text(geometry)
    if not isinstance(area, Mapping):
        return None
    properties = area.get("properties")
    named = properties if isinstance(properties, Mapping) else {}
    found = next(
        (one for one in (area.get("id"), named.get("id"), named.get("name")) if one is not None), None
    )
    return None if found is None else str(found)


class _NoneInTextError(Exception):
    """Text has a part that is None, which would stand there as the word."""


def _rendered(source: str, context: Context, env: jinja2.Environment) -> Any:
    from jinja2 import Undefined

    values_env = env.overlay()
    values_env.code_generator_class = _value_generator()
    parts = list(values_env.from_string(source).generate(context))
    values = [part for part in parts if not isinstance(part, str) or part.strip()]
    value: Any = _unwrapped(values[0]) if len(values) == 1 else ""
    if len(values) > 1 and any(_unwrapped(part) is None for part in values):
        raise _NoneInTextError
    if not isinstance(value, (str, Undefined)):
        return value
    return "".join(map(str, parts))  # raises for what is undefined


def _unwrapped(value: Any) -> Any:
    """Return what is behind a lazy proxy, such as Airflow's prev_data_interval_end_success."""
    return value if value.__class__ is type(value) else getattr(value, "__wrapped__", value)


@cache
def _value_generator() -> type[CodeGenerator]:
    """Return what compiles a template so that it yields values, not their text."""
    from jinja2 import nodes
    from jinja2.nativetypes import NativeCodeGenerator

    class ValueGenerator(NativeCodeGenerator):
        def _output_child_to_const(self, node: nodes.Expr, *args: Any) -> Any:
            # Jinja would make text of constants: of {{ none }}, too.
            if isinstance(node, nodes.TemplateData):
                return super()._output_child_to_const(node, *args)
            raise nodes.Impossible

    return ValueGenerator


def _undefined(error: Exception) -> str:
    remedy = "nothing of this name is known when the template is rendered; correct it, or add a default."
    return f"{error}: {_no_logical_date(str(error)) or remedy}"


def _is_none(template: object) -> str:
    remedy = "Give it a value or a default, or leave the parameter out."
    return (
        "is None now that the task runs, or has a part that is None: its template, or the task that it comes "
        f"from, gave nothing. {_no_logical_date(str(template)) or remedy}"
    )


def _no_logical_date(said: str) -> str | None:
    if not any(name in said for name in _OF_LOGICAL_DATE):
        return None
    return (
        "A run without a logical date has no such time. Start it with one, or write a default, such as "
        "{{ data_interval_start | default(params.start) }}."
    )


def _mapped_fields(task: BaseOperator, context: Context) -> set[str]:
    """Return the parameters that a mapped task got from what it is mapped over."""
    dag: Any = context.get("dag")
    mapped = dag.get_task(task.task_id) if dag is not None and dag.has_task(task.task_id) else None
    if mapped is None or not mapped.is_mapped:
        return set()
    # Airflow keeps by name what an operator was made with.
    return set(getattr(task, "_BaseOperator__init_kwargs", ())) - set(mapped.partial_kwargs)
