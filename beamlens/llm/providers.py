"""Every provider: what its options are, and how its client is made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from beamlens.llm import anthropic_clouds as clouds
from beamlens.llm import credentials, openai
from beamlens.llm.anthropic import AnthropicAPI, Sampling
from beamlens.llm.options import (
    AnthropicOptions,
    AzureOptions,
    BedrockOptions,
    ChatOptions,
    ClientSpec,
    GenericOptions,
    OpenAIOptions,
    RetryPolicy,
    VertexOptions,
)
from beamlens.llm.provider import API, ProviderClient
from beamlens.llm.validation import refused, validate
from beamlens.llm.variables import BASE_VARIABLE, KEY_VARIABLE

Environ = Mapping[str, str]


def make(spec: ClientSpec, field: str, environ: Environ) -> ProviderClient:
    """The client that a specification describes; it is not called, and no SDK is imported.

    Args:
        spec: One of a provider in `NAMES`.
        field: Where it stands, for errors.
        environ: Where keys are looked up.

    Raises:
        ClientConfigError: It is wrong, or what it needs is not there.
    """
    make_api = _PROVIDERS[spec.provider]
    api, timeout = make_api(spec, field, environ)
    return ProviderClient(api, backoff=(spec.retry_policy or RetryPolicy()).backoff(), timeout=timeout)


def _anthropic(spec: ClientSpec, field: str, environ: Environ) -> tuple[API, float | None]:
    options = validate(AnthropicOptions, spec.options, f"{field}.options")
    key = credentials.need_key(options.api_key, environ, (KEY_VARIABLE,), spec.provider, field)
    base = options.base_url or environ.get(BASE_VARIABLE) or None
    sampling = Sampling(options.model, options.max_tokens, options.temperature)
    return AnthropicAPI(sampling, api_key=key, base_url=base), options.timeout


def _bedrock(spec: ClientSpec, field: str, environ: Environ) -> tuple[API, float | None]:
    options = validate(BedrockOptions, spec.options, f"{field}.options")
    region = credentials.aws_region(options, environ, field)
    own = options.access_key_id or options.profile
    bearer = options.api_key or (None if own else environ.get(credentials.BEDROCK_KEY))
    if not bearer:
        credentials.need_package("boto3", "bedrock", spec.provider, field)
        credentials.need_aws(options, environ, field)
    api = clouds.bedrock(
        Sampling(options.model, options.max_tokens, options.temperature),
        region=region,
        access_key=options.access_key_id,
        secret_key=options.secret_access_key,
        session_token=options.session_token,
        profile=options.profile,
        bearer_token=bearer,
        base_url=options.base_url,
    )
    return api, options.timeout


def _vertex(spec: ClientSpec, field: str, environ: Environ) -> tuple[API, float | None]:
    options = validate(VertexOptions, spec.options, f"{field}.options")
    location = credentials.google_location(options, environ, field)
    project = credentials.google_project(options, environ, field)
    if not options.access_token:
        credentials.need_package("google.auth", "vertex", spec.provider, field)
        credentials.need_google(options, environ, field)
    api = clouds.vertex(
        Sampling(options.model, options.max_tokens, options.temperature),
        location=location,
        project_id=project,
        access_token=options.access_token,
        base_url=options.base_url,
    )
    return api, options.timeout


@dataclass(frozen=True, slots=True)
class _Chat:
    """A provider that speaks OpenAI's API at an address of its own."""

    dialect: openai.Dialect
    variables: tuple[str, ...]
    base_url: str
    base_variable: str = ""

    def __call__(self, spec: ClientSpec, field: str, environ: Environ) -> tuple[API, float | None]:
        options = validate(OpenAIOptions, spec.options, f"{field}.options")
        credentials.need_package("openai", "openai", spec.provider, field)
        key = options.api_key
        if self.variables:
            key = credentials.need_key(key, environ, self.variables, spec.provider, field)
        base = options.base_url or environ.get(self.base_variable) or self.base_url
        return openai.ChatAPI(_chat(options.model, options), self.dialect, api_key=key, base_url=base), options.timeout


def _generic(spec: ClientSpec, field: str, environ: Environ) -> tuple[API, float | None]:
    options = validate(GenericOptions, spec.options, f"{field}.options")
    credentials.need_package("openai", "openai", spec.provider, field)
    key = options.api_key
    if options.api_key_variable is not None:
        key = credentials.need_key(key, environ, (options.api_key_variable,), spec.provider, field)
    chat = _chat(options.model, options)
    return openai.ChatAPI(chat, openai.GENERIC, api_key=key, base_url=options.base_url), options.timeout


def _azure(spec: ClientSpec, field: str, environ: Environ) -> tuple[API, float | None]:
    options = validate(AzureOptions, spec.options, f"{field}.options")
    credentials.need_package("openai", "openai", spec.provider, field)
    key = credentials.need_key(options.api_key, environ, ("AZURE_OPENAI_API_KEY",), spec.provider, field)
    endpoint = options.base_url or environ.get("AZURE_OPENAI_ENDPOINT")
    if options.resource_name:
        endpoint = options.base_url or f"https://{options.resource_name}.openai.azure.com"
    if not endpoint:
        text = (
            "provider 'azure-openai' needs a resource; give resource_name or base_url, or set the environment variable"
        )
        raise refused(f"{field}.options.resource_name", f"{text} AZURE_OPENAI_ENDPOINT")
    version = options.api_version or environ.get("OPENAI_API_VERSION")
    if not version:
        text = "provider 'azure-openai' needs an API version; give api_version or set the environment variable"
        raise refused(f"{field}.options.api_version", f"{text} OPENAI_API_VERSION")
    chat, azure = _chat(options.deployment_id, options), openai.Azure(endpoint, version)
    return openai.ChatAPI(chat, openai.AZURE, api_key=key, azure=azure), options.timeout


def _chat(model: str, options: ChatOptions) -> openai.Chat:
    return openai.Chat(
        model,
        max_tokens=options.max_tokens,
        temperature=options.temperature,
        reasoning_effort=options.reasoning_effort,
        headers=dict(options.headers),
    )


_PROVIDERS: Mapping[str, Callable[[ClientSpec, str, Any], tuple[API, float | None]]] = {
    "anthropic": _anthropic,
    "aws-bedrock": _bedrock,
    "vertex-ai": _vertex,
    "openai": _Chat(openai.OPENAI, ("OPENAI_API_KEY",), "https://api.openai.com/v1", "OPENAI_BASE_URL"),
    "openai-generic": _generic,
    "azure-openai": _azure,
    "ollama": _Chat(openai.OLLAMA, (), "http://localhost:11434/v1"),
    "openrouter": _Chat(openai.OPENROUTER, ("OPENROUTER_API_KEY",), "https://openrouter.ai/api/v1"),
    "google-ai": _Chat(
        openai.GOOGLE,
        ("GOOGLE_API_KEY", "GEMINI_API_KEY"),
        "https://generativelanguage.googleapis.com/v1beta/openai/",
    ),
}
NAMES: tuple[str, ...] = tuple(_PROVIDERS)
