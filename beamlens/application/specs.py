"""What is to be watched: entries of ``watchers=`` and ``operators=``, checked before anything starts."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from beamlens.agent.compaction import CompactionPolicy
from beamlens.domains import Domain, built_in, built_in_names, required_argument
from beamlens.errors import ConfigError, UnknownDomain


@dataclass(frozen=True)
class WatcherSpec:
    """A watcher, described.

    Attributes:
        name: Its name; by default the domain's.
        domain: A built-in name, a `Domain` subclass or instance; by default the built-in of the watcher's name.
        cooldown: Seconds after an alert was dealt with for which the same finding is merged into it.
        client: Name of a client of the registry; by default the primary.
        continuous: Whether it looks again at once where the model does not wait, is never woken early, and keeps its
            conversation, summarised, from look to look: seed 000's plain loop. Dear: a model is called all the time.
        compaction_max_tokens: Size of its conversation from which on the older part is summarised; by default the
            instance's.
        compaction_keep_last: So many of its last messages stay word for word; by default as the instance's.
        domain_options: Arguments for the domain's class.
    """

    name: str = ""
    domain: str | type[Domain] | Domain | None = None
    cooldown: float = 900.0
    client: str | None = None
    continuous: bool = False
    compaction_max_tokens: int | None = None
    compaction_keep_last: int | None = None
    domain_options: Mapping[str, Any] = field(default_factory=dict)

    def __init__(
        self,
        name: str = "",
        domain: str | type[Domain] | Domain | None = None,
        cooldown: float = 900.0,
        client: str | None = None,
        *,
        continuous: bool = False,
        compaction_max_tokens: int | None = None,
        compaction_keep_last: int | None = None,
        **domain_options: Any,
    ) -> None:
        values = {
            "name": name,
            "domain": domain,
            "cooldown": cooldown,
            "client": client,
            "continuous": continuous,
            "compaction_max_tokens": compaction_max_tokens,
            "compaction_keep_last": compaction_keep_last,
        }
        for key, value in {**values, "domain_options": domain_options}.items():
            object.__setattr__(self, key, value)


@dataclass(frozen=True, slots=True)
class Watched:
    """An entry that was checked: what is started."""

    name: str
    domain: Domain
    cooldown: float
    client: str | None
    continuous: bool = False
    compaction_max_tokens: int | None = None
    compaction_keep_last: int | None = None

    def compaction(self, default: CompactionPolicy) -> CompactionPolicy:
        """When its conversation is shortened.

        Args:
            default: The instance's; for what is not given here.
        """
        tokens, last = self.compaction_max_tokens, self.compaction_keep_last
        return CompactionPolicy(
            default.max_tokens if tokens is None else tokens, default.keep_last if last is None else last
        )


def resolve(entries: object, field_name: str = "watchers") -> list[Watched]:
    """Check and make what is to be watched; nothing is started.

    Args:
        entries: Names, domains, specs or mappings.
        field_name: What the errors call them.

    Raises:
        ConfigError: An entry is wrong; names it by its index, with the choices.
    """
    if isinstance(entries, (str, Mapping)) or not isinstance(entries, Iterable):
        raise ConfigError(f'{field_name} must be a list, as in {field_name}=["runtime"]', field=field_name)
    found: list[Watched] = []
    for index, entry in enumerate(entries):
        where = f"{field_name}[{index}]"
        watched = _resolve_one(entry, where)
        if any(other.name == watched.name for other in found):
            raise ConfigError(f"{where}: the name {watched.name!r} is used twice", field=where)
        found.append(watched)
    return found


def _resolve_one(entry: object, where: str) -> Watched:
    spec = _as_spec(entry, where)
    if not isinstance(spec.cooldown, (int, float)) or isinstance(spec.cooldown, bool) or not spec.cooldown >= 0:
        raise ConfigError(
            f"{where}.cooldown must be seconds, at least 0, not {spec.cooldown!r}", field=f"{where}.cooldown"
        )
    continuous: object = spec.continuous
    if not isinstance(continuous, bool):
        text = f"{where}.continuous must be True or False, not {continuous!r}"
        raise ConfigError(text, field=f"{where}.continuous")
    domain = _make_domain(spec, where)
    name = spec.name or domain.name
    if not isinstance(name, str) or not name:
        raise ConfigError(f"{where}: {type(domain).__name__} has no name; set its class attribute `name`", field=where)
    watched = Watched(
        name,
        domain,
        float(spec.cooldown),
        spec.client,
        spec.continuous,
        spec.compaction_max_tokens,
        spec.compaction_keep_last,
    )
    try:
        watched.compaction(CompactionPolicy())
    except ConfigError as wrong:
        raise ConfigError(f"{where}.{wrong}", field=f"{where}.{wrong.field}") from None
    return watched


def _as_spec(entry: object, where: str) -> WatcherSpec:
    if isinstance(entry, WatcherSpec):
        return entry
    if isinstance(entry, str):
        return WatcherSpec(entry)
    if isinstance(entry, Domain) or (isinstance(entry, type) and issubclass(entry, Domain)):
        return WatcherSpec(domain=entry)
    if isinstance(entry, Mapping):
        if "domain_options" in entry or not all(isinstance(key, str) for key in entry):
            raise ConfigError(f"{where}: domain options are given beside name and domain, as fields", field=where)
        return WatcherSpec(**entry)
    expected = "a name, a Domain class or instance, a WatcherSpec or a mapping of its fields"
    raise ConfigError(f"{where} must be {expected}, not {type(entry).__name__}", field=where)


def _make_domain(spec: WatcherSpec, where: str) -> Domain:
    source = spec.domain if spec.domain is not None else spec.name
    if isinstance(source, Domain):
        if spec.domain_options:
            names = ", ".join(spec.domain_options)
            raise ConfigError(f"{where}: {names} cannot be given to a domain that is made already", field=where)
        return source
    if isinstance(source, str):
        if source not in built_in_names():
            raise UnknownDomain(source, built_in_names(), field=where)
        argument = required_argument(source)
        if argument is not None and argument not in spec.domain_options:
            text = f'{where}: {source} needs {argument}, as in {{"name": "{source}", "{argument}": {argument}}}'
            raise ConfigError(text, field=f"{where}.{argument}")
        source = built_in(source)
    if not isinstance(source, type) or not issubclass(source, Domain):
        raise ConfigError(f"{where}.domain must be a name, a Domain class or instance", field=f"{where}.domain")
    try:
        return source(**spec.domain_options)
    except TypeError as error:
        fields = [f.name for f in dataclasses.fields(WatcherSpec) if f.name != "domain_options"]
        text = f"{where}: {source.__name__} cannot be made: {error}; a watcher's own fields are: {', '.join(fields)}"
        raise ConfigError(text, field=where) from error


@dataclass(frozen=True, slots=True)
class Operated:
    """An operator that was checked.

    Attributes:
        name: Its name.
        source: What it looks at; ``None``: the built-in domain of its name, or the watcher's of its name. What has a
            watcher of its name looks at the watcher's domain.
    """

    name: str
    source: type[Domain] | Domain | None = None


def resolve_operators(entries: object, watched: Iterable[Watched] = ()) -> tuple[Operated, ...]:
    """Check what can be asked; nothing is imported, made or started.

    Args:
        entries: Names, `Domain` classes or instances; ``None`` is every built-in domain that needs no argument, and
            all that are watched.
        watched: The watchers, whose domains operators of the same name share.

    Raises:
        ConfigError: Not a list of these, an unknown or a repeated one, or one that needs an argument.
    """
    shared = [one.name for one in watched]
    if entries is None:
        plain = [name for name in built_in_names() if required_argument(name) is None]
        return tuple(Operated(name) for name in dict.fromkeys([*plain, *shared]))
    if isinstance(entries, str) or not isinstance(entries, Iterable):
        raise ConfigError('operators must be a list of names, as in operators=["runtime"]', field="operators")
    found: list[Operated] = []
    for index, entry in enumerate(entries):
        where = f"operators[{index}]"
        one = _operated(entry, shared, where)
        if any(other.name == one.name for other in found):
            raise ConfigError(f"{where}: the name {one.name!r} is used twice", field=where)
        found.append(one)
    return tuple(found)


def _operated(entry: object, shared: Iterable[str], where: str) -> Operated:
    if isinstance(entry, Domain) or (isinstance(entry, type) and issubclass(entry, Domain)):
        name = entry.name
        if not isinstance(name, str) or not name:
            kind = entry if isinstance(entry, type) else type(entry)
            raise ConfigError(f"{where}: {kind.__name__} has no name; set its class attribute `name`", field=where)
        return Operated(name, entry)
    names = {*built_in_names(), *shared}
    if not isinstance(entry, str) or entry not in names:
        raise UnknownDomain(entry, names, field=where)
    argument = required_argument(entry) if entry in built_in_names() else None
    if argument is not None and entry not in shared:
        text = f'watch it: watchers=[{{"name": "{entry}", "{argument}": {argument}}}]'
        raise ConfigError(f"{where}: {entry} needs {argument}; {text}", field=where)
    return Operated(entry)


def describe(source: type[Domain] | Domain) -> str:
    """What a domain watches, in a line: its title, and the first sentence of its docstring."""
    kind = source if isinstance(source, type) else type(source)
    first = (inspect.getdoc(kind) or "").split("\n\n")[0].split("\n")[0]
    title = kind.title or kind.name
    return f"{title}: {first}" if first else title
