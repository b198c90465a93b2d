"""The recorder of a process, as borough.toml and the `OTEL_*` variables have it.

A variable of OpenTelemetry counts where the option is not given: a container that is set up for its
SDK needs nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping

from borough.clock import Clock
from borough.contracts.objective import read_latency
from borough.errors import ConfigurationError
from borough.runtime.configuration import Configuration
from borough.telemetry.recorder import Recorder
from borough.telemetry.sampling import Sampler

__all__ = ["make_recorder"]

_ALWAYS = frozenset({"always_on", "parentbased_always_on"})
_NEVER = frozenset({"always_off", "parentbased_always_off"})
_RATIO = frozenset({"traceidratio", "parentbased_traceidratio"})


def make_recorder(configuration: Configuration, clock: Clock) -> Recorder | None:
    """The recorder of a process; None where telemetry is off. Raises `ConfigurationError`."""
    options, environment = configuration.options.telemetry, configuration.environment
    if not options.record or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    ratio = options.ratio if options.ratio is not None else _ratio(environment)
    return Recorder(
        clock.monotonic,
        clock.token,
        Sampler(ratio),
        slow_s=options.slow_s,
        default_timeout_s=configuration.options.limits.default_timeout_s,
        bounds=_bounds(configuration),
    )


def _bounds(configuration: Configuration) -> Mapping[str, float]:
    """How many seconds the services of borough.toml aim at."""
    found: dict[str, float] = {}
    for service, facts in configuration.options.services.items():
        if facts.objectives.latency is None:
            continue
        try:
            bound_s = read_latency(service, facts.objectives.latency).bound_s
        except ValueError as error:
            raise ConfigurationError(f"services.{service}.objectives.latency: {error}") from None
        if bound_s is not None:
            found[service] = bound_s
    return found


def _ratio(environment: Mapping[str, str]) -> float:
    name = environment.get("OTEL_TRACES_SAMPLER", "always_on")
    if name in _ALWAYS:
        return 1.0
    if name in _NEVER:
        return 0.0
    given = environment.get("OTEL_TRACES_SAMPLER_ARG", "1")
    try:
        ratio = float(given)
    except ValueError:
        ratio = -1.0
    if name not in _RATIO or not 0 <= ratio <= 1:
        raise ConfigurationError(
            f"OTEL_TRACES_SAMPLER is {name!r} with {given!r}; Borough knows always_on, always_off and "
            "traceidratio with a number from 0 to 1, each also as parentbased_. Or set telemetry.ratio"
        )
    return ratio
