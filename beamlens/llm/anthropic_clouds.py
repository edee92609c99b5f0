"""Claude on Amazon Bedrock and on Google's Vertex AI, through Anthropic's SDK."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from beamlens.errors import LLMError
from beamlens.llm.anthropic import Sampling, describe, transport
from beamlens.llm.client import Completion, Request
from beamlens.llm.deltas import OnDelta
from beamlens.llm.failures import Failure, words

_LOGIN_PACKAGES = ("botocore", "boto3", "google")


class CloudAPI:
    """The Messages API at a cloud; the credentials that are not given, its own libraries find at the first call.

    Finding them may take requests of their own (a machine's identity, a token that is renewed), which an abort does
    not interrupt.
    """

    def __init__(
        self,
        platform: str,
        client: Literal["AnthropicBedrock", "AnthropicVertex"],
        sampling: Sampling,
        given: Mapping[str, str | None],
        secrets: Sequence[str],
    ) -> None:
        """Describe it; see `bedrock` and `vertex`.

        Args:
            platform: What the model's name begins with: prices there are not Anthropic's.
            client: The SDK's class.
            sampling: The model and how it is asked.
            given: Arguments of the class; ``None`` is left out.
            secrets: Names of those that must not show.
        """
        self._platform = platform
        self._client = client
        self._sampling = sampling
        self._given = {name: value for name, value in given.items() if value is not None}
        self._secrets = tuple(self._given[name] for name in secrets if name in self._given)

    def __repr__(self) -> str:
        return f"CloudAPI({self.model!r})"

    @property
    def model(self) -> str:
        """Name of the model, after the platform's."""
        return f"{self._platform}/{self._sampling.model}"

    def secrets(self) -> Sequence[str]:
        """What must not show."""
        return self._secrets

    def connect(self) -> Any:
        """Make the SDK's client."""
        import anthropic

        return getattr(anthropic, self._client)(**self._given, **transport())

    def ask(self, sdk: Any, request: Request, timeout: float, on_delta: OnDelta | None = None) -> Completion:
        """Make one call."""
        return replace(self._sampling.ask(sdk, request, timeout, on_delta), model=self.model)

    def describe(self, error: Exception, secrets: Sequence[str]) -> Failure:
        """What went wrong; first of all, whether it was the login at the cloud."""
        unresolved = type(error) is RuntimeError and str(error).lower().startswith("could not resolve")
        if type(error).__module__.partition(".")[0] in _LOGIN_PACKAGES or unresolved:
            retryable = bool(getattr(error, "retryable", False))  # Google's say so
            text = f"the cloud's credentials cannot be had: {words(error, secrets)}"
            return Failure(LLMError(text, kind="authentication", retryable=retryable), again=retryable)
        return describe(error, secrets)


def bedrock(
    sampling: Sampling,
    *,
    region: str,
    access_key: str | None = None,
    secret_key: str | None = None,
    session_token: str | None = None,
    profile: str | None = None,
    bearer_token: str | None = None,
    base_url: str | None = None,
) -> CloudAPI:
    """Amazon Bedrock.

    Args:
        sampling: The id of the model or of an inference profile, and how it is asked.
        region: AWS region.
        access_key: Access key id.
        secret_key: Secret access key.
        session_token: Session token of temporary credentials.
        profile: A profile in AWS's configuration files.
        bearer_token: A Bedrock API key, instead of all these.
        base_url: Another address, such as a VPC endpoint.
    """
    given = {
        "aws_region": region,
        "aws_access_key": access_key,
        "aws_secret_key": secret_key,
        "aws_session_token": session_token,
        "aws_profile": profile,
        "api_key": bearer_token,
        "base_url": base_url,
    }
    secrets = ("aws_secret_key", "aws_session_token", "api_key")
    return CloudAPI("aws-bedrock", "AnthropicBedrock", sampling, given, secrets)


def vertex(
    sampling: Sampling,
    *,
    location: str,
    project_id: str,
    access_token: str | None = None,
    base_url: str | None = None,
) -> CloudAPI:
    """Google's Vertex AI.

    Args:
        sampling: The model's name there, and how it is asked.
        location: Region, or ``"global"``.
        project_id: Google Cloud project.
        access_token: A token of one's own; it is not renewed.
        base_url: Another address.
    """
    given = {"region": location, "project_id": project_id, "access_token": access_token, "base_url": base_url}
    return CloudAPI("vertex-ai", "AnthropicVertex", sampling, given, ("access_token",))
