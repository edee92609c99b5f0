"""Whether what a provider needs is there, looked at without importing or asking anybody."""

from __future__ import annotations

import configparser
import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path

from beamlens.errors import LLMError
from beamlens.llm.options import BedrockOptions, VertexOptions
from beamlens.llm.provider import checked_key
from beamlens.llm.validation import refused

BEDROCK_KEY = "AWS_BEARER_TOKEN_BEDROCK"
_AWS_SOURCES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_PROFILE",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
_GOOGLE_FILE = "GOOGLE_APPLICATION_CREDENTIALS"


def need_package(module: str, extra: str, provider: str, field: str) -> None:
    """Check that an extra is installed.

    Raises:
        ClientConfigError: It is not; says how to install it.
    """
    try:
        found = importlib.util.find_spec(module) is not None
    except ImportError:  # its parent package is missing
        found = False
    if not found:
        text = f"provider {provider!r} needs the package {module}: pip install 'beamlens[{extra}]'"
        raise refused(f"{field}.provider", text)


def first(environ: Mapping[str, str], names: Iterable[str]) -> str | None:
    """The first of these variables that is set and not empty."""
    return next((value for name in names if (value := environ.get(name, "").strip())), None)


def need_key(given: str | None, environ: Mapping[str, str], names: tuple[str, ...], provider: str, field: str) -> str:
    """The key that is given, or that of the first variable which is set.

    Raises:
        ClientConfigError: There is none, or it cannot be one; says which variable to set.
    """
    where = f"{field}.options.api_key"
    key = (given or "").strip() or first(environ, names)
    if not key:
        variables = " or ".join(names)
        raise refused(
            where, f"provider {provider!r} needs a key; set the environment variable {variables} or give api_key"
        )
    try:
        return checked_key(key, "")
    except LLMError as unusable:
        raise refused(where, str(unusable)) from None


def aws_region(options: BedrockOptions, environ: Mapping[str, str], field: str) -> str:
    """The region, from the options, the environment or the profile.

    Raises:
        ClientConfigError: There is none.
    """
    profile = options.profile or environ.get("AWS_PROFILE") or "default"
    region = (
        options.region
        or first(environ, ("AWS_REGION", "AWS_DEFAULT_REGION"))
        or _profile_region(_aws_file(environ, "AWS_CONFIG_FILE", "config"), profile)
    )
    if not region:
        text = "provider 'aws-bedrock' needs a region; set the environment variable AWS_REGION or give region"
        raise refused(f"{field}.options.region", text)
    return region


def need_aws(options: BedrockOptions, environ: Mapping[str, str], field: str) -> None:
    """Check that AWS's own chain has something to find.

    Raises:
        ClientConfigError: It has not, or two ways contradict each other.
    """
    own = options.access_key_id or options.profile
    if own and environ.get(BEDROCK_KEY):
        name = "access_key_id" if options.access_key_id else "profile"
        text = f"the environment variable {BEDROCK_KEY} is set as well: unset it, or leave out {name}"
        raise refused(f"{field}.options.{name}", text)
    files = (_aws_file(environ, "AWS_SHARED_CREDENTIALS_FILE", "credentials"), _aws_file(environ, "AWS_CONFIG_FILE"))
    if (
        own
        or options.machine_identity
        or first(environ, _AWS_SOURCES)
        or any(file and file.is_file() for file in files)
    ):
        return
    raise refused(
        f"{field}.options.access_key_id",
        "provider 'aws-bedrock' finds no credentials; set the environment variables AWS_ACCESS_KEY_ID and "
        f"AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or {BEDROCK_KEY}, or give machine_identity=True where the machine "
        "has a role",
    )


def _setting(given: str | None, environ: Mapping[str, str], names: tuple[str, ...], what: str, where: str) -> str:
    """A setting that is given, or that of the first variable which is set.

    Raises:
        ClientConfigError: There is none; `what` says who needs it, and its last name is the variable to set.
    """
    value = given or first(environ, names)
    if not value:
        option = where.rpartition(".")[2]
        raise refused(where, f"{what}; set the environment variable {names[-1]} or give {option}")
    return value


def google_project(options: VertexOptions, environ: Mapping[str, str], field: str) -> str:
    """The project.

    Raises:
        ClientConfigError: There is none.
    """
    names = ("ANTHROPIC_VERTEX_PROJECT_ID", "GOOGLE_CLOUD_PROJECT")
    what = "provider 'vertex-ai' needs a project"
    return _setting(options.project_id, environ, names, what, f"{field}.options.project_id")


def google_location(options: VertexOptions, environ: Mapping[str, str], field: str) -> str:
    """The region, or ``"global"``.

    Raises:
        ClientConfigError: There is none.
    """
    what = "provider 'vertex-ai' needs a location, such as 'global'"
    return _setting(options.location, environ, ("CLOUD_ML_REGION",), what, f"{field}.options.location")


def need_google(options: VertexOptions, environ: Mapping[str, str], field: str) -> None:
    """Check that Google's default credentials have something to find.

    Raises:
        ClientConfigError: They have not.
    """
    named = environ.get(_GOOGLE_FILE)
    if named and not Path(named).is_file():
        raise refused(f"{field}.options.access_token", f"{_GOOGLE_FILE} names a file that does not exist: {named}")
    home = environ.get("HOME")
    folder = environ.get("CLOUDSDK_CONFIG") or (f"{home}/.config/gcloud" if home else None)
    login = folder is not None and (Path(folder) / "application_default_credentials.json").is_file()
    if named or login or options.machine_identity:
        return
    raise refused(
        f"{field}.options.access_token",
        f"provider 'vertex-ai' finds no credentials; set the environment variable {_GOOGLE_FILE} to a key file, or "
        "run 'gcloud auth application-default login', or give machine_identity=True where the machine has a service "
        "account",
    )


def _aws_file(environ: Mapping[str, str], variable: str, name: str = "config") -> Path | None:
    given, home = environ.get(variable), environ.get("HOME")
    if given:
        return Path(given)
    return Path(home) / ".aws" / name if home else None


def _profile_region(file: Path | None, profile: str) -> str | None:
    config = configparser.ConfigParser(interpolation=None)
    try:
        config.read(file or (), encoding="utf-8")
    except (configparser.Error, OSError, UnicodeDecodeError):
        return None  # AWS's own library says it better, at the first call
    section = profile if profile == "default" else f"profile {profile}"
    return config.get(section, "region", fallback=None)
